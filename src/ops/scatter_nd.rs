//! ScatterND: y = x, except slices named by index tuples. <https://onnx.ai/onnx/operators/onnx__ScatterND.html>

use super::family::no_grad::NoGrad;
use super::family::view::{Movement, View, ViewFn};
use super::gather_nd::{TuplePlaces, renumbered, runs};
use super::scatter_elements::{Overwritten, Reduced, Reduction, Scatter};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct ScatterNd {
    reduction: Option<String>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let reduction = r.string("reduction")?;
    match Reduction::of(reduction.as_deref())? {
        None => Ok(Box::new(View(ScatterNd { reduction }))),
        Some(how) => Ok(Box::new(NoGrad(Reduced { op: ScatterNd { reduction }, how }))),
    }
}

impl ViewFn for ScatterNd {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("reduction", self.reduction.clone()).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (fact, indices, updates) = (need(x, 0)?, &need(x, 1)?.shape, &need(x, 2)?.shape);
        let Some((&tuple, outer)) = indices.split_last() else { return invalid("indices without axes") };
        if tuple > fact.shape.len() || *updates != [outer, &fact.shape[tuple..]].concat() {
            return invalid(format!("updates {updates:?} at indices {indices:?} in {:?}", fact.shape));
        }
        Ok(vec![fact.clone()])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(x), Some([outer @ .., tuple])) = (io.input(0), io.input(1)) else { return };
        for (k, axis) in (*tuple..x.len()).enumerate() {
            link.tie_axes(input(0, axis), output(0, axis));
            link.tie_axes(input(2, outer.len() + k), output(0, axis));
        }
        let Some(indices) = io.value(1) else { return };
        for (axis, &size) in x.iter().enumerate().take(*tuple) {
            let Some((along, named)) = runs(indices, axis, size) else { continue };
            link.tie_axes(input(0, axis), output(0, axis));
            for (j, i) in named.into_iter().enumerate() {
                link.tie(input(2, along), j, output(0, axis), i);
                link.tie(input(1, along), j, output(0, axis), i);
            }
        }
    }
    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        renumbered(io, keep, 0)
    }
    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let elements = volume(&need(io.x, 0)?.shape);
        need(io.x, 2)?;
        Movement::indexed(io, 1, Overwritten { places: self.places(io)?, elements })
    }
}

impl Scatter for ScatterNd {
    type Places = TuplePlaces;

    fn places(&self, io: &Io) -> Result<TuplePlaces, Refusal> {
        TuplePlaces::new(io, 0)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, data};
    let indices = |shape: &[usize], v: &[i64]| Given::Fixed(Tensor::new(shape, v.to_vec()));
    vec![
        Case::new("ScatterND").inputs([data(&[4, 3]), indices(&[2, 1], &[2, 0]), data(&[2, 3])]).free(4 + 3),
        Case::new("ScatterND")
            .named("largest")
            .string("reduction", "max")
            .inputs([data(&[4, 3]), indices(&[2, 1], &[2, 2]), data(&[2, 3])])
            .free(3),
        Case::new("ScatterND")
            .named("rows of some columns")
            .inputs([data(&[2, 3, 4]), indices(&[2, 2, 2], &[0, 0, 0, 2, 1, 0, 1, 2]), data(&[2, 2, 4])])
            .free(2 + 3 + 4),
        Case::new("ScatterND")
            .named("added")
            .opset(18)
            .string("reduction", "add")
            .inputs([
                data(&[3, 2]),
                indices(&[3, 2, 2], &[2, 0, 2, 0, 1, 0, 1, 0, 0, 0, 0, 0]),
                data(&[3, 2]),
            ])
            .free(3),
        Case::new("ScatterND")
            .named("elements of a row")
            .inputs([data(&[2, 3]), indices(&[2, 2], &[0, 1, 0, 2]), data(&[2])])
            .free(3),
        Case::new("ScatterND")
            .named("elements of a diagonal")
            .inputs([data(&[2, 3]), indices(&[2, 2], &[0, 1, -1, 2]), data(&[2])])
            .free(3),
        Case::new("ScatterND")
            .named("elements of two rows")
            .inputs([data(&[2, 3]), indices(&[3, 2], &[0, 1, -1, 2, 0, 0]), data(&[3])])
            .free(2),
        Case::new("ScatterND").named("elements").inputs([
            data(&[2, 3]),
            indices(&[2, 2, 2], &[0, 1, 1, 2, 1, 0, 0, 2]),
            data(&[2, 2]),
        ]),
    ]
}
