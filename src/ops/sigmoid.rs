//! Sigmoid: y = 1 / (1 + e⁻ˣ). <https://onnx.ai/onnx/operators/onnx__Sigmoid.html>

use super::family::activation::{sigmoid, sigmoid_slope};
use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

/// The function.
#[derive(Debug, Clone)]
pub struct Sigmoid;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Sigmoid)))
}

impl PointwiseFn for Sigmoid {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(5.0, 4.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, _: bool) -> bool {
        true
    }
    fn f<T: Real>(&self, x: T) -> T {
        sigmoid(x)
    }
    fn df<T: Real>(&self, _: T, y: T) -> T {
        sigmoid_slope(y)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Sigmoid").inputs([data(&[2, 3, 4])]).free(9)]
}
