//! Operands that the file computes from shapes: what must not follow the deletion is pinned.

use super::Rewriter;
use crate::error::Result;
use crate::ir::*;
use std::collections::HashMap;

impl Rewriter<'_> {
    /// Operands that the file computes from shapes follow the deletion by themselves, or do not: those whose value is not
    /// what it must be become constants. That holds for numbers derived from a width too (a scale 1/√d must stay).
    pub(super) fn settle(&mut self) -> Result<()> {
        let inputs = self.facts.inputs(self.old);
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
                if !computed || self.cuts.touch(v) {
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
            let planned = self.cuts.shape(v, self.facts.shape(v).unwrap_or_default());
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
}
