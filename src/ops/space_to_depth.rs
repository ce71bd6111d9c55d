//! SpaceToDepth: blocks of pixels become blocks of channels. <https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html>
//!
//! A channel of the operand becomes b² channels of the result: they are one class. `mode` puts side by side one
//! pixel of all channels (DCR, the only mode until opset 27), or all pixels of one channel (CRD).

use super::family::view::{Movement, View, ViewFn, along};
use crate::graph::*;

#[derive(Debug)]
struct SpaceToDepth {
    blocksize: i64,
    mode: Option<String>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let Some(blocksize) = r.int("blocksize")? else { return invalid("attribute 'blocksize' is missing") };
    if !(1..=1 << 16).contains(&blocksize) {
        return invalid(format!("blocks of size {blocksize}"));
    }
    let mode = r.string("mode")?;
    match mode.as_deref() {
        None | Some("DCR" | "CRD") => Ok(Box::new(View(SpaceToDepth { blocksize, mode }))),
        Some(other) => invalid(format!("mode '{other}' is not defined")),
    }
}

impl SpaceToDepth {
    fn block(&self) -> usize {
        self.blocksize as usize
    }

    /// Are all pixels of a channel neighbours?
    fn by_channel(&self) -> bool {
        self.mode.as_deref() == Some("CRD")
    }
}

impl ViewFn for SpaceToDepth {
    fn attributes(&self) -> Attributes {
        Writer::default().put("blocksize", self.blocksize).maybe("mode", self.mode.clone()).done()
    }

    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(12.0, 14.0)
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (x, b) = (need(x, 0)?, self.block());
        match x.shape[..] {
            [n, c, h, w] if h % b == 0 && w % b == 0 => {
                Ok(vec![Fact::new(x.dtype, [n, c * b * b, h / b, w / b])])
            }
            _ => invalid(format!("shape {:?} does not hold blocks of {b} x {b} pixels", x.shape)),
        }
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(&[_, c, _, _]), b) = (io.input(0), self.block()) else { return };
        link.tie_axes(input(0, 0), output(0, 0));
        let source = |i: usize| if self.by_channel() { i / (b * b) } else { i % c };
        (0..c * b * b).for_each(|i| link.tie(input(0, 1), source(i), output(0, 1), i));
    }

    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let (Some(&[n, c, h, w]), b) = (io.input(0), self.block()) else {
            return invalid(format!("{} axes, of which it takes 4", need(io.x, 0)?.shape.len()));
        };
        let axis = |size: usize, step: usize| -> Vec<usize> { (0..size).map(|i| i * step).collect() };
        let (channels, rows, columns) = (axis(c, h * w), axis(b, w), axis(b, 1));
        let blocks = if self.by_channel() { [channels, rows, columns] } else { [rows, columns, channels] };
        let [first, second, third] = blocks;
        Ok(along(vec![axis(n, c * h * w), first, second, third, axis(h / b, b * w), axis(w / b, b)]))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("SpaceToDepth").int("blocksize", 2).inputs([data(&[2, 3, 4, 6])]).free(2 + 3),
        Case::new("SpaceToDepth")
            .named("by channel")
            .string("mode", "CRD")
            .int("blocksize", 2)
            .inputs([data(&[2, 3, 4, 6])])
            .free(2 + 3),
        Case::new("SpaceToDepth").named("thirds").int("blocksize", 3).inputs([data(&[1, 2, 3, 6])]).free(2),
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
        let case = Case::new("SpaceToDepth").int("blocksize", 2).inputs([count(&[1, 1, 2, 4])]);
        case.gives(&[0., 2., 1., 3., 4., 6., 5., 7.]);
    }
}
