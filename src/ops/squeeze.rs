//! Squeeze: axes of size 1 go. <https://onnx.ai/onnx/operators/onnx__Squeeze.html>

use super::family::indexing::{axes_in, constant};
use super::family::view::{Movement, View, ViewFn, all};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Squeeze {
    /// An attribute until opset 12, an operand since.
    axes: Option<Vec<i64>>,
    axes_are_attribute: bool,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let axes_are_attribute = r.opset < 13;
    let axes = if axes_are_attribute { r.ints("axes")? } else { None };
    Ok(Box::new(View(Squeeze { axes, axes_are_attribute })))
}

impl Squeeze {
    /// The axes that go.
    fn axes(&self, x: &Operands) -> Result<Vec<usize>, Refusal> {
        let shape = &need(x, 0)?.shape;
        match self.axes.clone().map_or_else(|| constant(x, 1, "axes"), |axes| Ok(Some(axes)))? {
            Some(axes) => axes_in(&axes, shape.len()),
            None => Ok((0..shape.len()).filter(|&k| shape[k] == 1).collect()),
        }
    }
}

impl ViewFn for Squeeze {
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
        let (fact, axes) = (need(x, 0)?, self.axes(x)?);
        if let Some(&axis) = axes.iter().find(|&&k| fact.shape[k] != 1) {
            return invalid(format!("axis {axis} has size {}, not 1", fact.shape[axis]));
        }
        let left = (0..fact.shape.len()).filter(|k| !axes.contains(k)).map(|k| fact.shape[k]);
        Ok(vec![Fact::new(fact.dtype, left.collect::<Shape>())])
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(x), Ok(axes)) = (io.input(0), self.axes(io.x)) else { return };
        let left = (0..x.len()).filter(|k| !axes.contains(k));
        left.enumerate().for_each(|(to, k)| link.tie_axes(input(0, k), output(0, to)));
    }

    /// Without axes every axis of size 1 goes, also one that was larger: then the axes must be named.
    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let rank = io.input(0).unwrap_or_default().len();
        let to_one = (0..rank).any(|k| keep.kept(input(0, k)).is_some_and(|kept| kept.len() == 1));
        if !to_one || self.axes.is_some() || io.input(1).is_some() {
            return Ok(Resized::UNCHANGED);
        }
        if !self.axes_are_attribute {
            return unsupported("the axes to squeeze are not named, and another axis is left with size 1");
        }
        let axes = self.axes(io.x)?.into_iter().map(|k| k as i64).collect();
        let op = View(Squeeze { axes: Some(axes), axes_are_attribute: true });
        Ok(Resized::of(Box::new(op)))
    }

    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        all(io)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, ints};
    let x = || data(&[2, 4, 1, 1]);
    vec![
        Case::new("Squeeze").inputs([x(), ints(&[2, -1])]).free(2 + 4),
        Case::new("Squeeze").named("one").inputs([x(), ints(&[3])]).free(2 + 4),
        Case::new("Squeeze").named("attribute").opset(11).ints("axes", &[-2, 3]).inputs([x()]).free(2 + 4),
        Case::new("Squeeze").named("all of size 1").inputs([data(&[1, 4, 1])]).free(4),
        Case::new("Squeeze").named("all of size 1, old").opset(11).inputs([x()]).free(2 + 4),
    ]
}
