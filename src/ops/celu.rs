//! Celu: y = max(0, x) + min(0, alpha·(e^(x/alpha) − 1)). <https://onnx.ai/onnx/operators/onnx__Celu.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Celu {
    alpha: Option<f32>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Celu { alpha: r.float("alpha")? })))
}

impl Celu {
    fn alpha<T: Real>(&self) -> T {
        T::of(self.alpha.unwrap_or(1.0).into())
    }
}

impl PointwiseFn for Celu {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(10.0, 173.0);
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("alpha", self.alpha).done()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        if x < T::zero() { self.alpha::<T>() * (x / self.alpha()).exp_m1() } else { x }
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        if x < T::zero() { (x / self.alpha()).exp() } else { T::one() }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("Celu").inputs([data(&[2, 3, 4])]).free(9),
        Case::new("Celu").named("alpha").float("alpha", 2.0).inputs([data(&[2, 3, 4])]).free(9),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::*;

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let case =
            Case::new("Celu").float("alpha", 0.5).inputs([floats(&[-3.0, -1.0, -0.25, 0.0, 0.5, 2.0])]);
        case.gives(&[-0.4987606108, -0.4323323667, -0.1967346668, 0.0, 0.5, 2.0]);
    }
}
