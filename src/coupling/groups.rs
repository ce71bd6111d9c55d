//! The result of the channel analysis: classes, their groups, and where their gates stand.
//!
//! A *class* is the unit of deletion and owns one gate. A *group* holds the classes that appear in the same axes of the
//! same values: the output channels of one convolution, say, or of all convolutions that feed one trunk.

use super::site::Site;
use crate::graph::*;
use crate::support::index::OptIndex;

/// Index into [`Groups::classes`].
pub type ClassId = usize;

/// The unit of deletion: a set of coordinates that are tied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// The group it belongs to.
    pub group: usize,
}

/// Classes of one layer: those that appear in the same axes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The node whose output channels these are.
    pub name: String,
    /// Its classes in the order of the channels.
    pub classes: Vec<ClassId>,
    /// The axes that the classes appear in.
    pub axes: Vec<(ValueId, usize)>,
}

/// Channels of one layer that cannot be deleted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The node whose output channels these are.
    pub name: String,
    /// Number of channels.
    pub channels: usize,
    /// The node that needs them (none: the network's interface).
    pub node: Option<String>,
    /// The use that it makes of them.
    pub why: String,
}

/// A reader of a trunk with a choice of its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// The operand.
    pub site: Site,
    /// The value there.
    pub value: ValueId,
    /// For each coordinate of the value: the reader's own class; none where it must have the coordinate.
    pub own: Vec<OptIndex>,
}

/// Result of the channel analysis.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    /// Classes that can be deleted.
    pub classes: Vec<Class>,
    /// Their groups, in graph order.
    pub groups: Vec<Group>,
    /// Output channels of layers that cannot be deleted.
    pub frozen: Vec<Frozen>,
    /// For each value, axis and index: its class; none where it is frozen.
    pub label: Vec<Vec<Vec<OptIndex>>>,
    /// Input axes that contract classes: the gates stand there.
    pub reads: Vec<Site>,
    /// Inputs of an Add whose channels are cut alone, in order: gates stand there too, and the rewriter scatters.
    pub expands: Vec<Site>,
    /// Readers of a trunk with a choice of its channels, in the order of their sites.
    pub selects: Vec<Select>,
    /// `(t, b)`: deleting class t deletes class b (a trunk's channel and those of branches and readers).
    pub implied: Vec<(ClassId, ClassId)>,
    /// Groups of this network at other sizes of the axes that its file leaves open, as [`Facts::elsewhere`] lists them.
    pub elsewhere: Vec<Groups>,
    /// For each class: do only readers with a choice read it? Such a channel of a trunk stays while one of them keeps it.
    pub derived: Vec<bool>,
    /// True where a trunk stays whole if readers without a choice read it too: its gates would stand at some readers only.
    pub whole_trunks: bool,
}

impl Groups {
    /// Classes along one axis of a value, by index; none where frozen.
    pub fn axis(&self, value: ValueId, axis: usize) -> &[OptIndex] {
        self.label.get(value).and_then(|axes| axes.get(axis)).map_or(&[], Vec::as_slice)
    }

    /// Classes at a site, by index: the value's, or the reader's own where it picks.
    pub fn at(&self, graph: &Graph, site: Site) -> &[OptIndex] {
        match self.select(site) {
            Some(select) => &select.own,
            None => graph.nodes[site.node].inputs[site.slot].map_or(&[], |v| self.axis(v, site.axis)),
        }
    }

    /// The choice of a reader that picks, if one stands at `site`.
    pub fn select(&self, site: Site) -> Option<&Select> {
        self.selects.binary_search_by_key(&site, |s| s.site).ok().map(|k| &self.selects[k])
    }

    /// The gate sites: reads and expanded inputs that have at least one free class.
    pub fn sites(&self, graph: &Graph) -> Vec<Site> {
        self.reads.iter().chain(&self.expands).copied().filter(|s| self.touches(graph, *s)).collect()
    }

    /// For each class: is it a trunk's, with a reader that picks?
    pub fn picked(&self) -> Vec<bool> {
        let mut picked = vec![false; self.classes.len()];
        self.picks().for_each(|(trunk, _)| picked[trunk] = true);
        picked
    }

    /// All pairs of a trunk's free class and a picking reader's own, none where that one must stay.
    pub fn picks(&self) -> impl Iterator<Item = (ClassId, Option<ClassId>)> {
        let pairs = self.selects.iter().flat_map(|s| self.axis(s.value, s.site.axis).iter().zip(&s.own));
        pairs.filter_map(|(t, own)| Some((t.get()?, own.get())))
    }

    /// Freezes the groups that `keep` refuses, with its reason, and numbers the other classes anew.
    pub fn restrict(&mut self, keep: impl Fn(&Group) -> Result<(), String>) {
        let mut refused: Vec<Option<String>> = self.groups.iter().map(|g| keep(g).err()).collect();
        // A trunk stays where a reader must have all of it.
        for (trunk, own) in self.picks() {
            let group = self.classes[trunk].group;
            if own.is_none_or(|own| refused[self.classes[own].group].is_some()) {
                refused[group].get_or_insert_with(|| "a layer that reads it must keep what it reads".into());
            }
        }
        let mut new_id: Vec<Option<ClassId>> = vec![None; self.classes.len()];
        let (mut groups, mut classes) = (Vec::new(), Vec::new());
        for (mut g, refused) in std::mem::take(&mut self.groups).into_iter().zip(refused) {
            if let Some(why) = refused {
                self.frozen.push(Frozen { name: g.name, channels: g.classes.len(), node: None, why });
                continue;
            }
            for c in &mut g.classes {
                new_id[*c] = Some(classes.len());
                *c = classes.len();
                classes.push(Class { group: groups.len() });
            }
            groups.push(g);
        }
        (self.groups, self.classes) = (groups, classes);
        let stays = |(c, derived): (ClassId, &bool)| new_id[c].map(|_| *derived);
        self.derived = self.derived.iter().enumerate().filter_map(stays).collect();
        let labels = self.label.iter_mut().flatten().chain(self.selects.iter_mut().map(|s| &mut s.own));
        labels.flatten().for_each(|c| *c = c.get().and_then(|c| new_id[c]).into());
        let renamed = |&(a, b): &(ClassId, ClassId)| new_id[a].zip(new_id[b]);
        self.implied = self.implied.iter().filter_map(renamed).collect();
    }

    /// True if a branch at an addition, or the sum, has free classes.
    pub(super) fn parts(&self, graph: &Graph, s: Site) -> bool {
        let (branch, sum) = (graph.nodes[s.node].inputs[s.slot], graph.nodes[s.node].outputs[0]);
        let rank = |v: Option<ValueId>| v.map_or(0, |v| self.label[v].len());
        let result = sum.map_or(&[][..], |v| self.axis(v, rank(sum) - rank(branch) + s.axis));
        self.touches(graph, s) || result.iter().any(|c| c.is_some())
    }

    fn touches(&self, graph: &Graph, s: Site) -> bool {
        self.at(graph, s).iter().any(|c| c.is_some())
    }

    /// Stable text: one line per group and per frozen layer.
    pub fn print(&self) -> String {
        use std::fmt::Write;
        let mut out = String::new();
        for g in &self.groups {
            let _ = writeln!(out, "free   {} x{}", g.name, g.classes.len());
        }
        for f in &self.frozen {
            let by = f.node.as_ref().map_or("it is".to_owned(), |n| format!("'{n}'"));
            let _ = writeln!(out, "frozen {} x{}: {by} {}", f.name, f.channels, f.why);
        }
        out
    }
}
