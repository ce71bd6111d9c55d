//! ArgMin: y = the index of the smallest x along an axis. <https://onnx.ai/onnx/operators/onnx__ArgMin.html>

use super::family::arg;
use crate::graph::*;

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    arg::read(r, false)
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    arg::cases("ArgMin")
}
