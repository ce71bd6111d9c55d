//! ThresholdedRelu: y = x for x > alpha, else 0. <https://onnx.ai/onnx/operators/onnx__ThresholdedRelu.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct ThresholdedRelu {
    alpha: Option<f32>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(ThresholdedRelu { alpha: r.float("alpha")? })))
}

impl ThresholdedRelu {
    fn alpha<T: Real>(&self) -> T {
        T::of(self.alpha.unwrap_or(1.0).into())
    }
}

impl PointwiseFn for ThresholdedRelu {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(35.0, 31.0);
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("alpha", self.alpha).done()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        if x > self.alpha() { x } else { T::zero() }
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        if x > self.alpha() { T::one() } else { T::zero() }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("ThresholdedRelu").inputs([data(&[2, 3, 4])]).free(9),
        Case::new("ThresholdedRelu").named("alpha").float("alpha", 0.3).inputs([data(&[2, 3, 4])]).free(9),
    ]
}
