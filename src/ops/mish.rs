//! Mish: y = x·tanh(ln(1 + eˣ)). <https://onnx.ai/onnx/operators/onnx__Mish.html>

use super::family::activation::softplus;
use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Mish;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Mish)))
}

impl PointwiseFn for Mish {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(27.0, 352.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        x * softplus(x).tanh()
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        let t = softplus(x).tanh();
        t + x * (T::one() - t * t) / (T::one() + (-x).exp())
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Mish").inputs([data(&[2, 3, 4])]).free(9)]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::*;

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let case = Case::new("Mish").inputs([floats(&[-3.0, -1.0, -0.25, 0.0, 0.5, 2.0])]);
        case.gives(&[-0.1456474512, -0.3034014403, -0.1299269646, 0.0, 0.3752452433, 1.9439589977]);
    }
}
