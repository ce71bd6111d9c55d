//! Size: the number of elements. <https://onnx.ai/onnx/operators/onnx__Size.html>
//!
//! A mean divides by this number, which must stay: the operand stays whole.

use super::family::no_grad::{Integers, NoGrad, NoGradFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Size;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(NoGrad(Size)))
}

impl NoGradFn for Size {
    type Bound = Integers;
    const NEEDS_SHAPES_ONLY: bool = true;

    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        need(x, 0)?;
        Ok(vec![Fact::new(DType::I64, [])])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        for axis in 0..io.input(0).unwrap_or_default().len() {
            link.freeze(input(0, axis), "counts the elements");
        }
    }
    fn bind(&self, io: &Io) -> Result<Integers, Refusal> {
        Ok(Integers(vec![volume(&need(io.x, 0)?.shape)]))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Size").inputs([data(&[2, 3, 4])])]
}
