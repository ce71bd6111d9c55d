//! What an operator computes, once the shapes of a node are known.
//!
//! Takes: views of operands and of gradients, all row-major. Gives: results and gradients, into the views it is given.
//! Never: resolves a shape or an attribute (that is for [`super::Op::bind`]), allocates a result, or passes over a fault.

use crate::tensor::Real;
use ndarray::{ArrayViewD, ArrayViewMutD};
use std::fmt::Debug;

/// A node's operands by slot; `None` where an optional one is absent.
pub type Inputs<'a, T> = [Option<ArrayViewD<'a, T>>];

/// A node's results, or their gradients.
pub type Results<'a, T> = [ArrayViewD<'a, T>];

/// A node's results, to be written.
pub type ResultsMut<'a, T> = [ArrayViewMutD<'a, T>];

/// Gradients of a node's operands, by slot, to be added to; `None` where one is not wanted.
pub type InputGradients<'a, T> = [Option<ArrayViewMutD<'a, T>>];

/// Values and gradients of a node, for one type of real number.
///
/// Every view is row-major, and has the shape that the kernel was bound to. Integers and truth values are converted; operands
/// that say where to look (axes, sizes, indices that are constants) were read by `bind`, in their own type, and are not read here.
pub trait Compute<T: Real> {
    /// Computes the results; their content is overwritten.
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>);

    /// Adds the gradients: `dx[i] += Σ_k dy[k]·∂y[k]/∂x[i]`, for all inputs where `dx[i]` is asked for.
    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>);
}

/// An operator, bound to the shapes of one node.
pub trait Kernel: Debug + Send + Sync + Compute<f32> + Compute<f64> {}

impl<K: Debug + Send + Sync + Compute<f32> + Compute<f64>> Kernel for K {}

/// Operand `slot`, which `bind` found present.
pub fn present<'x, 'a, T>(x: &'x Inputs<'a, T>, slot: usize) -> &'x ArrayViewD<'a, T> {
    x.get(slot).and_then(Option::as_ref).expect("bind refuses a node without this operand")
}

/// Operand `slot`, where the node has it.
pub fn optional<'x, 'a, T>(x: &'x Inputs<'a, T>, slot: usize) -> Option<&'x ArrayViewD<'a, T>> {
    x.get(slot).and_then(Option::as_ref)
}

/// Gradient of operand `slot`, where it is wanted.
pub fn wanted<'x, 'a, T>(
    dx: &'x mut InputGradients<'a, T>,
    slot: usize,
) -> Option<&'x mut ArrayViewMutD<'a, T>> {
    dx.get_mut(slot).and_then(Option::as_mut)
}
