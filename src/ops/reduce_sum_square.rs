//! ReduceSumSquare: y = Σ x² over some axes. <https://onnx.ai/onnx/operators/onnx__ReduceSumSquare.html>

use super::family::reduce::{self, Fold};
use crate::graph::*;

/// The opset from which the axes are an input.
const SINCE: i64 = 18;

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    reduce::read(r, Fold::SumSquare, SINCE)
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    reduce::cases("ReduceSumSquare", SINCE, true)
}
