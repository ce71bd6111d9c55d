//! Exp: y = eˣ. <https://onnx.ai/onnx/operators/onnx__Exp.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Exp;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Exp)))
}

impl PointwiseFn for Exp {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(7.0, 132.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, _: bool) -> bool {
        true
    }
    fn f<T: Real>(&self, x: T) -> T {
        x.exp()
    }
    fn df<T: Real>(&self, _: T, y: T) -> T {
        y
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Exp").inputs([data(&[2, 3, 4])]).free(9)]
}
