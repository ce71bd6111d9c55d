//! Elu: y = x for x ≥ 0, else alpha·(eˣ − 1). <https://onnx.ai/onnx/operators/onnx__Elu.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use super::family::steps::{exponential_less_one, sides_of_zero};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Elu {
    alpha: Option<f32>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Elu { alpha: r.float("alpha")? })))
}

impl Elu {
    fn alpha<T: Real>(&self) -> T {
        T::of(self.alpha.unwrap_or(1.0).into())
    }
}

impl PointwiseFn for Elu {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(27.0, 166.0);
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("alpha", self.alpha).done()
    }
    /// max(x, 0) + α·(exp(min(x, 0)) − 1)
    fn form(&self, opset: i64) -> Option<Form> {
        let mut form = Form::new(opset);
        let [above, below] = sides_of_zero(&mut form, Term::Operand(0))?;
        let mut below = exponential_less_one(&mut form, below);
        let alpha = self.alpha::<f64>();
        if alpha != 1.0 {
            let alpha = form.number(alpha);
            below = form.plain("Mul", &[below, alpha]);
        }
        form.plain("Add", &[above, below]);
        Some(form)
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        if x < T::zero() { self.alpha::<T>() * x.exp_m1() } else { x }
    }
    fn df<T: Real>(&self, x: T, y: T) -> T {
        if x < T::zero() { y + self.alpha() } else { T::one() }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("Elu").inputs([data(&[2, 3, 4])]).free(9),
        Case::new("Elu").named("alpha").float("alpha", 0.5).inputs([data(&[2, 3, 4])]).free(9),
    ]
}
