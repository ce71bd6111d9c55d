//! A network that is run node by node over all images, so that a layer can be changed before what follows is computed.
//!
//! Invariants: a value is kept until the last node that uses it has run; chunks of images never mix.

use super::layer::{Layer, Weights};
use crate::data::BoundDataset;
use crate::error::Result;
use crate::exec::Pool;
use crate::graph::*;
use crate::kernels::direct::{Direct, Start};
use crate::rewrite;
use crate::tensor::*;
use ndarray::ArrayViewD;
use std::collections::{BTreeSet, HashMap};

/// Values that are alive, of one chunk of images.
type Values = HashMap<ValueId, Array<f32>>;

/// Chunks that are brought on together when more images are taken.
const TOGETHER: usize = 16;

/// The original network and the pruned one, on the same chunks of images.
#[derive(Clone, Copy)]
pub(super) struct Tracks<'a> {
    pub original: &'a Track,
    pub pruned: &'a Track,
}

/// A network on its way through its nodes.
pub(super) struct Track {
    pub graph: Graph,
    pub facts: Facts,
    /// Values by chunk.
    pub chunks: Vec<Values>,
    /// Last node that uses a value.
    last: Vec<Option<NodeId>>,
    next: NodeId,
}

impl Track {
    /// At the first node, without images. `facts` carry the images per chunk.
    pub fn new(graph: Graph, facts: Facts) -> Self {
        let mut last = vec![None; graph.values.len()];
        for (n, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().flatten().for_each(|&v| last[v] = Some(n));
        }
        Self { graph, facts, chunks: Vec::new(), last, next: 0 }
    }

    /// Graph and facts.
    pub fn network(&self) -> Network<'_> {
        Network::new(&self.graph, &self.facts)
    }

    /// Largest size of a chunk's values that are alive at a time from here on, in bytes.
    pub fn peak(&self) -> usize {
        let size = |v: ValueId| 4 * self.facts.shape(v).map_or(0, volume);
        let (mut alive, mut peak) = (self.graph.inputs.iter().map(|&v| size(v)).sum::<usize>(), 0);
        for (n, node) in self.graph.nodes.iter().enumerate() {
            alive += node.outputs.iter().flatten().map(|&v| size(v)).sum::<usize>();
            if n >= self.next {
                peak = peak.max(alive);
            }
            let dead: BTreeSet<ValueId> = self.ends(n).collect();
            alive -= dead.into_iter().map(size).sum::<usize>().min(alive);
        }
        peak
    }

    /// Values that nobody needs after node `n`.
    fn ends(&self, n: NodeId) -> impl Iterator<Item = ValueId> {
        let node = &self.graph.nodes[n];
        let ended =
            move |v: &ValueId| self.last[*v].is_none_or(|l| l <= n) && self.facts.constant[*v].is_none();
        node.inputs.iter().chain(&node.outputs).flatten().copied().filter(ended)
    }

    /// Takes these images too, by chunk, and brings them to where the others are.
    pub fn load(&mut self, data: &BoundDataset, images: &[&[usize]], pool: &Pool) {
        for some in images.chunks(TOGETHER) {
            let mut chunks: Vec<Values> = some.iter().map(|images| self.inputs(data, images)).collect();
            (0..self.next).for_each(|n| self.run(n, &mut chunks, pool));
            self.chunks.extend(chunks);
        }
    }

    /// The network's inputs.
    fn inputs(&self, data: &BoundDataset, images: &[usize]) -> Values {
        let input = |(k, &v): (usize, &ValueId)| {
            let mut x = Array::zeros(self.facts.shape(v).unwrap_or_default());
            let rows = if self.facts.is_batched(&self.graph, v) { images.len() } else { 1 };
            let len = x.len() / rows;
            for (row, &i) in x.elements_mut().chunks_exact_mut(len.max(1)).zip(images) {
                data.write(k, i, None, row);
            }
            (v, x)
        };
        self.graph.inputs.iter().enumerate().map(input).collect()
    }

    /// Runs the next node.
    pub fn advance(&mut self, pool: &Pool) {
        let mut chunks = std::mem::take(&mut self.chunks);
        self.run(self.next, &mut chunks, pool);
        self.chunks = chunks;
        self.next += 1;
    }

    /// Runs node `n`, for which all is there.
    fn run(&self, n: NodeId, chunks: &mut [Values], pool: &Pool) {
        let (node, facts) = (&self.graph.nodes[n], &self.facts);
        let folded = facts.is_folded(node);
        let results = facts.results(node).filter(|_| facts.refusals[n].is_none() && !folded);
        let constant: HashMap<ValueId, Array<f32>> = node
            .inputs
            .iter()
            .flatten()
            .filter_map(|&v| Some((v, facts.constant[v].as_ref()?.to_array())))
            .collect();
        let dead: Vec<ValueId> = self.ends(n).collect();
        let conv = Prepared::of(node, facts, &constant);
        let bound = results.as_ref().zip(facts.operands(node)).map(|(y, x)| node.op.bind(&Io { x: &x, y }));
        let kernel = bound.and_then(std::result::Result::ok);
        pool.each(chunks, |values| {
            if let Some((results, kernel)) = results.as_ref().zip(kernel.as_ref()) {
                let known = |v: ValueId| values.get(&v).or_else(|| constant.get(&v)).map(|x| x.view());
                let x: Vec<Option<ArrayViewD<f32>>> = node.inputs.iter().map(|v| v.and_then(known)).collect();
                // What depends on something that cannot be run cannot be run.
                if x.iter().zip(&node.inputs).all(|(x, v)| x.is_some() == v.is_some()) {
                    let mut y = match &conv {
                        Some(conv) => vec![conv.run(present(&x, conv.input), &results[0].shape)],
                        None => computed(&**kernel, &x, results),
                    };
                    results.iter().zip(&mut y).for_each(|(fact, y)| fact.dtype.round(y.elements_mut()));
                    let outputs = node.outputs.iter().zip(y).filter_map(|(v, y)| Some(((*v)?, y)));
                    values.extend(outputs);
                }
            }
            dead.iter().for_each(|v| drop(values.remove(v)));
        });
    }

    /// Runs until `value` is computed.
    pub fn advance_past(&mut self, value: ValueId, pool: &Pool) {
        let Some(producer) = self.graph.producer(value) else { return };
        while self.next <= producer {
            self.advance(pool);
        }
    }

    /// Gives a layer that has not run yet other weights.
    pub fn replace(&mut self, layer: &Layer, weights: Weights) -> Result<()> {
        self.set(layer.weight, &weights.weight)?;
        match layer.bias.zip(weights.bias) {
            Some((bias, values)) => self.set(bias.value, &values),
            None => Ok(()),
        }
    }

    fn set(&mut self, v: ValueId, values: &[f64]) -> Result<()> {
        let Some(old) = self.facts.constant[v].as_ref() else { return Ok(()) };
        let tensor = old.with_values(old.shape(), values);
        self.facts.constant[v] = Some(tensor.clone());
        rewrite::store(&mut self.graph, v, tensor)
    }
}

/// A node as a prepared convolution.
struct Prepared {
    /// Slot of the operand that it reads.
    input: usize,
    direct: Direct,
    bias: Vec<f32>,
}

impl Prepared {
    /// The node with stored weights; `None` where it is no such convolution.
    fn of(node: &Node, facts: &Facts, constant: &HashMap<ValueId, Array<f32>>) -> Option<Self> {
        let operand = |slot: usize| node.inputs.get(slot).copied().flatten();
        let layer = facts.linear(node).filter(|l| l.factor == 1.0)?;
        let bias = match layer.bias {
            Some((slot, factor)) if operand(slot).is_some() => {
                Some(constant.get(&operand(slot)?)?).filter(|_| factor == 1.0)?.elements().to_vec()
            }
            _ => Vec::new(),
        };
        let direct = Direct::new(&layer.geometry?, constant.get(&operand(layer.weight)?)?.elements())?;
        Some(Self { input: layer.slot(), direct, bias })
    }

    fn run(&self, x: &ArrayViewD<f32>, shape: &[usize]) -> Array<f32> {
        let mut y = Array::zeros(shape);
        let rows = self.direct.rows(x.elements());
        self.direct.run(rows, Start::Bias(&self.bias), false, y.elements_mut());
        y
    }
}
