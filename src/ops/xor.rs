//! Xor: one of a and b, with broadcasting. <https://onnx.ai/onnx/operators/onnx__Xor.html>

use super::family::binary::comparison;
use crate::graph::*;
#[cfg(test)]
use crate::tensor::*;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    comparison(|a, b| (a != 0.0) != (b != 0.0), Instructions::PASS)
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given};
    let truth = |shape: &[usize], every: usize| {
        Given::Fixed(Tensor::new(shape, (0..volume(shape)).map(|i| i % every == 0).collect()))
    };
    vec![Case::new("Xor").inputs([truth(&[2, 3, 4], 5), truth(&[3, 1], 2)]).free(0)]
}
