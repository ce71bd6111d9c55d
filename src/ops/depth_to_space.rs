//! DepthToSpace: blocks of channels become blocks of pixels. <https://onnx.ai/onnx/operators/onnx__DepthToSpace.html>
//!
//! A channel of the result is made of b² channels of the operand: they are one class.

use super::family::view::{Movement, View, ViewFn, along};
use crate::graph::*;

#[derive(Debug)]
struct DepthToSpace {
    blocksize: i64,
    mode: Option<String>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let Some(blocksize) = r.int("blocksize")? else { return invalid("attribute 'blocksize' is missing") };
    let mode = if r.opset >= 11 { r.string("mode")? } else { None };
    if !(1..=1 << 16).contains(&blocksize) || !matches!(mode.as_deref(), None | Some("DCR" | "CRD")) {
        return invalid(format!("blocks of size {blocksize} in mode {mode:?}"));
    }
    Ok(Box::new(View(DepthToSpace { blocksize, mode })))
}

impl DepthToSpace {
    fn block(&self) -> usize {
        self.blocksize as usize
    }

    /// Steps in the operand's channels, of `c` in all: per channel of the result, per row and per column of a block.
    fn steps(&self, c: usize) -> [usize; 3] {
        let b = self.block();
        match self.mode.as_deref() {
            Some("CRD") => [b * b, b, 1],
            _ => [1, b * (c / (b * b)), c / (b * b)],
        }
    }
}

impl ViewFn for DepthToSpace {
    fn attributes(&self) -> Attributes {
        Writer::default().put("blocksize", self.blocksize).maybe("mode", self.mode.clone()).done()
    }

    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(12.0, 14.0)
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (x, b) = (need(x, 0)?, self.block());
        match x.shape[..] {
            [n, c, h, w] if c % (b * b) == 0 => Ok(vec![Fact::new(x.dtype, [n, c / (b * b), h * b, w * b])]),
            _ => invalid(format!("shape {:?} does not hold blocks of {b} x {b} channels", x.shape)),
        }
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(&[_, c, _, _]), b) = (io.input(0), self.block()) else { return };
        let [channel, row, column] = self.steps(c);
        link.tie_axes(input(0, 0), output(0, 0));
        for i in 0..c / (b * b) {
            for at in (0..b * b).map(|p| i * channel + p / b * row + p % b * column) {
                link.tie(input(0, 1), at, output(0, 1), i);
            }
        }
    }

    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let (Some(&[n, c, h, w]), b) = (io.input(0), self.block()) else {
            return invalid(format!("{} axes, of which it takes 4", need(io.x, 0)?.shape.len()));
        };
        let [channel, row, column] = self.steps(c);
        let axis = |size: usize, step: usize| -> Vec<usize> { (0..size).map(|i| i * step).collect() };
        let (map, image) = (h * w, c * h * w);
        Ok(along(vec![
            axis(n, image),
            axis(c / (b * b), channel * map),
            axis(h, w),
            axis(b, row * map),
            axis(w, 1),
            axis(b, column * map),
        ]))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name| {
        Case::new("DepthToSpace").named(name).int("blocksize", 2).inputs([data(&[2, 12, 2, 3])]).free(2 + 3)
    };
    vec![
        case("plain"),
        case("DCR").string("mode", "DCR"),
        case("CRD").string("mode", "CRD"),
        case("old").opset(9),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::*;
    use crate::tensor::{Tensor, volume};

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let count = |shape: &[usize]| {
            Given::Fixed(Tensor::floats(shape, (0..volume(shape)).map(|i| i as f32).collect()))
        };
        let case = || Case::new("DepthToSpace").int("blocksize", 2).inputs([count(&[1, 8, 1, 2])]);
        case().gives(&[0., 4., 1., 5., 8., 12., 9., 13., 2., 6., 3., 7., 10., 14., 11., 15.]);
        let crd = case().string("mode", "CRD");
        crd.gives(&[0., 2., 1., 3., 4., 6., 5., 7., 8., 10., 9., 11., 12., 14., 13., 15.]);
    }
}
