//! QLinearMatMul: MatMul of 8-bit integers, with an 8-bit result.
//! <https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html>

use super::family::carried::{Counted, Like};
use super::mat_mul;
use crate::graph::*;
#[cfg(test)]
use crate::tensor::*;

pub fn read(r: &Reader) -> Result<Box<dyn Counted>, Refusal> {
    Ok(Box::new(Like { op: mat_mul::read(r)?, slots: &[0, 3], dtype: |x| Ok(need(x, 7)?.dtype) }))
}

#[cfg(test)]
pub fn cases() -> Vec<super::family::carried::Known> {
    use super::family::carried::Known;
    use super::laws::{Case, Given, data, scalar, weight};
    let zero = || Given::Fixed(Tensor::scalar(3i8));
    let case = Case::new("QLinearMatMul").inputs([
        data(&[5, 3]),
        scalar(0.1),
        zero(),
        weight(&[3, 4]),
        scalar(0.1),
        zero(),
        scalar(0.1),
        zero(),
    ]);
    vec![Known { case, fact: Fact::new(DType::I8, [5, 4]), macs: 5 * 3 * 4 }]
}
