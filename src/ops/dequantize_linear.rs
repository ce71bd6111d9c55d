//! DequantizeLinear: y = (x − zero point)·scale. <https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html>

use super::function::{Function, Values};
use super::quantization::{axis_of, channels, each};
use crate::ir::*;

#[derive(Debug)]
struct DequantizeLinear {
    axis: Option<i64>,
    block_size: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let (axis, block_size) = (r.int("axis")?, r.int("block_size")?);
    match block_size {
        None | Some(0) => Ok(Box::new(Values(DequantizeLinear { axis, block_size }))),
        Some(_) => unsupported("scales per block"),
    }
}

impl Function for DequantizeLinear {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axis", self.axis).maybe("block_size", self.block_size).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        axis_of(self.axis, x)?;
        Ok(vec![Fact::new(need(x, 1)?.dtype, need(x, 0)?.shape.clone())])
    }
    fn channels(&self, io: &Io, link: &mut dyn Link) {
        channels(self.axis, io, link);
    }
    fn forward<T: Real>(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        each(self.axis, x, &mut y[0], |x, scale, zero| (x - zero) * scale);
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, floats, scalar};
    let int8 = |shape: &[usize]| {
        let values = (0..volume(shape)).map(|i| (i as i8).wrapping_mul(37)).collect();
        Given::Fixed(Tensor { shape: shape.to_vec(), data: Data::I8(values) })
    };
    let case = |name| Case::new("DequantizeLinear").named(name);
    vec![
        case("whole").inputs([int8(&[2, 3, 4]), scalar(0.1), int8(&[])]).free(9),
        case("per channel").inputs([int8(&[2, 3, 4]), floats(&[0.1, 0.2, 0.3]), int8(&[3])]).free(9),
        case("first axis").int("axis", 0).inputs([int8(&[2, 3]), floats(&[0.1, 0.2])]).free(5),
        case("from behind").int("axis", -1).inputs([int8(&[2, 3]), floats(&[0.1, 0.2, 0.3])]).free(5),
    ]
}
