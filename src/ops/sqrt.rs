//! Sqrt: y = √x. <https://onnx.ai/onnx/operators/onnx__Sqrt.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Sqrt;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Sqrt)))
}

impl PointwiseFn for Sqrt {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, _: bool) -> bool {
        true
    }
    fn f<T: Real>(&self, x: T) -> T {
        x.sqrt()
    }
    fn df<T: Real>(&self, _: T, y: T) -> T {
        T::of(0.5) / y
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, positive};
    vec![Case::new("Sqrt").inputs([positive(&[2, 3, 4])]).free(9)]
}
