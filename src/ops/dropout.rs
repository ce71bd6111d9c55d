//! Dropout: y = x, as in inference. <https://onnx.ai/onnx/operators/onnx__Dropout.html>

use super::family::pointwise::tie_all;
use super::family::view::{Filling, Movement, View, ViewFn, all};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Dropout {
    /// An attribute until opset 11, an operand since.
    ratio: Option<f32>,
    /// Since opset 12.
    seed: Option<i64>,
    /// Before opset 7.
    is_test: Option<i64>,
    opset: i64,
    outputs: usize,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let op = Dropout {
        ratio: if r.opset < 12 { r.float("ratio")? } else { None },
        seed: if r.opset >= 12 { r.int("seed")? } else { None },
        is_test: if r.opset < 7 { r.int("is_test")? } else { None },
        opset: r.opset,
        outputs: r.outputs,
    };
    match op.is_test {
        None if op.opset < 7 => unsupported("dropping in training"),
        Some(0) => unsupported("dropping in training"),
        _ => Ok(Box::new(View(op))),
    }
}

impl ViewFn for Dropout {
    fn attributes(&self) -> Attributes {
        Writer::default()
            .maybe("ratio", self.ratio)
            .maybe("seed", self.seed)
            .maybe("is_test", self.is_test)
            .done()
    }

    fn instructions(&self, _: &Io) -> Option<Instructions> {
        None
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        if let Some(training) = x.get(2).copied().flatten() {
            match training.value.map(|t| t.to_ints()) {
                Some(v) if v.iter().all(|&v| v == 0) => {}
                _ => return unsupported("dropping in training"),
            }
        }
        let y = need(x, 0)?.clone();
        // The mask, ones: everything is kept.
        let dtype = if self.opset < 10 { y.dtype } else { DType::Bool };
        let mask = Fact::new(dtype, y.shape.clone());
        Ok([y, mask].into_iter().take(self.outputs).collect())
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        tie_all(io, link);
        let Some(mask) = io.y.get(1).filter(|mask| mask.shape == io.output(0)) else { return };
        (0..mask.shape.len()).for_each(|k| link.tie_axes(input(0, k), output(1, k)));
    }

    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        // The mask.
        let filling = if self.outputs > 1 { Filling::Number(1.0) } else { Filling::Nothing };
        Ok(all(io)?.filled(filling))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, data, scalar};
    let no = || Given::Fixed(Tensor::scalar(false));
    let x = || data(&[2, 3, 4]);
    vec![
        Case::new("Dropout").int("seed", 3).inputs([x()]).free(9),
        Case::new("Dropout").named("operands").inputs([x(), scalar(0.3), no()]).free(9),
        Case::new("Dropout").named("mask").outputs(2).inputs([x()]).free(9),
        Case::new("Dropout").named("attribute").opset(7).float("ratio", 0.3).outputs(2).inputs([x()]).free(9),
        Case::new("Dropout").named("oldest").opset(6).int("is_test", 1).inputs([x()]).free(9),
    ]
}
