//! Plan → graph: deletes the closed channels from everything that mentions them. The only writer.
//!
//! Takes: graph, facts, groups and which classes stay. Gives: a new graph, and the list of what was sliced.
//! Ensures: the new graph's inferred shapes are the old ones less the deleted coordinates; inputs, outputs and names are
//! untouched; expanded branches are scattered back to the width of their trunk; both hold at all sizes in [`Facts::elsewhere`].
//! Never: changes a number it keeps.

mod bias;
mod constant;
mod cuts;
mod follow;
mod forms;
mod masked;
mod node;
mod route;
mod shape_arithmetic;
mod shape_operands;
mod widen;

#[cfg(test)]
mod tests;

pub use bias::{Bias, add_biases};
pub use constant::{change, changed, store};
pub use follow::follow;
pub use forms::{Replaced, in_forms};
pub use masked::{Mask, masked};
pub use widen::widen;

pub(crate) use cuts::Cuts;

use crate::coupling::{Groups, Site};
use crate::error::{Error, Result};
use crate::graph::*;
use crate::setting::Setting;
use crate::tensor::*;
use constant::{constant, set_constant};
use cuts::NodeKeep;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// A stored constant that lost coordinates of an axis.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sliced {
    /// Name of the initializer, or of the result of the node that makes it (Constant, ConstantOfShape and the like).
    pub initializer: String,
    /// The axis.
    pub axis: usize,
    /// The coordinates that stay, in the original numbering.
    pub kept: Vec<usize>,
    /// The operands that lose them, where the file's constant is shared by others too; all that read it where none are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Reader>,
}

/// An operand of a node.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reader {
    /// The node.
    pub node: String,
    /// The input slot.
    pub input: usize,
}

/// A rewritten graph.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// The smaller graph. Value numbers of the original are kept; new values follow.
    pub graph: Graph,
    /// Constants that lost coordinates, in the order of the values.
    pub sliced: Vec<Sliced>,
    /// Operands at which the masked original has zeros, in the order of the gates' places.
    pub masks: Vec<Mask>,
    /// Constants that restate sizes or indices: their names.
    pub restated: Vec<String>,
}

/// Deletes the classes that `kept` marks false.
pub fn rewrite(
    Network { graph, facts }: Network,
    groups: &Groups,
    kept: &[bool],
    opset: i64,
) -> Result<Rewritten> {
    let elsewhere = views(facts, groups, kept)?;
    let mut r = Rewriter {
        old: graph,
        facts,
        groups,
        cuts: Cuts::new(groups, kept),
        elsewhere,
        new: graph.clone(),
        names: Names::of(graph),
        readers: readers(graph),
        uses: graph.uses(),
        sliced: Vec::new(),
        restated: Vec::new(),
        picked: cuts::picked(groups, kept),
        before: BTreeMap::new(),
        later: HashMap::new(),
        copies: Vec::new(),
        unscaled: HashMap::new(),
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
    r.pin_shape_operands()?;
    let masks = masked::masks(graph, groups, kept);
    let done = Rewritten { graph: r.new, sliced: r.sliced, masks, restated: r.restated };
    check(graph, facts, &r.cuts, &done.graph)?;
    for view in &r.elsewhere {
        check(graph, view.facts, &view.cuts, &done.graph)?;
    }
    Ok(done)
}

/// Facts and cuts at the other sizes of the open axes.
fn views<'a>(facts: &'a Facts, groups: &Groups, kept: &[bool]) -> Result<Vec<View<'a>>> {
    let one = |(k, facts): (usize, &'a Arc<Facts>)| {
        let Some(kept) = groups.kept_elsewhere(k, kept) else {
            let reason = "the channels to delete differ between sizes of the axes that the file leaves open";
            return Err(Error::graph(reason, fix_sizes()));
        };
        Ok(View { facts, cuts: Cuts::new(&groups.elsewhere[k], &kept) })
    };
    facts.elsewhere.iter().take(groups.elsewhere.len()).enumerate().map(one).collect()
}

/// The way out where an open axis cannot stay open.
fn fix_sizes() -> String {
    let (fix_sizes, input_shape) = (Setting::FixSizes, Setting::InputShape);
    format!(
        "fix the sizes: {fix_sizes} makes the file state those of {input_shape} (batch 1 unless it is given)"
    )
}

/// Facts of the network, and its cuts, at other sizes of the open axes.
struct View<'a> {
    facts: &'a Facts,
    cuts: Cuts,
}

struct Rewriter<'a> {
    old: &'a Graph,
    facts: &'a Facts,
    groups: &'a Groups,
    cuts: Cuts,
    picked: HashMap<Site, Vec<usize>>,
    new: Graph,
    /// Names of the new graph's values.
    names: Names,
    /// By value that shares a constant in the file: that constant, and the operands that read it here.
    readers: HashMap<ValueId, (ValueId, Vec<Reader>)>,
    /// By value of the old graph: number of operands that it is.
    uses: Vec<usize>,
    sliced: Vec<Sliced>,
    restated: Vec<String>,
    /// New nodes, by the node that they are inserted in front of.
    before: BTreeMap<NodeId, Vec<Node>>,
    /// Facts and cuts at the other sizes of the open axes.
    elsewhere: Vec<View<'a>>,
    /// Wanted values of operands that are computed from shapes, by old node and slot, here and elsewhere: checked once the graph is
    /// whole.
    later: HashMap<(NodeId, usize), Vec<Tensor>>,
    /// Values of the old graph that were computed anew for some of their readers, and by what.
    copies: Vec<(ValueId, ValueId)>,
    /// Results of old nodes that the new graph multiplies by a number, as they are before the product.
    unscaled: HashMap<NodeId, ValueId>,
    opset: i64,
}

impl Rewriter<'_> {
    fn slice_initializers(&mut self) {
        for v in 0..self.old.values.len() {
            let Some(t) = self.old.initializer(v) else { continue };
            let mut t = t.clone();
            for axis in 0..t.shape().len() {
                if let Some(kept) = self.cuts.kept(v, axis) {
                    t = t.select(axis, kept);
                    self.note_sliced(v, axis, &t);
                }
            }
            self.new.values[v].origin = Origin::Initializer(t);
        }
    }

    fn note_sliced(&mut self, v: ValueId, axis: usize, t: &Tensor) {
        if let Some(kept) = self.cuts.kept(v, axis).filter(|_| slices(t.dtype())) {
            let (stored, readers) = self.readers.get(&v).cloned().unwrap_or((v, Vec::new()));
            let initializer = self.old.values[stored].name.clone();
            self.sliced.push(Sliced { initializer, axis, kept: kept.to_vec(), readers });
        }
    }

    fn resize(&mut self, n: NodeId) -> Result<()> {
        let node = &self.old.nodes[n];
        let touched = node.inputs.iter().chain(&node.outputs).flatten();
        if !touched.into_iter().any(|&v| self.cuts.touch(v)) {
            return Ok(());
        }
        let here = View { facts: self.facts, cuts: std::mem::take(&mut self.cuts) };
        let resized = self.resized(n, &here);
        self.cuts = here.cuts;
        let Some(resized) = resized? else { return Ok(()) };
        let others = self.elsewhere.iter().map(|view| self.resized(n, view)).collect::<Result<Vec<_>>>()?;
        let others: Vec<Resized> = others.into_iter().map(Option::unwrap_or_default).collect();
        let attributes = |r: &Resized| r.op.as_ref().map(|op| op.attributes());
        if others.iter().any(|other| attributes(other) != attributes(&resized)) {
            return Err(cannot_stay_open(node));
        }
        if others.iter().any(|other| (other.factor, other.passes) != (resized.factor, resized.passes)) {
            return Err(cannot_stay_open(node));
        }
        if let Some(factor) = resized.factor {
            self.multiply(n, factor)?;
        }
        let operands = self.restated_operands(n, &resized, &others);
        if let Some(op) = resized.op {
            self.new.nodes[n].op = Arc::from(op);
        }
        if let Some(name) = resized.passes {
            let node = &mut self.new.nodes[n];
            node.op_type = name.to_owned();
            node.inputs.truncate(1);
        }
        // A constant that is made here, and of nothing that is sliced itself.
        let sliced = |v: &ValueId| {
            self.cuts.touch(*v) && self.facts.fact[*v].as_ref().is_some_and(|f| slices(f.dtype))
        };
        if let Some(v) =
            node.outputs.first().copied().flatten().filter(|_| !node.inputs.iter().flatten().any(sliced))
            && let Some(t) = self.facts.constant[v].clone()
        {
            (0..t.shape().len()).for_each(|axis| self.note_sliced(v, axis, &t));
        }
        for (slot, tensors) in operands {
            self.restate(n, slot, tensors)?;
        }
        Ok(())
    }

    /// The smaller form of a node at one set of sizes; none where the node is not understood.
    fn resized(&self, n: NodeId, view: &View) -> Result<Option<Resized>> {
        let node = &self.old.nodes[n];
        let Some((x, y)) = view.facts.operands(node).zip(view.facts.results(node)) else { return Ok(None) };
        let from = self.groups.expands.partition_point(|s| s.node < n);
        let expands = self.groups.expands[from..].iter().copied().take_while(|s| s.node == n).collect();
        let keep = NodeKeep { n, node, cuts: &view.cuts, expands, groups: self.groups, picked: &self.picked };
        let resized = node.op.resize(&Io { x: &x, y: &y }, &keep).map_err(|e| {
            let hint = format!("leave it out: {} '^{}$'", Setting::Exclude, regex::escape(&node.name));
            Error::node(&node.name, &node.op_type, format!("cannot be made smaller: {}", e.reason()), hint)
        })?;
        Ok(Some(resized))
    }

    /// Operands that must be stated anew, by slot: here first, then at the other sizes.
    fn restated_operands(&self, n: NodeId, here: &Resized, others: &[Resized]) -> Vec<(usize, Vec<Tensor>)> {
        let node = &self.old.nodes[n];
        let all = std::iter::once(here).chain(others);
        let slots: std::collections::BTreeSet<usize> =
            all.clone().flat_map(|r| r.inputs.iter().map(|(slot, _)| *slot)).collect();
        let facts = || std::iter::once(self.facts).chain(self.elsewhere.iter().map(|view| view.facts));
        let wanted = |slot: usize| -> Option<Vec<Tensor>> {
            let one = |(r, facts): (&Resized, &Facts)| {
                let stated = r.inputs.iter().find(|(s, _)| *s == slot).map(|(_, t)| t.clone());
                let before = || facts.constant[node.inputs.get(slot).copied().flatten()?].clone();
                stated.or_else(before)
            };
            all.clone().zip(facts()).map(one).collect()
        };
        slots.into_iter().filter_map(|slot| Some((slot, wanted(slot)?))).collect()
    }

    /// Gives a node another constant input: in place if no other operand is that constant, else as a new initializer.
    fn restate(&mut self, n: NodeId, slot: usize, mut tensors: Vec<Tensor>) -> Result<()> {
        let stored = |v: &ValueId| constant(self.old, *v).is_some();
        let operand = self.old.nodes[n].inputs.get(slot).copied().flatten();
        if operand.as_ref().is_none_or(stored) && tensors.iter().any(|t| *t != tensors[0]) {
            return Err(cannot_stay_open(&self.old.nodes[n]));
        }
        if operand.is_some_and(|v| !stored(&v)) {
            self.later.insert((n, slot), tensors);
            return Ok(());
        }
        let tensor = tensors.swap_remove(0);
        let Some(v) = self.old.nodes[n].inputs.get(slot).copied().flatten() else {
            let wish = format!("{}_sizes", self.old.nodes[n].name);
            let fresh = self.constant(&wish, tensor);
            let inputs = &mut self.new.nodes[n].inputs;
            inputs.resize(inputs.len().max(slot + 1), None);
            inputs[slot] = Some(fresh);
            self.restated.push(self.new.values[fresh].name.clone());
            return Ok(());
        };
        if self.uses[v] == 1 && !self.old.outputs.contains(&v) {
            set_constant(&mut self.new, v, |_| tensor.clone())?;
            self.restated.push(self.old.values[v].name.clone());
        } else {
            self.pin(n, slot, v, tensor);
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

    fn constant(&mut self, wish: &str, tensor: Tensor) -> ValueId {
        self.value(wish, Origin::Initializer(tensor))
    }

    fn value(&mut self, wish: &str, origin: Origin) -> ValueId {
        let name = self.names.fresh(wish);
        self.new.values.push(Value { name, origin, declared: None });
        self.new.values.len() - 1
    }
}

/// The refusal of a node that can be made smaller at the analysed sizes only.
fn cannot_stay_open(node: &Node) -> Error {
    let reason = "with fewer channels it would fit the analysed sizes only, and the file leaves sizes of its inputs open";
    Error::node(&node.name, &node.op_type, reason, fix_sizes())
}

/// By value that shares a constant in the file: that constant, and the operands that read the value.
fn readers(graph: &Graph) -> HashMap<ValueId, (ValueId, Vec<Reader>)> {
    // Constants of the file, and nodes that pass them on.
    let mut stored: HashMap<ValueId, ValueId> = HashMap::new();
    let mut passes = HashSet::new();
    for &file in graph.copies.values() {
        let mut path = vec![file];
        while let Some(n) = path.last().and_then(|&v| graph.producer(v)) {
            let Some(x) = graph.nodes[n].inputs.first().copied().flatten() else { break };
            passes.insert(n);
            path.push(x);
        }
        let root = path[path.len() - 1];
        stored.extend(path.into_iter().map(|v| (v, root)));
    }
    let mut found: HashMap<ValueId, (ValueId, Vec<Reader>)> =
        graph.copies.iter().map(|(&copy, file)| (copy, (stored[file], Vec::new()))).collect();
    found.extend(stored.values().map(|&root| (root, (root, Vec::new()))));
    if found.is_empty() {
        return found;
    }
    for (_, node) in graph.nodes.iter().enumerate().filter(|(n, _)| !passes.contains(n)) {
        for (input, v) in node.inputs.iter().enumerate() {
            let Some(v) = v else { continue };
            if let Some((_, readers)) = found.get_mut(stored.get(v).unwrap_or(v)) {
                readers.push(Reader { node: node.name.clone(), input });
            }
        }
    }
    found
}

/// True for constants that are sliced where they lose coordinates; sizes and indices are restated.
fn slices(dtype: DType) -> bool {
    dtype.is_float() || dtype.size() == 1
}

/// Every value of the new graph must have its old shape less what was cut.
fn check(old: &Graph, facts: &Facts, cuts: &Cuts, new: &Graph) -> Result<()> {
    new.check()?;
    let found = infer(new, facts.inputs(old).as_deref())?;
    for v in 0..old.values.len().min(new.values.len()) {
        let Some(shape) = facts.shape(v) else { continue };
        if facts.constant[v].as_ref().is_some_and(|t| !t.dtype().is_float()) {
            continue; // restated sizes and indices
        }
        let expected = cuts.shape(v, shape);
        if found.shape(v) != Some(&expected) {
            let reason = format!(
                "after the rewrite '{}' has shape {:?} where {expected:?} was planned",
                old.values[v].name,
                found.shape(v)
            );
            let hint = format!(
                "nothing was written; please report this model, and try {} with the node that makes this value",
                Setting::Exclude
            );
            return Err(Error::Verification { reason, hint });
        }
    }
    Ok(())
}
