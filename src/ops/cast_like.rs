//! CastLike: the numbers of one operand in the type of another. <https://onnx.ai/onnx/operators/onnx__CastLike.html>
//!
//! The elements of the second operand are never read: its channels may go without any consequence here.

use super::family::pointwise::tie_all;
use super::family::view::{Movement, View, ViewFn, all};
use crate::graph::*;

#[derive(Debug)]
struct CastLike {
    saturate: Option<i64>,
    round_mode: Option<String>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    // Both concern eight-bit floats only, which we do not hold.
    let (saturate, round_mode) = (r.int("saturate")?, r.string("round_mode")?);
    Ok(Box::new(View(CastLike { saturate, round_mode })))
}

impl ViewFn for CastLike {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("saturate", self.saturate).maybe("round_mode", self.round_mode.clone()).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        Ok(vec![Fact::new(need(x, 1)?.dtype, need(x, 0)?.shape.clone())])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        tie_all(io, link);
        for (axis, &size) in io.input(1).unwrap_or_default().iter().enumerate() {
            (0..size).for_each(|i| link.free(input(1, axis), i));
        }
    }
    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        all(io)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, scalar};
    vec![
        Case::new("CastLike").opset(19).inputs([data(&[2, 3, 4]), scalar(1.0)]).free(9),
        Case::new("CastLike").named("like a value").inputs([data(&[2, 3]), data(&[4])]).free(5 + 4),
    ]
}
