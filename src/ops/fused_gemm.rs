//! FusedGemm: y = activation(Gemm(a, b, c)).
//! <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.FusedGemm>

use super::family::carried::{Counted, Like};
use super::gemm;
use crate::graph::*;
#[cfg(test)]
use crate::tensor::*;

pub fn read(r: &Reader) -> Result<Box<dyn Counted>, Refusal> {
    r.ignore(&["activation", "activation_alpha", "activation_beta", "activation_gamma"]);
    Ok(Box::new(Like { op: gemm::read(r)?, slots: &[0, 1, 2], dtype: |x| Ok(need(x, 0)?.dtype) }))
}

#[cfg(test)]
pub fn cases() -> Vec<super::family::carried::Known> {
    use super::family::carried::Known;
    use super::laws::{Case, data, weight};
    let case = Case::new("FusedGemm")
        .domain("com.microsoft")
        .string("activation", "LeakyRelu")
        .float("activation_alpha", 0.1)
        .int("transB", 1)
        .inputs([data(&[2, 3]), weight(&[4, 3]), weight(&[4])]);
    vec![Known { case, fact: Fact::new(DType::F32, [2, 4]), macs: 2 * 3 * 4 }]
}
