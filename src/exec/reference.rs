//! A gated network, run operator by operator in double precision: slow, and free of everything that the compiled program
//! does for speed.
//!
//! Takes: a graph, its facts, gates, inputs. Gives: the targets' values. Never: is used where a [`super::Program`] will do.

use super::program::{BiasTermSpec, GateSpec, UNGATED};
use crate::graph::*;
use crate::tensor::*;
use std::collections::HashMap;

/// A network as it stands.
#[derive(Debug, Clone, Copy)]
pub struct ReferenceInterpreter<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// Its facts.
    pub facts: &'a Facts,
    /// Its gates.
    pub gates: &'a [GateSpec],
    /// What closed gates leave behind.
    pub shifts: &'a [BiasTermSpec],
    /// What is asked for.
    pub targets: &'a [ValueId],
}

impl ReferenceInterpreter<'_> {
    /// The targets, at gates `lambda` (with the levels of the shifts behind them); `None` if one depends on what cannot be
    /// computed.
    pub fn outputs(&self, inputs: &[Array<f64>], lambda: &[f64]) -> Option<Vec<Array<f64>>> {
        let (graph, facts) = (self.graph, self.facts);
        let mut values: Vec<Option<Array<f64>>> = vec![None; graph.values.len()];
        for (&v, x) in graph.inputs.iter().zip(inputs) {
            values[v] = Some(x.clone());
        }
        let mut left: Vec<usize> = graph.consumers().iter().map(Vec::len).collect();
        self.targets.iter().for_each(|&v| left[v] += 1);
        let constant = |v: ValueId| facts.constant[v].as_ref().map(|t| t.to_array::<f64>());
        let mut gates: HashMap<NodeId, Vec<(&GateSpec, usize)>> = HashMap::new();
        for gate in self.gates {
            gate.readers.iter().for_each(|&(n, slot)| gates.entry(n).or_default().push((gate, slot)));
        }
        let mut shifts: HashMap<NodeId, Vec<&BiasTermSpec>> = HashMap::new();
        self.shifts.iter().for_each(|s| shifts.entry(s.node).or_default().push(s));
        for (n, node) in graph.nodes.iter().enumerate() {
            let known = |v: &ValueId| values[*v].is_some() || facts.constant[*v].is_some();
            let open = !node.inputs.iter().flatten().all(known) || facts.trouble[n].is_some();
            let results = facts.results(node).filter(|_| !open && !facts.is_folded(node));
            if let Some(results) = results {
                let gates = gates.get(&n).map_or(&[][..], Vec::as_slice);
                let shifts = shifts.get(&n).map_or(&[][..], Vec::as_slice);
                let y = result(node, results, (gates, shifts), &values, constant, lambda);
                for (v, y) in node.outputs.iter().zip(y) {
                    v.iter().for_each(|&v| values[v] = Some(y.clone()));
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

/// What a node gives, with the gates before its operand slots and the shifts behind its result.
fn result(
    node: &Node,
    results: Vec<Fact>,
    (gates, shifts): (&[(&GateSpec, usize)], &[&BiasTermSpec]),
    values: &[Option<Array<f64>>],
    constant: impl Fn(ValueId) -> Option<Array<f64>>,
    lambda: &[f64],
) -> Vec<Array<f64>> {
    let operand = |v: ValueId| values[v].clone().or_else(|| constant(v));
    let mut x: Vec<Option<Array<f64>>> = node.inputs.iter().map(|v| v.and_then(operand)).collect();
    for &(gate, slot) in gates {
        let x = x[slot].as_mut().expect("a gate stands at a present operand");
        along(x, gate.axis, |c, x| *x *= at(lambda, gate.index[c]));
    }
    let x: Vec<Option<&Array<f64>>> = x.iter().map(Option::as_ref).collect();
    let mut y: Vec<Array<f64>> = results.iter().map(|f| Array::zeros(&f.shape)).collect();
    Compute::<f64>::forward(node.op.as_ref(), &x, &mut y);
    results.iter().zip(&mut y).for_each(|(fact, y)| fact.dtype.round(&mut y.data));
    for shift in shifts {
        let columns = shift.index.len();
        let term = |(m, c): (&f32, usize)| {
            f64::from(*m) * (1.0 - at(lambda, shift.index[c])) * at(lambda, shift.level[c])
        };
        let row = |o: usize| shift.matrix[o * columns..][..columns].iter().zip(0..);
        let by: Vec<f64> = (0..shift.matrix.len() / columns).map(|o| row(o).map(term).sum()).collect();
        along(&mut y[0], shift.axis, |o, y| *y += by[o]);
    }
    y
}

fn at(lambda: &[f64], index: u32) -> f64 {
    if index == UNGATED { 1.0 } else { lambda[index as usize] }
}

fn along(a: &mut Array<f64>, axis: usize, mut f: impl FnMut(usize, &mut f64)) {
    let inner = volume(&a.shape[axis + 1..]);
    let size = a.shape[axis];
    a.data.iter_mut().enumerate().for_each(|(i, x)| f(i / inner % size, x));
}
