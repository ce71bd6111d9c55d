//! QLinearConv: Conv of 8-bit integers, with an 8-bit result.
//! <https://onnx.ai/onnx/operators/onnx__QLinearConv.html>

use super::conv;
use super::family::carried::{Counted, Like};
use crate::graph::*;
#[cfg(test)]
use crate::tensor::*;

pub fn read(r: &Reader) -> Result<Box<dyn Counted>, Refusal> {
    Ok(Box::new(Like { op: conv::read(r)?, slots: &[0, 3, 8], dtype: |x| Ok(need(x, 7)?.dtype) }))
}

#[cfg(test)]
pub fn cases() -> Vec<super::family::carried::Known> {
    use super::family::carried::Known;
    use super::laws::{Case, Given, data, scalar, weight};
    let zero = || Given::Fixed(Tensor::scalar(128u8));
    let inputs = || [data(&[1, 4, 6, 6]), scalar(0.1), zero(), weight(&[8, 2, 3, 3]), scalar(0.1), zero()];
    let case = |name| Case::new("QLinearConv").named(name).int("group", 2);
    vec![
        Known {
            case: case("grouped").inputs(inputs().into_iter().chain([scalar(0.1), zero(), weight(&[8])])),
            fact: Fact::new(DType::U8, [1, 8, 4, 4]),
            macs: 8 * 2 * 9 * 16,
        },
        Known {
            case: case("strided, without bias")
                .ints("strides", &[2, 2])
                .inputs(inputs().into_iter().chain([scalar(0.1), zero()])),
            fact: Fact::new(DType::U8, [1, 8, 2, 2]),
            macs: 8 * 2 * 9 * 4,
        },
    ]
}
