//! Reasons for channels that no operator needs and that still cannot go.
//!
//! Takes: the solved ties. Gives: for such a class the axis that would be empty without it, or that it has no weights. Never: a
//! reason for a class for which an operator has stated one.

use super::labels::{Labels, Reason};
use crate::graph::*;
use std::collections::HashMap;

/// Axes that have one class only, found at the first question.
#[derive(Debug, Default)]
pub(super) struct Alone(Option<HashMap<usize, (ValueId, usize)>>);

impl Alone {
    /// Why the class `root` stays.
    pub fn reason(&mut self, graph: &Graph, facts: &Facts, labels: &mut Labels, root: usize) -> Reason {
        let axes = self.0.get_or_insert_with(|| axes(graph, facts, labels));
        let Some(&(v, size)) = axes.get(&root) else {
            return Reason { node: None, why: "without stored weights of its own".into() };
        };
        let tied = if size > 1 { "; all of its channels are tied together" } else { "" };
        match graph.producer(v) {
            Some(n) => Reason { node: Some(n), why: format!("would be left without a channel{tied}") },
            None => {
                let name = &graph.values[v].name;
                Reason { node: None, why: format!("'{name}' would be left without a channel{tied}") }
            }
        }
    }
}

/// By class, the first value of which it is a whole axis, a computed one if there is one, with the axis's size.
fn axes(graph: &Graph, facts: &Facts, labels: &mut Labels) -> HashMap<usize, (ValueId, usize)> {
    let mut found = HashMap::new();
    let stored = |v: &ValueId| graph.producer(*v).is_none();
    let (last, first): (Vec<ValueId>, Vec<ValueId>) = (0..facts.fact.len()).partition(stored);
    for v in first.into_iter().chain(last) {
        let shape = facts.shape(v).unwrap_or_default().to_vec();
        for (axis, &size) in shape.iter().enumerate().filter(|(_, size)| **size > 0) {
            let root = labels.find(v, axis, 0);
            if (1..size).all(|i| labels.find(v, axis, i) == root) {
                found.entry(root).or_insert((v, size));
            }
        }
    }
    found
}
