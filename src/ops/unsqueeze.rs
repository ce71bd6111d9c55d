//! Unsqueeze: new axes of size 1. <https://onnx.ai/onnx/operators/onnx__Unsqueeze.html>

use super::family::indexing::{axes_in, required};
use super::family::view::{Movement, View, ViewFn, all};
use crate::graph::*;

#[derive(Debug)]
struct Unsqueeze {
    /// An attribute until opset 12, an operand since.
    axes: Option<Vec<i64>>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let axes = if r.opset < 13 { r.ints("axes")? } else { None };
    if axes.is_none() && r.opset < 13 {
        return invalid("attribute 'axes' is missing");
    }
    Ok(Box::new(View(Unsqueeze { axes })))
}

impl Unsqueeze {
    /// The axes of the result that are new.
    fn axes(&self, x: &Operands) -> Result<Vec<usize>, Refusal> {
        let axes = self.axes.clone().map_or_else(|| required(x, 1, "axes"), Ok)?;
        axes_in(&axes, need(x, 0)?.shape.len() + axes.len())
    }
}

impl ViewFn for Unsqueeze {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axes", self.axes.clone()).done()
    }
    fn rearranges(&self, slot: usize) -> bool {
        slot == 0
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        None
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (fact, mut axes) = (need(x, 0)?, self.axes(x)?);
        let mut y = fact.shape.clone();
        axes.sort_unstable();
        axes.into_iter().for_each(|axis| y.insert(axis, 1));
        Ok(vec![Fact::new(fact.dtype, y)])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Ok(axes) = self.axes(io.x) else { return };
        let old = (0..io.output(0).len()).filter(|k| !axes.contains(k));
        old.enumerate().for_each(|(from, k)| link.tie_axes(input(0, from), output(0, k)));
    }
    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        all(io)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, ints};
    vec![
        Case::new("Unsqueeze").inputs([data(&[2, 4]), ints(&[-1, 2])]).free(2 + 4),
        Case::new("Unsqueeze").named("front").inputs([data(&[4]), ints(&[0])]).free(4),
        Case::new("Unsqueeze").named("scalar").inputs([data(&[]), ints(&[0])]).free(0),
        Case::new("Unsqueeze")
            .named("attribute")
            .opset(11)
            .ints("axes", &[3, 0])
            .inputs([data(&[2, 4])])
            .free(2 + 4),
    ]
}
