//! Split: consecutive parts along an axis; sizes as attribute (until opset 12), operand, or equal.
//! <https://onnx.ai/onnx/operators/onnx__Split.html>
//!
//! Equal parts that do not stay equal get their sizes as an operand, and so do parts of which one is empty: runtimes differ
//! on 5 channels in four (2, 2, 1 and 0 by the standard).

use super::family::indexing::{axis_in, constant, count, restated};
use super::family::view::{Filling, Movement, Moves, Part, Pattern, Run, View, ViewFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Split {
    axis: Option<i64>,
    sizes: Option<Vec<i64>>,
    num_outputs: Option<i64>,
    outputs: usize,
    sizes_are_attribute: bool,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let sizes_are_attribute = r.opset < 13;
    if sizes_are_attribute && r.inputs > 1 {
        return unsupported("sizes of parts as an operand, which only opset 1 and opsets from 13 on define");
    }
    let op = Split {
        axis: r.int("axis")?,
        sizes: if sizes_are_attribute { r.ints("split")? } else { None },
        num_outputs: if r.opset >= 18 { r.int("num_outputs")? } else { None },
        outputs: r.outputs,
        sizes_are_attribute,
    };
    match op.num_outputs {
        Some(n) if n != r.outputs as i64 => invalid(format!("num_outputs is {n}, outputs are {}", r.outputs)),
        _ => Ok(Box::new(View(op))),
    }
}

impl Split {
    fn axis(&self, rank: usize) -> Result<usize, Refusal> {
        axis_in(self.axis.unwrap_or(0), rank)
    }

    /// Sizes of the parts of an axis of size `whole`; `given` is the operand.
    fn parts(&self, whole: usize, given: Option<Vec<i64>>) -> Result<Vec<usize>, Refusal> {
        let Some(sizes) = given.or_else(|| self.sizes.clone()) else { return self.equal(whole) };
        let sum = sizes.iter().try_fold(0i64, |sum, &s| sum.checked_add(s));
        if sizes.len() != self.outputs || sizes.iter().any(|&s| s < 0) || sum != Some(whole as i64) {
            return invalid(format!("parts {sizes:?} do not make up {whole} in {} outputs", self.outputs));
        }
        Ok(sizes.iter().map(|&s| s as usize).collect())
    }

    fn equal(&self, whole: usize) -> Result<Vec<usize>, Refusal> {
        let n = self.outputs;
        if self.num_outputs.is_none() && !whole.is_multiple_of(n.max(1)) {
            return invalid(format!("{whole} does not split into {n} equal parts"));
        }
        let size = whole.div_ceil(n.max(1));
        Ok((0..n).map(|k| size.min(whole.saturating_sub(k * size))).collect())
    }

    fn resolved(&self, io: &Io) -> Option<(usize, Vec<usize>)> {
        let x = io.input(0)?;
        let axis = self.axis(x.len()).ok()?;
        let parts = self.parts(x[axis], io.value(1).map(Tensor::to_ints)).ok()?;
        Some((axis, parts))
    }
}

impl ViewFn for Split {
    fn attributes(&self) -> Attributes {
        Writer::default()
            .maybe("axis", self.axis)
            .maybe("split", self.sizes.clone())
            .maybe("num_outputs", self.num_outputs)
            .done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        let axis = self.axis(fact.shape.len())?;
        let parts = self.parts(fact.shape[axis], constant(x, 1, "sizes of parts")?)?;
        let part = |size| {
            let mut y = fact.clone();
            y.shape[axis] = size;
            y
        };
        Ok(parts.into_iter().map(part).collect())
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(x), Some((axis, parts))) = (io.input(0), self.resolved(io)) else { return };
        let mut offset = 0;
        for (slot, &size) in parts.iter().enumerate() {
            let wanted = io.output(slot).len() == x.len() && io.output(slot)[axis] == size;
            for k in (0..x.len()).filter(|&k| k != axis && wanted) {
                link.tie_axes(input(0, k), output(slot, k));
            }
            for i in 0..size {
                link.free(input(0, axis), offset + i);
                if wanted {
                    link.tie(input(0, axis), offset + i, output(slot, axis), i);
                }
            }
            offset += size;
        }
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let Some((axis, parts)) = self.resolved(io) else { return Ok(Resized::UNCHANGED) };
        let Some(kept) = keep.kept(input(0, axis)) else { return Ok(Resized::UNCHANGED) };
        let mut offset = 0;
        let sizes: Vec<i64> = parts
            .iter()
            .map(|&size| {
                offset += size;
                count(Some(kept), offset - size, offset) as i64
            })
            .collect();
        if self.sizes_are_attribute {
            let op = View(Split { sizes: Some(sizes), ..self.clone() });
            return Ok(Resized::of(Box::new(op)));
        }
        if io.input(1).is_some() {
            return Ok(Resized::restating(restated(io, 1, &sizes)));
        }
        // The last part may be smaller; where one would be empty, runtimes differ.
        let same = |equal: Vec<usize>| equal.iter().zip(&sizes).all(|(&e, &s)| e as i64 == s && s > 0);
        if self.equal(kept.len()).is_ok_and(same) {
            return Ok(Resized::UNCHANGED);
        }
        let op = View(Split { num_outputs: None, ..self.clone() });
        Ok(Resized { inputs: vec![(1, Tensor::ints(&sizes))], ..Resized::of(Box::new(op)) })
    }

    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let x = &need(io.x, 0)?.shape;
        let axis = self.axis(x.len())?;
        let sizes = self.parts(x[axis], constant(io.x, 1, "sizes of parts")?)?;
        let (outer, width, inner) = (volume(&x[..axis]), volume(&x[axis..]), volume(&x[axis + 1..]));
        let (mut parts, mut at) = (Vec::new(), 0);
        for (slot, (y, size)) in io.y.iter().zip(sizes).enumerate() {
            let len = size * inner;
            // An output that the node leaves out has no elements.
            if y.shape.len() == x.len() && y.shape[axis] == size {
                let blocks = vec![(0..outer).map(|o| Some(o * width)).collect()];
                let pattern = Pattern::Runs(vec![Run { to: 0, at, step: 1, len }]);
                parts.push(Part { x: 0, y: slot, blocks, width: len, pattern });
            }
            at += len;
        }
        Ok(Movement::Fixed(Moves { parts, filling: Filling::Nothing }))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, ints};
    let six = || data(&[2, 6, 2]);
    let two = |name| Case::new("Split").named(name).outputs(2).int("axis", 1);
    vec![
        two("sizes").inputs([six(), ints(&[2, 4])]).free(2 + 6 + 2),
        two("equal").inputs([six()]).free(2 + 6 + 2),
        two("equal, old").opset(11).inputs([six()]).free(2 + 6 + 2),
        two("sizes, old").opset(11).ints("split", &[1, 5]).inputs([six()]).free(2 + 5 + 2),
        two("from behind").opset(2).int("axis", -2).ints("split", &[3, 3]).inputs([six()]).free(2 + 6 + 2),
        two("num_outputs").opset(18).int("num_outputs", 2).inputs([data(&[1, 5])]).free(5),
        Case::new("Split")
            .named("three of eight")
            .opset(18)
            .outputs(3)
            .int("num_outputs", 3)
            .inputs([data(&[8])])
            .free(8),
        Case::new("Split")
            .named("an empty part")
            .opset(18)
            .outputs(4)
            .int("num_outputs", 4)
            .inputs([data(&[9])])
            .free(9),
        Case::new("Split").named("first axis").outputs(1).inputs([data(&[3, 2])]).free(3 + 2),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Left(Vec<usize>);

    impl Keep for Left {
        fn kept(&self, axis: Axis) -> Option<&[usize]> {
            (axis == input(0, 0)).then_some(&self.0)
        }
    }

    #[test]
    fn sizes_are_written_where_a_part_is_empty() {
        let split = |x: usize, left: &[usize]| {
            let (fact, parts) = (Fact::new(DType::F32, [x]), 4);
            let op = Split {
                axis: None,
                sizes: None,
                num_outputs: Some(parts),
                outputs: parts as usize,
                sizes_are_attribute: false,
            };
            let operand = [Some(Operand::new(&fact, None))];
            let y = ViewFn::infer(&op, &operand).unwrap();
            let resized = ViewFn::resize(&op, &Io { x: &operand, y: &y }, &Left(left.to_vec())).unwrap();
            resized.inputs.first().map(|(_, sizes)| sizes.to_ints())
        };
        // Of 3, 3, 3 and 0.
        assert_eq!(split(9, &[0, 1, 3, 4, 6]), Some(vec![2, 2, 1, 0]));
        assert_eq!(split(9, &[0, 3, 6]), Some(vec![1, 1, 1, 0]));
        assert_eq!(split(9, &[0, 3, 4, 6]), Some(vec![1, 2, 1, 0]));
        // Of 3, 3, 3 and 2: as the standard splits 7 and 8.
        assert_eq!(split(11, &[0, 1, 3, 4, 6, 7, 9]), None);
        assert_eq!(split(11, &[0, 1, 3, 4, 6, 7, 9, 10]), None);
        assert_eq!(split(11, &[0, 1, 3, 4, 6, 9, 10]), Some(vec![2, 2, 1, 2]));
    }
}
