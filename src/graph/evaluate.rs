//! A bound node on arrays, for callers that run one at a time.

use super::fact::Fact;
use super::kernel::{Compute, Inputs};
use crate::tensor::{Array, Real};
use ndarray::ArrayViewD;

/// Results of a kernel for operands `x`, of the shapes in `y`. Integers are not rounded to their types.
pub fn computed<T: Real>(kernel: &(impl Compute<T> + ?Sized), x: &Inputs<T>, y: &[Fact]) -> Vec<Array<T>> {
    let mut results: Vec<Array<T>> = y.iter().map(|fact| Array::zeros(fact.shape.as_slice())).collect();
    let mut views: Vec<_> = results.iter_mut().map(|y| y.view_mut()).collect();
    kernel.forward(x, &mut views);
    results
}

/// Views of operands by slot.
pub fn views<T>(x: &[Option<Array<T>>]) -> Vec<Option<ArrayViewD<'_, T>>> {
    x.iter().map(|x| x.as_ref().map(|x| x.view())).collect()
}
