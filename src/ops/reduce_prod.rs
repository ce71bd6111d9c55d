//! ReduceProd: y = Π x over some axes. <https://onnx.ai/onnx/operators/onnx__ReduceProd.html>

use super::family::reduce::{self, Fold};
use crate::graph::*;

/// The opset from which the axes are an input.
const SINCE: i64 = 18;

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    reduce::read(r, Fold::Prod, SINCE)
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    reduce::cases("ReduceProd", SINCE, false)
}
