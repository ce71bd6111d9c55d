//! Swish: y = x / (1 + e^(−alpha·x)). <https://onnx.ai/onnx/operators/onnx__Swish.html>

use super::family::activation::sigmoid;
use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Swish {
    alpha: Option<f32>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Swish { alpha: r.float("alpha")? })))
}

impl Swish {
    fn alpha<T: Real>(&self) -> T {
        T::of(self.alpha.unwrap_or(1.0).into())
    }
}

impl PointwiseFn for Swish {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(5.0, 4.0);
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("alpha", self.alpha).done()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        x / (T::one() + (-self.alpha::<T>() * x).exp())
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        let s = sigmoid(self.alpha::<T>() * x);
        s + self.alpha::<T>() * x * s * (T::one() - s)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("Swish").inputs([data(&[2, 3, 4])]).free(9),
        Case::new("Swish").named("alpha").opset(24).float("alpha", 1.702).inputs([data(&[2, 3, 4])]).free(9),
    ]
}
