//! A node's operands and results, and names of their axes.
//!
//! Takes: facts, and values where they are constants. Gives: shapes and values by slot. Never: computes anything.

use super::attributes::Refusal;
use super::fact::Fact;
use crate::tensor::Tensor;

/// One input of a node: its fact, and its value where that is a constant.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    /// Type and shape.
    pub fact: &'a Fact,
    /// The value, where it does not depend on the network's inputs.
    pub value: Option<&'a Tensor>,
    /// Is it computed, and known to have no element below zero?
    never_negative: bool,
}

impl<'a> Operand<'a> {
    /// An operand of which no more is known.
    pub fn new(fact: &'a Fact, value: Option<&'a Tensor>) -> Self {
        Self { fact, value, never_negative: false }
    }

    /// The same, where no element can be below zero if `known`.
    pub fn never_negative(self, known: bool) -> Self {
        Self { never_negative: known, ..self }
    }

    /// True where no element can be below zero.
    pub fn is_never_negative(&self) -> bool {
        self.never_negative || self.value.is_some_and(|t| t.to_real::<f64>().iter().all(|&x| x >= 0.0))
    }
}

/// A node's inputs by slot; `None` where an optional input is absent.
pub type Operands<'a> = [Option<Operand<'a>>];

/// A node's operands and results.
#[derive(Debug, Clone, Copy)]
pub struct Io<'a> {
    /// Inputs by slot.
    pub x: &'a Operands<'a>,
    /// Results by slot.
    pub y: &'a [Fact],
}

impl<'a> Io<'a> {
    /// Shape of input `slot`; `None` where it is absent.
    pub fn input(&self, slot: usize) -> Option<&'a [usize]> {
        self.x.get(slot).copied().flatten().map(|o| o.fact.shape.as_slice())
    }

    /// Shape of output `slot`.
    pub fn output(&self, slot: usize) -> &'a [usize] {
        &self.y[slot].shape
    }

    /// Constant value of input `slot`; `None` where it is absent or computed from the network's inputs.
    pub fn value(&self, slot: usize) -> Option<&'a Tensor> {
        self.x.get(slot).copied().flatten().and_then(|o| o.value)
    }

    /// The factor of a product `a · b` at which a gate can stand: the one that depends on the network's inputs, `a` where both do.
    pub fn gated(&self, a: usize, b: usize) -> usize {
        if self.value(a).is_some() && self.value(b).is_none() { b } else { a }
    }

    /// Number of input slots.
    pub fn inputs(&self) -> usize {
        self.x.len()
    }
}

/// Shape of required input `slot`, or the refusal that it is missing.
pub fn need<'a>(x: &Operands<'a>, slot: usize) -> Result<&'a Fact, Refusal> {
    match x.get(slot).copied().flatten() {
        Some(o) => Ok(o.fact),
        None => Err(Refusal::Invalid(format!("input {slot} is missing"))),
    }
}

/// A slot of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Port {
    /// Input by slot.
    In(usize),
    /// Output by slot.
    Out(usize),
}

/// One axis of one operand or result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Axis {
    /// Which operand or result.
    pub port: Port,
    /// Which of its axes.
    pub axis: usize,
}

/// Axis `axis` of input `slot`.
pub fn input(slot: usize, axis: usize) -> Axis {
    Axis { port: Port::In(slot), axis }
}

/// Axis `axis` of output `slot`.
pub fn output(slot: usize, axis: usize) -> Axis {
    Axis { port: Port::Out(slot), axis }
}
