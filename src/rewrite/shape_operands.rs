//! Operands that the file computes from shapes: one that must not follow the deletion, or does not follow it by itself, is stated
//! anew, at the literal that it comes from, so that every size that the file leaves open stays computed.

use super::shape_arithmetic::{Numbers, Stated, sources};
use super::{Rewriter, View, cannot_stay_open};
use crate::error::Result;
use crate::graph::*;
use crate::tensor::*;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Steps of arithmetic between an operand and the literal that is looked for.
const DEEPEST: usize = 64;

/// An operand (node of the new graph, slot) and its wanted value: here, then at the other sizes.
type Want = (NodeId, usize, Vec<Tensor>);

impl Rewriter<'_> {
    /// Operands that the file computes from shapes follow the deletion by themselves, or do not: one whose value is not the wanted
    /// one is mended. That holds for numbers derived from a width too (a scale 1/√d must stay).
    pub(super) fn pin_shape_operands(&mut self) -> Result<()> {
        let mut mended: BTreeSet<(NodeId, usize)> = BTreeSet::new();
        loop {
            let found = self.found()?;
            let wanted = self.wrong(&found, &mended)?;
            if wanted.is_empty() {
                break;
            }
            for (old, (n, slot, tensors)) in wanted {
                mended.insert((old, slot));
                self.mend(n, slot, tensors, &found)?;
            }
            self.insert();
        }
        self.tidy()
    }

    /// Facts of the new graph, here and at the other sizes.
    fn found(&self) -> Result<Vec<Facts>> {
        self.views()
            .map(|(facts, _)| infer_unfinished(&self.new, facts.inputs(self.old).as_deref()))
            .collect()
    }

    /// Facts of the old graph and its cuts, here and at the other sizes.
    fn views(&self) -> impl Iterator<Item = (&Facts, &super::Cuts)> {
        let others = self.elsewhere.iter().map(|View { facts, cuts }| (*facts, cuts));
        std::iter::once((self.facts, &self.cuts)).chain(others)
    }

    /// Operands of the new graph that have come out wrong although all shapes that they are computed from are right, with the
    /// number of their node in the old graph. `mended` ones (old node, slot) are taken as right.
    fn wrong(&self, found: &[Facts], mended: &BTreeSet<(NodeId, usize)>) -> Result<Vec<(NodeId, Want)>> {
        let first = |node: &Node| node.outputs.first().copied().flatten();
        let place: HashMap<ValueId, NodeId> =
            self.new.nodes.iter().enumerate().filter_map(|(n, node)| Some((first(node)?, n))).collect();
        let rooted: Vec<Vec<bool>> = found
            .iter()
            .zip(self.views())
            .map(|(found, (facts, cuts))| self.rooted(found, facts, cuts))
            .collect();
        let mut wrong = Vec::new();
        for (old_n, node) in self.old.nodes.iter().enumerate() {
            let made = self.unscaled.get(&old_n).copied().or(first(node));
            let Some(&n) = made.and_then(|v| place.get(&v)) else { continue };
            for (slot, v) in node.inputs.iter().enumerate() {
                let Some(v) = v.filter(|&v| self.new.nodes[n].inputs.get(slot) == Some(&Some(v))) else {
                    continue;
                };
                let computed = self.old.producer(v).is_some_and(|p| !self.old.nodes[p].is_stored());
                if !computed || self.cuts.touch(v) || !rooted.iter().all(|rooted| rooted[v]) {
                    continue;
                }
                let Some(tensors) = self.wanted((old_n, node), (slot, v), found) else { continue };
                if mended.contains(&(old_n, slot)) {
                    return Err(cannot_stay_open(node));
                }
                wrong.push((old_n, (n, slot, tensors)));
            }
        }
        Ok(wrong)
    }

    /// By value: true if all shapes that it is computed from are as planned.
    fn rooted(&self, found: &Facts, facts: &Facts, cuts: &super::Cuts) -> Vec<bool> {
        let mut rooted = vec![true; self.new.values.len()];
        let planned = |v: ValueId| match facts.fact.get(v).and_then(Option::as_ref) {
            Some(fact) => found.shape(v) == Some(&cuts.shape(v, &fact.shape)),
            None => true,
        };
        for node in &self.new.nodes {
            let mut inputs = node.inputs.iter().flatten();
            let right = match node.op.needs_shapes_only() {
                true => inputs.all(|&v| planned(v)),
                false => inputs.all(|&v| rooted[v]),
            };
            if !right {
                node.outputs.iter().flatten().for_each(|&v| rooted[v] = false);
            }
        }
        rooted
    }

    /// The wanted value of operand `slot` of a node, here and elsewhere, where `v` does not have it.
    fn wanted(
        &self,
        (old_n, node): (NodeId, &Node),
        (slot, v): (usize, ValueId),
        found: &[Facts],
    ) -> Option<Vec<Tensor>> {
        let before: Vec<&Tensor> =
            self.views().map(|(facts, _)| facts.constant[v].as_ref()).collect::<Option<_>>()?;
        let after: Vec<&Tensor> = found.iter().map(|f| f.constant[v].as_ref()).collect::<Option<_>>()?;
        let keeps = || before.iter().map(|t| (*t).clone()).collect();
        if let Some(wanted) = self.later.get(&(old_n, slot)) {
            let differ = wanted.iter().zip(&after).any(|(wanted, after)| !wanted.elements_eq(after));
            return differ.then(|| wanted.clone());
        }
        let changed = before != after;
        let is_float = before[0].dtype().is_float();
        (changed && (is_float || !self.as_planned(node, found))).then(keeps)
    }

    /// True if the node's results have the shapes that the cuts say.
    fn as_planned(&self, node: &Node, found: &[Facts]) -> bool {
        found.iter().zip(self.views()).all(|(found, (facts, cuts))| {
            node.outputs.iter().flatten().all(|&v| {
                let planned = cuts.shape(v, facts.shape(v).unwrap_or_default());
                found.shape(v) == Some(&planned)
            })
        })
    }

    /// Gives node `n` of the new graph the operand that is wanted.
    fn mend(&mut self, n: NodeId, slot: usize, mut tensors: Vec<Tensor>, found: &[Facts]) -> Result<()> {
        let Some(v) = self.new.nodes[n].inputs[slot] else { return Ok(()) };
        if self.elsewhere.is_empty() {
            let tensor = self.keep_batch(n, slot, tensors.swap_remove(0));
            self.pin(n, slot, v, tensor);
            return Ok(());
        }
        let want: Vec<Numbers> = tensors.iter().map(|t| t.to_real()).collect();
        let mended = match self.computed(v, &want, found, 0) {
            Some(mended) => Some(mended),
            None => self.spliced(v, &want, found)?,
        };
        let Some(mended) = mended else { return Err(cannot_stay_open(&self.new.nodes[n])) };
        self.new.nodes[n].inputs[slot] = Some(mended);
        Ok(())
    }

    /// The numbers of a value of the new graph, here and elsewhere.
    fn numbers(&self, v: ValueId, found: &[Facts]) -> Option<Vec<Numbers>> {
        found.iter().map(|f| Some(f.constant.get(v)?.as_ref()?.to_real())).collect()
    }

    /// A value that is computed as `v` is, but for the literals that have to differ so that it is `want`. None where no literal
    /// would do.
    fn computed(&mut self, v: ValueId, want: &[Numbers], found: &[Facts], depth: usize) -> Option<ValueId> {
        let now = self.numbers(v, found)?;
        if now == want {
            return Some(v);
        }
        if want.iter().all(|w| *w == want[0]) {
            let like = found[0].constant[v].as_ref()?;
            return Some(self.literal(v, like.with_values(like.shape(), &want[0])));
        }
        let p = self.new.producer(v).filter(|_| depth < DEEPEST)?;
        let node = self.new.nodes[p].clone();
        if node.outputs.len() != 1 {
            return None;
        }
        let operands: Vec<Stated> = node
            .inputs
            .iter()
            .map(|slot| found.iter().map(|f| f.constant.get((*slot)?)?.clone()).collect())
            .collect();
        'choices: for choice in sources(&node, &operands, want) {
            let mut inputs = node.inputs.clone();
            for (slot, want) in choice {
                let Some(mended) = inputs[slot].and_then(|u| self.computed(u, &want, found, depth + 1))
                else {
                    continue 'choices;
                };
                inputs[slot] = Some(mended);
            }
            return Some(self.copy(p, v, inputs));
        }
        None
    }

    /// A stored constant in place of `v`.
    fn literal(&mut self, v: ValueId, tensor: Tensor) -> ValueId {
        let same = |(from, to): &&(ValueId, ValueId)| {
            *from == v && self.new.initializer(*to).is_some_and(|t| *t == tensor)
        };
        if let Some((_, known)) = self.copies.iter().find(same) {
            return *known;
        }
        let fresh = self.constant(&format!("{}_pruned", self.new.values[v].name), tensor);
        self.restated.push(self.new.values[fresh].name.clone());
        self.copies.push((v, fresh));
        fresh
    }

    /// The result of a node like `p`, which computes `v`, with other inputs.
    fn copy(&mut self, p: NodeId, v: ValueId, inputs: Vec<Option<ValueId>>) -> ValueId {
        let known = self.copies.iter().find(|(from, to)| {
            let waiting = self.before.values().flatten().find(|n| n.outputs[0] == Some(*to));
            let node = waiting.or_else(|| self.new.producer(*to).and_then(|n| self.new.nodes.get(n)));
            *from == v && node.is_some_and(|node| node.inputs == inputs)
        });
        if let Some((_, known)) = known {
            return *known;
        }
        // The origin's node number is set when the node is inserted.
        let wish = format!("{}_pruned", self.new.values[v].name);
        let out = self.value(&wish, Origin::Node(usize::MAX, 0));
        let name = self.new.values[out].name.clone();
        let node = Node { name, inputs, outputs: vec![Some(out)], source: None, ..self.new.nodes[p].clone() };
        self.before.entry(p + 1).or_default().push(node);
        self.copies.push((v, out));
        out
    }

    /// `v` with those of its elements replaced that are equal at all sizes; none where others are wrong too.
    fn spliced(&mut self, v: ValueId, want: &[Numbers], found: &[Facts]) -> Result<Option<ValueId>> {
        let (Some(now), Some(p)) = (self.numbers(v, found), self.new.producer(v)) else { return Ok(None) };
        let Some(like) = found[0].constant[v].clone() else { return Ok(None) };
        let is_right = |i: usize| now.iter().zip(want).all(|(now, want)| now[i] == want[i]);
        let is_closed = |i: usize| want.iter().all(|w| w[i] == want[0][i]);
        let mendable = want.iter().chain(&now).all(|w| w.len() == want[0].len())
            && (0..want[0].len()).all(|i| is_right(i) || is_closed(i));
        if !mendable || self.opset < 9 {
            return Ok(None);
        }
        let mask = Tensor::new(like.shape(), (0..want[0].len()).map(is_right).collect());
        let base = self.new.values[v].name.clone();
        let mask = self.constant(&format!("{base}_computed"), mask);
        let stated = self.constant(&format!("{base}_stated"), like.with_values(like.shape(), &want[0]));
        let inputs = vec![mask, v, stated];
        Ok(Some(self.add_node(p + 1, "Where", &format!("{base}_pruned"), Attributes::new(), inputs)?))
    }

    /// Values that were computed anew for all of their readers are computed anew in place, so that no value is left unread.
    fn tidy(&mut self) -> Result<()> {
        let copies = std::mem::take(&mut self.copies);
        let mut gone: HashSet<ValueId> = HashSet::new();
        for (v, fresh) in copies.into_iter().rev() {
            let uses = |v: ValueId| {
                let inputs = self.new.nodes.iter().flat_map(|n| n.inputs.iter().flatten().chain(&n.captured));
                inputs.chain(&self.new.outputs).filter(|&&u| u == v).count()
            };
            if uses(v) > 0 {
                continue;
            }
            match (self.new.producer(v), self.new.producer(fresh)) {
                (Some(p), Some(q)) => self.new.nodes[p].inputs = self.new.nodes[q].inputs.clone(),
                (Some(p), None) if !self.new.nodes[p].is_stored() => continue,
                (_, None) => {
                    let Some(tensor) = self.new.initializer(fresh).cloned() else {
                        continue;
                    };
                    super::constant::store(&mut self.new, v, tensor)?;
                    let (from, to) = (&self.new.values[fresh].name, &self.new.values[v].name);
                    self.restated
                        .iter_mut()
                        .filter(|name| *name == from)
                        .for_each(|name| name.clone_from(to));
                }
                (None, Some(_)) => continue,
            }
            for slot in self.new.nodes.iter_mut().flat_map(|n| &mut n.inputs) {
                if *slot == Some(fresh) {
                    *slot = Some(v);
                }
            }
            gone.insert(fresh);
        }
        self.new.remove_values(&gone);
        Ok(())
    }

    /// Constant sizes copy that of the first axis where it passes through, so that any batch still does.
    fn keep_batch(&self, n: NodeId, slot: usize, tensor: Tensor) -> Tensor {
        let node = &self.new.nodes[n];
        let first =
            |v: Option<ValueId>| v.and_then(|v| self.facts.fact.get(v)?.as_ref()?.shape.first().copied());
        let passes = first(node.inputs[0]) == first(node.outputs[0]);
        if !node.op.copies_sizes(slot) || !passes {
            return tensor;
        }
        let mut sizes = tensor.to_ints();
        if let Some(first) = sizes.first_mut() {
            *first = 0;
        }
        Tensor::ints(&sizes)
    }
}
