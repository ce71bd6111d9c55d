//! Not: y = not x. <https://onnx.ai/onnx/operators/onnx__Not.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Not;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Not)))
}

impl PointwiseFn for Not {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn dtype(&self, _: DType) -> DType {
        DType::Bool
    }
    fn differentiable(&self) -> bool {
        false
    }
    fn never_negative(&self, _: bool) -> bool {
        true
    }
    fn f<T: Real>(&self, x: T) -> T {
        if x == T::zero() { T::one() } else { T::zero() }
    }
    fn df<T: Real>(&self, _: T, _: T) -> T {
        T::zero()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Not").inputs([data(&[2, 3, 4])]).free(9)]
}
