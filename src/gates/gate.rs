//! Gates: one α per class, λ = sigmoid(α), standing at the readers of the class.

use crate::coupling::{Groups, Site};
use crate::exec::{GateSpec, Reach};
use crate::graph::{Graph, Network, NodeId, ValueId};
use crate::support::index::OptIndex;
use std::collections::{BTreeMap, BTreeSet};

/// λ at the start (paper).
pub const START: f64 = 0.9;

/// λ = sigmoid(α)
pub fn sigmoid(alpha: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-alpha))
}

/// α of the starting λ.
pub fn start() -> f64 {
    libm::log(START / (1.0 - START))
}

/// Places of the gates: one per gated value and axis, with all its readers.
pub fn specs(graph: &Graph, groups: &Groups) -> Vec<GateSpec> {
    // Readers of a value share a gate, but for those that pick.
    let mut places: BTreeMap<(ValueId, usize, Option<Site>), Vec<Site>> = BTreeMap::new();
    for site in groups.sites(graph) {
        if let Some(v) = graph.nodes[site.node].inputs[site.slot] {
            let own = groups.select(site).map(|_| site);
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

/// By class: it has a gate whose effect reaches one of `targets`, so that its worth can be learned.
pub fn trainable(graph: &Graph, groups: &Groups, targets: &[ValueId]) -> Vec<bool> {
    let mut before = BTreeSet::new();
    let mut open: Vec<ValueId> = targets.to_vec();
    while let Some(v) = open.pop() {
        if let Some(n) = graph.producer(v).filter(|&n| before.insert(n)) {
            open.extend(graph.nodes[n].inputs.iter().flatten());
        }
    }
    let mut trainable = vec![false; groups.classes.len()];
    for gate in specs(graph, groups) {
        if gate.readers.iter().any(|(n, _)| before.contains(n)) {
            gate.index.iter().filter_map(|c| c.get()).for_each(|c| trainable[c] = true);
        }
    }
    // The values at which losses stand stay whole: their channels are the targets' own.
    let whole = targets.iter().filter_map(|&t| groups.label.get(t)).flatten().flatten();
    whole.filter_map(|c| c.get()).for_each(|c| trainable[c] = false);
    if groups.whole_trunks {
        trainable.iter_mut().zip(groups.picked()).for_each(|(t, picked)| *t &= !picked);
    }
    trainable
}

/// Channels that can be deleted, but whose worth gates cannot learn, of one layer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unlearned {
    /// Name of the layer whose output they are.
    pub layer: String,
    /// Number of channels.
    pub channels: usize,
    /// The node in the way of gradients, if one is.
    pub node: Option<String>,
    /// Its ONNX operator.
    pub operator: Option<String>,
}

/// The channels that `fixed` marks, by group and by the node in the way.
pub fn unlearned(network: Network, groups: &Groups, fixed: &[bool]) -> Vec<Unlearned> {
    let graph = network.graph;
    let reach = Reach::learned(network);
    let mut in_the_way: Vec<Option<NodeId>> = vec![None; groups.classes.len()];
    let mut note = |classes: &[OptIndex], node: NodeId| {
        for c in classes.iter().filter_map(|c| c.get()) {
            in_the_way[c].get_or_insert(node);
        }
    };
    // Gates whose readers cannot be learned from; else the nodes that read the channels themselves.
    for gate in specs(graph, groups) {
        let behind = gate.readers.iter().find_map(|&(n, _)| reach.blocker[n]);
        behind.iter().for_each(|&n| note(&gate.index, n));
    }
    for (n, node) in graph.nodes.iter().enumerate() {
        let Some(by) = reach.blocker[n] else { continue };
        for &v in node.inputs.iter().flatten() {
            groups.label.get(v).into_iter().flatten().for_each(|classes| note(classes, by));
        }
    }
    let first = reach.blocker.iter().flatten().next().copied();
    let picked = groups.picked();
    let mut out = Vec::new();
    for group in &groups.groups {
        let mut by_node: BTreeMap<Option<NodeId>, usize> = BTreeMap::new();
        for &c in group.classes.iter().filter(|&&c| fixed[c] && !picked[c]) {
            *by_node.entry(in_the_way[c].or(first)).or_default() += 1;
        }
        out.extend(by_node.into_iter().map(|(node, channels)| Unlearned {
            layer: group.name.clone(),
            channels,
            node: node.map(|n| graph.nodes[n].name.clone()),
            operator: node.map(|n| graph.nodes[n].op_type.clone()),
        }));
    }
    out
}
