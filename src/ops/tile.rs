//! Tile: the operand repeated along its axes. <https://onnx.ai/onnx/operators/onnx__Tile.html>
//!
//! A coordinate and its repetitions are one class.

use super::family::indexing::{required, row_major, shape_from};
use super::family::view::{Movement, View, ViewFn, along};
use crate::graph::*;

#[derive(Debug)]
struct Tile;

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    if r.opset < 6 {
        return unsupported("the form of opset 1");
    }
    Ok(Box::new(View(Tile)))
}

impl ViewFn for Tile {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }

    fn rearranges(&self, slot: usize) -> bool {
        slot == 0
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (fact, repeats) = (need(x, 0)?, required(x, 1, "repeats")?);
        if repeats.len() != fact.shape.len() {
            return invalid(format!("repeats {repeats:?} for {} axes", fact.shape.len()));
        }
        let sizes = fact.shape.iter().zip(&repeats).map(|(&s, &r)| r.saturating_mul(s as i64));
        Ok(vec![Fact::new(fact.dtype, shape_from(&sizes.collect::<Vec<_>>())?)])
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        for (axis, &size) in io.input(0).unwrap_or_default().iter().enumerate().filter(|(_, s)| **s > 0) {
            (0..io.output(0)[axis]).for_each(|i| link.tie(input(0, axis), i % size, output(0, axis), i));
        }
    }

    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let x = &need(io.x, 0)?.shape;
        let steps = row_major(x).into_iter().zip(x).zip(io.output(0));
        let table = |((step, &size), &wide): ((usize, &usize), &usize)| -> Vec<usize> {
            (0..wide).map(|i| i % size * step).collect()
        };
        Ok(along(steps.map(table).collect()))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, ints};
    vec![
        Case::new("Tile").inputs([data(&[2, 3, 2]), ints(&[1, 2, 3])]).free(2 + 3 + 2),
        Case::new("Tile").named("once").inputs([data(&[2, 3]), ints(&[1, 1])]).free(2 + 3),
        Case::new("Tile").named("one pixel").inputs([data(&[3, 1]), ints(&[1, 4])]).free(3),
    ]
}
