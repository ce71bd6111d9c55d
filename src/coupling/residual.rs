//! Readings of an addition: which of its operands are branches whose channels are cut alone, and which readers of the sum pick.
//!
//! Takes: a graph, its facts. Gives: the sites at which a value is not tied to its reader. Never: a branch that is not zero where
//! the weights of its layer are.

use super::collect::weighed_roots;
use super::labels::Labels;
use super::site::Site;
use super::sources::{Sources, macs_of};
use crate::graph::*;
use crate::tensor::volume;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How the two operands of an Add share channels (design: two readings).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Residual {
    /// Branch and trunk are one class: cut together or not at all.
    Tie,
    /// A branch's outputs may be cut alone and are scattered back to the width of the trunk.
    Expand,
    /// As expand, and a layer that reads the trunk may pick from its channels.
    Select,
    /// Expand and select where a channel costs clearly more than scattering it back or gathering it, else tie.
    #[default]
    Auto,
}

/// With [`Residual::Auto`]: multiply-accumulates per moved element that a layer must have to be expanded or to select. Moving
/// costs about as much as 4 of them per element (ResNet-56 pruned to 55.8 M in tract on AVX2: 51 Gathers take 0.10 ms, the
/// matrix products 3.3 ms), so that a layer at the limit gains where it loses a tenth of what it reads or gives.
pub(super) const WORTH_MOVING: f64 = 64.0;

/// For each Add-like node the inputs that are worth cutting alone: produced by a layer of their own, with at least one
/// other input left that is tied to the result.
pub(super) fn branches(graph: &Graph, facts: &Facts, least: f64) -> BTreeSet<Site> {
    let tied = Labels::solve(graph, facts, &BTreeSet::new());
    let all: BTreeSet<Site> =
        tied.absorbs.iter().copied().filter(|s| operand(graph, facts, *s).is_some()).collect();
    let (mut alone, parted) = part(graph, facts, &all);
    let weighed = weighed_roots(graph, facts, &mut alone);
    // By node and axis of its result: all operands that have the axis, and those that may go without the others.
    let mut by_node: BTreeMap<(NodeId, usize), (usize, Vec<Site>)> = BTreeMap::new();
    let mut candidates: Vec<(Site, ValueId)> = Vec::new();
    for site in all {
        let Some(v) = operand(graph, facts, site) else { continue };
        let shape = facts.shape(v).unwrap_or_default();
        let free = (0..shape[site.axis]).all(|i| {
            let root = alone.find(v, site.axis, i);
            alone.reason(root).is_none() && weighed.contains_key(&root)
        });
        by_node.entry((site.node, result_axis(graph, facts, site, v))).or_default().0 += 1;
        if free && parted.contains(&site) {
            candidates.push((site, v));
        }
    }
    let consumers = graph.consumers();
    let roots: Vec<ValueId> = candidates.iter().map(|&(_, v)| v).collect();
    let sources = Sources::trace(graph, facts, &roots);
    for &(site, v) in &candidates {
        if sources.vanishes[v] && sources.density[v] >= least {
            let place = (site.node, result_axis(graph, facts, site, v));
            by_node.entry(place).or_default().1.push(site);
        }
    }
    let mut cut = BTreeSet::new();
    for (operands, mut sites) in by_node.into_values() {
        // Most parameters first: in a downsampling block that is the branch, not the projection.
        let weight = |s: &Site| {
            let v = operand(graph, facts, *s)?;
            let root = alone.peek(v, s.axis, 0);
            Some((usize::from(consumers[v].len() == 1), weighed.get(&root).copied()))
        };
        sites.sort_by_key(|s| std::cmp::Reverse(weight(s)));
        // One stays as the trunk. A constant is none: what is added to it is no branch but a layer with its bias.
        sites.truncate(operands - 1);
        cut.extend(sites);
    }
    cut
}

/// Rounds of the search for sums of tied channels: one that is found can tie the operands of another.
const SUMS_OF_SUMS: usize = 4;

/// The labels with the operands of additions cut from the results, and the operands that are cut: not one whose channels are
/// another operand's too, as in x + f(x).
fn part(graph: &Graph, facts: &Facts, all: &BTreeSet<Site>) -> (Labels, BTreeSet<Site>) {
    let mut parted = all.clone();
    for _ in 0..SUMS_OF_SUMS {
        let mut labels = Labels::solve(graph, facts, &parted);
        let mut by_channels: HashMap<(NodeId, usize, Vec<usize>), Vec<Site>> = HashMap::new();
        for &site in &parted {
            let Some(v) = operand(graph, facts, site) else { continue };
            let size = facts.shape(v).unwrap_or_default()[site.axis];
            let roots = (0..size).map(|i| labels.find(v, site.axis, i)).collect();
            by_channels.entry((site.node, result_axis(graph, facts, site, v), roots)).or_default().push(site);
        }
        let before = parted.len();
        by_channels
            .into_values()
            .filter(|sites| sites.len() > 1)
            .flatten()
            .for_each(|s| _ = parted.remove(&s));
        if parted.len() == before {
            return (labels, parted);
        }
    }
    (Labels::solve(graph, facts, &parted), parted)
}

/// The readers of a trunk (to which expanded branches are added) for which a choice of its channels is worth a gather.
pub(super) fn pickers(graph: &Graph, facts: &Facts, expands: &BTreeSet<Site>, least: f64) -> Vec<Site> {
    let mut labels = Labels::solve(graph, facts, expands);
    let mut trunks = BTreeSet::new();
    for s in expands {
        let node = &graph.nodes[s.node];
        let (Some(branch), Some(result)) = (node.inputs[s.slot], node.outputs[0]) else { continue };
        let rank = |v: ValueId| facts.shape(v).map_or(0, <[usize]>::len);
        let axis = rank(result) - rank(branch) + s.axis;
        let size = facts.shape(result).unwrap_or_default()[axis];
        trunks.extend((0..size).map(|i| labels.find(result, axis, i)));
    }
    let worth = |s: &Site| {
        let node = &graph.nodes[s.node];
        let moved = volume(node.inputs[s.slot].and_then(|v| facts.shape(v)).unwrap_or_default());
        macs_of(facts, node) >= least * moved.max(1) as f64
    };
    let reads = labels.reads.clone();
    let of_trunk = |s: &Site, labels: &mut Labels| {
        let Some(v) = operand(graph, facts, *s) else { return false };
        let size = facts.shape(v).unwrap_or_default()[s.axis];
        let constant = |u: &ValueId| facts.constant[*u].is_some();
        let weighed = graph.nodes[s.node]
            .inputs
            .iter()
            .enumerate()
            .any(|(k, u)| k != s.slot && u.as_ref().is_some_and(constant));
        weighed && (0..size).all(|i| trunks.contains(&labels.find(v, s.axis, i)))
    };
    reads.into_iter().filter(|s| worth(s) && of_trunk(s, &mut labels)).collect()
}

/// The axis of the result that an absorbing operand's axis is aligned to.
fn result_axis(graph: &Graph, facts: &Facts, site: Site, operand: ValueId) -> usize {
    let rank = |v: ValueId| facts.shape(v).map_or(0, <[usize]>::len);
    graph.nodes[site.node].outputs[0].map_or(0, rank) - rank(operand) + site.axis
}

/// The value at an absorbing input, if it is computed (not a constant) and of a rank that has channels.
fn operand(graph: &Graph, facts: &Facts, s: Site) -> Option<ValueId> {
    let v = graph.nodes[s.node].inputs[s.slot]?;
    let shape = facts.shape(v)?;
    (facts.constant[v].is_none() && shape.len() >= 2 && shape[s.axis] > 1).then_some(v)
}
