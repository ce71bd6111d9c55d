//! ConvInteger: Conv of 8-bit integers, with a 32-bit result. <https://onnx.ai/onnx/operators/onnx__ConvInteger.html>

use super::conv;
use super::family::carried::{Counted, Like};
use crate::graph::*;
use crate::tensor::*;

pub fn read(r: &Reader) -> Result<Box<dyn Counted>, Refusal> {
    Ok(Box::new(Like { op: conv::read(r)?, slots: &[0, 1], dtype: |_| Ok(DType::I32) }))
}

#[cfg(test)]
pub fn cases() -> Vec<super::family::carried::Known> {
    use super::family::carried::Known;
    use super::laws::{Case, data, scalar, weight};
    let case = |name| Case::new("ConvInteger").named(name).ints("pads", &[1, 1, 1, 1]);
    vec![
        Known {
            case: case("with zero points").inputs([
                data(&[1, 3, 8, 8]),
                weight(&[4, 3, 3, 3]),
                scalar(0.0),
                scalar(0.0),
            ]),
            fact: Fact::new(DType::I32, [1, 4, 8, 8]),
            macs: 4 * 3 * 9 * 64,
        },
        Known {
            case: case("depthwise").int("group", 3).inputs([data(&[2, 3, 4, 4]), weight(&[3, 1, 3, 3])]),
            fact: Fact::new(DType::I32, [2, 3, 4, 4]),
            macs: 2 * 3 * 9 * 16,
        },
    ]
}
