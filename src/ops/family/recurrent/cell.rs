//! The cell: one step of an operator of the family.

use crate::graph::*;
use crate::ops::family::activation::{relu, relu_slope, sigmoid, sigmoid_slope, tanh, tanh_slope};
use crate::tensor::*;
use std::fmt::Debug;

/// A function that is applied to a gate or a state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// tanh x
    Tanh,
}

impl Activation {
    /// By its name in ONNX.
    pub(super) fn named(name: &str) -> Result<Self, Refusal> {
        match name {
            _ if name.eq_ignore_ascii_case("Relu") => Ok(Self::Relu),
            _ if name.eq_ignore_ascii_case("Sigmoid") => Ok(Self::Sigmoid),
            _ if name.eq_ignore_ascii_case("Tanh") => Ok(Self::Tanh),
            _ => unsupported(format!("activation '{name}'")),
        }
    }

    /// Its value.
    pub fn of<T: Real>(self, x: T) -> T {
        match self {
            Self::Relu => relu(x),
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => tanh(x),
        }
    }

    /// Derivative, by the value `y`: ReLU's is 1 for y > 0, where its argument is above zero, too.
    pub fn slope<T: Real>(self, y: T) -> T {
        match self {
            Self::Relu => relu_slope(y),
            Self::Sigmoid => sigmoid_slope(y),
            Self::Tanh => tanh_slope(y),
        }
    }
}

/// One step of an operator of the family.
pub trait Cell: Debug + Clone + Send + Sync + 'static {
    /// Number of gates of W and R, which stand one below the other.
    const GATES: usize;
    /// Number of states that go from step to step: the hidden state, and perhaps a cell state.
    const STATES: usize;
    /// Default activations, in the standard's order.
    const ACTIVATIONS: &'static [Activation];
    /// As [`crate::graph::Hints::parameters`]: W, R and their bias.
    const PARAMETERS: &'static [usize] = &[1, 2, 3];

    /// Adds the attributes that only this operator has to a writer.
    fn write(&self, w: Writer) -> Writer;

    /// Number of direct gates, from the first on: they take the product of R and the hidden state itself.
    fn direct(&self) -> usize;

    /// Gates and states of a step.
    fn forward<T: Real>(&self, f: &[Activation], s: Step<T>);

    /// Gradients of a step.
    fn backward<T: Real>(&self, f: &[Activation], s: Back<T>);
}

/// One step of one direction. Rows are images; the gates of an image stand side by side.
pub struct Step<'a, T> {
    /// Hidden units.
    pub hidden: usize,
    /// Products with W and its bias (and R's, where a gate is not direct), then the gates.
    pub gates: &'a mut [T],
    /// Products of the direct gates with R and its bias.
    pub recurrent: &'a [T],
    /// The rows of R for the other gates.
    pub rest: &'a [T],
    /// Peephole weights, gate by gate, where gates see the cell state.
    pub peepholes: Option<&'a [T]>,
    /// States at the start of the step: hidden, cell.
    pub before: [&'a [T]; 2],
    /// States at its end.
    pub after: [&'a mut [T]; 2],
}

/// One step of one direction on the way back.
pub struct Back<'a, T> {
    /// Hidden units.
    pub hidden: usize,
    /// The gates, then the gradients of the products with W.
    pub gates: &'a mut [T],
    /// Products of the direct gates with R, then their gradients.
    pub recurrent: &'a mut [T],
    /// The rows of R for the other gates.
    pub rest: &'a [T],
    /// Gradient of these rows, where it is wanted.
    pub d_rest: Option<&'a mut [T]>,
    /// Peephole weights, gate by gate, where gates see the cell state.
    pub peepholes: Option<&'a [T]>,
    /// Gradient of the peephole weights, where it is wanted.
    pub d_peepholes: Option<&'a mut [T]>,
    /// States at the start of the step: hidden, cell.
    pub before: [&'a [T]; 2],
    /// States at its end.
    pub after: [&'a [T]; 2],
    /// Gradients of the states at its end.
    pub d_after: [&'a [T]; 2],
    /// Gradients of the states at its start, without the part that goes through [`Back::recurrent`]: zero at first.
    pub d_before: [&'a mut [T]; 2],
}

/// The `N` parts of the gates of an image.
pub fn parts<T, const N: usize>(row: &mut [T]) -> [&mut [T]; N] {
    let mut parts = row.chunks_exact_mut((row.len() / N).max(1));
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// `to += from`, element by element.
pub fn add<T: Real>(to: &mut [T], from: &[T]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to += from);
}
