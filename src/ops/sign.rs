//! Sign: y = −1, 0 or 1. <https://onnx.ai/onnx/operators/onnx__Sign.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Sign;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Sign)))
}

impl PointwiseFn for Sign {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(1.0, 10.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        if x > T::zero() {
            T::one()
        } else if x < T::zero() {
            -T::one()
        } else {
            T::zero()
        }
    }
    fn df<T: Real>(&self, _: T, _: T) -> T {
        T::zero()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Sign").inputs([data(&[2, 3, 4])]).free(9)]
}
