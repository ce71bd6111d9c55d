//! Recovery in closed form, without labels: after pruning, every layer is fitted to the output of the unpruned network's layer.
//!
//! Takes: the original graph, the pruned one, images. Gives: the pruned graph with other weights and biases in the same
//! shapes, and a [`Fitted`] per layer. Layers are taken in graph order, each on the inputs that the layers before it, already
//! fitted, really give it; its weights move from where they are (ridge) towards the least squares of the difference, and stay
//! where they are unless images that took no part in the fit are matched better. Never: changes the graph's shape.

mod fit;
mod layer;
mod normal_equations;
mod track;

use crate::coupling::Groups;
use crate::data::{BoundDataset, Subset};
use crate::error::Result;
use crate::exec::{Aims, LARGEST, Pool, batched};
use crate::graph::*;
use crate::rewrite::Cuts;
use crate::support::random::Draw;
use layer::{Layer, Others, Sum, Target};
use std::ops::Range;
use track::{Track, Tracks};

/// Largest number of images that are taken, unless layers have more inputs than they give positions.
const IMAGES: usize = 1024;

/// Largest number of images, taken where layers have more inputs than [`IMAGES`] give positions.
const MOST: usize = 4 * IMAGES;

/// Largest size of the values of both networks that are alive at a time, in bytes: it limits the images.
const ALIVE_BYTES: usize = 768 << 20;

/// Number of parts of the images, of which one is held out of the fit and judges it.
const HELD_OUT: usize = 5;

/// A layer, fitted or left alone.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Fitted {
    /// The node.
    pub layer: String,
    /// Squared error of its output on held-out images before the fit, at their positions and in their means, relative to the
    /// variance of the wanted output.
    pub before: f64,
    /// Squared error after the fit, relative to that variance; equal to `before` where the weights were left alone.
    pub after: f64,
    /// Strength of the ridge relative to the mean square of the inputs; none where the weights were left alone.
    pub ridge: Option<f64>,
}

/// Fits all layers of `small`, which was made from `original` by keeping the classes `kept` of `groups`, on images. Weights
/// that are shared, or not stored in plain, are left alone. `progress` hears the number of nodes that are done, of all.
pub fn reconstruct(
    original: Network,
    groups: &Groups,
    kept: &[bool],
    small: &Graph,
    images: Subset,
    pool: &Pool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Graph, Vec<Fitted>)> {
    let mut run = Reconstruction::new(original, Cuts::new(groups, kept), small, images, pool)?;
    if !run.begin() {
        return Ok((small.clone(), Vec::new()));
    }
    for n in 0..small.nodes.len() {
        if let Some(layer) = Layer::of(run.pruned.network(), n) {
            run.fit(&layer)?;
        }
        run.pruned.advance(pool);
        progress(n + 1, small.nodes.len());
    }
    Ok((run.pruned.graph, run.fitted))
}

/// A reconstruction on its way through the nodes.
struct Reconstruction<'a> {
    /// Shapes of the original, with one image.
    shapes: Network<'a>,
    cuts: Cuts,
    data: &'a BoundDataset,
    /// Images in no order.
    list: Vec<usize>,
    /// Images of a chunk.
    batch: usize,
    original: Track,
    pruned: Track,
    pool: &'a Pool,
    fitted: Vec<Fitted>,
}

impl<'a> Reconstruction<'a> {
    fn new(
        network: Network<'a>,
        cuts: Cuts,
        small: &Graph,
        images: Subset<'a>,
        pool: &'a Pool,
    ) -> Result<Self> {
        let Network { graph, facts } = network;
        let targets = Aims::compared(network, |_| true).targets;
        // Where the pruned network does not take as many images at a time as the original, both take what the file says.
        let both =
            |facts: Facts| infer(small, facts.inputs(graph).as_deref()).map(|of_small| (facts, of_small));
        let (facts, of_small) =
            both(batched(network, &targets, LARGEST)?).or_else(|_| both(facts.clone()))?;
        let batch = graph.inputs.first().and_then(|&v| facts.shape(v)?.first().copied()).unwrap_or(1).max(1);
        // In no order: neighbours may be of one class.
        let mut list = images.indices.to_vec();
        Draw::new(0, 0).shuffle(&mut list);
        Ok(Self {
            shapes: network,
            cuts,
            data: images.data,
            list,
            batch,
            original: Track::new(graph.clone(), facts),
            pruned: Track::new(small.clone(), of_small),
            pool,
            fitted: Vec::new(),
        })
    }

    /// Number of chunks that may be held from here on.
    fn chunks_that_fit(&self) -> usize {
        let (chunk, chunks) = (self.original.peak() + self.pruned.peak(), self.list.len() / self.batch);
        (ALIVE_BYTES / chunk.max(1)).clamp(4, chunks.max(4)).min(chunks)
    }

    /// Loads the first images. False where there are too few to hold some out.
    fn begin(&mut self) -> bool {
        let first = self.chunks_that_fit().min(IMAGES.div_ceil(self.batch));
        if first >= 2 {
            self.load(0..first);
        }
        first >= 2
    }

    /// Loads chunks of images into both networks.
    fn load(&mut self, chunks: Range<usize>) {
        let all: Vec<&[usize]> = self.list.chunks_exact(self.batch).collect();
        self.original.load(self.data, &all[chunks.clone()], self.pool);
        self.pruned.load(self.data, &all[chunks], self.pool);
    }

    /// Fits a layer, at which the pruned network has arrived.
    fn fit(&mut self, layer: &Layer) -> Result<()> {
        self.original.advance_past(layer.output, self.pool);
        let (has, wanted) = (self.pruned.chunks.len(), fit::needed(layer).div_ceil(layer.positions.max(1)));
        // Deeper layers leave room for more images, and it is images that few of them lack, not positions.
        let wanted = wanted.max(IMAGES.div_ceil(self.batch));
        let more = wanted.min(self.chunks_that_fit()).min(MOST.div_ceil(self.batch));
        // Each of them has to come all the way.
        if 2 * more >= 3 * has {
            self.load(has..more);
        }
        let target = self.target(layer);
        let tracks = Tracks { original: &self.original, pruned: &self.pruned };
        if let Some((fitted, weights)) = fit::fit(layer, &target, tracks, self.pool) {
            self.fitted.push(fitted);
            if let Some(weights) = weights {
                self.pruned.replace(layer, weights)?;
            }
        }
        Ok(())
    }

    /// The original's output of a layer, or the sum behind it, as the layer should give it.
    fn target(&self, layer: &Layer) -> Target {
        let (network, axis) = (self.original.network(), layer.axis);
        let sum = layer::sum_after(network, layer.result, layer.output);
        let result = sum.map_or(layer.result, |(sum, _)| sum);
        let sum = sum.map(|(_, trunk)| Sum {
            trunk,
            left: self.channels(trunk, axis),
            others: self.others(trunk, axis),
        });
        Target {
            channels: self.channels(layer.output, axis),
            others: self.others(layer.output, axis),
            sum,
            rectified: layer::is_rectified(network, result),
            averaged: layer::is_averaged(network, result, layer.positions_of_image()),
        }
    }

    /// The original's coordinates of a value along `axis` that are left.
    fn channels(&self, v: ValueId, axis: usize) -> Vec<usize> {
        let size = self.shapes.shape(v).and_then(|s| s.get(axis)).map_or(0, |&n| n);
        self.cuts.left(v, axis, size)
    }

    /// The other axes of a value that lose coordinates, with the coordinates that are left.
    fn others(&self, v: ValueId, axis: usize) -> Others {
        let rank = self.shapes.shape(v).map_or(0, <[usize]>::len);
        let left = |a: usize| Some((a, self.cuts.kept(v, a)?.to_vec()));
        (0..rank).filter(|&a| a != axis).filter_map(left).collect()
    }
}
