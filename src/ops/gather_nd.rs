//! GatherND: slices of the operand by index tuples. <https://onnx.ai/onnx/operators/onnx__GatherND.html>

use super::indexing::row_major;
use super::movement::{Move, Moved, Movement};
use crate::ir::*;

#[derive(Debug)]
struct GatherNd {
    batch_dims: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Moved(GatherNd { batch_dims: r.int("batch_dims")? })))
}

/// For each tuple: the first element of the slice it names in the axes `batch..` of a value of shape `x`, where there is
/// one; the first `batch` axes are shared.
pub fn slices<T: Real>(x: &[usize], indices: &Array<T>, batch: usize) -> Vec<Option<usize>> {
    let tuple = indices.shape.last().copied().unwrap_or(0);
    let steps = row_major(x);
    let (all, tuples) = (indices.ints(), volume(&indices.shape[..indices.shape.len().saturating_sub(1)]));
    let (per_batch, image) = (tuples / volume(&x[..batch]).max(1), volume(&x[batch..]));
    let place = |k: usize| {
        let mut at = k / per_batch.max(1) * image;
        for (axis, &i) in (batch..).zip(&all[k * tuple..(k + 1) * tuple]) {
            let i = if i < 0 { i.saturating_add(x[axis] as i64) } else { i };
            at += usize::try_from(i).ok().filter(|&i| i < x[axis])? * steps[axis];
        }
        Some(at)
    };
    (0..tuples).map(place).collect()
}

impl GatherNd {
    fn batch(&self) -> usize {
        usize::try_from(self.batch_dims.unwrap_or(0)).unwrap_or(usize::MAX)
    }
}

impl Movement for GatherNd {
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
    fn channels(&self, io: &Io, link: &mut dyn Link) {
        let (Some(x), Some([outer @ .., tuple])) = (io.input(0), io.input(1)) else { return };
        for (k, axis) in (self.batch() + tuple..x.len()).enumerate() {
            link.same(input(0, axis), output(0, outer.len() + k));
        }
    }
    fn moves<T: Real>(&self, x: &[Option<&Array<T>>], _: &[Shape], f: &mut dyn FnMut(Move)) {
        let (Some(x), Some(indices)) = (x[0], x[1]) else { return };
        let Some(&tuple) = indices.shape.last() else { return };
        let len = volume(&x.shape[self.batch() + tuple..]);
        for (k, at) in slices(&x.shape, indices, self.batch()).into_iter().enumerate() {
            if let Some(at) = at {
                f(Move { x: 0, at, step: 1, y: 0, to: k * len, len });
            }
        }
    }
    fn fill<T: Real>(&self, _: &[Option<&Array<T>>]) -> Option<T> {
        Some(T::zero())
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, data};
    let indices = |shape: &[usize], v: &[i64]| {
        Given::Fixed(Tensor { shape: shape.to_vec(), data: Data::I64(v.to_vec()) })
    };
    vec![
        Case::new("GatherND").inputs([data(&[2, 3, 4]), indices(&[3, 2], &[0, 1, 1, -1, 1, 0])]).free(4),
        Case::new("GatherND")
            .named("batch")
            .int("batch_dims", 1)
            .inputs([data(&[2, 3, 4]), indices(&[2, 1], &[2, 0])])
            .free(4),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ir::{Data, Tensor, volume};
    use crate::ops::laws::*;

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let count = |shape: &[usize]| {
            Given::Fixed(Tensor::floats(shape, (0..volume(shape)).map(|i| i as f32).collect()))
        };
        let indices = Given::Fixed(Tensor { shape: vec![2, 1], data: Data::I64(vec![1, 0]) });
        let case = Case::new("GatherND").int("batch_dims", 1).inputs([count(&[2, 2, 2]), indices]);
        case.gives(&[2., 3., 4., 5.]);
    }
}
