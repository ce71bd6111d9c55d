//! Shape: the sizes of the axes, or of some of them. <https://onnx.ai/onnx/operators/onnx__Shape.html>
//!
//! Deletion is no matter here: the pruned graph computes the new sizes, and an operator that takes them for more than sizes
//! restates or refuses them itself.

use super::family::no_grad::{Integers, NoGrad, NoGradFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct SizesOf {
    start: Option<i64>,
    end: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let (start, end) = if r.opset >= 15 { (r.int("start")?, r.int("end")?) } else { (None, None) };
    Ok(Box::new(NoGrad(SizesOf { start, end })))
}

impl SizesOf {
    fn sizes<'a>(&self, x: &'a [usize]) -> &'a [usize] {
        let rank = x.len() as i64;
        let at =
            |axis: i64| (if axis < 0 { axis.saturating_add(rank) } else { axis }).clamp(0, rank) as usize;
        let (start, end) = (at(self.start.unwrap_or(0)), at(self.end.unwrap_or(rank)));
        &x[start..end.max(start)]
    }
}

impl NoGradFn for SizesOf {
    type Bound = Integers;
    const NEEDS_SHAPES_ONLY: bool = true;

    fn attributes(&self) -> Attributes {
        Writer::default().maybe("start", self.start).maybe("end", self.end).done()
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        None
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        Ok(vec![Fact::new(DType::I64, [self.sizes(&need(x, 0)?.shape).len()])])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        for (axis, &size) in io.input(0).unwrap_or_default().iter().enumerate() {
            (0..size).for_each(|i| link.free(input(0, axis), i));
        }
    }
    fn bind(&self, io: &Io) -> Result<Integers, Refusal> {
        Ok(Integers(self.sizes(&need(io.x, 0)?.shape).to_vec()))
    }
}

/// Only axes of size 1 are reported here: deletion changes the sizes of other axes, as it should.
#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("Shape").inputs([data(&[1, 1])]).free(0),
        Case::new("Shape")
            .named("one axis")
            .int("start", -3)
            .int("end", 1)
            .inputs([data(&[1, 4, 3])])
            .free(4 + 3),
        Case::new("Shape").named("no axis").int("start", 2).int("end", -9).inputs([data(&[2, 4, 3])]).free(9),
    ]
}
