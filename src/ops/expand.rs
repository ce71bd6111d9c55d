//! Expand: broadcasting to a given shape. <https://onnx.ai/onnx/operators/onnx__Expand.html>
//!
//! Each of the coordinates that repeat one element may go alone, and the shape is restated.

use super::family::broadcast::{shape_of, strides};
use super::family::indexing::{required, restated, shape_from};
use super::family::view::{Movement, View, ViewFn, along};
use crate::graph::*;

#[derive(Debug)]
struct Expand;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(View(Expand)))
}

impl ViewFn for Expand {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }

    fn rearranges(&self, slot: usize) -> bool {
        slot == 0
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        let shape = shape_from(&required(x, 1, "sizes")?)?;
        let y = shape_of(&[&fact.shape, &shape])?;
        shape_from(&y.iter().map(|&s| s as i64).collect::<Vec<_>>())?;
        Ok(vec![Fact::new(fact.dtype, y)])
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(x), y) = (io.input(0), io.output(0)) else { return };
        for (axis, &size) in y.iter().enumerate() {
            match (axis + x.len()).checked_sub(y.len()) {
                Some(from) if x[from] == size => link.tie_axes(input(0, from), output(0, axis)),
                _ => (0..size).for_each(|i| link.free(output(0, axis), i)),
            }
        }
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let (Some(shape), y) = (io.value(1), io.output(0)) else { return Ok(Resized::UNCHANGED) };
        let mut sizes = shape.to_ints();
        let mut changed = false;
        for axis in 0..y.len() {
            let at = (axis + sizes.len()).checked_sub(y.len());
            if let (Some(at), Some(kept)) = (at.filter(|&at| sizes[at] != 1), keep.kept(output(0, axis))) {
                sizes[at] = kept.len() as i64;
                changed = true;
            }
        }
        let inputs = if changed { restated(io, 1, &sizes) } else { Vec::new() };
        Ok(Resized::restating(inputs))
    }

    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let (x, y) = (need(io.x, 0)?, io.output(0));
        let steps = strides(&x.shape, y).into_iter().zip(y);
        Ok(along(steps.map(|(step, &size)| (0..size).map(|i| i * step).collect()).collect()))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, ints};
    let case =
        |name, x: &[usize], shape: &[i64]| Case::new("Expand").named(name).inputs([data(x), ints(shape)]);
    vec![
        case("pixels", &[2, 3, 1, 1], &[1, 1, 2, 2]).free(2 + 3 + 2 + 2),
        case("restated", &[2, 3, 1], &[2, 3, 4]).free(2 + 3 + 4),
        case("new axes", &[3, 1], &[2, 3, 2]).free(2 + 3 + 2),
        case("shorter shape", &[2, 3], &[1]).free(2 + 3),
        case("scalar", &[], &[2, 3]).free(2 + 3),
    ]
}
