//! The channel analysis: ties, then classes and their groups, then the sites of gates.
//!
//! Takes: a network, and the reading of its additions. Gives: [`Groups`]. Never: decides which of the free classes go.

use super::collect::{collect, implications, weighed_roots};
use super::groups::Groups;
use super::labels::Labels;
use super::residual::{Residual, WORTH_MOVING, branches, pickers};
use super::site::Site;
use crate::graph::*;
use std::collections::BTreeSet;

/// Groups the channels of a graph.
pub fn group(Network { graph, facts }: Network, residual: Residual) -> Groups {
    let least = if residual == Residual::Auto { WORTH_MOVING } else { 0.0 };
    let mut cut = match residual {
        Residual::Tie => BTreeSet::new(),
        _ => branches(graph, facts, least),
    };
    let expands: Vec<Site> = cut.iter().copied().collect();
    if matches!(residual, Residual::Select | Residual::Auto) {
        cut.extend(pickers(graph, facts, &cut, least));
    }
    let mut groups = read_at(graph, facts, &cut, &expands);
    groups.elsewhere = facts.elsewhere.iter().map(|other| read_at(graph, other, &cut, &expands)).collect();
    groups.agree(graph);
    groups
}

/// The groups at one set of sizes: values are not tied to their readers at the sites in `cut`, where `expands` are branches.
fn read_at(graph: &Graph, facts: &Facts, cut: &BTreeSet<Site>, expands: &[Site]) -> Groups {
    let mut labels = Labels::solve(graph, facts, cut);
    let weighed = weighed_roots(graph, facts, &mut labels);
    let mut groups = collect(graph, facts, &mut labels, &|root| weighed.contains_key(&root));
    groups.reads = labels.reads.clone();
    groups.expands = expands.iter().copied().filter(|s| groups.parts(graph, *s)).collect();
    groups.implied = implications(graph, &groups);
    let mut derived = groups.picked();
    for site in groups.sites(graph) {
        for c in groups.at(graph, site).iter().filter_map(|c| c.get()) {
            derived[c] = false;
        }
    }
    groups.derived = derived;
    groups.whole_trunks = true;
    groups.restrict(|_| Ok(()));
    groups
}

/// As [`group`], with the classes that touch no weight too: what the operators alone allow. (Integer constants restate
/// sizes and indices; they are no classes of their own.)
#[cfg(test)]
pub fn every_class(Network { graph, facts }: Network) -> Groups {
    let mut labels = Labels::solve(graph, facts, &BTreeSet::new());
    let mut real = std::collections::HashSet::new();
    for v in 0..graph.values.len() {
        let integer = facts.constant[v].as_ref().is_some_and(|t| !t.dtype().is_float());
        for (axis, &size) in facts.shape(v).unwrap_or_default().iter().enumerate().filter(|_| !integer) {
            real.extend((0..size).map(|i| labels.find(v, axis, i)));
        }
    }
    let mut groups = collect(graph, facts, &mut labels, &|root| real.contains(&root));
    groups.reads = labels.reads.clone();
    groups
}
