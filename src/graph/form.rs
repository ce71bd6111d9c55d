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
}
