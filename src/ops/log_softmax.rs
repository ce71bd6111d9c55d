//! LogSoftmax: y = x − ln Σ eˣ along an axis. <https://onnx.ai/onnx/operators/onnx__LogSoftmax.html>

use crate::graph::*;

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    super::softmax::read_as(r, true)
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    super::softmax::cases_of("LogSoftmax")
}
