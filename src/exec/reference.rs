//! A gated network, run operator by operator in double precision: slow, without any of the passes of a compiled program.
//!
//! Takes: a graph, its facts, gates, inputs. Gives: the targets' values. Never: is used where a [`super::Program`] will do.

use super::gated::{BiasTermSpec, GateSpec, GatedNetwork};
use crate::graph::*;
use crate::support::index::OptIndex;
use crate::tensor::*;
use ndarray::Axis as Along;
use std::collections::HashMap;

/// A network to be run operator by operator.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceInterpreter<'a> {
    /// The network, with its gates.
    pub network: GatedNetwork<'a>,
    /// What is asked for.
    pub targets: &'a [ValueId],
}

impl ReferenceInterpreter<'_> {
    /// The targets, at gates `lambda` (followed by the levels of the bias terms); `None` if one depends on what cannot be
    /// computed.
    pub fn outputs(&self, inputs: &[Array<f64>], lambda: &[f64]) -> Option<Vec<Array<f64>>> {
        let GatedNetwork { network: Network { graph, facts }, gates: all_gates, bias_terms: all_terms } =
            self.network;
        let mut values: Vec<Option<Array<f64>>> = vec![None; graph.values.len()];
        for (&v, x) in graph.inputs.iter().zip(inputs) {
            values[v] = Some(x.clone());
        }
        let mut left: Vec<usize> = graph.consumers().iter().map(Vec::len).collect();
        self.targets.iter().for_each(|&v| left[v] += 1);
        let constant = |v: ValueId| facts.constant[v].as_ref().map(|t| t.to_array::<f64>());
        let mut gates: HashMap<NodeId, Vec<(&GateSpec, usize)>> = HashMap::new();
        for gate in all_gates {
            gate.readers.iter().for_each(|&(n, slot)| gates.entry(n).or_default().push((gate, slot)));
        }
        let mut shifts: HashMap<NodeId, Vec<&BiasTermSpec>> = HashMap::new();
        all_terms.iter().for_each(|s| shifts.entry(s.node).or_default().push(s));
        for (n, node) in graph.nodes.iter().enumerate() {
            let known = |v: &ValueId| values[*v].is_some() || facts.constant[*v].is_some();
            let open = !node.inputs.iter().flatten().all(known) || facts.refusals[n].is_some();
            let results = facts.results(node).filter(|_| !open && !facts.is_folded(node));
            if let Some(results) = results {
                let at = AtNode {
                    node,
                    results,
                    gates: gates.get(&n).map_or(&[], Vec::as_slice),
                    bias_terms: shifts.get(&n).map_or(&[], Vec::as_slice),
                };
                let operand = |v: ValueId| values[v].clone().or_else(|| constant(v));
                let x = node.inputs.iter().map(|v| v.and_then(operand)).collect();
                if let Some(y) = at.computed(facts, x, lambda) {
                    for (v, y) in node.outputs.iter().zip(y) {
                        v.iter().for_each(|&v| values[v] = Some(y.clone()));
                    }
                }
            }
            for &v in node.inputs.iter().flatten() {
                left[v] -= 1;
                if left[v] == 0 {
                    values[v] = None;
                }
            }
        }
        self.targets.iter().map(|&v| values[v].take().or_else(|| constant(v))).collect()
    }
}

/// A node with the gates of its operand slots and the bias terms of its result.
struct AtNode<'a> {
    node: &'a Node,
    results: Vec<Fact>,
    gates: &'a [(&'a GateSpec, usize)],
    bias_terms: &'a [&'a BiasTermSpec],
}

impl AtNode<'_> {
    /// Its results for operands `x`, at gates `lambda`; `None` where its operator cannot be bound.
    fn computed(
        &self,
        facts: &Facts,
        mut x: Vec<Option<Array<f64>>>,
        lambda: &[f64],
    ) -> Option<Vec<Array<f64>>> {
        for &(gate, slot) in self.gates {
            let x = x[slot].as_mut().expect("a gate stands at a present operand");
            along(x, gate.axis, |c| at(lambda, gate.index[c]), |x, by| x * by);
        }
        let kernel = self.node.op.bind(&Io { x: &facts.operands(self.node)?, y: &self.results }).ok()?;
        let mut y = computed(&*kernel, &views(&x), &self.results);
        self.results.iter().zip(&mut y).for_each(|(fact, y)| fact.dtype.round(y.elements_mut()));
        for bias_term in self.bias_terms {
            let columns = bias_term.index.len();
            let of_gate = |(m, c): (&f32, usize)| {
                f64::from(*m) * (1.0 - at(lambda, bias_term.index[c])) * at(lambda, bias_term.level[c])
            };
            let row = |o: usize| bias_term.matrix[o * columns..][..columns].iter().zip(0..);
            along(&mut y[0], bias_term.axis, |o| row(o).map(of_gate).sum(), |y, by| y + by);
        }
        Some(y)
    }
}

/// λ or κ of a coordinate; 1 without an index.
fn at(lambda: &[f64], index: OptIndex) -> f64 {
    index.get().map_or(1.0, |index| lambda[index])
}

/// x = change(x, number(c)) for each element x, with c its coordinate on `axis`.
fn along(a: &mut Array<f64>, axis: usize, number: impl Fn(usize) -> f64, change: impl Fn(f64, f64) -> f64) {
    for (c, mut part) in around_mut(&mut a.view_mut(), axis).axis_iter_mut(Along(1)).enumerate() {
        let by = number(c);
        part.map_inplace(|x| *x = change(*x, by));
    }
}
