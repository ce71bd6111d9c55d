//! What an operator must answer. One file in `ops/` implements this for one operator (or one family).
//!
//! Takes: operand facts and values. Gives: shapes, values, gradients, channel relations, costs, resized forms.
//! Never: has default bodies. An operator cannot forget a question.

use super::attributes::{Attributes, Refusal};
use super::fact::Fact;
use super::hints::Hints;
use super::io::{Axis, Io, Operands};
use super::kernel::Kernel;
use crate::tensor::Tensor;
use std::fmt::Debug;

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
