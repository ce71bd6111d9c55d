//! Flatten: the axes up to one and the axes from it on become two. <https://onnx.ai/onnx/operators/onnx__Flatten.html>

use super::family::view::{Movement, View, ViewFn, all};
use super::reshape::link_blocks;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Flatten {
    axis: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(View(Flatten { axis: r.int("axis")? })))
}

impl ViewFn for Flatten {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axis", self.axis).done()
    }
    fn rearranges(&self, slot: usize) -> bool {
        slot == 0
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        None
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let x = need(x, 0)?;
        let (axis, rank) = (self.axis.unwrap_or(1), x.shape.len() as i64);
        if axis < -rank || axis > rank {
            return invalid(format!("axis {axis} of a value of {rank} axes"));
        }
        let (front, back) = x.shape.split_at((if axis < 0 { axis + rank } else { axis }) as usize);
        Ok(vec![Fact::new(x.dtype, [volume(front), volume(back)])])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        if let Some(x) = io.input(0) {
            link_blocks(x, io.output(0), link);
        }
    }
    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        all(io)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("Flatten").inputs([data(&[2, 3, 2, 2])]).free(2 + 3),
        Case::new("Flatten").named("one pixel").inputs([data(&[1, 4, 1, 1])]).free(4),
        Case::new("Flatten").named("from behind").int("axis", -1).inputs([data(&[1, 4, 3])]).free(4 + 3),
        Case::new("Flatten").named("rows only").int("axis", 0).inputs([data(&[1, 4, 3])]).free(4),
        Case::new("Flatten").named("columns only").int("axis", 2).inputs([data(&[1, 4])]).free(4),
    ]
}
