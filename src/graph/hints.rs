//! Questions that only some operators answer, whose answers make a stage faster or finer.
//!
//! Takes: operands and slots. Gives: forms that a stage knows how to use. Never: decides whether a result is right. Silence is
//! safe here, it costs time or a few channels, so that there are default bodies.

use super::form::Form;
use super::io::{Axis, Io, Operands, Port};
use crate::kernels::conv::Geometry;
use crate::tensor::{Tensor, volume};
use std::borrow::Cow;

/// An operand's element from the other operand's and the result's: the inverse of a function of two numbers.
pub type Inverse = fn(other: f64, result: f64) -> f64;

/// Questions that an operator may leave unanswered.
pub trait Hints {
    /// The tensor that the node itself stores: its only result.
    fn stored(&self) -> Option<Cow<'_, Tensor>> {
        None
    }

    /// True where the results follow from the operands' shapes alone.
    fn needs_shapes_only(&self) -> bool {
        false
    }

    /// Why no node of this operator is run, whatever its attributes and operands are: a phrase that follows the node's name.
    fn never_run(&self) -> Option<&str> {
        None
    }

    /// Where runtimes read the node in different ways, and how: a phrase that follows the node's name.
    fn caution(&self, _: &Io) -> Option<String> {
        None
    }

    /// True where the first result consists of elements of input `slot` (and of others of which this is said too), moved or
    /// repeated.
    fn rearranges(&self, _: usize) -> bool {
        false
    }

    /// True where the first result can be made of whole channels of input 0 and of zeros.
    fn picks_channels(&self) -> bool {
        false
    }

    /// Number of coordinates that the elements of input `slot` choose among; `None` where they are no indices.
    fn indexes(&self, _: &Io, _slot: usize) -> Option<usize> {
        None
    }

    /// True where a zero among the sizes that input `slot` states is the size of input 0 along that axis.
    fn copies_sizes(&self, _slot: usize) -> bool {
        false
    }

    /// How input `slot` follows from the other one and the result, element by element.
    fn inverse(&self, _slot: usize) -> Option<Inverse> {
        None
    }

    /// True for y = a + b.
    fn adds(&self) -> bool {
        false
    }

    /// True where every element of the first result is a mean of elements of input 0.
    fn averages(&self) -> bool {
        false
    }

    /// True where no element of a result can be below zero, whatever the operands are or because those marked in `x` cannot be.
    fn never_negative(&self, _: &Operands) -> bool {
        false
    }

    /// The operator as a layer whose weight is a constant, for fusing, bias compensation, reconstruction and finetuning. `None`
    /// where it is no such layer, or where every output position sees other parts of the weight.
    fn linear(&self, _: &Io) -> Option<Linear> {
        None
    }

    /// The bounds that the operator holds its first input within.
    fn limit(&self, _: &Operands) -> Option<Limit> {
        None
    }

    /// The operator as a normalisation by stored statistics.
    fn normalisation(&self) -> Option<Normalisation> {
        None
    }

    /// The input slot of the logits, where the result is their probabilities or the logarithms of these.
    fn logits(&self) -> Option<usize> {
        None
    }

    /// Input slots of weights, biases, scales and slopes: what can be trained where it is a constant.
    fn parameters(&self) -> &'static [usize] {
        &[]
    }

    /// The node in operators of an opset that take tract less time, where there are such. Its floating-point operands hold 32 bits.
    fn form(&self, _: &Io, _opset: i64) -> Option<Form> {
        None
    }

    /// Instructions beyond one pass over the elements (for products: beyond the product); `None` where tract makes no pass at
    /// all, since it only renames what is there or computes it on the way of others.
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::PASS
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

/// Bounds of the result: y = min(max(x, low), high).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// y = max(x, 0), with the gradient 0 at 0.
    Relu,
    /// Stated by the node.
    Clip {
        /// The lower bound, where it is a known number.
        low: Option<f64>,
    },
}

impl Limit {
    /// True where nothing below zero is let through, and all that is above up to some bound.
    pub fn is_rectifier(self) -> bool {
        matches!(self, Self::Relu) || self == Self::Clip { low: Some(0.0) }
    }
}

/// y = scale·(x − mean)/√(variance + ε) + bias along axis 1, with an operand of one number per channel in each slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// Input slot of the scale.
    pub scale: usize,
    /// Input slot of the bias.
    pub bias: usize,
    /// Input slot of the mean.
    pub mean: usize,
    /// Input slot of the variance.
    pub variance: usize,
    /// ε as the node states it; 1e-5 where it does not.
    pub epsilon: Option<f32>,
}

/// Instructions of tract per element of the larger of an operator's first input and its output. They were counted in QEMU
/// (`benches/instructions`) for single operators over 1×64×28×28 values, as a Cortex-A53 and, for programs of 32 bits, as a
/// Cortex-A7; a pass alone takes 3 and 7.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Instructions {
    /// In programs of 64 bits.
    pub wide: f64,
    /// In programs of 32 bits, which have vectors in kernels only.
    pub narrow: f64,
}

impl Instructions {
    /// No more than one pass over the elements.
    pub const PASS: Option<Self> = Self::counted(0.0, 0.0);

    /// As counted for programs of 64 and of 32 bits.
    pub const fn counted(wide: f64, narrow: f64) -> Option<Self> {
        Some(Self { wide, narrow })
    }

    /// Counts per element of the output.
    pub fn per_output(wide: f64, narrow: f64, io: &Io) -> Option<Self> {
        let (input, output) = (io.input(0).map_or(0, volume), volume(io.output(0)));
        let share = output as f64 / input.max(output).max(1) as f64;
        Self::counted(share * wide, share * narrow)
    }

    /// The count for programs of 32 bits where `is_narrow`, else of 64.
    pub fn of(self, is_narrow: bool) -> f64 {
        if is_narrow { self.narrow } else { self.wide }
    }
}
