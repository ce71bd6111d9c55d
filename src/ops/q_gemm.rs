//! QGemm: Gemm of 8-bit integers; its result is floating-point without a zero point of its own.
//! <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.QGemm>

use super::family::carried::{Counted, Like};
use super::gemm;
use crate::graph::*;
use crate::tensor::*;

pub fn read(r: &Reader) -> Result<Box<dyn Counted>, Refusal> {
    let dtype = |x: &Operands| Ok(x.get(8).copied().flatten().map_or(DType::F32, |zero| zero.fact.dtype));
    Ok(Box::new(Like { op: gemm::read(r)?, slots: &[0, 3, 6], dtype }))
}

#[cfg(test)]
pub fn cases() -> Vec<super::family::carried::Known> {
    use super::family::carried::Known;
    use super::laws::{Case, Given, data, scalar, weight};
    let zero = || Given::Fixed(Tensor::scalar(128u8));
    let inputs = || [data(&[2, 3]), scalar(0.1), zero(), weight(&[4, 3]), scalar(0.1), zero(), weight(&[4])];
    let case = |name| Case::new("QGemm").domain("com.microsoft").named(name).int("transB", 1);
    vec![
        Known {
            case: case("to integers").inputs(inputs().into_iter().chain([scalar(0.1), zero()])),
            fact: Fact::new(DType::U8, [2, 4]),
            macs: 2 * 3 * 4,
        },
        Known {
            case: case("to real numbers").inputs(inputs()),
            fact: Fact::new(DType::F32, [2, 4]),
            macs: 2 * 3 * 4,
        },
    ]
}
