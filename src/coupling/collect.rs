//! From labels to groups: the classes that can be deleted, gathered by the layer they belong to.
//!
//! Takes: the solved ties. Gives: classes and groups in graph order, their labels, and what is frozen. Never: a class that is a
//! whole axis.

use super::alone::Alone;
use super::groups::{Class, ClassId, Frozen, Group, Groups, Select};
use super::labels::Labels;
use super::site::Place;
use super::sources::multiplies;
use crate::graph::*;
use crate::support::index::OptIndex;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The groups of the classes that are `wanted` (by root) and not frozen, without the sites of their gates.
pub(super) fn collect(
    graph: &Graph,
    facts: &Facts,
    labels: &mut Labels,
    wanted: &dyn Fn(usize) -> bool,
) -> Groups {
    let places = places(graph, facts, labels, wanted);
    let (mut groups, class_of) = numbered(graph, facts, labels, &places);
    let class = |root: Option<usize>| OptIndex::from(root.and_then(|r| class_of.get(&r)).copied());
    groups.label = (0..graph.values.len())
        .map(|v| {
            let axes = facts.shape(v).unwrap_or_default().iter().enumerate();
            axes.map(|(axis, &size)| (0..size).map(|i| class(Some(labels.find(v, axis, i)))).collect())
                .collect()
        })
        .collect();
    groups.frozen = frozen(graph, facts, labels, &groups);
    for site in labels.picking() {
        let Some(value) = graph.nodes[site.node].inputs[site.slot] else { continue };
        let own: Vec<OptIndex> = labels.picked(site).into_iter().map(class).collect();
        if own.iter().any(|c| c.is_some()) {
            groups.selects.push(Select { site, value, own });
        }
    }
    groups
}

/// By root of a class that can go, the axes that it appears in, in the order of values and axes.
fn places(
    graph: &Graph,
    facts: &Facts,
    labels: &mut Labels,
    wanted: &dyn Fn(usize) -> bool,
) -> BTreeMap<usize, Vec<Place>> {
    let mut places: BTreeMap<usize, Vec<Place>> = BTreeMap::new();
    let mut whole = HashSet::new();
    for v in 0..graph.values.len() {
        for (axis, &size) in facts.shape(v).unwrap_or_default().iter().enumerate() {
            let mut alone = true;
            for i in 0..size {
                let root = labels.find(v, axis, i);
                alone &= root == labels.find(v, axis, 0);
                if wanted(root) && labels.reason(root).is_none() {
                    let at = places.entry(root).or_default();
                    if at.last() != Some(&(v, axis)) {
                        at.push((v, axis));
                    }
                }
            }
            if alone && size > 0 {
                whole.insert(labels.find(v, axis, 0));
            }
        }
    }
    // Without a class that is a whole axis by itself this axis would be empty.
    places.retain(|root, _| !whole.contains(root));
    places
}

/// Classes and groups, numbered in the order of the layers that they belong to, and the class of each root.
fn numbered(
    graph: &Graph,
    facts: &Facts,
    labels: &mut Labels,
    places: &BTreeMap<usize, Vec<Place>>,
) -> (Groups, HashMap<usize, ClassId>) {
    let owners = Owners::new(graph, facts, labels);
    let mut order: Vec<(NodeId, usize)> =
        places.iter().map(|(&root, at)| (owners.node(root, at), root)).collect();
    order.sort_unstable();
    let (mut groups, mut class_of) = (Groups::default(), HashMap::new());
    let mut by_axes: HashMap<&[Place], usize> = HashMap::new();
    for (node, root) in order {
        let axes = places[&root].as_slice();
        let group = *by_axes.entry(axes).or_insert_with(|| {
            let name = owners.name(node, root, axes);
            groups.groups.push(Group { name, classes: Vec::new(), axes: axes.to_vec() });
            groups.groups.len() - 1
        });
        class_of.insert(root, groups.classes.len());
        groups.groups[group].classes.push(groups.classes.len());
        groups.classes.push(Class { group });
    }
    (groups, class_of)
}

/// The layers that classes belong to: a reader that picks, else the first node with a weight whose output carries the class.
struct Owners<'a> {
    graph: &'a Graph,
    /// By node: does it multiply and accumulate?
    weighted: Vec<bool>,
    /// By root of a reader's own class: the reader.
    readers: HashMap<usize, NodeId>,
}

impl<'a> Owners<'a> {
    fn new(graph: &'a Graph, facts: &Facts, labels: &mut Labels) -> Self {
        let mut readers = HashMap::new();
        for site in labels.picking() {
            readers.extend(labels.picked(site).into_iter().flatten().map(|root| (root, site.node)));
        }
        let weighted = graph.nodes.iter().map(|node| multiplies(facts, node)).collect();
        Self { graph, weighted, readers }
    }

    /// The layer of a class that appears `at` these axes; `usize::MAX` where no node has it.
    fn node(&self, root: usize, at: &[Place]) -> NodeId {
        let producers = || at.iter().filter_map(|&(v, _)| self.graph.producer(v));
        let first = || producers().filter(|&n| self.weighted[n]).min();
        let reader = self.readers.get(&root).copied();
        reader.or_else(first).or_else(|| producers().min()).unwrap_or(usize::MAX)
    }

    /// The name of the group of a class of `node`.
    fn name(&self, node: NodeId, root: usize, at: &[Place]) -> String {
        let name = match self.graph.nodes.get(node) {
            Some(node) => &node.name,
            None => &self.graph.values[at[0].0].name,
        };
        if self.readers.contains_key(&root) { format!("{name} (what it reads)") } else { name.clone() }
    }
}

/// Roots that have coordinates in floating-point constants, so that a file is smaller without them, with the number of elements
/// of these constants.
pub(super) fn weighed_roots(graph: &Graph, facts: &Facts, labels: &mut Labels) -> HashMap<usize, usize> {
    let mut roots = HashMap::new();
    // A constant that nothing reads is no weight.
    let read = graph.read();
    for v in (0..graph.values.len()).filter(|&v| read[v]) {
        let Some(t) = facts.constant[v].as_ref().filter(|t| t.dtype().is_float()) else { continue };
        for (axis, &size) in t.shape().iter().enumerate() {
            for i in 0..size {
                *roots.entry(labels.find(v, axis, i)).or_default() += t.len();
            }
        }
    }
    roots
}

/// Output channels of layers that are not free, by layer and reason. A node that is folded into a constant is no layer.
fn frozen(graph: &Graph, facts: &Facts, labels: &mut Labels, groups: &Groups) -> Vec<Frozen> {
    let (mut out, mut alone) = (Vec::new(), Alone::default());
    for node in graph.nodes.iter().filter(|node| !facts.is_folded(node)) {
        let Some((x, y)) = facts.operands(node).zip(facts.results(node)) else { continue };
        let widths: BTreeSet<Axis> =
            node.op.cost(&Io { x: &x, y: &y }).macs().into_iter().flat_map(|p| p.widths).collect();
        for axis in widths {
            let Port::Out(slot) = axis.port else { continue };
            let Some(v) = node.outputs[slot] else { continue };
            let mut reasons: BTreeMap<(Option<NodeId>, String), usize> = BTreeMap::new();
            for (i, _) in groups.axis(v, axis.axis).iter().enumerate().filter(|(_, class)| class.is_none()) {
                let root = labels.find(v, axis.axis, i);
                let stated = labels.reason(root).cloned();
                let why = stated.unwrap_or_else(|| alone.reason(graph, facts, labels, root));
                *reasons.entry((why.node, why.why)).or_default() += 1;
            }
            for ((by, why), channels) in reasons {
                let by = by.map(|n| graph.nodes[n].name.clone());
                out.push(Frozen { name: node.name.clone(), channels, node: by, why });
            }
        }
    }
    out
}

/// `(t, b)`: deleting class t of a sum deletes class b of a branch or of a reader that picks.
pub(super) fn implications(graph: &Graph, groups: &Groups) -> Vec<(ClassId, ClassId)> {
    let mut out = BTreeSet::new();
    for s in &groups.expands {
        let node = &graph.nodes[s.node];
        let (Some(branch), Some(trunk)) = (node.inputs[s.slot], node.outputs[0]) else { continue };
        let (rank_in, rank_out) = (groups.label[branch].len(), groups.label[trunk].len());
        let result = groups.axis(trunk, rank_out - rank_in + s.axis);
        let pairs = result.iter().zip(groups.axis(branch, s.axis));
        let pairs = pairs.filter_map(|(t, b)| t.get().zip(b.get()));
        out.extend(pairs.filter(|(t, b)| t != b));
    }
    out.extend(groups.picks().filter_map(|(t, own)| Some((t, own?))));
    out.into_iter().collect()
}
