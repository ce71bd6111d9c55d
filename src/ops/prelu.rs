//! PRelu: y = x for x ≥ 0, else slope·x; the slope is broadcast to x. <https://onnx.ai/onnx/operators/onnx__PRelu.html>

use super::family::binary::{Binary, BinaryFn};
use super::family::steps::sides_of_zero;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct PRelu;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Binary(PRelu)))
}

impl BinaryFn for PRelu {
    const ABSORBS: bool = false;
    const PARAMETERS: &'static [usize] = &[1];
    /// max(x, 0) + slope·min(x, 0); tract compares, multiplies and chooses, element by element.
    fn form(&self, _: &Io, opset: i64) -> Option<Form> {
        let (mut form, [x, slope]) = (Form::new(opset), [Term::Operand(0), Term::Operand(1)]);
        let [above, below] = sides_of_zero(&mut form, x)?;
        let below = form.plain("Mul", &[below, slope]);
        form.plain("Add", &[above, below]);
        Some(form)
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(38.0, 44.0)
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (x_fact, slope) = (need(x, 0)?, need(x, 1)?);
        let y = super::family::broadcast::infer_two(x)?;
        if y[0].shape != x_fact.shape {
            return invalid(format!("slope {:?} is larger than input {:?}", slope.shape, x_fact.shape));
        }
        Ok(y)
    }
    fn never_negative(&self, x: [bool; 2]) -> bool {
        x[0]
    }
    fn f<T: Real>(&self, x: T, slope: T) -> T {
        if x < T::zero() { slope * x } else { x }
    }
    fn da<T: Real>(&self, x: T, slope: T, _: T) -> T {
        if x < T::zero() { slope } else { T::one() }
    }
    fn db<T: Real>(&self, x: T, _: T, _: T) -> T {
        if x < T::zero() { x } else { T::zero() }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::*;
    vec![
        Case::new("PRelu").inputs([data(&[2, 3, 4]), weight(&[3, 1])]).free(9),
        Case::new("PRelu").named("one slope").inputs([data(&[2, 3, 4]), weight(&[1])]).free(9),
        Case::new("PRelu").named("whole").inputs([data(&[2, 3]), weight(&[2, 3])]).free(5),
    ]
}
