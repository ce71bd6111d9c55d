//! Union-find over coordinates: every operator states its ties, and coordinates without a statement are frozen.
//!
//! Invariants: a class is frozen iff one of its coordinates is; the reason kept is the first one stated.

use super::site::{Place, Site};
use super::statements::{Placed, Statements};
use crate::graph::*;
use std::collections::{BTreeMap, BTreeSet};

/// Why a coordinate must stay: a node (or none: the network's interface) and a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The node that needs it.
    pub node: Option<NodeId>,
    /// The use that the node makes of it.
    pub why: String,
}

/// The union-find, and the operators' statements.
#[derive(Debug)]
pub struct Labels {
    base: Vec<Vec<usize>>,
    /// By value, the coordinates of all its axes.
    span: Vec<std::ops::Range<usize>>,
    parent: Vec<u32>,
    frozen: Vec<Option<u32>>,
    /// All reasons, by number.
    pub reasons: Vec<Reason>,
    /// Where classes are contracted: gates stand here.
    pub reads: Vec<Site>,
    /// Where zero is neutral: a branch may be cut alone here.
    pub absorbs: Vec<Site>,
    /// For each reader that picks: by coordinate of the value, the one of its own (a weight's) that stands for it.
    picks: BTreeMap<Site, Vec<Option<usize>>>,
    merges: Vec<(NodeId, Merge)>,
}

/// Axes with one row-major product. They are tied last, when all else that freezes them is known.
#[derive(Debug)]
enum Merge {
    /// As [`Couplings::product`].
    Product(Place, Vec<Place>),
    /// As [`Couplings::regroup`].
    Regroup(Vec<Place>, [Place; 2]),
}

impl Labels {
    /// Solves the ties of `graph`. At the sites in `cut` a value is not tied to its node: an absorbed branch may go without
    /// the result, a reader may pick.
    pub fn solve(graph: &Graph, facts: &Facts, cut: &BTreeSet<Site>) -> Self {
        let mut labels = Self::new(graph, facts);
        for (values, why) in
            [(&graph.inputs, "an input of the network"), (&graph.outputs, "an output of the network")]
        {
            values.iter().for_each(|&v| labels.freeze_value(v, None, why));
        }
        let idle = idle(graph, facts);
        for (n, node) in graph.nodes.iter().enumerate() {
            if idle[n] {
                let values = node.inputs.iter().chain(&node.outputs).flatten();
                values.for_each(|&v| {
                    labels.freeze_value(v, Some(n), "computes nothing that the network reads")
                });
                continue;
            }
            node.captured.iter().for_each(|&v| labels.freeze_value(v, Some(n), "uses it inside a subgraph"));
            labels.node(facts, n, node, cut);
        }
        for (n, merge) in std::mem::take(&mut labels.merges) {
            match merge {
                Merge::Product(one, many) => labels.resolve_product(facts, n, one, &many),
                Merge::Regroup(fine, coarse) => labels.resolve_regroup(facts, n, &fine, coarse),
            }
        }
        labels
    }

    fn new(graph: &Graph, facts: &Facts) -> Self {
        let mut next = 0;
        let (mut base, mut span) = (Vec::new(), Vec::new());
        for v in 0..graph.values.len() {
            let first = next;
            let place = |&size: &usize| {
                next += size;
                next - size
            };
            base.push(facts.shape(v).unwrap_or_default().iter().map(place).collect());
            span.push(first..next);
        }
        Self {
            base,
            span,
            parent: (0..next as u32).collect(),
            frozen: vec![None; next],
            reasons: Vec::new(),
            reads: Vec::new(),
            absorbs: Vec::new(),
            picks: BTreeMap::new(),
            merges: Vec::new(),
        }
    }

    /// The sites of readers that pick.
    pub fn picking(&self) -> Vec<Site> {
        self.picks.keys().copied().collect()
    }

    /// Where a reader picks: for each coordinate of the value, the representative of the reader's own.
    pub fn picked(&mut self, site: Site) -> Vec<Option<usize>> {
        let own = self.picks.get(&site).cloned().unwrap_or_default();
        own.into_iter().map(|c| c.map(|c| self.root(c))).collect()
    }

    /// The class representative of a coordinate.
    pub fn find(&mut self, value: ValueId, axis: usize, index: usize) -> usize {
        self.root(self.base[value][axis] + index)
    }

    /// Why a class is frozen, if it is.
    pub fn reason(&self, root: usize) -> Option<&Reason> {
        self.frozen[root].map(|r| &self.reasons[r as usize])
    }

    /// As [`Labels::find`], with no path shortened.
    pub fn peek(&self, value: ValueId, axis: usize, index: usize) -> usize {
        let mut c = self.base[value][axis] + index;
        while self.parent[c] as usize != c {
            c = self.parent[c] as usize;
        }
        c
    }

    fn root(&mut self, mut c: usize) -> usize {
        while self.parent[c] as usize != c {
            let up = self.parent[c] as usize;
            self.parent[c] = self.parent[up];
            c = up;
        }
        c
    }

    fn union(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        // The smaller number wins, so that results do not depend on the order of statements.
        let (keep, drop) = (a.min(b), a.max(b));
        self.parent[drop] = keep as u32;
        self.frozen[keep] = match (self.frozen[keep], self.frozen[drop]) {
            (Some(x), Some(y)) => Some(x.min(y)),
            (x, y) => x.or(y),
        };
    }

    fn freeze(&mut self, coordinate: usize, reason: u32) {
        let root = self.root(coordinate);
        self.frozen[root].get_or_insert(reason);
    }

    fn note(&mut self, node: Option<NodeId>, why: &str) -> u32 {
        let reason = Reason { node, why: why.to_owned() };
        if self.reasons.last() != Some(&reason) {
            self.reasons.push(reason);
        }
        self.reasons.len() as u32 - 1
    }

    fn freeze_value(&mut self, v: ValueId, node: Option<NodeId>, why: &str) {
        let reason = self.note(node, why);
        self.span[v].clone().for_each(|c| self.freeze(c, reason));
    }

    fn node(&mut self, facts: &Facts, n: NodeId, node: &Node, cut: &BTreeSet<Site>) {
        let known = facts.operands(node).zip(facts.results(node));
        let (Some((x, y)), None) = (known, &facts.refusals[n]) else {
            let why = facts.refusals[n].clone().unwrap_or_else(|| "has operands of unknown shape".into());
            let values: Vec<ValueId> = node.inputs.iter().chain(&node.outputs).flatten().copied().collect();
            values.into_iter().for_each(|v| self.freeze_value(v, Some(n), &why));
            return;
        };
        let io = Io { x: &x, y: &y };
        let mut statements = Statements::new(&io);
        node.op.channels(&io, &mut statements);
        let place = Placed { n, node };
        self.tie_all(facts, &place, &statements, cut);
        self.note_sites(facts, &place, &mut statements);
        self.freeze_all(facts, &place, &statements);
        self.note_merges(&place, statements);
    }

    /// Ties coordinates, but for those at sites in `cut`: an absorbed operand is not tied, a reader picks.
    fn tie_all(&mut self, facts: &Facts, node: &Placed, statements: &Statements, cut: &BTreeSet<Site>) {
        let cut_among = |axes: &[Axis]| -> BTreeSet<Axis> {
            axes.iter().copied().filter(|&a| node.site(a).is_some_and(|s| cut.contains(&s))).collect()
        };
        let (alone, picking) = (cut_among(&statements.absorbs), cut_among(&statements.reads));
        let picker = |a: Axis| node.site(a).filter(|_| picking.contains(&a));
        for &(a, i, b, j) in &statements.ties {
            if alone.contains(&a) || alone.contains(&b) {
                continue;
            }
            let (Some(v), Some(w)) = (node.value(a), node.value(b)) else { continue };
            let (at, other) = (self.base[v][a.axis] + i, self.base[w][b.axis] + j);
            match (picker(a), picker(b)) {
                (Some(s), _) => self.pick(facts, s, v, i, other),
                (_, Some(s)) => self.pick(facts, s, w, j, at),
                _ => self.union(at, other),
            }
        }
    }

    /// Notes where gates can stand: not where nothing is computed at run time, as nothing is saved there.
    fn note_sites(&mut self, facts: &Facts, node: &Placed, statements: &mut Statements) {
        if facts.is_folded(node.node) {
            let why = "sums over this axis before the network runs";
            statements.freezes.extend(statements.reads.iter().map(|&a| (a, why.to_owned())));
        } else {
            self.reads.extend(statements.reads.iter().filter_map(|&a| node.site(a)));
            self.absorbs.extend(statements.absorbs.iter().filter_map(|&a| node.site(a)));
        }
    }

    /// Freezes axes for the reasons stated, then the coordinates without a statement.
    fn freeze_all(&mut self, facts: &Facts, node: &Placed, statements: &Statements) {
        for (a, why) in &statements.freezes {
            if let Some(v) = node.value(*a) {
                let reason = self.note(Some(node.n), why);
                let size = facts.shape(v).unwrap_or_default()[a.axis];
                (0..size).for_each(|i| self.freeze(self.base[v][a.axis] + i, reason));
            }
        }
        let default = self.note(Some(node.n), "needs every coordinate of this axis");
        for (axis, spoken) in &statements.spoken {
            let Some(v) = node.value(*axis) else { continue };
            for (i, _) in spoken.iter().enumerate().filter(|(_, s)| !**s) {
                self.freeze(self.base[v][axis.axis] + i, default);
            }
        }
    }

    /// Notes axes of one product, which are resolved once all ties are known.
    fn note_merges(&mut self, node: &Placed, statements: Statements) {
        for (one, many) in statements.products {
            if let Some(one) = node.place(one) {
                let many = many.into_iter().filter_map(|a| node.place(a)).collect();
                self.merges.push((node.n, Merge::Product(one, many)));
            }
        }
        for (fine, [outer, inner]) in statements.regroups {
            if let (Some(outer), Some(inner)) = (node.place(outer), node.place(inner)) {
                let fine = fine.into_iter().filter_map(|a| node.place(a)).collect();
                self.merges.push((node.n, Merge::Regroup(fine, [outer, inner])));
            }
        }
    }

    /// Coordinate `index` of the value at a picking reader is `own` there.
    fn pick(&mut self, facts: &Facts, site: Site, v: ValueId, index: usize, own: usize) {
        let size = facts.shape(v).unwrap_or_default()[site.axis];
        let picks = self.picks.entry(site).or_insert_with(|| vec![None; size]);
        if let Some(before) = picks[index].replace(own) {
            self.union(before, own);
        }
    }

    /// Ties a Reshape's product axis to that one of its factors that is not frozen otherwise (the largest, then the last);
    /// the other factors stay whole.
    fn resolve_product(&mut self, facts: &Facts, n: NodeId, one: Place, many: &[Place]) {
        let size = |(v, axis): Place| facts.shape(v).unwrap_or_default()[axis];
        let frozen: Vec<usize> = many
            .iter()
            .map(|&m| {
                (0..size(m))
                    .filter(|&i| {
                        let r = self.find(m.0, m.1, i);
                        self.frozen[r].is_some()
                    })
                    .count()
            })
            .collect();
        // A factor that has joined an axis before it is as large as it is without that.
        let joined = many.iter().map(|&m| size(m)).product::<usize>() / size(one).max(1);
        let own = |k: usize| if k == 0 { size(many[k]) / joined.max(1) } else { size(many[k]) };
        let best = (0..many.len()).min_by_key(|&k| (frozen[k] > 0, usize::MAX - own(k), usize::MAX - k));
        let Some(best) = best else { return };
        let inner: usize = many[best + 1..].iter().map(|&m| size(m)).product();
        for i in 0..size(one) {
            let k = i / inner.max(1) % size(many[best]);
            self.union(self.base[one.0][one.1] + i, self.base[many[best].0][many[best].1] + k);
        }
        let reason = self.note(Some(n), "splits or merges this axis");
        for (_, &(v, axis)) in many.iter().enumerate().filter(|(k, _)| *k != best) {
            (0..size((v, axis))).for_each(|i| self.freeze(self.base[v][axis] + i, reason));
        }
    }

    /// Whole groups of the first fine axis follow the first coarse one where the second is frozen; else the places in the groups
    /// follow the second, and the first stays whole.
    fn resolve_regroup(&mut self, facts: &Facts, n: NodeId, fine: &[Place], [outer, inner]: [Place; 2]) {
        let size = |(v, axis): Place| facts.shape(v).unwrap_or_default()[axis];
        let Some(&(v, axis)) = fine.first() else { return };
        let groups = size(outer);
        let of_group = size(fine[0]) / groups.max(1);
        let (first, coarse) = (self.base[v][axis], self.base[outer.0][outer.1]);
        let whole = (0..size(inner)).any(|i| {
            let r = self.find(inner.0, inner.1, i);
            self.frozen[r].is_some()
        });
        let reason = self.note(Some(n), "splits or merges this axis");
        if whole {
            (0..size(fine[0])).for_each(|i| self.union(first + i, coarse + i / of_group.max(1)));
            for &(v, axis) in fine[1..].iter().chain([&inner]) {
                (0..size((v, axis))).for_each(|i| self.freeze(self.base[v][axis] + i, reason));
            }
        } else {
            (0..size(fine[0])).for_each(|i| self.union(first + i, first + i % of_group.max(1)));
            (0..groups).for_each(|i| self.freeze(coarse + i, reason));
            self.resolve_product(facts, n, inner, fine);
        }
    }
}

/// By node: does it only compute what stands in the graph as a constant too ([`Graph::computed`])?
fn idle(graph: &Graph, facts: &Facts) -> Vec<bool> {
    let mut idle = vec![false; graph.nodes.len()];
    if graph.computed.is_empty() {
        return idle;
    }
    let mut read = vec![false; graph.values.len()];
    let mut stands = read.clone();
    graph.outputs.iter().for_each(|&v| read[v] = true);
    graph.computed.values().for_each(|(v, _)| stands[*v] = true);
    for (n, node) in graph.nodes.iter().enumerate().rev() {
        let any = |marks: &[bool]| node.outputs.iter().flatten().any(|&y| marks[y]);
        idle[n] = facts.is_folded(node) && any(&stands) && !any(&read);
        let marked = if idle[n] { &mut stands } else { &mut read };
        node.inputs.iter().flatten().chain(&node.captured).for_each(|&v| marked[v] = true);
    }
    idle
}
