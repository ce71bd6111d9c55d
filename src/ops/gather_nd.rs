//! GatherND: slices of the operand by index tuples. <https://onnx.ai/onnx/operators/onnx__GatherND.html>

use super::family::indexing::{index_in, row_major};
use super::family::view::{Gathered, Movement, Places, View, ViewFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct GatherNd {
    batch_dims: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(View(GatherNd { batch_dims: r.int("batch_dims")? })))
}

/// The slices of operand 0 that the tuples along the last axis of operand 1 name.
#[derive(Debug)]
pub struct TuplePlaces {
    x: Shape,
    /// Number of leading axes that both operands share.
    batch: usize,
    /// Indices of a tuple: they name coordinates of the axes from `batch` on.
    tuple: usize,
    /// Number of tuples.
    tuples: usize,
}

impl TuplePlaces {
    /// Places for the shapes of one node.
    pub fn new(io: &Io, batch: usize) -> Result<Self, Refusal> {
        let (x, indices) = (&need(io.x, 0)?.shape, &need(io.x, 1)?.shape);
        match indices.split_last() {
            Some((&tuple, outer)) if batch.checked_add(tuple).is_some_and(|named| named <= x.len()) => {
                Ok(Self { x: x.clone(), batch, tuple, tuples: volume(outer) })
            }
            _ => invalid(format!("indices of shape {indices:?} into {x:?}")),
        }
    }
}

impl Places for TuplePlaces {
    fn slice(&self) -> usize {
        volume(&self.x[self.batch + self.tuple..])
    }
    fn offsets(&self, indices: &[i64]) -> Vec<Option<usize>> {
        let steps = row_major(&self.x);
        let (shared, image) = self.x.split_at(self.batch);
        let per_batch = (self.tuples / volume(shared).max(1)).max(1);
        let place = |k: usize| {
            let mut at = k / per_batch * volume(image);
            for (axis, &i) in (self.batch..).zip(&indices[k * self.tuple..(k + 1) * self.tuple]) {
                at += index_in(i, self.x[axis])? * steps[axis];
            }
            Some(at)
        };
        (0..self.tuples).map(place).collect()
    }
}

/// The axis of the constant `indices` that place `place` of its tuples runs along, and the index there at each coordinate, into an
/// axis of `size`. `None` where the place follows no one axis.
pub fn runs(indices: &Tensor, place: usize, size: usize) -> Option<(usize, Vec<usize>)> {
    let (&tuple, outer) = indices.shape().split_last()?;
    let all = indices.to_ints();
    let named: Option<Vec<usize>> =
        all.chunks_exact(tuple.max(1)).map(|t| index_in(t[place], size)).collect();
    let (named, steps) = (named.filter(|named| !named.is_empty())?, row_major(outer));
    let line = |axis: usize| (0..outer[axis]).map(|i| named[i * steps[axis]]).collect::<Vec<usize>>();
    let follows = |(axis, line): &(usize, Vec<usize>)| {
        let at = |n: usize| line[n / steps[*axis] % outer[*axis]];
        line.iter().any(|i| *i != line[0]) && named.iter().enumerate().all(|(n, &i)| i == at(n))
    };
    (0..outer.len()).map(|axis| (axis, line(axis))).find(follows)
}

/// The tuples of operand 1 that are left, with the numbers that coordinates of operand 0 have after deletion.
pub fn renumbered(io: &Io, keep: &dyn Keep, batch: usize) -> Result<Resized, Refusal> {
    let (Some(x), Some(indices)) = (io.input(0), io.value(1)) else { return Ok(Resized::UNCHANGED) };
    let Some((&tuple, outer)) = indices.shape().split_last() else { return Ok(Resized::UNCHANGED) };
    let places = (0..tuple).any(|place| keep.kept(input(0, batch + place)).is_some());
    let rows = (0..outer.len()).any(|axis| keep.kept(input(1, axis)).is_some());
    if !places && !rows {
        return Ok(Resized::UNCHANGED);
    }
    let kept =
        |t: Tensor, axis: usize| keep.kept(input(1, axis)).map_or(t.clone(), |kept| t.select(axis, kept));
    let left = (0..outer.len()).fold(indices.clone(), kept);
    let new = |(n, i): (usize, i64)| {
        let axis = batch + n % tuple;
        let Some(kept) = keep.kept(input(0, axis)) else { return Ok(i) };
        match index_in(i, x[axis]).and_then(|i| kept.binary_search(&i).ok()) {
            Some(at) => Ok(at as i64),
            None => unsupported("an index names a coordinate that is gone"),
        }
    };
    let new: Vec<i64> = left.to_ints().into_iter().enumerate().map(new).collect::<Result<_, _>>()?;
    Ok(Resized::restating(vec![(1, left.with_ints(left.shape(), &new))]))
}

impl GatherNd {
    fn batch(&self) -> usize {
        usize::try_from(self.batch_dims.unwrap_or(0)).unwrap_or(usize::MAX)
    }
}

impl ViewFn for GatherNd {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("batch_dims", self.batch_dims).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (fact, indices) = (need(x, 0)?, &need(x, 1)?.shape);
        let batch = self.batch();
        let Some((&tuple, outer)) = indices.split_last() else { return invalid("indices without axes") };
        let fits = batch <= outer.len() && batch < fact.shape.len() && tuple <= fact.shape.len() - batch;
        if !fits || fact.shape[..batch] != outer[..batch] {
            return invalid(format!("indices of shape {indices:?} into {:?}", fact.shape));
        }
        Ok(vec![Fact::new(fact.dtype, [outer, &fact.shape[batch + tuple..]].concat())])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(x), Some([outer @ .., tuple])) = (io.input(0), io.input(1)) else { return };
        for (k, axis) in (self.batch() + tuple..x.len()).enumerate() {
            link.tie_axes(input(0, axis), output(0, outer.len() + k));
        }
        let Some(indices) = io.value(1) else { return };
        for (axis, &size) in x.iter().enumerate().skip(self.batch()).take(*tuple) {
            let run = runs(indices, axis - self.batch(), size);
            let Some((along, named)) = run.filter(|(along, _)| *along >= self.batch()) else { continue };
            (0..size).filter(|i| !named.contains(i)).for_each(|i| link.free(input(0, axis), i));
            for (j, i) in named.into_iter().enumerate() {
                link.tie(input(0, axis), i, output(0, along), j);
                link.tie(input(1, along), j, output(0, along), j);
            }
        }
    }
    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        renumbered(io, keep, self.batch())
    }
    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        Movement::indexed(io, 1, Gathered(TuplePlaces::new(io, self.batch())?))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, data};
    let indices = |shape: &[usize], v: &[i64]| Given::Fixed(Tensor::new(shape, v.to_vec()));
    vec![
        Case::new("GatherND").inputs([data(&[2, 3, 4]), indices(&[3, 2], &[0, 1, 1, -1, 1, 0])]).free(2 + 4),
        Case::new("GatherND")
            .named("batch")
            .int("batch_dims", 1)
            .inputs([data(&[2, 3, 4]), indices(&[2, 1], &[2, 0])])
            .free(4),
        Case::new("GatherND")
            .named("rows and columns")
            .inputs([data(&[2, 4, 3]), indices(&[3, 2, 2], &[0, 3, 1, 3, 0, -4, 1, 0, 0, 1, 1, 1])])
            .free(2 + 4 + 3),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::*;
    use crate::tensor::{Tensor, volume};

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let count = |shape: &[usize]| {
            Given::Fixed(Tensor::floats(shape, (0..volume(shape)).map(|i| i as f32).collect()))
        };
        let indices = Given::Fixed(Tensor::new(&[2, 1], vec![1i64, 0]));
        let case = Case::new("GatherND").int("batch_dims", 1).inputs([count(&[2, 2, 2]), indices]);
        case.gives(&[2., 3., 4., 5.]);
    }
}
