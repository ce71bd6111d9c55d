//! GatherElements: y[i, j, …] = x[i, index[i, j, …], …]. <https://onnx.ai/onnx/operators/onnx__GatherElements.html>

use super::family::indexing::{axis_in, index_in, row_major};
use super::family::view::{Gathered, Movement, Places, View, ViewFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct GatherElements {
    axis: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(View(GatherElements { axis: r.int("axis")? })))
}

/// The elements of operand 0 that the elements of operand 1 name along an axis.
#[derive(Debug)]
pub struct ElementPlaces {
    x: Shape,
    indices: Shape,
    axis: usize,
}

impl ElementPlaces {
    /// Places for the shapes of one node.
    pub fn new(io: &Io, axis: i64) -> Result<Self, Refusal> {
        let (x, indices) = (&need(io.x, 0)?.shape, &need(io.x, 1)?.shape);
        let axis = axis_in(axis, x.len())?;
        check(x, indices, axis)?;
        Ok(Self { x: x.clone(), indices: indices.clone(), axis })
    }
}

impl Places for ElementPlaces {
    fn slice(&self) -> usize {
        1
    }
    fn offsets(&self, indices: &[i64]) -> Vec<Option<usize>> {
        let (steps, own) = (row_major(&self.x), row_major(&self.indices));
        let place = |(k, &i): (usize, &i64)| {
            let i = index_in(i, self.x[self.axis])?;
            let axes = (0..self.x.len()).filter(|&a| a != self.axis);
            let other: usize = axes.map(|a| k / own[a] % self.indices[a] * steps[a]).sum();
            Some(other + i * steps[self.axis])
        };
        indices.iter().enumerate().map(place).collect()
    }
}

/// Refuses indices that do not lie within a value of shape `x` (the indexed axis aside).
pub fn check(x: &[usize], indices: &[usize], axis: usize) -> Result<(), Refusal> {
    let fits = |a: usize| a == axis || indices[a] <= x[a];
    if x.len() == indices.len() && (0..x.len()).all(fits) {
        Ok(())
    } else {
        invalid(format!("indices of shape {indices:?} into {x:?}"))
    }
}

impl ViewFn for GatherElements {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axis", self.axis).done()
    }
    fn indexes(&self, io: &Io, slot: usize) -> Option<usize> {
        let x = io.input(0).filter(|_| slot == 1)?;
        Some(x[axis_in(self.axis.unwrap_or(0), x.len()).ok()?])
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(215.0, 215.0)
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (fact, indices) = (need(x, 0)?, need(x, 1)?);
        check(&fact.shape, &indices.shape, axis_in(self.axis.unwrap_or(0), fact.shape.len())?)?;
        Ok(vec![Fact::new(fact.dtype, indices.shape.clone())])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(x), y) = (io.input(0), io.output(0)) else { return };
        let Ok(axis) = axis_in(self.axis.unwrap_or(0), x.len()) else { return };
        for k in (0..x.len()).filter(|&k| k != axis && x[k] == y[k]) {
            link.tie_axes(input(0, k), output(0, k));
            link.tie_axes(input(1, k), output(0, k));
        }
    }
    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let places = ElementPlaces::new(io, self.axis.unwrap_or(0))?;
        Movement::indexed(io, 1, Gathered(places))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, data};
    let indices = |shape: &[usize], v: &[i64]| Given::Fixed(Tensor::new(shape, v.to_vec()));
    vec![
        Case::new("GatherElements")
            .int("axis", 1)
            .inputs([data(&[2, 3]), indices(&[2, 2], &[0, 2, -1, 2])])
            .free(2),
        Case::new("GatherElements")
            .named("fewer rows")
            .int("axis", -1)
            .inputs([data(&[2, 3]), indices(&[1, 2], &[0, 2])]),
    ]
}
