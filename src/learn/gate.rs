//! Gates: one α per class, λ = sigmoid(α), standing at the readers of the class.

use crate::channels::{Groups, NONE, Site};
use crate::grad::{GateSpec, UNGATED};
use crate::ir::{Graph, ValueId};
use std::collections::BTreeMap;

/// λ at the start (paper).
pub const START: f64 = 0.9;

/// λ = sigmoid(α)
pub fn sigmoid(alpha: f64) -> f64 {
    1.0 / (1.0 + (-alpha).exp())
}

/// α of the starting λ.
pub fn start() -> f64 {
    (START / (1.0 - START)).ln()
}

/// Where the gates stand: one per gated value and axis, with all its readers.
pub fn specs(graph: &Graph, groups: &Groups) -> Vec<GateSpec> {
    const { assert!(NONE == UNGATED) };
    // Readers of a value share a gate, but for those that pick.
    let mut places: BTreeMap<(ValueId, usize, Option<Site>), Vec<Site>> = BTreeMap::new();
    for site in groups.sites(graph) {
        if let Some(v) = graph.nodes[site.node].inputs[site.slot] {
            let own = groups.selects.iter().any(|s| s.site == site).then_some(site);
            places.entry((v, site.axis, own)).or_default().push(site);
        }
    }
    places
        .into_iter()
        .map(|((value, axis, _), sites)| GateSpec {
            value,
            axis,
            index: groups.at(graph, sites[0]).to_vec(),
            readers: sites.iter().map(|s| (s.node, s.slot)).collect(),
        })
        .collect()
}
