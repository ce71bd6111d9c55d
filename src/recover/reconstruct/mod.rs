//! Recovery in closed form, without labels: after pruning, every layer is fitted to what the unpruned network's layer gave.
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
use crate::data::BoundDataset;
use crate::error::Result;
use crate::exec::{LARGEST, Pool, batched};
use crate::graph::*;
use crate::rewrite::Cuts;
use crate::support::random::Draw;
use layer::Layer;
use track::Track;

/// Images that are looked at to begin with, at the most.
const IMAGES: usize = 1024;

/// Images that are looked at where layers have more inputs than these give positions, at the most.
const MOST: usize = 4 * IMAGES;

/// The images that are looked at are so few that the values of both networks that are alive at a time fit here.
const ALIVE_BYTES: usize = 768 << 20;

/// Every so many chunks of images, one is held out of the fit and judges it.
const HELD_OUT: usize = 5;

/// What became of a layer.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Fitted {
    /// The node.
    pub layer: String,
    /// Squared error of its output on held-out images, relative to the variance of what it should be: before.
    pub before: f64,
    /// The same afterwards; as before where the weights were left alone.
    pub after: f64,
    /// Strength of the ridge relative to the mean square of the inputs; none where the weights were left alone.
    pub ridge: Option<f64>,
}

/// Fits all layers of `small`, which was made from `big` by keeping the classes `kept` of `groups`, on images of `list`.
/// Weights that are shared, or not stored in plain, are left alone. `progress` hears how many of the nodes are done.
pub fn reconstruct(
    big: (&Graph, &Facts),
    small: &Graph,
    (groups, kept): (&Groups, &[bool]),
    (data, list): (&BoundDataset, &[usize]),
    pool: &Pool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Graph, Vec<Fitted>)> {
    let cuts = Cuts::new(groups, kept);
    let channels = |v: ValueId, axis: usize| {
        let size = big.1.shape(v).and_then(|s| s.get(axis)).map_or(0, |&n| n);
        cuts.left(v, axis, size)
    };
    let others = |v: ValueId, axis: usize| -> layer::Others {
        let rank = big.1.shape(v).map_or(0, <[usize]>::len);
        let left = |a: usize| Some((a, cuts.kept(v, a)?.to_vec()));
        (0..rank).filter(|&a| a != axis).filter_map(left).collect()
    };
    let targets = crate::exec::Aims::compared(big.0, big.1, |_| true).targets;
    // Where the pruned network does not take as many images at a time as the original, both take what the file says.
    let both = |facts: Facts| infer(small, facts.inputs(big.0).as_deref()).map(|of_small| (facts, of_small));
    let (facts, of_small) =
        both(batched(big.0, big.1, &targets, LARGEST)?).or_else(|_| both(big.1.clone()))?;
    let batch = big.0.inputs.first().and_then(|&v| facts.shape(v)?.first().copied()).unwrap_or(1).max(1);
    let mut original = Track::new(big.0.clone(), facts);
    let mut pruned = Track::new(small.clone(), of_small);
    // In no order: neighbours may be of one class.
    let mut list = list.to_vec();
    Draw::new(0, 0).shuffle(&mut list);
    let chunks: Vec<&[usize]> = list.chunks_exact(batch).collect();
    // As many of them as may be held from here on.
    let room = |original: &Track, pruned: &Track| {
        let chunk = original.peak() + pruned.peak();
        (ALIVE_BYTES / chunk.max(1)).clamp(4, chunks.len().max(4)).min(chunks.len())
    };
    let first = room(&original, &pruned).min(IMAGES.div_ceil(batch));
    if first < 2 {
        return Ok((small.clone(), Vec::new()));
    }
    original.load(data, &chunks[..first], pool);
    pruned.load(data, &chunks[..first], pool);
    let mut done = Vec::new();
    for n in 0..small.nodes.len() {
        if let Some(layer) = Layer::of(&pruned.graph, &pruned.facts, n) {
            original.advance_past(layer.output, pool);
            let (has, wanted) = (pruned.chunks.len(), fit::needed(&layer).div_ceil(layer.positions.max(1)));
            let more = wanted.min(room(&original, &pruned)).min(MOST.div_ceil(batch));
            // Each of them has to come all the way.
            if more >= 2 * has {
                original.load(data, &chunks[has..more], pool);
                pruned.load(data, &chunks[has..more], pool);
            }
            let (graph, facts) = (&original.graph, &original.facts);
            let sum = layer::sum_after(graph, facts, (layer.result, layer.output));
            let result = sum.map_or(layer.result, |(sum, _)| sum);
            let rectified = layer::is_rectified(graph, facts, result);
            let axis = layer.axis;
            let sum = sum.map(|(_, trunk)| layer::Sum {
                trunk,
                left: channels(trunk, axis),
                others: others(trunk, axis),
            });
            let (v, others) = (layer.output, others(layer.output, axis));
            let target = layer::Target { channels: channels(v, axis), others, sum, rectified };
            if let Some((fitted, weights)) = fit::fit(&layer, &target, &original, &pruned, pool) {
                done.push(fitted);
                if let Some(weights) = weights {
                    pruned.replace(&layer, weights)?;
                }
            }
        }
        pruned.advance(pool);
        progress(n + 1, small.nodes.len());
    }
    Ok((pruned.graph, done))
}
