//! The network's inputs, as calibration data must serve them.
//!
//! Takes: a graph and its facts. Gives: for each input its shape and what its numbers are: whole numbers for integers and truth
//! values, below the size of what they index. Never: reads data.

use crate::data::{BoundDataset, InputSpec, Values};
use crate::error::{Error, Result};
use crate::exec::Aims;
use crate::graph::*;
use crate::tensor::*;
use std::collections::BTreeSet;

/// True where labels, if there are any, are of use: the output is one row of class scores. Errors where a label is no class.
pub fn check_labels(network: Network, data: &BoundDataset) -> Result<bool> {
    let facts = network.facts;
    let Aims { targets, classes, .. } = Aims::compared(network, |_| true);
    match targets.first().and_then(|&t| facts.shape(t)) {
        _ if data.labels().is_none() => Ok(true),
        Some(shape) if classes => data.check_labels(shape[1]).map(|()| true),
        _ => Ok(false),
    }
}

/// Inputs of the network. One without a batch axis has one value for a whole run, as if a batch of 1 stood in front.
pub fn inputs(network: Network) -> Result<Vec<InputSpec>> {
    let Network { graph, facts } = network;
    let consumers = graph.consumers();
    let spec = |&v: &ValueId| {
        let name = graph.values[v].name.clone();
        let Some(shape) = facts.shape(v) else {
            let hint = "cut the model so that its inputs are images or other arrays";
            return Err(Error::graph(format!("input '{name}' is no tensor"), hint));
        };
        let front = if facts.is_batched(graph, v) { &[][..] } else { &[1] };
        let values = values(network, &consumers, v);
        Ok(InputSpec { name, shape: [front, shape].concat(), values })
    };
    graph.inputs.iter().map(spec).collect()
}

fn values(network: Network, consumers: &[Vec<(NodeId, usize)>], input: ValueId) -> Values {
    let facts = network.facts;
    let Some(fact) = &facts.fact[input] else { return Values::Real };
    let (low, end) = match fact.dtype {
        dtype if dtype.is_float() => return Values::Real,
        DType::Bool => return Values::Whole { low: 0, end: 2 },
        DType::U8 => (0, 256),
        DType::I8 => (-128, 128),
        // Pixels in a wide type; else what can serve as a flag, a mask or an index.
        _ if fact.shape.len() == 4 => (0, 256),
        _ => (0, 2),
    };
    match indexed(network, consumers, input) {
        Some(size) => Values::Whole { low: 0, end: size.max(1) as i64 },
        None => Values::Whole { low, end },
    }
}

/// Size of the smallest axis that is indexed by a value, as it is or moved to another place or type; none where it indexes
/// nothing.
fn indexed(
    Network { graph, facts }: Network,
    consumers: &[Vec<(NodeId, usize)>],
    input: ValueId,
) -> Option<usize> {
    let (mut open, mut seen, mut least) = (vec![input], BTreeSet::from([input]), None);
    while let Some(v) = open.pop() {
        for &(n, slot) in &consumers[v] {
            let node = &graph.nodes[n];
            if let Some((x, y)) = facts.operands(node).zip(facts.results(node))
                && let Some(size) = node.op.indexes(&Io { x: &x, y: &y }, slot)
            {
                least = Some(least.map_or(size, |least: usize| least.min(size)));
                continue;
            }
            let whole = |v: &&ValueId| facts.fact[**v].as_ref().is_some_and(|f| !f.dtype.is_float());
            let results = node.outputs.iter().flatten().filter(whole);
            open.extend(results.copied().filter(|&v| seen.insert(v)));
        }
    }
    least
}
