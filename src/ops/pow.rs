//! Pow: y = aᵇ with broadcasting, in the type of a. <https://onnx.ai/onnx/operators/onnx__Pow.html>

use super::family::binary::{Binary, BinaryFn};
use super::family::steps::power;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Pow;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Binary(Pow)))
}

impl BinaryFn for Pow {
    const ABSORBS: bool = false;
    /// Products and roots, where the exponent is a number of quarters.
    fn form(&self, io: &Io, opset: i64) -> Option<Form> {
        let exponent = io.value(1).filter(|t| t.len() == 1 && t.shape().len() <= io.output(0).len())?;
        let exponent = exponent.to_real::<f64>()[0];
        // What tract knows.
        if [0.5, 1.0, 2.0].contains(&exponent) || io.input(0)? != io.output(0) {
            return None;
        }
        let mut form = Form::new(opset);
        power(&mut form, Term::Operand(0), exponent);
        form.steps.iter().all(|step| step.op_type != "Pow").then_some(form)
    }
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        // Squares and square roots have instructions of their own.
        let exponent = io.value(1).map(|t| t.to_real::<f64>());
        let simple = exponent.is_some_and(|e| e.iter().all(|e| [0.5, 1.0, 2.0].contains(e)));
        if simple { Instructions::PASS } else { Instructions::counted(65.0, 88.0) }
    }
    fn never_negative(&self, x: [bool; 2]) -> bool {
        x[0]
    }
    fn f<T: Real>(&self, a: T, b: T) -> T {
        if b == T::of(2.0) { a * a } else { a.powf(b) }
    }
    fn da<T: Real>(&self, a: T, b: T, _: T) -> T {
        if b == T::of(2.0) { b * a } else { b * a.powf(b - T::one()) }
    }
    fn db<T: Real>(&self, a: T, _: T, y: T) -> T {
        if a > T::zero() { y * a.ln() } else { T::zero() }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::*;
    vec![
        Case::new("Pow").inputs([positive(&[2, 3, 4]), positive(&[2, 3, 4])]).free(9),
        Case::new("Pow")
            .named("per channel")
            .inputs([positive(&[2, 3, 4]), positive_weight(&[3, 1])])
            .free(9),
        Case::new("Pow")
            .named("gate in front")
            .inputs([positive(&[2, 3, 1]), positive(&[2, 3, 9])])
            .free(2 + 3 + 9),
        Case::new("Pow").named("scalar").inputs([positive(&[2, 3]), positive_weight(&[])]).free(5),
        Case::new("Pow").named("scalar in front").inputs([positive_weight(&[]), positive(&[2, 3])]).free(5),
        Case::new("Pow").named("outer").inputs([positive(&[3, 1]), positive(&[1, 4])]).free(3 + 4),
        Case::new("Pow").named("three halves").inputs([positive(&[2, 3]), scalar(1.5)]).free(5),
        Case::new("Pow").named("square").inputs([data(&[2, 3]), scalar(2.0)]).free(5),
    ]
}
