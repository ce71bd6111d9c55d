//! The stored constants that are trained.

use crate::graph::*;
use std::collections::BTreeSet;

/// The constants of a network that can be trained, in the order in which they are first used: stored floating-point tensors
/// of more than one number in a slot for weights, that nobody else reads as something else.
pub fn parameters(Network { graph, facts }: Network) -> Vec<ValueId> {
    let mut found = Vec::new();
    let mut other: BTreeSet<ValueId> = graph.outputs.iter().copied().collect();
    for node in &graph.nodes {
        let slots = node.op.parameters();
        let folded = facts.is_folded(node);
        for (slot, v) in node.inputs.iter().enumerate().filter_map(|(k, v)| Some((k, (*v)?))) {
            let trained = !folded && slots.contains(&slot) && graph.is_stored(v);
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
