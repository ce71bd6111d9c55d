//! Sin: y = sin x. <https://onnx.ai/onnx/operators/onnx__Sin.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Sin;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Sin)))
}

impl PointwiseFn for Sin {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(34.0, 54.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn f<T: Real>(&self, x: T) -> T {
        x.sin()
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        x.cos()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Sin").inputs([data(&[2, 3, 4])]).free(9)]
}
