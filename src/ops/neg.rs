//! Neg: y = −x. <https://onnx.ai/onnx/operators/onnx__Neg.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Neg;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Neg)))
}

impl PointwiseFn for Neg {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn f<T: Real>(&self, x: T) -> T {
        -x
    }
    fn df<T: Real>(&self, _: T, _: T) -> T {
        -T::one()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Neg").inputs([data(&[2, 3, 4])]).free(9)]
}
