//! GlobalMaxPool: y = the largest x over all spatial axes.
//! <https://onnx.ai/onnx/operators/onnx__GlobalMaxPool.html>

use super::family::pool::{Global, Whole};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct GlobalMaxPool;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Global(GlobalMaxPool)))
}

impl Whole for GlobalMaxPool {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(1.0, 10.0);
    const DOES: &'static str = "takes the maximum";
    fn forward<T: Real>(&self, x: &[T]) -> T {
        x.iter().copied().fold(T::min_value(), T::max)
    }
    /// The gradient goes to the first of the largest.
    fn backward<T: Real>(&self, x: &[T], y: T, dy: T, dx: &mut [T]) {
        if let Some(k) = x.iter().position(|&x| x == y) {
            dx[k] += dy;
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("GlobalMaxPool").inputs([data(&[2, 3, 3, 4])]).free(5),
        Case::new("GlobalMaxPool").named("1d").inputs([data(&[1, 3, 5])]).free(3),
    ]
}
