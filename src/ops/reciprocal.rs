//! Reciprocal: y = 1/x. <https://onnx.ai/onnx/operators/onnx__Reciprocal.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Reciprocal;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Reciprocal)))
}

impl PointwiseFn for Reciprocal {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        T::one() / x
    }
    fn df<T: Real>(&self, _: T, y: T) -> T {
        -y * y
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Reciprocal").inputs([data(&[2, 3, 4])]).free(9)]
}
