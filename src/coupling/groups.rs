//! From labels to groups: the classes that can be deleted, gathered by the layer they belong to.
//!
//! A *class* is the unit of deletion and owns one gate. A *group* holds the classes that appear in the same axes of the
//! same values: the output channels of one convolution, say, or of all convolutions that feed one trunk.

use super::alone::Alone;
use super::labels::Labels;
use crate::graph::*;
use crate::tensor::*;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub use super::labels::Site;

/// Index into [`Groups::classes`].
pub type ClassId = usize;

/// An axis of a value.
type Place = (ValueId, usize);

/// In [`Groups::label`]: a coordinate that is frozen.
pub const NONE: u32 = u32::MAX;

/// How the two operands of an Add share channels (design: two readings).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Residual {
    /// Branch and trunk are one class: cut together or not at all.
    Tie,
    /// A branch's outputs may be cut alone and are scattered back to the width of the trunk.
    Expand,
    /// As expand, and a layer that reads the trunk may pick the channels that it reads.
    Select,
    /// Expand and select where a channel costs clearly more than scattering it back or gathering it, else tie.
    #[default]
    Auto,
}

/// With [`Residual::Auto`]: multiply-accumulates per moved element that a layer must have to be expanded or to select. Moving
/// costs about as much as 4 of them per element (ResNet-56 pruned to 55.8 M in tract on AVX2: 51 Gathers take 0.10 ms, the
/// matrix products 3.3 ms), so that a layer at the limit gains where it loses a tenth of what it reads or gives.
const WORTH_MOVING: f64 = 64.0;

/// A set of coordinates that live and die together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// The group it belongs to.
    pub group: usize,
}

/// Classes of one layer.
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
    /// How many.
    pub channels: usize,
    /// The node that needs them (none: the network's interface).
    pub node: Option<String>,
    /// What it does with them.
    pub why: String,
}

/// A reader of a trunk that picks what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// Where it reads.
    pub site: Site,
    /// What it reads.
    pub value: ValueId,
    /// For each coordinate of the value: the reader's own class, or [`NONE`] where it must have the coordinate.
    pub own: Vec<u32>,
}

/// Result of the channel analysis.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    /// Classes that can be deleted.
    pub classes: Vec<Class>,
    /// Their groups, in graph order.
    pub groups: Vec<Group>,
    /// What cannot be deleted among the layers' output channels.
    pub frozen: Vec<Frozen>,
    /// For each value, axis and index: its class or [`NONE`].
    pub label: Vec<Vec<Vec<u32>>>,
    /// Input axes that contract classes: the gates stand there.
    pub reads: Vec<Site>,
    /// Inputs of an Add whose channels are cut alone, in order: gates stand there too, and the rewriter scatters.
    pub expands: Vec<Site>,
    /// Readers of a trunk that pick what they read, with the class of each coordinate there, in the order of their sites.
    pub selects: Vec<Select>,
    /// `(t, b)`: deleting class t deletes class b (a trunk's channel and those of branches and readers).
    pub implied: Vec<(ClassId, ClassId)>,
    /// The same network's groups at other sizes of the axes that its file leaves open, as [`Facts::elsewhere`] lists them.
    pub elsewhere: Vec<Groups>,
    /// For each class: do only readers that pick read it? Such a channel of a trunk stays as long as one of them keeps it.
    pub derived: Vec<bool>,
    /// Whether the channels of a trunk that others read beside those that pick stay. Their gates would stand at some of their
    /// readers only.
    pub whole_trunks: bool,
}

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
        for &c in groups.at(graph, site).iter().filter(|&&c| c != NONE) {
            derived[c as usize] = false;
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

impl Groups {
    /// Classes along one axis of a value, by index ([`NONE`] where frozen).
    pub fn axis(&self, value: ValueId, axis: usize) -> &[u32] {
        self.label.get(value).and_then(|axes| axes.get(axis)).map_or(&[], Vec::as_slice)
    }

    /// Classes at a site, by index: those of the value, or the reader's own where it picks.
    pub fn at(&self, graph: &Graph, site: Site) -> &[u32] {
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

    /// For each class: do readers pick from it?
    pub fn picked(&self) -> Vec<bool> {
        let mut picked = vec![false; self.classes.len()];
        self.picks().for_each(|(trunk, _)| picked[trunk] = true);
        picked
    }

    /// All pairs of a trunk's free class and a picking reader's own ([`NONE`] where that one must stay).
    pub fn picks(&self) -> impl Iterator<Item = (ClassId, u32)> {
        let pairs = self.selects.iter().flat_map(|s| self.axis(s.value, s.site.axis).iter().zip(&s.own));
        pairs.filter(|(t, _)| **t != NONE).map(|(&t, &c)| (t as ClassId, c))
    }

    /// For the classes that appear in a reader's constant operands: has one of their coordinates a weight other than zero?
    pub(super) fn weighed_at(&self, node: &Node, slot: usize, facts: &Facts) -> HashMap<u32, bool> {
        let mut found = HashMap::new();
        let others = node.inputs.iter().enumerate().filter(|(k, _)| *k != slot).filter_map(|(_, u)| *u);
        for u in others {
            let Some(t) = facts.constant[u].as_ref().filter(|t| t.dtype().is_float() && t.shape().len() > 1)
            else {
                continue;
            };
            let data = t.to_real::<f32>();
            for axis in 0..t.shape().len() {
                let classes = self.axis(u, axis);
                let inner = volume(&t.shape()[axis + 1..]).max(1);
                for (row, x) in data.chunks_exact(inner).enumerate() {
                    let c = classes[row % classes.len().max(1)];
                    if c != NONE {
                        *found.entry(c).or_insert(false) |= x.iter().any(|w| *w != 0.0);
                    }
                }
            }
        }
        found
    }

    /// Takes groups out of play that `keep` refuses, with the reason it gives.
    pub fn restrict(&mut self, keep: impl Fn(&Group) -> Result<(), String>) {
        let mut refused: Vec<Option<String>> = self.groups.iter().map(|g| keep(g).err()).collect();
        // A trunk stays where a reader must have all of it.
        for (trunk, own) in self.picks() {
            let group = self.classes[trunk].group;
            if own == NONE || refused[self.classes[own as usize].group].is_some() {
                refused[group].get_or_insert_with(|| "a layer that reads it must keep what it reads".into());
            }
        }
        let mut new_id = vec![NONE; self.classes.len()];
        let (mut groups, mut classes) = (Vec::new(), Vec::new());
        for (mut g, refused) in std::mem::take(&mut self.groups).into_iter().zip(refused) {
            if let Some(why) = refused {
                self.frozen.push(Frozen { name: g.name, channels: g.classes.len(), node: None, why });
                continue;
            }
            for c in &mut g.classes {
                new_id[*c] = classes.len() as u32;
                *c = classes.len();
                classes.push(Class { group: groups.len() });
            }
            groups.push(g);
        }
        (self.groups, self.classes) = (groups, classes);
        let stays = |(c, derived): (usize, &bool)| (new_id[c] != NONE).then_some(*derived);
        self.derived = self.derived.iter().enumerate().filter_map(stays).collect();
        let labels = self.label.iter_mut().flatten().chain(self.selects.iter_mut().map(|s| &mut s.own));
        for c in labels.flatten().filter(|c| **c != NONE) {
            *c = new_id[*c as usize];
        }
        let renamed = |&(a, b): &(ClassId, ClassId)| {
            let (a, b) = (new_id[a], new_id[b]);
            (a != NONE && b != NONE).then_some((a as ClassId, b as ClassId))
        };
        self.implied = self.implied.iter().filter_map(renamed).collect();
    }

    /// True if a branch at an addition, or the sum, has free classes.
    fn parts(&self, graph: &Graph, s: Site) -> bool {
        let (branch, sum) = (graph.nodes[s.node].inputs[s.slot], graph.nodes[s.node].outputs[0]);
        let rank = |v: Option<ValueId>| v.map_or(0, |v| self.label[v].len());
        let result = sum.map_or(&[][..], |v| self.axis(v, rank(sum) - rank(branch) + s.axis));
        self.touches(graph, s) || result.iter().any(|&c| c != NONE)
    }

    fn touches(&self, graph: &Graph, s: Site) -> bool {
        self.at(graph, s).iter().any(|&c| c != NONE)
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

/// For each Add-like node the inputs that are worth cutting alone: produced by a layer of their own, with at least one
/// other input left that is tied to the result.
fn branches(graph: &Graph, facts: &Facts, least: f64) -> BTreeSet<Site> {
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
    let sources = Sources::of(graph, facts, &roots);
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

/// How often sums of the same channels are looked for: one that is tied can make another one such a sum.
const SUMS_OF_SUMS: usize = 4;

/// The labels with the operands of additions cut from the results, and which operands these are: not those that are the same
/// channels as another operand of the node, as in x + f(x), which are tied.
fn part(graph: &Graph, facts: &Facts, all: &BTreeSet<Site>) -> (Labels, BTreeSet<Site>) {
    let mut parted = all.clone();
    for _ in 0..SUMS_OF_SUMS {
        let mut labels = Labels::solve(graph, facts, &parted);
        let mut of: HashMap<(NodeId, usize, Vec<usize>), Vec<Site>> = HashMap::new();
        for &site in &parted {
            let Some(v) = operand(graph, facts, site) else { continue };
            let size = facts.shape(v).unwrap_or_default()[site.axis];
            let roots = (0..size).map(|i| labels.find(v, site.axis, i)).collect();
            of.entry((site.node, result_axis(graph, facts, site, v), roots)).or_default().push(site);
        }
        let before = parted.len();
        of.into_values().filter(|sites| sites.len() > 1).flatten().for_each(|s| _ = parted.remove(&s));
        if parted.len() == before {
            return (labels, parted);
        }
    }
    (Labels::solve(graph, facts, &parted), parted)
}

/// The readers of a trunk (what expanded branches are added to) that are worth giving a choice of what they read.
fn pickers(graph: &Graph, facts: &Facts, expands: &BTreeSet<Site>, least: f64) -> Vec<Site> {
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

/// Multiply-accumulates of one node.
fn macs_of(facts: &Facts, node: &Node) -> f64 {
    let Some((x, y)) = facts.operands(node).zip(facts.results(node)) else { return 0.0 };
    let io = Io { x: &x, y: &y };
    let size = |a: &Axis| match a.port {
        Port::In(s) => io.input(s).unwrap_or_default()[a.axis] as f64,
        Port::Out(s) => io.output(s)[a.axis] as f64,
    };
    node.op.cost(&io).macs().iter().map(|p| p.coefficient * p.widths.iter().map(size).product::<f64>()).sum()
}

/// The axis of the result that an absorbing operand's axis is aligned to.
fn result_axis(graph: &Graph, facts: &Facts, site: Site, operand: ValueId) -> usize {
    let rank = |v: ValueId| facts.shape(v).map_or(0, <[usize]>::len);
    graph.nodes[site.node].outputs[0].map_or(0, rank) - rank(operand) + site.axis
}

/// Most elements of a value on which an operator is tried.
const LARGEST_TRIED: usize = 1 << 26;

/// What values inherit from the layers they come from, through operators without weights; by value.
struct Sources {
    /// Zero wherever the weights of the layer are zero (no f(0) ≠ 0 in between), so that the original with zeroed weights
    /// equals the network with the branch cut. Tried on numbers, node by node.
    vanishes: Vec<bool>,
    /// Multiply-accumulates per element of the layer.
    density: Vec<f64>,
}

impl Sources {
    /// Of the values `wanted` and of what they come from, each node once and in order.
    fn of(graph: &Graph, facts: &Facts, wanted: &[ValueId]) -> Self {
        let n = graph.values.len();
        let mut sources = Self { vanishes: vec![false; n], density: vec![0.0; n] };
        for n in ancestors(graph, facts, wanted) {
            let node = &graph.nodes[n];
            let known = facts.trouble[n].is_none();
            let (vanishes, macs) = (known && sources.node_vanishes(facts, node), macs_of(facts, node));
            let through = node.inputs.iter().flatten().filter(|&&u| facts.constant[u].is_none());
            let through = through.map(|&u| sources.density[u]).fold(0.0, f64::max);
            for &v in node.outputs.iter().flatten() {
                let elements = volume(facts.shape(v).unwrap_or_default()).max(1) as f64;
                sources.vanishes[v] = vanishes;
                sources.density[v] = if macs > 0.0 { macs / elements } else { through };
            }
        }
        sources
    }

    fn node_vanishes(&self, facts: &Facts, node: &Node) -> bool {
        let Some((x, y)) = facts.operands(node).zip(facts.results(node)) else { return false };
        if multiplies(facts, node) {
            return true;
        }
        let shapes = x.iter().flatten().map(|o| o.fact).chain(&y);
        if shapes.map(|fact| volume(&fact.shape)).max() > Some(LARGEST_TRIED) {
            return false;
        }
        let inputs: Vec<Option<Array<f64>>> = node
            .inputs
            .iter()
            .zip(&x)
            .map(|(value, operand)| {
                let (value, operand) = ((*value)?, (*operand)?);
                let filled = |v: f64| Array::from_elem(operand.fact.shape.as_slice(), v);
                Some(match operand.value {
                    // Per-channel constants lose the channel, scalars stay.
                    Some(t) if t.len() > 1 && t.dtype().is_float() => filled(0.0),
                    Some(t) => t.to_array(),
                    None if self.vanishes[value] => filled(0.0),
                    None => filled(0.7),
                })
            })
            .collect();
        let Ok(kernel) = node.op.bind(&Io { x: &x, y: &y }) else { return false };
        let results = computed(&*kernel, &views(&inputs), &y);
        results.iter().all(|r| r.iter().all(|v| *v == 0.0))
    }
}

/// The nodes that `wanted` come from back to the nearest layers, and these, in the order of the graph.
fn ancestors(graph: &Graph, facts: &Facts, wanted: &[ValueId]) -> Vec<NodeId> {
    let mut found = vec![false; graph.nodes.len()];
    let mut open: Vec<ValueId> = wanted.to_vec();
    while let Some(v) = open.pop() {
        let Some(n) = graph.producer(v).filter(|&n| !found[n]) else { continue };
        found[n] = true;
        if !multiplies(facts, &graph.nodes[n]) {
            let inputs = graph.nodes[n].inputs.iter().flatten().copied();
            open.extend(inputs.filter(|&u| facts.constant[u].is_none()));
        }
    }
    (0..found.len()).filter(|&n| found[n]).collect()
}

/// True for a node that multiplies and accumulates.
fn multiplies(facts: &Facts, node: &Node) -> bool {
    let known = facts.operands(node).zip(facts.results(node));
    known.is_some_and(|(x, y)| node.op.cost(&Io { x: &x, y: &y }).multiplies())
}

/// The value at an absorbing input, if it is computed (not a constant) and of a rank that has channels.
fn operand(graph: &Graph, facts: &Facts, s: Site) -> Option<ValueId> {
    let v = graph.nodes[s.node].inputs[s.slot]?;
    let shape = facts.shape(v)?;
    (facts.constant[v].is_none() && shape.len() >= 2 && shape[s.axis] > 1).then_some(v)
}

/// Roots that have coordinates in floating-point constants: deleting them makes a file smaller. With the number of
/// elements those constants have.
fn weighed_roots(graph: &Graph, facts: &Facts, labels: &mut Labels) -> HashMap<usize, usize> {
    let mut roots = HashMap::new();
    // What nobody reads is no weight of anything.
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

fn collect(graph: &Graph, facts: &Facts, labels: &mut Labels, wanted: &dyn Fn(usize) -> bool) -> Groups {
    let mut groups = Groups::default();
    // Where each root appears, in the order of values, axes and indices.
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
    // A class that is a whole axis by itself can never go: its axis would be empty.
    places.retain(|root, _| !whole.contains(root));
    let mut by_axes: HashMap<&[Place], usize> = HashMap::new();
    let mut class_of: HashMap<usize, u32> = HashMap::new();
    let namer = Namer::new(graph, facts);
    let mut readers: HashMap<usize, NodeId> = HashMap::new();
    for site in labels.picking() {
        readers.extend(labels.picked(site).into_iter().flatten().map(|root| (root, site.node)));
    }
    let node = |(&root, at): (&usize, &Vec<Place>)| {
        (readers.get(&root).copied().unwrap_or_else(|| namer.node(graph, at)), root)
    };
    let mut order: Vec<(NodeId, usize)> = places.iter().map(node).collect();
    order.sort_unstable();
    for (node, root) in order {
        let axes = places[&root].as_slice();
        let g = *by_axes.entry(axes).or_insert_with(|| {
            let name = graph
                .nodes
                .get(node)
                .map_or_else(|| graph.values[axes[0].0].name.clone(), |n| n.name.clone());
            let name = if readers.contains_key(&root) { format!("{name} (what it reads)") } else { name };
            groups.groups.push(Group { name, classes: Vec::new(), axes: axes.to_vec() });
            groups.groups.len() - 1
        });
        class_of.insert(root, groups.classes.len() as u32);
        groups.groups[g].classes.push(groups.classes.len());
        groups.classes.push(Class { group: g });
    }
    groups.label = (0..graph.values.len())
        .map(|v| {
            let shape = facts.shape(v).unwrap_or_default();
            let one = |axis: usize, i: usize, l: &mut Labels| {
                class_of.get(&l.find(v, axis, i)).copied().unwrap_or(NONE)
            };
            (0..shape.len()).map(|axis| (0..shape[axis]).map(|i| one(axis, i, labels)).collect()).collect()
        })
        .collect();
    groups.frozen = frozen(graph, facts, labels, &groups);
    for site in labels.picking() {
        let Some(value) = graph.nodes[site.node].inputs[site.slot] else { continue };
        let class = |root: Option<usize>| root.and_then(|r| class_of.get(&r)).copied().unwrap_or(NONE);
        let own: Vec<u32> = labels.picked(site).into_iter().map(class).collect();
        if own.iter().any(|&c| c != NONE) {
            groups.selects.push(Select { site, value, own });
        }
    }
    groups
}

/// Finds the layer that a class belongs to: the first node with a weight whose output carries it.
struct Namer {
    weighted: Vec<bool>,
}

impl Namer {
    fn new(graph: &Graph, facts: &Facts) -> Self {
        Self { weighted: graph.nodes.iter().map(|node| multiplies(facts, node)).collect() }
    }

    fn node(&self, graph: &Graph, at: &[Place]) -> NodeId {
        let producers = || at.iter().filter_map(|&(v, _)| graph.producer(v));
        let first = producers().filter(|&n| self.weighted[n]).min();
        first.or_else(|| producers().min()).unwrap_or(usize::MAX)
    }
}

/// Output channels of weighted layers that are not free, by layer and reason. What is computed before the network runs is
/// no layer.
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
            for (i, &class) in groups.axis(v, axis.axis).iter().enumerate() {
                if class != NONE {
                    continue;
                }
                let root = labels.find(v, axis.axis, i);
                let stated = labels.reason(root).cloned();
                let why = stated.unwrap_or_else(|| alone.of(graph, facts, labels, root));
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

fn implications(graph: &Graph, groups: &Groups) -> Vec<(ClassId, ClassId)> {
    let mut out = BTreeSet::new();
    for s in &groups.expands {
        let node = &graph.nodes[s.node];
        let (Some(branch), Some(trunk)) = (node.inputs[s.slot], node.outputs[0]) else { continue };
        let (rank_in, rank_out) = (groups.label[branch].len(), groups.label[trunk].len());
        let result = groups.axis(trunk, rank_out - rank_in + s.axis);
        for (&t, &b) in result.iter().zip(groups.axis(branch, s.axis)) {
            if t != NONE && b != NONE && t != b {
                out.insert((t as ClassId, b as ClassId));
            }
        }
    }
    out.extend(groups.picks().filter(|(_, c)| *c != NONE).map(|(t, c)| (t, c as ClassId)));
    out.into_iter().collect()
}
