//! DynamicQuantizeLinear: 8-bit integers, with the scale and the zero point that fit the operand.
//! <https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html>

use super::family::carried::Counted;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct DynamicQuantizeLinear;

pub fn read(_: &Reader) -> Result<Box<dyn Counted>, Refusal> {
    Ok(Box::new(DynamicQuantizeLinear))
}

impl Counted for DynamicQuantizeLinear {
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let x = need(x, 0)?;
        Ok(vec![Fact::new(DType::U8, x.shape.clone()), Fact::new(x.dtype, []), Fact::new(DType::U8, [])])
    }
    fn macs(&self, _: &Io) -> Vec<Product> {
        Vec::new()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::family::carried::Known> {
    use super::family::carried::Known;
    use super::laws::{Case, data};
    let case = Case::new("DynamicQuantizeLinear").outputs(3).inputs([data(&[1, 3, 4, 4])]);
    vec![Known { case, fact: Fact::new(DType::U8, [1, 3, 4, 4]), macs: 0 }]
}
