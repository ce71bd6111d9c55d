//! Sub: y = a − b with broadcasting. <https://onnx.ai/onnx/operators/onnx__Sub.html>

use super::family::binary::{Binary, BinaryFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Sub;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Binary(Sub)))
}

impl BinaryFn for Sub {
    const ABSORBS: bool = true;
    fn inverse(&self, slot: usize) -> Option<Inverse> {
        match slot {
            0 => Some(|b, y| y + b),
            _ => Some(|a, y| a - y),
        }
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(0.0, 16.0)
    }
    fn f<T: Real>(&self, a: T, b: T) -> T {
        a - b
    }
    fn da<T: Real>(&self, _: T, _: T, _: T) -> T {
        T::one()
    }
    fn db<T: Real>(&self, _: T, _: T, _: T) -> T {
        -T::one()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::*;
    vec![
        Case::new("Sub").inputs([data(&[2, 3, 4]), data(&[2, 3, 4])]).free(9),
        Case::new("Sub").named("per channel").inputs([data(&[2, 3, 4]), weight(&[3, 1])]).free(9),
        Case::new("Sub").named("gate in front").inputs([data(&[2, 3, 1]), data(&[2, 3, 9])]).free(2 + 3 + 9),
        Case::new("Sub").named("scalar").inputs([data(&[2, 3]), weight(&[])]).free(5),
        Case::new("Sub").named("scalar in front").inputs([weight(&[]), data(&[2, 3])]).free(5),
        Case::new("Sub").named("outer").inputs([data(&[3, 1]), data(&[1, 4])]).free(3 + 4),
    ]
}
