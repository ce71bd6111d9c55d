//! Erf: y = 2/√π · ∫₀ˣ e^(−t²) dt. <https://onnx.ai/onnx/operators/onnx__Erf.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Erf;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Erf)))
}

impl PointwiseFn for Erf {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(5.0, 28.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        T::of(libm::erf(x.wide()))
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        T::of(std::f64::consts::FRAC_2_SQRT_PI) * (-x * x).exp()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Erf").inputs([data(&[2, 3, 4])]).free(9)]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::*;

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let case = Case::new("Erf").inputs([floats(&[-3.0, -1.0, -0.25, 0.0, 0.5, 2.0])]);
        case.gives(&[-0.9999778866, -0.8427007794, -0.2763263881, 0.0, 0.520499885, 0.9953222870]);
    }
}
