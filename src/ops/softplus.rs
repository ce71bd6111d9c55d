//! Softplus: y = ln(1 + eˣ). <https://onnx.ai/onnx/operators/onnx__Softplus.html>

use super::family::activation::{sigmoid, softplus};
use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Softplus;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Softplus)))
}

impl PointwiseFn for Softplus {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(19.0, 337.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, _: bool) -> bool {
        true
    }
    fn f<T: Real>(&self, x: T) -> T {
        softplus(x)
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        sigmoid(x)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Softplus").inputs([data(&[2, 3, 4])]).free(9)]
}

#[cfg(test)]
mod tests {
    // onnxruntime 1.32: x itself; tract 0.23.9 gives infinity above 88.7, where eˣ overflows.
    #[test]
    fn large_numbers_stay_what_they_are() {
        use crate::ops::laws::*;
        Case::new("Softplus").inputs([floats(&[100.0, -100.0, 0.0])]).gives(&[
            100.0,
            0.0,
            std::f64::consts::LN_2,
        ]);
    }
}
