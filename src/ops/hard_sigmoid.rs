//! HardSigmoid: y = max(0, min(1, alpha·x + beta)). <https://onnx.ai/onnx/operators/onnx__HardSigmoid.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct HardSigmoid {
    alpha: Option<f32>,
    beta: Option<f32>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(HardSigmoid { alpha: r.float("alpha")?, beta: r.float("beta")? })))
}

impl HardSigmoid {
    fn alpha<T: Real>(&self) -> T {
        T::of(self.alpha.unwrap_or(0.2).into())
    }
    fn beta<T: Real>(&self) -> T {
        T::of(self.beta.unwrap_or(0.5).into())
    }
}

impl PointwiseFn for HardSigmoid {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(1.0, 34.0);
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("alpha", self.alpha).maybe("beta", self.beta).done()
    }
    fn never_negative(&self, _: bool) -> bool {
        true
    }
    fn f<T: Real>(&self, x: T) -> T {
        (self.alpha::<T>() * x + self.beta()).max(T::zero()).min(T::one())
    }
    fn df<T: Real>(&self, _: T, y: T) -> T {
        if y > T::zero() && y < T::one() { self.alpha() } else { T::zero() }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("HardSigmoid").inputs([data(&[2, 3, 4])]).free(9),
        Case::new("HardSigmoid")
            .named("kinks")
            .float("alpha", 1.0)
            .float("beta", 0.37)
            .inputs([data(&[2, 3, 4])])
            .free(9),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::*;

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let case = Case::new("HardSigmoid").inputs([floats(&[-3.0, -1.0, -0.25, 0.0, 0.5, 2.0])]);
        case.gives(&[0.0, 0.3, 0.45, 0.5, 0.6, 0.9]);
    }
}
