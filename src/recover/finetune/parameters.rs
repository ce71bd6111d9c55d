//! Which stored constants are trained.

use crate::graph::*;
use crate::rewrite;
use std::collections::BTreeSet;

/// Input slots that hold weights, biases, scales, shifts or slopes.
const TRAINED: &[(&str, &[usize])] = &[
    ("Add", &[0, 1]),
    ("BatchNormalization", &[1, 2]),
    ("Conv", &[1, 2]),
    ("ConvTranspose", &[1, 2]),
    ("GRU", &[1, 2, 3]),
    ("Gemm", &[0, 1, 2]),
    ("GroupNormalization", &[1, 2]),
    ("InstanceNormalization", &[1, 2]),
    ("LSTM", &[1, 2, 3, 7]),
    ("LayerNormalization", &[1, 2]),
    ("MatMul", &[0, 1]),
    ("Mul", &[0, 1]),
    ("PRelu", &[1]),
    ("RNN", &[1, 2, 3]),
];

/// The constants of a network that can be trained, in the order in which they are first used: stored floating-point tensors
/// of more than one number in a slot for weights, that nobody else reads as something else.
pub fn parameters(graph: &Graph, facts: &Facts) -> Vec<ValueId> {
    let mut found = Vec::new();
    let mut other: BTreeSet<ValueId> = graph.outputs.iter().copied().collect();
    for node in &graph.nodes {
        let slots = TRAINED.iter().find(|(op, _)| *op == node.op_type).map_or(&[][..], |(_, slots)| slots);
        let folded = facts.is_folded(node);
        for (slot, v) in node.inputs.iter().enumerate().filter_map(|(k, v)| Some((k, (*v)?))) {
            let trained = !folded && slots.contains(&slot) && rewrite::is_stored(graph, v);
            let numbers = facts.constant[v].as_ref().filter(|t| t.dtype().is_float() && t.len() > 1);
            match trained && numbers.is_some() {
                true if !found.contains(&v) => found.push(v),
                true => {}
                false => drop(other.insert(v)),
            }
        }
        other.extend(&node.captured);
    }
    found.retain(|v| !other.contains(v));
    found
}
