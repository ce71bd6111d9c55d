//! Ceil: y = ⌈x⌉. <https://onnx.ai/onnx/operators/onnx__Ceil.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Ceil;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Ceil)))
}

impl PointwiseFn for Ceil {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(0.0, 16.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        x.ceil()
    }
    fn df<T: Real>(&self, _: T, _: T) -> T {
        T::zero()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Ceil").inputs([data(&[2, 3, 4])]).free(9)]
}
