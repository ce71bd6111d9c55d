//! DequantizeLinear: y = (x − zero point)·scale. <https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html>

use super::family::no_grad::{NoGrad, NoGradFn, Values};
use super::family::quantization::{Layout, Scales, axis_of, channels};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct DequantizeLinear(Layout);

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(NoGrad(DequantizeLinear(Layout::read(r)?))))
}

impl NoGradFn for DequantizeLinear {
    type Bound = Scaled;

    fn attributes(&self) -> Attributes {
        self.0.write(Writer::default()).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        axis_of(self.0, x)?;
        Ok(vec![Fact::new(need(x, 1)?.dtype, need(x, 0)?.shape.clone())])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(self.0, io, link);
    }
    fn bind(&self, io: &Io) -> Result<Scaled, Refusal> {
        Ok(Scaled(Scales::new(self.0, io)?))
    }
}

/// y = (x − zero point)·scale
#[derive(Debug)]
struct Scaled(Scales);

impl Values for Scaled {
    fn forward<T: Real>(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        self.0.each(x, &mut y[0], |x, scale, zero| (x - zero) * scale);
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, floats, scalar};
    let int8 = |shape: &[usize]| {
        let values = (0..volume(shape)).map(|i| (i as i8).wrapping_mul(37)).collect();
        Given::Fixed(Tensor::new(shape, values))
    };
    let case = |name| Case::new("DequantizeLinear").named(name);
    vec![
        case("whole").inputs([int8(&[2, 3, 4]), scalar(0.1), int8(&[])]).free(9),
        case("per channel").inputs([int8(&[2, 3, 4]), floats(&[0.1, 0.2, 0.3]), int8(&[3])]).free(9),
        case("first axis").int("axis", 0).inputs([int8(&[2, 3]), floats(&[0.1, 0.2])]).free(5),
        case("blocks")
            .opset(21)
            .int("axis", 1)
            .int("block_size", 2)
            .inputs([
                int8(&[2, 3]),
                Given::Fixed(Tensor::floats(&[2, 2], vec![0.1, 0.2, 0.3, 0.4])),
                int8(&[2, 2]),
            ])
            .free(2),
        case("from behind").int("axis", -1).inputs([int8(&[2, 3]), floats(&[0.1, 0.2, 0.3])]).free(5),
    ]
}
