//! OneHot: a new axis with one value at an index and another elsewhere. <https://onnx.ai/onnx/operators/onnx__OneHot.html>

use super::family::indexing::{axis_in, index_in, integers, required, shape_from};
use super::family::no_grad::{NoGrad, NoGradFn, Values};
use crate::graph::*;
use crate::tensor::*;
use std::borrow::Cow;

#[derive(Debug)]
struct OneHot {
    axis: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(NoGrad(OneHot { axis: r.int("axis")? })))
}

impl OneHot {
    fn axis(&self, rank: usize) -> Result<usize, Refusal> {
        axis_in(self.axis.unwrap_or(-1), rank)
    }
}

impl NoGradFn for OneHot {
    type Bound = Hot;

    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axis", self.axis).done()
    }
    fn indexes(&self, io: &Io, slot: usize) -> Option<usize> {
        let depth = io.value(1).filter(|_| slot == 0)?.to_ints();
        usize::try_from(*depth.first()?).ok()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (indices, depth, values) = (need(x, 0)?, required(x, 1, "depths")?, need(x, 2)?);
        if depth.len() != 1 || values.shape != [2] {
            return invalid(format!("depth {depth:?} and values of shape {:?}", values.shape));
        }
        let mut y: Vec<i64> = indices.shape.iter().map(|&s| s as i64).collect();
        y.insert(self.axis(y.len() + 1)?, depth[0]);
        Ok(vec![Fact::new(values.dtype, shape_from(&y)?)])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let rank = io.output(0).len();
        let Ok(axis) = self.axis(rank) else { return };
        let old = (0..rank).filter(|&k| k != axis);
        old.enumerate().for_each(|(from, k)| link.tie_axes(input(0, from), output(0, k)));
    }
    fn bind(&self, io: &Io) -> Result<Hot, Refusal> {
        let (indices, values) = (need(io.x, 0)?, need(io.x, 2)?);
        if values.shape != [2] {
            return invalid(format!("values of shape {:?}", values.shape));
        }
        let axis = self.axis(indices.shape.len() + 1)?;
        Ok(Hot { axis, indices: io.value(0).map(Tensor::to_ints) })
    }
}

/// The new axis of one node's result, and the indices, where they are constants.
#[derive(Debug)]
struct Hot {
    axis: usize,
    indices: Option<Vec<i64>>,
}

impl Values for Hot {
    fn forward<T: Real>(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let [off, on] = [0, 1].map(|k| present(x, 2).elements()[k]);
        let indices = match &self.indices {
            Some(indices) => Cow::Borrowed(indices),
            None => Cow::Owned(integers(present(x, 0))),
        };
        let (_, depth, inner) = sides(y[0].shape(), self.axis);
        let y = y[0].elements_mut();
        y.fill(off);
        for (k, &i) in indices.iter().enumerate() {
            if let Some(i) = index_in(i, depth) {
                y[(k / inner * depth + i) * inner + k % inner] = on;
            }
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, floats, ints};
    let case = |name| {
        Case::new("OneHot").named(name).inputs([ints(&[0, 2, -1, 9]), ints(&[3]), floats(&[0.5, 2.0])])
    };
    vec![case("behind").free(4), case("in front").int("axis", 0).free(4)]
}
