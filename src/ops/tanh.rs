//! Tanh: y = tanh x. <https://onnx.ai/onnx/operators/onnx__Tanh.html>

use super::family::activation::{tanh, tanh_slope};
use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

/// The function.
#[derive(Debug, Clone)]
pub struct Tanh;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Tanh)))
}

impl PointwiseFn for Tanh {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(4.0, 3.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        tanh(x)
    }
    fn df<T: Real>(&self, _: T, y: T) -> T {
        tanh_slope(y)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Tanh").inputs([data(&[2, 3, 4])]).free(9)]
}
