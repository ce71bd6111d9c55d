//! ConstantOfShape: one value in a given shape. <https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html>
//!
//! Its coordinates are free: whoever uses it decides, and the shape is restated.

use super::family::indexing::{required, restated, shape_from};
use super::family::view::{Filling, Movement, Moves, View, ViewFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct ConstantOfShape {
    value: Option<Tensor>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let value = r.tensor("value")?;
    match &value {
        Some(v) if v.len() != 1 => {
            invalid(format!("a value of shape {:?}: it must be one number", v.shape()))
        }
        _ => Ok(Box::new(View(ConstantOfShape { value }))),
    }
}

impl ViewFn for ConstantOfShape {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("value", self.value.clone()).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let dtype = self.value.as_ref().map_or(DType::F32, Tensor::dtype);
        Ok(vec![Fact::new(dtype, shape_from(&required(x, 0, "sizes")?)?)])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        for (axis, &size) in io.output(0).iter().enumerate() {
            (0..size).for_each(|i| link.free(output(0, axis), i));
        }
    }
    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let kept = |axis| keep.kept(output(0, axis));
        let y = io.output(0);
        if (0..y.len()).all(|axis| kept(axis).is_none()) {
            return Ok(Resized::UNCHANGED);
        }
        let sizes: Vec<i64> =
            y.iter().enumerate().map(|(axis, &s)| kept(axis).map_or(s, <[usize]>::len) as i64).collect();
        Ok(Resized::restating(restated(io, 0, &sizes)))
    }
    fn bind(&self, _: &Io) -> Result<Movement, Refusal> {
        let value = self.value.as_ref().and_then(|v| v.to_real().first().copied());
        Ok(Movement::Fixed(Moves { parts: Vec::new(), filling: Filling::Number(value.unwrap_or(0.0)) }))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, ints};
    vec![
        Case::new("ConstantOfShape").inputs([ints(&[2, 3, 1])]).free(5),
        Case::new("ConstantOfShape")
            .named("value")
            .attr("value", Tensor::floats(&[1], vec![2.5]))
            .inputs([ints(&[4])])
            .free(4),
        Case::new("ConstantOfShape")
            .named("integer")
            .attr("value", Tensor::ints(&[3]))
            .inputs([ints(&[4])])
            .free(0),
    ]
}
