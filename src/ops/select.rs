//! Where: y = a where the condition holds, else b, with broadcasting. <https://onnx.ai/onnx/operators/onnx__Where.html>

use super::family::broadcast::{channels, infer, positions, reduce_into, runs};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Where;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Where))
}

impl Hints for Where {
    fn rearranges(&self, slot: usize) -> bool {
        slot == 1 || slot == 2
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(16.0, 12.0)
    }
}

impl Op for Where {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        need(x, 2)?;
        let dtype = need(x, 1)?.dtype;
        Ok(infer(x)?.into_iter().map(|y| Fact::new(dtype, y.shape)).collect())
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn never_negative(&self, x: &Operands) -> bool {
        [1, 2].iter().all(|&k| x[k].is_some_and(|x| x.is_never_negative()))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(io, link, false);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn linear(&self, _: &Io) -> Option<Linear> {
        None
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Where {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (Some(c), Some(a), Some(b)) = (x[0], x[1], x[2]) else { return };
        let Array { shape, data } = &mut y[0];
        runs([&c.shape, &a.shape, &b.shape], shape, |o, [i, j, k], n, [p, q, r]| {
            for (s, y) in data[o..o + n].iter_mut().enumerate() {
                *y = if c.data[i + s * p] != T::zero() { a.data[j + s * q] } else { b.data[k + s * r] };
            }
        });
    }
    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        _: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(c), dy) = (x[0], &dy[0]) else { return };
        let at = positions(&c.shape, &dy.shape);
        for (slot, wanted) in [(1, true), (2, false)] {
            if let Some(Some(dx)) = dx.get_mut(slot) {
                let taken = |i: usize| (c.data[at[i]] != T::zero()) == wanted;
                reduce_into(dx, &dy.shape, |i| if taken(i) { dy.data[i] } else { T::zero() });
            }
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, data, scalar, weight};
    let mask =
        |shape: &[usize]| Given::Fixed(Tensor::new(shape, (0..volume(shape)).map(|i| i % 3 == 0).collect()));
    vec![
        Case::new("Where").inputs([mask(&[2, 3, 4]), data(&[2, 3, 4]), data(&[2, 3, 4])]).free(9),
        Case::new("Where").named("broadcast").inputs([mask(&[3, 1]), data(&[2, 3, 4]), weight(&[4])]).free(9),
        Case::new("Where").named("scalar").inputs([mask(&[2, 3]), scalar(2.0), data(&[2, 3])]).free(5),
    ]
}
