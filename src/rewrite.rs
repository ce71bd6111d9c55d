//! Plan → graph: deletes the closed channels from everything that mentions them. The only writer.
//!
//! Takes: graph, facts, groups and which classes stay. Gives: a new graph, and the list of what was sliced.
//! Ensures: the new graph's inferred shapes are the old ones less the deleted coordinates; inputs, outputs and names are
//! untouched; expanded branches are scattered back to the width of their trunk. Never: changes a number it keeps.

use crate::channels::{Groups, NONE, Select, Site};
use crate::error::{Error, Result};
use crate::ir::*;
use crate::ops;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A stored constant that lost coordinates of an axis.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sliced {
    /// Name of the initializer or of the Constant node's output.
    pub initializer: String,
    /// The axis.
    pub axis: usize,
    /// The coordinates that stay, in the original numbering.
    pub kept: Vec<usize>,
}

/// A rewritten graph.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// The smaller graph. Value numbers of the original are kept; new values follow.
    pub graph: Graph,
    /// What was sliced, in the order of the values.
    pub sliced: Vec<Sliced>,
    /// Constants that restate sizes or indices: their names.
    pub restated: Vec<String>,
}

/// Deletes the classes that `kept` marks false.
pub fn rewrite(
    graph: &Graph,
    facts: &Facts,
    groups: &Groups,
    kept: &[bool],
    opset: i64,
) -> Result<Rewritten> {
    let mut r = Rewriter {
        old: graph,
        facts,
        groups,
        cuts: cuts(groups, kept),
        new: graph.clone(),
        sliced: Vec::new(),
        restated: Vec::new(),
        picked: picked(groups, kept),
        before: BTreeMap::new(),
        later: Vec::new(),
        opset,
    };
    r.slice_initializers();
    for n in 0..graph.nodes.len() {
        r.resize(n)?;
    }
    for site in &groups.expands {
        r.expand(*site)?;
    }
    for select in &groups.selects {
        r.select(select)?;
    }
    r.insert();
    r.settle()?;
    let done = Rewritten { graph: r.new, sliced: r.sliced, restated: r.restated };
    check(graph, facts, &cuts(groups, kept), &done.graph)?;
    Ok(done)
}

/// A bias that took over the means of deleted channels.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Bias {
    /// The node whose bias it is.
    pub node: String,
    /// Name of the bias's initializer in the small file.
    pub initializer: String,
    /// What was added to the bias of each output channel, in the original numbering; 0 for deleted ones.
    pub added: Vec<f64>,
}

/// Adds `amounts` (node of the original, amount per output channel of the original) to the biases of the rewritten graph. A
/// node without a bias gets one.
pub fn add_biases(
    rewritten: &mut Rewritten,
    old: &Graph,
    facts: &Facts,
    groups: &Groups,
    kept: &[bool],
    amounts: &[(NodeId, Vec<f64>)],
) -> Result<Vec<Bias>> {
    let cuts = cuts(groups, kept);
    let mut out = Vec::new();
    for (n, amount) in amounts.iter().filter(|(_, a)| a.iter().any(|v| *v != 0.0)) {
        let Some(y) = old.nodes[*n].outputs[0] else { continue };
        let all: Vec<usize> = (0..amount.len()).collect();
        let left = cuts.get(&(y, 1)).unwrap_or(&all);
        let dtype = facts.fact[y].as_ref().map_or(DType::F32, |f| f.dtype);
        let graph = &mut rewritten.graph;
        let Some(at) = graph.nodes.iter().position(|m| m.outputs.first() == Some(&Some(y))) else { continue };
        let place = raise_bias(graph, at, dtype, &left.iter().map(|&o| amount[o]).collect::<Vec<_>>());
        let mut added = vec![0.0; amount.len()];
        left.iter().for_each(|&o| added[o] = amount[o]);
        out.push(Bias {
            node: old.nodes[*n].name.clone(),
            initializer: graph.values[place].name.clone(),
            added,
        });
    }
    Ok(out)
}

/// Adds `amount` to the bias of node `at`, which gets one of its own if it has none or shares it. Returns the bias.
fn raise_bias(graph: &mut Graph, at: NodeId, dtype: DType, amount: &[f64]) -> ValueId {
    let bias = graph.nodes[at].inputs.get(2).copied().flatten();
    let before = match bias.and_then(|b| graph.initializer(b)) {
        Some(t) => t.data.to_real::<f64>(),
        None => vec![0.0; amount.len()],
    };
    let sum: Vec<f64> = before.iter().zip(amount).map(|(a, b)| a + b).collect();
    let tensor = Arc::new(Tensor { shape: vec![sum.len()], data: Data::from_real(dtype, &sum) });
    let shared =
        |b: ValueId| graph.nodes.iter().flat_map(|n| &n.inputs).flatten().filter(|&&u| u == b).count() > 1;
    if let Some(b) = bias.filter(|&b| !shared(b)) {
        graph.values[b].origin = Origin::Initializer(tensor);
        return b;
    }
    let output = graph.nodes[at].outputs.first().copied().flatten();
    let base = output.map_or("layer", |y| graph.values[y].name.as_str());
    let name = graph.fresh_name(&format!("{base}_bias"));
    graph.values.push(Value { name, origin: Origin::Initializer(tensor), declared: None });
    let fresh = graph.values.len() - 1;
    let inputs = &mut graph.nodes[at].inputs;
    inputs.resize(inputs.len().max(3), None);
    inputs[2] = Some(fresh);
    fresh
}

/// The original with zeros in place of the sliced coordinates and with the biases added: what the small network must
/// equal. Errors where these do not belong to the graph.
pub fn masked(graph: &Graph, sliced: &[Sliced], biases: &[Bias]) -> Result<Graph> {
    let mut new = graph.clone();
    for s in sliced {
        let foreign = |why: &str| {
            let reason = format!("'{}' cannot be masked as planned: {why}", s.initializer);
            Error::graph(reason, "give the plan together with the network that it was made for")
        };
        let v =
            graph.value_named(&s.initializer).ok_or_else(|| foreign("the network has no such constant"))?;
        let t = constant(&new, v).ok_or_else(|| foreign("it is no constant of the network"))?;
        let size = *t.shape.get(s.axis).ok_or_else(|| foreign("it has no such axis"))?;
        if !s.kept.is_sorted() || s.kept.last().is_some_and(|&k| k >= size) {
            return Err(foreign("its axis does not have these coordinates"));
        }
        let zero = |t: &Tensor| {
            let mut values = t.data.to_real::<f64>();
            let inner = volume(&t.shape[s.axis + 1..]);
            for (i, value) in values.iter_mut().enumerate() {
                if s.kept.binary_search(&(i / inner % size)).is_err() {
                    *value = 0.0;
                }
            }
            t.with_values(&t.shape, &values)
        };
        set_constant(&mut new, v, zero)?;
    }
    for b in biases {
        let foreign = |why: &str| {
            let reason = format!("the bias of '{}' cannot be raised as planned: {why}", b.node);
            Error::graph(reason, "give the plan together with the network that it was made for")
        };
        let node = new.nodes.iter().position(|n| n.name == b.node);
        let at = node.ok_or_else(|| foreign("the network has no such node"))?;
        let stored = |slot: usize| new.initializer((*new.nodes[at].inputs.get(slot)?)?);
        if stored(2).is_some_and(|t| t.data.len() != b.added.len()) {
            return Err(foreign("it has another size"));
        }
        let dtype = stored(2).or(stored(1)).map_or(DType::F32, |t| t.dtype());
        raise_bias(&mut new, at, dtype, &b.added);
    }
    Ok(new)
}

/// The stored tensor of an initializer or of a Constant node.
fn constant(graph: &Graph, v: ValueId) -> Option<Tensor> {
    match &graph.values[v].origin {
        Origin::Initializer(t) => Some(t.as_ref().clone()),
        Origin::Node(n, _) => {
            let mut attributes = graph.nodes[*n].op.attributes();
            match attributes.remove("value").or_else(|| attributes.remove("value_floats")) {
                Some(Attr::Tensor(t)) => Some(t),
                Some(Attr::Floats(f)) => Some(Tensor::floats(&[f.len()], f)),
                _ => None,
            }
        }
        Origin::Input | Origin::Carried => None,
    }
}

/// Replaces the tensor of an initializer or of a Constant node.
fn set_constant(graph: &mut Graph, v: ValueId, change: impl Fn(&Tensor) -> Tensor) -> Result<()> {
    let Some(old) = constant(graph, v) else { return Ok(()) };
    let new = change(&old);
    if let Origin::Node(n, _) = graph.values[v].origin {
        let node = &mut graph.nodes[n];
        let attributes = Writer::default().put("value", new).done();
        node.op = Arc::from(read_op(&node.name, "Constant", 13, &attributes, 0)?);
    } else {
        graph.values[v].origin = Origin::Initializer(Arc::new(new));
    }
    Ok(())
}

fn read_op(
    name: &str,
    op_type: &str,
    opset: i64,
    attributes: &Attributes,
    inputs: usize,
) -> Result<Box<dyn Op>> {
    ops::read(op_type, "", opset, attributes, inputs, 1).map_err(|e| {
        Error::node(name, op_type, e.reason(), "this is a defect of autobot-onnx: please report it")
    })
}

/// Kept coordinates of every axis that loses some.
pub(crate) type Cuts = HashMap<(ValueId, usize), Vec<usize>>;

pub(crate) fn cuts(groups: &Groups, kept: &[bool]) -> Cuts {
    let mut cuts = Cuts::new();
    for (v, axes) in groups.label.iter().enumerate() {
        for (axis, classes) in axes.iter().enumerate() {
            let stays = |c: u32| c == NONE || kept[c as usize];
            if !classes.iter().all(|&c| stays(c)) {
                cuts.insert((v, axis), (0..classes.len()).filter(|&i| stays(classes[i])).collect());
            }
        }
    }
    cuts
}

/// What the readers that pick keep of the value that they read, where that is not all of it.
fn picked(groups: &Groups, kept: &[bool]) -> HashMap<Site, Vec<usize>> {
    let stays = |c: u32| c == NONE || kept[c as usize];
    let one = |s: &Select| {
        let left: Vec<usize> = (0..s.own.len()).filter(|&i| stays(s.own[i])).collect();
        (left.len() < s.own.len()).then_some((s.site, left))
    };
    groups.selects.iter().filter_map(one).collect()
}

struct Rewriter<'a> {
    old: &'a Graph,
    facts: &'a Facts,
    groups: &'a Groups,
    cuts: Cuts,
    picked: HashMap<Site, Vec<usize>>,
    new: Graph,
    sliced: Vec<Sliced>,
    restated: Vec<String>,
    /// Nodes to be inserted before a node.
    before: BTreeMap<NodeId, Vec<Node>>,
    /// Operands computed from shapes (old node, slot) and what they must be: checked once the graph is whole.
    later: Vec<(NodeId, usize, Tensor)>,
    opset: i64,
}

/// What one node keeps: the cuts of its values, but an expanded operand follows the result, and a reader that picks its choice.
struct NodeKeep<'a> {
    n: NodeId,
    node: &'a Node,
    cuts: &'a Cuts,
    expands: Vec<Site>,
    groups: &'a Groups,
    picked: &'a HashMap<Site, Vec<usize>>,
}

impl Keep for NodeKeep<'_> {
    fn kept(&self, axis: Axis) -> Option<&[usize]> {
        let value = match axis.port {
            Port::In(s) => self.node.inputs.get(s).copied().flatten()?,
            Port::Out(s) => self.node.outputs.get(s).copied().flatten()?,
        };
        if let Port::In(slot) = axis.port
            && self.expands.iter().any(|s| s.slot == slot && s.axis == axis.axis)
        {
            let out = self.node.outputs[0]?;
            return self.cuts.get(&(out, axis.axis)).map(Vec::as_slice);
        }
        if let Port::In(slot) = axis.port {
            let site = Site { node: self.n, slot, axis: axis.axis };
            if self.groups.selects.iter().any(|s| s.site == site) {
                return self.picked.get(&site).map(Vec::as_slice);
            }
        }
        self.cuts.get(&(value, axis.axis)).map(Vec::as_slice)
    }
}

impl Rewriter<'_> {
    fn slice_initializers(&mut self) {
        for v in 0..self.old.values.len() {
            let Some(t) = self.old.initializer(v) else { continue };
            let mut t = t.clone();
            for axis in 0..t.shape.len() {
                if let Some(kept) = self.cuts.get(&(v, axis)) {
                    t = Arc::new(t.slice(axis, kept));
                    self.note_sliced(v, axis, &t);
                }
            }
            self.new.values[v].origin = Origin::Initializer(t);
        }
    }

    fn note_sliced(&mut self, v: ValueId, axis: usize, t: &Tensor) {
        if t.dtype().is_float() || t.dtype().size() == 1 {
            let initializer = self.old.values[v].name.clone();
            self.sliced.push(Sliced { initializer, axis, kept: self.cuts[&(v, axis)].clone() });
        }
    }

    fn resize(&mut self, n: NodeId) -> Result<()> {
        let node = &self.old.nodes[n];
        let touched = node.inputs.iter().chain(&node.outputs).flatten();
        if !touched
            .into_iter()
            .any(|&v| (0..self.groups.label[v].len()).any(|a| self.cuts.contains_key(&(v, a))))
        {
            return Ok(());
        }
        let Some((x, y)) = self.facts.operands(node).zip(self.facts.results(node)) else { return Ok(()) };
        let expands = self.groups.expands.iter().copied().filter(|s| s.node == n).collect();
        let (groups, picked) = (self.groups, &self.picked);
        let keep = NodeKeep { n, node, cuts: &self.cuts, expands, groups, picked };
        let resized = node.op.resize(&Io { x: &x, y: &y }, &keep).map_err(|e| {
            let hint = format!("leave it out: --exclude '^{}$'", regex::escape(&node.name));
            Error::node(&node.name, &node.op_type, format!("cannot be made smaller: {}", e.reason()), hint)
        })?;
        if let Some(op) = resized.op {
            self.new.nodes[n].op = Arc::from(op);
            if node.op_type == "Constant"
                && let Some(v) = node.outputs[0]
                && let Some(t) = self.facts.constant[v].clone()
            {
                for axis in 0..t.shape.len() {
                    if self.cuts.contains_key(&(v, axis)) {
                        self.note_sliced(v, axis, &t);
                    }
                }
            }
        }
        for (slot, tensor) in resized.inputs {
            self.restate(n, slot, tensor)?;
        }
        Ok(())
    }

    /// Gives a node another constant input: in place if nobody else uses the constant, else as a new initializer.
    fn restate(&mut self, n: NodeId, slot: usize, tensor: Tensor) -> Result<()> {
        let Some(v) = self.old.nodes[n].inputs[slot] else { return Ok(()) };
        let users = self.old.nodes.iter().flat_map(|n| &n.inputs).flatten().filter(|&&u| u == v).count();
        let stored = self.old.initializer(v).is_some()
            || self.old.producer(v).is_some_and(|p| self.old.nodes[p].op.attributes().contains_key("value"));
        if users == 1 && stored && !self.old.outputs.contains(&v) {
            set_constant(&mut self.new, v, |_| tensor.clone())?;
            self.restated.push(self.old.values[v].name.clone());
        } else if stored {
            self.pin(n, slot, v, tensor);
        } else {
            self.later.push((n, slot, tensor));
        }
        Ok(())
    }

    /// Gives node `n` of the new graph a constant of its own in place of `v`.
    fn pin(&mut self, n: NodeId, slot: usize, v: ValueId, tensor: Tensor) {
        let wish = format!("{}_pruned", self.old.values[v].name);
        let fresh = self.constant(&wish, tensor);
        self.new.nodes[n].inputs[slot] = Some(fresh);
        self.restated.push(self.new.values[fresh].name.clone());
    }

    /// Operands that the file computes from shapes follow the deletion by themselves, or do not: those whose value is not
    /// what it must be become constants. That holds for numbers derived from a width too (a scale 1/√d must stay).
    fn settle(&mut self) -> Result<()> {
        let inputs: Option<Vec<Fact>> = self.old.inputs.iter().map(|&v| self.facts.fact[v].clone()).collect();
        let place: HashMap<ValueId, NodeId> = (0..self.new.nodes.len())
            .filter_map(|n| Some((self.new.nodes[n].outputs.first().copied().flatten()?, n)))
            .collect();
        let mut must: HashMap<(NodeId, usize), Tensor> = HashMap::new();
        for (n, slot, tensor) in std::mem::take(&mut self.later) {
            must.insert((n, slot), tensor);
        }
        loop {
            let found = infer_unfinished(&self.new, inputs.as_deref())?;
            let Some((n, slot, tensor)) = self.first_unsettled(&found, &must, &place) else { return Ok(()) };
            let Some(v) = self.new.nodes[n].inputs[slot] else { return Ok(()) };
            self.pin(n, slot, v, tensor);
        }
    }

    /// The first operand of the new graph, in order, that is computed from shapes and has come out wrong.
    fn first_unsettled(
        &self,
        found: &Facts,
        must: &HashMap<(NodeId, usize), Tensor>,
        place: &HashMap<ValueId, NodeId>,
    ) -> Option<(NodeId, usize, Tensor)> {
        for (old_n, node) in self.old.nodes.iter().enumerate() {
            let Some(n) = node.outputs.first().copied().flatten().and_then(|v| place.get(&v)).copied() else {
                continue;
            };
            for (slot, v) in node.inputs.iter().enumerate() {
                let Some(v) = v.filter(|&v| self.new.nodes[n].inputs[slot] == Some(v)) else { continue };
                let computed = self.old.producer(v).is_some_and(|p| self.old.nodes[p].op_type != "Constant");
                let (Some(before), Some(after)) = (&self.facts.constant[v], &found.constant[v]) else {
                    continue;
                };
                let cut = (0..before.shape.len()).any(|a| self.cuts.contains_key(&(v, a)));
                if !computed || cut {
                    continue;
                }
                let wrong_float = before.dtype().is_float() && before != after;
                let wanted = must.get(&(old_n, slot));
                let wrong_int = match wanted {
                    Some(t) => t.data != after.data,
                    None => before != after && !self.as_planned(node, found),
                };
                if wrong_float || wrong_int {
                    let tensor = wanted.cloned().unwrap_or_else(|| before.as_ref().clone());
                    return Some((n, slot, self.keep_batch(node, slot, tensor)));
                }
            }
        }
        None
    }

    /// True if the node's results have the shapes that the cuts say.
    fn as_planned(&self, node: &Node, found: &Facts) -> bool {
        node.outputs.iter().flatten().all(|&v| {
            let shape = self.facts.shape(v).unwrap_or_default();
            let planned: Shape =
                (0..shape.len()).map(|a| self.cuts.get(&(v, a)).map_or(shape[a], Vec::len)).collect();
            found.shape(v) == Some(&planned)
        })
    }

    /// A Reshape's constant shape copies the first axis where it passes through, so that any batch still does.
    fn keep_batch(&self, node: &Node, slot: usize, tensor: Tensor) -> Tensor {
        let first = |v: Option<ValueId>| v.and_then(|v| self.facts.shape(v)?.first().copied());
        let passes = first(node.inputs[0]) == first(node.outputs[0]);
        let allow_zero = node.op.attributes().contains_key("allowzero");
        if node.op_type != "Reshape" || slot != 1 || !passes || allow_zero {
            return tensor;
        }
        let mut sizes = tensor.to_ints();
        if let Some(first) = sizes.first_mut() {
            *first = 0;
        }
        Tensor::ints(&sizes)
    }

    fn constant(&mut self, wish: &str, tensor: Tensor) -> ValueId {
        self.value(wish, Origin::Initializer(Arc::new(tensor)))
    }

    fn value(&mut self, wish: &str, origin: Origin) -> ValueId {
        let name = self.new.fresh_name(wish);
        self.new.values.push(Value { name, origin, declared: None });
        self.new.values.len() - 1
    }

    /// Scatters what is left of an expanded branch to the channels that its Add keeps: a zero plane is appended, then every
    /// channel of the trunk picks its branch channel or the zero.
    fn expand(&mut self, site: Site) -> Result<()> {
        let node = &self.old.nodes[site.node];
        let (Some(branch), Some(result)) = (node.inputs[site.slot], node.outputs[0]) else { return Ok(()) };
        let Some(shape) = self.facts.shape(branch) else { return Ok(()) };
        let all: Vec<usize> = (0..shape[site.axis]).collect();
        let left = self.cuts.get(&(branch, site.axis)).unwrap_or(&all);
        let wanted = self.cuts.get(&(result, site.axis)).unwrap_or(&all);
        if left == wanted {
            return Ok(());
        }
        let index: Vec<i64> =
            wanted.iter().map(|c| left.binary_search(c).unwrap_or(left.len()) as i64).collect();
        let base = self.old.values[branch].name.clone();
        let rank = shape.len();
        let mut pads = vec![0i64; 2 * rank];
        pads[rank + site.axis] = 1;
        let padded = self.pad(site.node, branch, &base, pads)?;
        self.gather(site, padded, &index, &format!("{base}_scattered"))
    }

    /// Lets a reader of a trunk gather the channels that it picks.
    fn select(&mut self, select: &Select) -> Result<()> {
        let Select { site, value, own } = select;
        let all: Vec<usize> = (0..own.len()).collect();
        let left = self.cuts.get(&(*value, site.axis)).unwrap_or(&all);
        let wanted = self.picked.get(site).unwrap_or(&all);
        if left == wanted {
            return Ok(());
        }
        let place = |c: &usize| left.binary_search(c).ok().map(|at| at as i64);
        let Some(index) = wanted.iter().map(place).collect::<Option<Vec<i64>>>() else {
            let node = &self.old.nodes[site.node];
            let reason = format!("'{}' keeps a channel that its trunk has lost", node.name);
            let hint = "nothing was written; please report this model, and try --residual expand";
            return Err(Error::Verification { reason, hint: hint.into() });
        };
        let reader = self.old.nodes[site.node].outputs.first().copied().flatten().unwrap_or(*value);
        let name = format!("{}_selected", self.old.values[reader].name);
        self.gather(*site, *value, &index, &name)
    }

    /// Gives a node's input the coordinates `index` of `from`.
    fn gather(&mut self, site: Site, from: ValueId, index: &[i64], name: &str) -> Result<()> {
        let index = self.constant(&format!("{name}_index"), Tensor::ints(index));
        let axis = Writer::default().put("axis", site.axis as i64).done();
        let gathered = self.add_node(site.node, "Gather", name, axis, vec![from, index])?;
        self.new.nodes[site.node].inputs[site.slot] = Some(gathered);
        Ok(())
    }

    fn pad(&mut self, before: NodeId, x: ValueId, base: &str, pads: Vec<i64>) -> Result<ValueId> {
        let wish = format!("{base}_padded");
        if self.opset < 11 {
            let attributes = Writer::default().put("pads", pads).done();
            return self.add_node(before, "Pad", &wish, attributes, vec![x]);
        }
        let pads = self.constant(&format!("{base}_scatter_pads"), Tensor::ints(&pads));
        self.add_node(before, "Pad", &wish, Attributes::new(), vec![x, pads])
    }

    fn add_node(
        &mut self,
        before: NodeId,
        op_type: &str,
        wish: &str,
        attributes: Attributes,
        inputs: Vec<ValueId>,
    ) -> Result<ValueId> {
        // The origin's node number is set when the nodes are inserted.
        let out = self.value(wish, Origin::Node(usize::MAX, 0));
        let name = self.new.values[out].name.clone();
        let op = Arc::from(read_op(&name, op_type, self.opset, &attributes, inputs.len())?);
        self.before.entry(before).or_default().push(Node {
            name,
            op_type: op_type.into(),
            op,
            inputs: inputs.into_iter().map(Some).collect(),
            outputs: vec![Some(out)],
            captured: Vec::new(),
            source: None,
        });
        Ok(out)
    }

    fn insert(&mut self) {
        let nodes = std::mem::take(&mut self.new.nodes);
        for (n, node) in nodes.into_iter().enumerate() {
            self.new.nodes.extend(self.before.remove(&n).unwrap_or_default());
            self.new.nodes.push(node);
        }
        for (n, node) in self.new.nodes.iter().enumerate() {
            for (slot, v) in node.outputs.iter().enumerate() {
                if let Some(v) = v {
                    self.new.values[*v].origin = Origin::Node(n, slot);
                }
            }
        }
    }
}

/// Every value of the new graph must have its old shape less what was cut.
fn check(old: &Graph, facts: &Facts, cuts: &Cuts, new: &Graph) -> Result<()> {
    new.check()?;
    let inputs: Option<Vec<Fact>> = old.inputs.iter().map(|&v| facts.fact[v].clone()).collect();
    let found = infer(new, inputs.as_deref())?;
    for v in 0..old.values.len() {
        let Some(shape) = facts.shape(v) else { continue };
        if facts.constant[v].as_ref().is_some_and(|t| !t.dtype().is_float()) {
            continue; // restated sizes and indices
        }
        let expected: Shape =
            (0..shape.len()).map(|a| cuts.get(&(v, a)).map_or(shape[a], Vec::len)).collect();
        if found.shape(v) != Some(&expected) {
            let reason = format!(
                "after the rewrite '{}' has shape {:?} where {expected:?} was planned",
                old.values[v].name,
                found.shape(v)
            );
            let hint = "nothing was written; please report this model, and try --exclude with the node that makes this value";
            return Err(Error::Verification { reason, hint: hint.into() });
        }
    }
    Ok(())
}
