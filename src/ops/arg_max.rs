//! ArgMax: y = the index of the largest x along an axis. <https://onnx.ai/onnx/operators/onnx__ArgMax.html>

use super::arg;
use crate::ir::*;

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    arg::read(r, true)
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    arg::cases("ArgMax")
}
