//! ReduceL2: y = √Σ x² over some axes. <https://onnx.ai/onnx/operators/onnx__ReduceL2.html>

use super::family::reduce::{self, Fold};
use crate::graph::*;

/// The opset from which the axes are an input.
const SINCE: i64 = 18;

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    reduce::read(r, Fold::L2, SINCE)
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    reduce::cases("ReduceL2", SINCE, true)
}
