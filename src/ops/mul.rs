//! Mul: y = a·b with broadcasting. <https://onnx.ai/onnx/operators/onnx__Mul.html>

use super::family::binary::{Binary, BinaryFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Mul;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Binary(Mul)))
}

impl BinaryFn for Mul {
    const ABSORBS: bool = false;
    const PARAMETERS: &'static [usize] = &[0, 1];
    fn inverse(&self, _: usize) -> Option<Inverse> {
        Some(|other, y| y / other)
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(0.0, 16.0)
    }
    fn never_negative(&self, x: [bool; 2]) -> bool {
        x == [true, true]
    }
    fn f<T: Real>(&self, a: T, b: T) -> T {
        a * b
    }
    fn da<T: Real>(&self, _: T, b: T, _: T) -> T {
        b
    }
    fn db<T: Real>(&self, a: T, _: T, _: T) -> T {
        a
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::*;
    vec![
        Case::new("Mul").inputs([data(&[2, 3, 4]), data(&[2, 3, 4])]).free(9),
        Case::new("Mul").named("per channel").inputs([data(&[2, 3, 4]), weight(&[3, 1])]).free(9),
        Case::new("Mul").named("gate in front").inputs([data(&[2, 3, 1]), data(&[2, 3, 9])]).free(2 + 3 + 9),
        Case::new("Mul").named("scalar").inputs([data(&[2, 3]), weight(&[])]).free(5),
        Case::new("Mul").named("scalar in front").inputs([weight(&[]), data(&[2, 3])]).free(5),
        Case::new("Mul").named("outer").inputs([data(&[3, 1]), data(&[1, 4])]).free(3 + 4),
    ]
}
