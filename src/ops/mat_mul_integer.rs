//! MatMulInteger: MatMul of 8-bit integers, with a 32-bit result.
//! <https://onnx.ai/onnx/operators/onnx__MatMulInteger.html>

use super::family::carried::{Counted, Like};
use super::mat_mul;
use crate::graph::*;
use crate::tensor::*;

pub fn read(r: &Reader) -> Result<Box<dyn Counted>, Refusal> {
    Ok(Box::new(Like { op: mat_mul::read(r)?, slots: &[0, 1], dtype: |_| Ok(DType::I32) }))
}

#[cfg(test)]
pub fn cases() -> Vec<super::family::carried::Known> {
    use super::family::carried::Known;
    use super::laws::{Case, data, weight};
    let case = |name| Case::new("MatMulInteger").named(name);
    vec![
        Known {
            case: case("layer").inputs([data(&[2, 5, 3]), weight(&[3, 4])]),
            fact: Fact::new(DType::I32, [2, 5, 4]),
            macs: 2 * 5 * 3 * 4,
        },
        Known {
            case: case("attention").inputs([data(&[1, 2, 5, 3]), data(&[1, 2, 3, 4])]),
            fact: Fact::new(DType::I32, [1, 2, 5, 4]),
            macs: 2 * 5 * 3 * 4,
        },
    ]
}
