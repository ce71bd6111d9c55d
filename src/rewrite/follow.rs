//! Gates and bias terms of a graph, at their places in the smaller one.

use super::Cuts;
use crate::coupling::{Groups, Site};
use crate::exec::{BiasTermSpec, GateSpec, GatedNetwork};
use crate::graph::*;
use crate::support::index::OptIndex;
use std::collections::HashMap;

/// Gates and bias terms of the original at their places in `small`, the rewritten graph that keeps `kept`. Gates of deleted
/// coordinates are gone, and bias terms of deleted results; λ and κ keep their numbers, and a bias term keeps the columns of
/// closed gates.
pub fn follow(
    original: GatedNetwork,
    groups: &Groups,
    kept: &[bool],
    small: &Graph,
) -> (Vec<GateSpec>, Vec<BiasTermSpec>) {
    let GatedNetwork { network: Network { graph, .. }, gates, bias_terms } = original;
    let cuts = Cuts::new(groups, kept);
    let place = |n: NodeId| small.producer(graph.nodes[n].outputs.first().copied().flatten()?);
    let mut moved: Vec<GateSpec> = Vec::new();
    let mut place_of: HashMap<(ValueId, usize, Vec<OptIndex>), usize> = HashMap::new();
    for gate in gates {
        let stays = |c: &OptIndex| c.get().is_none_or(|c| kept[c]);
        let index: Vec<OptIndex> = gate.index.iter().copied().filter(stays).collect();
        for &(n, slot) in &gate.readers {
            let picks = groups.select(Site { node: n, slot, axis: gate.axis }).is_some();
            let Some((value, reader)) =
                place(n).and_then(|n| reads(small, (n, slot), (!picks).then_some(gate.value)))
            else {
                continue;
            };
            let at = *place_of.entry((value, gate.axis, index.clone())).or_insert(moved.len());
            match moved.get_mut(at) {
                Some(gate) if !picks => gate.readers.push(reader),
                _ => moved.push(GateSpec {
                    value,
                    axis: gate.axis,
                    index: index.clone(),
                    readers: vec![reader],
                }),
            }
        }
    }
    let shift = |s: &BiasTermSpec| {
        let y = graph.nodes[s.node].outputs.first().copied().flatten()?;
        let columns = s.index.len().max(1);
        let left = cuts.left(y, s.axis, s.matrix.len() / columns);
        let matrix = left.iter().flat_map(|&o| &s.matrix[o * columns..][..columns]).copied().collect();
        Some(BiasTermSpec { node: place(s.node)?, matrix, ..s.clone() })
    };
    (moved, bias_terms.iter().filter_map(shift).collect())
}

/// The operand at which `value` is read on the way to operand `slot` of a node, through new nodes; without a value, `slot` itself.
fn reads(
    graph: &Graph,
    (n, slot): (NodeId, usize),
    value: Option<ValueId>,
) -> Option<(ValueId, (NodeId, usize))> {
    let (mut reader, mut at) = ((n, slot), graph.nodes[n].inputs[slot]?);
    while value.is_some_and(|value| value != at) {
        let before = graph.producer(at)?;
        (reader, at) = ((before, 0), graph.nodes[before].inputs.first().copied().flatten()?);
    }
    Some((at, reader))
}
