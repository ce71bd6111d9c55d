//! Softsign: y = x / (1 + |x|). <https://onnx.ai/onnx/operators/onnx__Softsign.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Softsign;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Softsign)))
}

impl PointwiseFn for Softsign {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(2.0, 18.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        x / (T::one() + x.abs())
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        let d = T::one() + x.abs();
        T::one() / (d * d)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Softsign").inputs([data(&[2, 3, 4])]).free(9)]
}
