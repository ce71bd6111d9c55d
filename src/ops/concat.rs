//! Concat: operands one after the other along an axis. <https://onnx.ai/onnx/operators/onnx__Concat.html>

use super::family::indexing::axis_in;
use super::family::view::{Filling, Movement, Moves, Part, Pattern, Run, View, ViewFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Concat {
    axis: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let axis = r.int("axis")?;
    if axis.is_none() && r.opset >= 4 {
        return invalid("attribute 'axis' is missing");
    }
    Ok(Box::new(View(Concat { axis })))
}

impl Concat {
    fn axis(&self, rank: usize) -> Result<usize, Refusal> {
        axis_in(self.axis.unwrap_or(1), rank)
    }
}

impl ViewFn for Concat {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axis", self.axis).done()
    }

    fn rearranges(&self, _: usize) -> bool {
        true
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(0.0, 3.0)
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let mut y = need(x, 0)?.clone();
        let axis = self.axis(y.shape.len())?;
        for other in x.iter().skip(1).flatten() {
            let other = &other.fact.shape;
            let fits = |k: usize| k == axis || other[k] == y.shape[k];
            if other.len() != y.shape.len() || !(0..other.len()).all(fits) {
                return invalid(format!("{other:?} and {:?} differ in more than axis {axis}", y.shape));
            }
            y.shape[axis] += other[axis];
        }
        Ok(vec![y])
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let rank = io.output(0).len();
        let Ok(axis) = self.axis(rank) else { return };
        let mut offset = 0;
        for slot in 0..io.inputs() {
            let Some(x) = io.input(slot) else { continue };
            (0..rank).filter(|&k| k != axis).for_each(|k| link.tie_axes(input(slot, k), output(0, k)));
            (0..x[axis]).for_each(|i| link.tie(input(slot, axis), i, output(0, axis), offset + i));
            offset += x[axis];
        }
    }

    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let y = io.output(0);
        let axis = self.axis(y.len())?;
        let (outer, width) = (volume(&y[..axis]), volume(&y[axis..]));
        let (mut parts, mut to) = (Vec::new(), 0);
        for (slot, x) in (0..io.inputs()).filter_map(|slot| Some((slot, io.input(slot)?))) {
            let len = volume(&x[axis..]);
            let blocks = vec![(0..outer).map(|o| Some(o * len)).collect()];
            let pattern = Pattern::Runs(vec![Run { to, at: 0, step: 1, len }]);
            parts.push(Part { x: slot, y: 0, blocks, width, pattern });
            to += len;
        }
        Ok(Movement::Fixed(Moves { parts, filling: Filling::Nothing }))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, absent, data, weight};
    let two = || [data(&[2, 3, 2]), data(&[2, 4, 2])];
    vec![
        Case::new("Concat").int("axis", 1).inputs(two()).free(2 + 7 + 2),
        Case::new("Concat").named("from behind").int("axis", -2).inputs(two()).free(2 + 7 + 2),
        Case::new("Concat").named("rows").int("axis", 0).inputs([data(&[1, 3]), weight(&[2, 3])]).free(2 + 3),
        Case::new("Concat").named("one").int("axis", 0).inputs([data(&[3])]).free(3),
        Case::new("Concat")
            .named("an absent one")
            .int("axis", 0)
            .inputs([data(&[3]), absent(), data(&[2])])
            .free(5),
        Case::new("Concat").named("empty").int("axis", 0).inputs([data(&[3]), data(&[0])]).free(3),
        Case::new("Concat").named("old").opset(3).inputs([data(&[1, 3]), data(&[1, 2])]).free(5),
    ]
}
