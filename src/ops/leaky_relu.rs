//! LeakyRelu: y = x for x ≥ 0, else alpha·x. <https://onnx.ai/onnx/operators/onnx__LeakyRelu.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct LeakyRelu {
    alpha: Option<f32>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(LeakyRelu { alpha: r.float("alpha")? })))
}

impl LeakyRelu {
    fn alpha<T: Real>(&self) -> T {
        T::of(self.alpha.unwrap_or(0.01).into())
    }
}

impl PointwiseFn for LeakyRelu {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("alpha", self.alpha).done()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        if x < T::zero() { self.alpha::<T>() * x } else { x }
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        if x < T::zero() { self.alpha() } else { T::one() }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("LeakyRelu").inputs([data(&[2, 3, 4])]).free(9),
        Case::new("LeakyRelu").named("alpha").float("alpha", 0.2).inputs([data(&[2, 3, 4])]).free(9),
    ]
}
