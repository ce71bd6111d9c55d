//! Relu: y = max(x, 0). <https://onnx.ai/onnx/operators/onnx__Relu.html>

use super::family::activation::{relu, relu_slope};
use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

/// The function.
#[derive(Debug, Clone)]
pub struct Relu;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Relu)))
}

impl PointwiseFn for Relu {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(0.0, 9.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn limit(&self) -> Option<Limit> {
        Some(Limit::Relu)
    }
    fn never_negative(&self, _: bool) -> bool {
        true
    }
    fn f<T: Real>(&self, x: T) -> T {
        relu(x)
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        relu_slope(x)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Relu").inputs([data(&[2, 3, 4])]).free(9)]
}
