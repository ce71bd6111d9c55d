//! Equal: a = b, with broadcasting. <https://onnx.ai/onnx/operators/onnx__Equal.html>

use super::family::binary::comparison;
use crate::graph::*;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    comparison(|a, b| a == b, Instructions::counted(16.0, 12.0))
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    vec![Case::new("Equal").inputs([data(&[2, 3, 4]), weight(&[3, 1])]).free(9)]
}
