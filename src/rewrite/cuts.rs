//! Kept coordinates of every value and operand.

use crate::coupling::{Groups, Select, Site};
use crate::graph::*;
use crate::support::index::OptIndex;
use crate::tensor::*;
use std::collections::{BTreeMap, HashMap};

/// Kept coordinates of every axis that loses some.
#[derive(Debug, Default)]
pub(crate) struct Cuts(HashMap<ValueId, BTreeMap<usize, Vec<usize>>>);

impl Cuts {
    /// Of a plan: `kept` marks the classes that stay.
    pub fn new(groups: &Groups, kept: &[bool]) -> Self {
        let mut cuts = Self::default();
        for (v, axes) in groups.label.iter().enumerate() {
            for (axis, classes) in axes.iter().enumerate() {
                let stays = |c: OptIndex| c.get().is_none_or(|c| kept[c]);
                if !classes.iter().all(|&c| stays(c)) {
                    let left = (0..classes.len()).filter(|&i| stays(classes[i])).collect();
                    cuts.0.entry(v).or_default().insert(axis, left);
                }
            }
        }
        cuts
    }

    /// Kept coordinates of an axis, ascending; none where it stays whole.
    pub fn kept(&self, value: ValueId, axis: usize) -> Option<&[usize]> {
        self.0.get(&value)?.get(&axis).map(Vec::as_slice)
    }

    /// Coordinates that are left of an axis of `size`, ascending.
    pub fn left(&self, value: ValueId, axis: usize, size: usize) -> Vec<usize> {
        self.kept(value, axis).map_or_else(|| (0..size).collect(), <[usize]>::to_vec)
    }

    /// True if a value loses anything.
    pub fn touch(&self, value: ValueId) -> bool {
        self.0.contains_key(&value)
    }

    /// The shape of a value without the coordinates that it loses.
    pub fn shape(&self, value: ValueId, shape: &[usize]) -> Shape {
        (0..shape.len()).map(|a| self.kept(value, a).map_or(shape[a], <[usize]>::len)).collect()
    }
}

/// Kept coordinates at the sites of readers that pick, where they are not all.
pub(super) fn picked(groups: &Groups, kept: &[bool]) -> HashMap<Site, Vec<usize>> {
    let stays = |c: OptIndex| c.get().is_none_or(|c| kept[c]);
    let one = |s: &Select| {
        let left: Vec<usize> = (0..s.own.len()).filter(|&i| stays(s.own[i])).collect();
        (left.len() < s.own.len()).then_some((s.site, left))
    };
    groups.selects.iter().filter_map(one).collect()
}

/// Kept coordinates of one node: the cuts of its values, but an expanded operand has the result's, and a reader that picks its own.
pub(super) struct NodeKeep<'a> {
    pub n: NodeId,
    pub node: &'a Node,
    pub cuts: &'a Cuts,
    pub expands: Vec<Site>,
    pub groups: &'a Groups,
    pub picked: &'a HashMap<Site, Vec<usize>>,
}

impl Keep for NodeKeep<'_> {
    fn kept(&self, axis: Axis) -> Option<&[usize]> {
        let value = self.node.value_at(axis.port)?;
        if let Port::In(slot) = axis.port
            && self.expands.iter().any(|s| s.slot == slot && s.axis == axis.axis)
        {
            let out = self.node.outputs[0]?;
            return self.cuts.kept(out, axis.axis);
        }
        if let Port::In(slot) = axis.port {
            let site = Site { node: self.n, slot, axis: axis.axis };
            if self.groups.select(site).is_some() {
                return self.picked.get(&site).map(Vec::as_slice);
            }
        }
        self.cuts.kept(value, axis.axis)
    }
}
