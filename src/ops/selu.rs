//! Selu: y = gamma·x for x > 0, else gamma·alpha·(eˣ − 1). <https://onnx.ai/onnx/operators/onnx__Selu.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use super::family::steps::{exponential_less_one, sides_of_zero};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Selu {
    alpha: Option<f32>,
    gamma: Option<f32>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Selu { alpha: r.float("alpha")?, gamma: r.float("gamma")? })))
}

impl Selu {
    fn alpha<T: Real>(&self) -> T {
        T::of(self.alpha.unwrap_or(1.673_263_2).into())
    }
    fn gamma<T: Real>(&self) -> T {
        T::of(self.gamma.unwrap_or(1.050_701).into())
    }
}

impl PointwiseFn for Selu {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(28.0, 176.0);
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("alpha", self.alpha).maybe("gamma", self.gamma).done()
    }
    /// γ·max(x, 0) + γ·α·(exp(min(x, 0)) − 1)
    fn form(&self, opset: i64) -> Option<Form> {
        let mut form = Form::new(opset);
        let [above, below] = sides_of_zero(&mut form, Term::Operand(0))?;
        let sides = [above, exponential_less_one(&mut form, below)];
        let gamma = self.gamma::<f64>();
        let factors = [gamma, gamma * self.alpha::<f64>()].map(|factor| form.number(factor));
        let [above, below] = [0, 1].map(|k| form.plain("Mul", &[sides[k], factors[k]]));
        form.plain("Add", &[above, below]);
        Some(form)
    }
    fn f<T: Real>(&self, x: T) -> T {
        let x = if x > T::zero() { x } else { self.alpha::<T>() * x.exp_m1() };
        self.gamma::<T>() * x
    }
    fn df<T: Real>(&self, x: T, y: T) -> T {
        if x > T::zero() { self.gamma() } else { y + self.gamma::<T>() * self.alpha() }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("Selu").inputs([data(&[2, 3, 4])]).free(9),
        Case::new("Selu")
            .named("constants")
            .float("alpha", 2.0)
            .float("gamma", 3.0)
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
        let case = Case::new("Selu").inputs([floats(&[-3.0, -1.0, -0.25, 0.0, 0.5, 2.0])]);
        case.gives(&[-1.6705687046, -1.1113307476, -0.388890177, 0.0, 0.525350511, 2.1014020442]);
    }
}
