//! What an operator must answer. One file in `ops/` implements this for one operator (or one family).
//!
//! Takes: operand facts and values. Gives: shapes, values, gradients, channel relations, costs, resized forms.
//! Never: has default bodies. An operator cannot forget a question.

use super::attributes::{Attributes, Refusal};
use super::hints::Hints;
use super::kernel::Kernel;
use crate::kernels::conv::Geometry;
use crate::tensor::{DType, Shape, Tensor};
use std::fmt::Debug;

/// Type and shape of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Element type.
    pub dtype: DType,
    /// Axis sizes.
    pub shape: Shape,
}

impl Fact {
    /// A fact from its parts.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Self {
        Self { dtype, shape: shape.into() }
    }
}

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

/// Where an operator states how coordinates of its operands and results belong together.
/// A coordinate it says nothing about is frozen: silence is safe.
pub trait Couplings {
    /// Coordinate `i` of `a` and coordinate `j` of `b` live and die together.
    fn tie(&mut self, a: Axis, i: usize, b: Axis, j: usize);

    /// The axes have equal sizes and correspond index by index.
    fn tie_axes(&mut self, a: Axis, b: Axis);

    /// The operator contracts (sums) over this input axis: a coordinate that is zero here may be deleted here.
    /// The gate of the coordinate stands here.
    fn contracts(&mut self, a: Axis);

    /// Zero is neutral for this input: its coordinates may be cut alone if what is left is scattered
    /// back to full width before the operator. Said in addition to `tie_axes`.
    fn zero_is_neutral(&mut self, a: Axis);

    /// Coordinate `i` of `a` may be deleted without any consequence in this node.
    fn free(&mut self, a: Axis, i: usize);

    /// The axis must stay whole, and why (a phrase that follows the node's name: "normalises over this axis").
    fn freeze(&mut self, a: Axis, why: &str);

    /// `one` is the row-major product of the axes `many` (a Reshape's split or merge). Coordinates of `one`
    /// are tied to those of one of `many`: the solver takes the one that is not frozen otherwise.
    fn product(&mut self, one: Axis, many: &[Axis]);

    /// The axes `fine` and the two axes `coarse` have the same row-major product, and the first of `fine` is the first of `coarse`
    /// with `p` coordinates for each. Either whole such groups go, where the second of `coarse` is frozen otherwise; or the
    /// same place in all of them, and what is merged with it there.
    fn regroup(&mut self, fine: &[Axis], coarse: [Axis; 2]);
}

/// `coefficient · Π width(axis)`: one term of a node's multiply-accumulates. With soft widths (Σλ) it is the
/// soft cost, with hard widths the exact count.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// Multiply-accumulates per unit of the widths' product.
    pub coefficient: f64,
    /// Axes whose widths may shrink.
    pub widths: Vec<Axis>,
}

/// Counted operations of a node.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Work {
    /// None.
    #[default]
    Free,
    /// Multiply-accumulates, as a sum of products of widths.
    Macs(Vec<Product>),
    /// Operations beside multiply-accumulates, for counts that include them: two per element of a BatchNormalization, the
    /// window's additions and one division per average.
    Other(Vec<Product>),
}

impl Work {
    /// Multiply-accumulates alone.
    pub fn macs(self) -> Vec<Product> {
        if let Self::Macs(products) = self { products } else { Vec::new() }
    }

    /// All that is counted.
    pub fn all(self) -> Vec<Product> {
        match self {
            Self::Free => Vec::new(),
            Self::Macs(products) | Self::Other(products) => products,
        }
    }

    /// Whether it has multiply-accumulates.
    pub fn multiplies(&self) -> bool {
        matches!(self, Self::Macs(products) if !products.is_empty())
    }
}

/// Which coordinates of a node's axes stay.
pub trait Keep {
    /// Kept coordinates of an axis, ascending; `None` where the axis stays whole.
    fn kept(&self, axis: Axis) -> Option<&[usize]>;
}

/// A node after coordinates were deleted from its operands and results.
#[derive(Debug, Default)]
pub struct Resized {
    /// The operator with restated attributes; `None` where none changed.
    pub op: Option<Box<dyn Op>>,
    /// Constant inputs that restate a width or an index, by slot, with their new values. (Weights are not
    /// listed: their coordinates are tied, and the rewriter slices them.) A slot that the node leaves open is filled.
    pub inputs: Vec<(usize, Tensor)>,
    /// Whether the operator is one that passes its first input on and takes no other: by which name.
    pub passes: Option<&'static str>,
    /// What the first result is multiplied by from now on, where the operator divides by how many coordinates there are.
    pub factor: Option<f64>,
}

impl Resized {
    /// Nothing is restated.
    pub const UNCHANGED: Self = Self { op: None, inputs: Vec::new(), passes: None, factor: None };

    /// With restated attributes.
    pub fn of(op: Box<dyn Op>) -> Self {
        Self { op: Some(op), ..Self::UNCHANGED }
    }

    /// With restated constant inputs.
    pub fn restating(inputs: Vec<(usize, Tensor)>) -> Self {
        Self { inputs, ..Self::UNCHANGED }
    }
}

/// A layer as a matrix product. Along `result` its output is `factor · Σ weight · input`, summed along `input` (and a window
/// of the input's spatial axes), and what a bias adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Linear {
    /// The axis of the layer's input that the sum runs over: its input channels.
    pub input: Axis,
    /// The weight's slot.
    pub weight: usize,
    /// Axes of the weight along the input channels (of one group) and along the output channels.
    pub weight_axes: [usize; 2],
    /// The axis of output 0 with the output channels.
    pub result: usize,
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// True where the weight's axes from the third on are a window over the input's spatial axes, as a Conv's are.
    pub window: bool,
    /// What the sum is multiplied by.
    pub factor: f64,
    /// The slot of a bias and what it is multiplied by, where the operator has one.
    pub bias: Option<(usize, f64)>,
    /// Sizes of the convolution, where the layer is one: there is a window.
    pub geometry: Option<Geometry>,
}

impl Linear {
    /// Slot of the layer's input.
    pub fn slot(&self) -> usize {
        match self.input.port {
            Port::In(slot) | Port::Out(slot) => slot,
        }
    }
}

/// An ONNX operator with its attributes.
pub trait Op: Debug + Send + Sync + Hints {
    /// The attributes, as the table reads them. Law 1: reading what this writes gives the same operator.
    fn attributes(&self) -> Attributes;

    /// Types and shapes of the results.
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal>;

    /// True where [`super::Compute::backward`] gives the gradient; false for integer results, index operators and the like.
    fn differentiable(&self) -> bool;

    /// The operator at the shapes and constants of one node: all that can fail fails here, and forward and backward cannot.
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal>;

    /// States which coordinates belong together. What is unsaid is frozen.
    fn channels(&self, io: &Io, link: &mut dyn Couplings);

    /// What it counts for.
    fn cost(&self, io: &Io) -> Work;

    /// The node after deletion: restated attributes and constant inputs. `io` is the node before.
    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal>;
}
