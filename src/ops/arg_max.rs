//! ArgMax: y = the index of the largest x along an axis. <https://onnx.ai/onnx/operators/onnx__ArgMax.html>

use super::family::arg;
use crate::graph::*;

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    arg::read(r, true)
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    arg::cases("ArgMax")
}
