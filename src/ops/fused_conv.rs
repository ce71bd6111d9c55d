//! FusedConv: y = activation(Conv(x) + z).
//! <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.FusedConv>

use super::conv;
use super::family::carried::{Counted, Like};
use crate::graph::*;
#[cfg(test)]
use crate::tensor::*;

pub fn read(r: &Reader) -> Result<Box<dyn Counted>, Refusal> {
    r.ignore(&["activation", "activation_params"]);
    Ok(Box::new(Like { op: conv::read(r)?, slots: &[0, 1, 2], dtype: |x| Ok(need(x, 0)?.dtype) }))
}

#[cfg(test)]
pub fn cases() -> Vec<super::family::carried::Known> {
    use super::family::carried::Known;
    use super::laws::{Case, absent, data, weight};
    let case = |name| {
        Case::new("FusedConv")
            .domain("com.microsoft")
            .named(name)
            .string("activation", "LeakyRelu")
            .attr("activation_params", vec![0.1f32])
    };
    vec![
        Known {
            case: case("with bias").inputs([data(&[1, 3, 5, 5]), weight(&[4, 3, 3, 3]), weight(&[4])]),
            fact: Fact::new(DType::F32, [1, 4, 3, 3]),
            macs: 4 * 3 * 9 * 9,
        },
        Known {
            case: case("with a sum").inputs([
                data(&[1, 3, 5, 5]),
                weight(&[4, 3, 1, 1]),
                absent(),
                data(&[1, 4, 5, 5]),
            ]),
            fact: Fact::new(DType::F32, [1, 4, 5, 5]),
            macs: 4 * 3 * 25,
        },
    ]
}
