//! Div: y = a/b with broadcasting. <https://onnx.ai/onnx/operators/onnx__Div.html>

use super::family::binary::{Binary, BinaryFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Div;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Binary(Div)))
}

impl BinaryFn for Div {
    const ABSORBS: bool = false;
    fn inverse(&self, slot: usize) -> Option<Inverse> {
        match slot {
            0 => Some(|b, y| y * b),
            _ => Some(|a, y| a / y),
        }
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(1.0, 21.0)
    }
    fn never_negative(&self, x: [bool; 2]) -> bool {
        x == [true, true]
    }
    fn f<T: Real>(&self, a: T, b: T) -> T {
        a / b
    }
    fn da<T: Real>(&self, _: T, b: T, _: T) -> T {
        T::one() / b
    }
    fn db<T: Real>(&self, _: T, b: T, y: T) -> T {
        -y / b
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::*;
    vec![
        Case::new("Div").inputs([positive(&[2, 3, 4]), positive(&[2, 3, 4])]).free(9),
        Case::new("Div")
            .named("per channel")
            .inputs([positive(&[2, 3, 4]), positive_weight(&[3, 1])])
            .free(9),
        Case::new("Div")
            .named("gate in front")
            .inputs([positive(&[2, 3, 1]), positive(&[2, 3, 9])])
            .free(2 + 3 + 9),
        Case::new("Div").named("scalar").inputs([positive(&[2, 3]), positive_weight(&[])]).free(5),
        Case::new("Div").named("scalar in front").inputs([positive_weight(&[]), positive(&[2, 3])]).free(5),
        Case::new("Div").named("outer").inputs([positive(&[3, 1]), positive(&[1, 4])]).free(3 + 4),
    ]
}
