//! Cos: y = cos x. <https://onnx.ai/onnx/operators/onnx__Cos.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Cos;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Cos)))
}

impl PointwiseFn for Cos {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(35.0, 37.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn f<T: Real>(&self, x: T) -> T {
        x.cos()
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        -x.sin()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Cos").inputs([data(&[2, 3, 4])]).free(9)]
}
