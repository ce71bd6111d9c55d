//! Abs: y = |x|. <https://onnx.ai/onnx/operators/onnx__Abs.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Abs;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Abs)))
}

impl PointwiseFn for Abs {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, _: bool) -> bool {
        true
    }
    fn f<T: Real>(&self, x: T) -> T {
        x.abs()
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        if x < T::zero() { -T::one() } else { T::one() }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Abs").inputs([data(&[2, 3, 4])]).free(9)]
}
