//! A node said in other operators.
//!
//! Takes: operators, attributes and constants, step by step. Gives: steps over the node's operands. Never: knows the graph.

use super::attributes::{Attributes, Writer};
use crate::tensor::Tensor;

/// An operand of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// The node's operand in a slot.
    Operand(usize),
    /// A constant of the form, by number.
    Constant(usize),
    /// The result of a step, by number.
    Step(usize),
}

/// An operator over terms, with one result.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// ONNX operator type.
    pub op_type: &'static str,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its operands.
    pub inputs: Vec<Term>,
}

/// Steps that give together what a node gives as its first result, up to rounding: the last one's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// Version of the standard operators in which the steps are said.
    pub opset: i64,
    /// Constants of the steps.
    pub constants: Vec<Tensor>,
    /// The steps, each after those that it reads.
    pub steps: Vec<Step>,
}

impl Form {
    /// One without steps.
    pub fn new(opset: i64) -> Self {
        Self { opset, constants: Vec::new(), steps: Vec::new() }
    }

    /// A constant.
    pub fn constant(&mut self, t: Tensor) -> Term {
        self.constants.push(t);
        Term::Constant(self.constants.len() - 1)
    }

    /// A number.
    pub fn number(&mut self, x: f64) -> Term {
        self.constant(Tensor::floats(&[], vec![x as f32]))
    }

    /// A step.
    pub fn step(&mut self, op_type: &'static str, attributes: Writer, inputs: &[Term]) -> Term {
        self.steps.push(Step { op_type, attributes: attributes.done(), inputs: inputs.to_vec() });
        Term::Step(self.steps.len() - 1)
    }

    /// A step without attributes.
    pub fn plain(&mut self, op_type: &'static str, inputs: &[Term]) -> Term {
        self.step(op_type, Writer::default(), inputs)
    }

    /// A reduction of `x` over `axes` that keeps them with size 1; the standard moves its axes from the attributes to the operands
    /// with opset `moved`.
    pub fn reduce(&mut self, op_type: &'static str, moved: i64, x: Term, axes: Vec<i64>) -> Term {
        let keep = Writer::default().put("keepdims", 1i64);
        if self.opset < moved {
            return self.step(op_type, keep.put("axes", axes), &[x]);
        }
        let axes = self.constant(Tensor::ints(&axes));
        self.step(op_type, keep, &[x, axes])
    }

    /// One coordinate of `x` along an axis, which is kept with size 1.
    pub fn coordinate(&mut self, x: Term, axis: i64, at: i64) -> Term {
        let bounds = [("starts", at), ("ends", at + 1), ("axes", axis)];
        if self.opset < 10 {
            let write = |w: Writer, (name, n): (&str, i64)| w.put(name, vec![n]);
            return self.step("Slice", bounds.into_iter().fold(Writer::default(), write), &[x]);
        }
        let [starts, ends, axes] = bounds.map(|(_, n)| self.constant(Tensor::ints(&[n])));
        self.plain("Slice", &[x, starts, ends, axes])
    }

    /// max(x, 0), and e to the power of min(x, 0) less one.
    pub fn sides_of_zero(&mut self, x: Term) -> [Term; 2] {
        let [zero, one] = [0.0, 1.0].map(|n| self.number(n));
        let above = self.plain("Max", &[x, zero]);
        let below = self.plain("Min", &[x, zero]);
        let power = self.plain("Exp", &[below]);
        [above, self.plain("Sub", &[power, one])]
    }

    /// xᵖ for positive x, in roots and products where p is a whole number of quarters.
    pub fn power(&mut self, x: Term, p: f64) -> Term {
        let quarters = p * 4.0;
        if quarters.fract() != 0.0 || !(1.0..=16.0).contains(&quarters) {
            let p = self.number(p);
            return self.plain("Pow", &[x, p]);
        }
        let quarters = quarters as usize;
        let mut factors = Vec::new();
        if !quarters.is_multiple_of(4) {
            let root = self.plain("Sqrt", &[x]);
            factors.extend((quarters & 2 != 0).then_some(root));
            if quarters & 1 != 0 {
                factors.push(self.plain("Sqrt", &[root]));
            }
        }
        factors.extend(std::iter::repeat_n(x, quarters / 4));
        let first = factors.remove(0);
        factors.into_iter().fold(first, |product, f| self.plain("Mul", &[product, f]))
    }
}
