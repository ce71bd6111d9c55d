//! The cell: what an operator of the family does in one step.

use crate::graph::*;
use crate::ops::family::pointwise::PointwiseFn;
use crate::ops::relu::Relu;
use crate::ops::sigmoid::Sigmoid;
use crate::ops::tanh::Tanh;
use crate::tensor::*;
use std::fmt::Debug;

/// What is applied to a gate or a state.
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
            Self::Relu => Relu.f(x),
            Self::Sigmoid => Sigmoid.f(x),
            Self::Tanh => Tanh.f(x),
        }
    }

    /// Its derivative, where its value is `y`: above zero where what it is applied to is, as far as that matters.
    pub fn slope<T: Real>(self, y: T) -> T {
        match self {
            Self::Relu => Relu.df(y, y),
            Self::Sigmoid => Sigmoid.df(y, y),
            Self::Tanh => Tanh.df(y, y),
        }
    }
}

/// What an operator of the family does in one step.
pub trait Cell: Debug + Clone + Send + Sync + 'static {
    /// Gates of W and R, one below the other.
    const GATES: usize;
    /// States that go from step to step: the hidden one, and a cell state.
    const STATES: usize;
    /// What is applied where the node names nothing else, in the standard's order.
    const ACTIVATIONS: &'static [Activation];
    /// As [`crate::graph::Hints::parameters`]: W, R and their bias.
    const PARAMETERS: &'static [usize] = &[1, 2, 3];

    /// Writes the attributes that are its own.
    fn write(&self, w: Writer) -> Writer;

    /// How many gates, from the first on, take the product of R and the hidden state as it is.
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
    /// What W gives with its bias (and R's, where a gate is not direct), then the gates.
    pub gates: &'a mut [T],
    /// What R and its bias give to the direct gates.
    pub recurrent: &'a [T],
    /// The rows of R for the other gates.
    pub rest: &'a [T],
    /// What gates see the cell state with, gate by gate, where they do.
    pub peepholes: Option<&'a [T]>,
    /// The states before the step: hidden, cell.
    pub before: [&'a [T]; 2],
    /// The states after it.
    pub after: [&'a mut [T]; 2],
}

/// The same backward.
pub struct Back<'a, T> {
    /// Hidden units.
    pub hidden: usize,
    /// The gates, then the gradients of what W gives.
    pub gates: &'a mut [T],
    /// What R gives to the direct gates, then its gradients.
    pub recurrent: &'a mut [T],
    /// The rows of R for the other gates.
    pub rest: &'a [T],
    /// Their gradient, where it is asked for.
    pub d_rest: Option<&'a mut [T]>,
    /// What gates see the cell state with, gate by gate, where they do.
    pub peepholes: Option<&'a [T]>,
    /// Its gradient, where it is asked for.
    pub d_peepholes: Option<&'a mut [T]>,
    /// The states before the step: hidden, cell.
    pub before: [&'a [T]; 2],
    /// The states after it.
    pub after: [&'a [T]; 2],
    /// Gradients of the states after it.
    pub d_after: [&'a [T]; 2],
    /// Gradients of the states before it, but for what goes through [`Back::recurrent`]: zero at first.
    pub d_before: [&'a mut [T]; 2],
}

/// The `N` parts of the gates of an image.
pub fn parts<T, const N: usize>(row: &mut [T]) -> [&mut [T]; N] {
    let mut parts = row.chunks_exact_mut((row.len() / N).max(1));
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// Adds numbers to others.
pub fn add<T: Real>(to: &mut [T], from: &[T]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to += from);
}
