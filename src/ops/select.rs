//! Where: y = a where the condition holds, else b, with broadcasting. <https://onnx.ai/onnx/operators/onnx__Where.html>

use super::family::broadcast::{Runs, channels, infer, positions};
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
    fn never_negative(&self, x: &Operands) -> bool {
        [1, 2].iter().all(|&k| x[k].is_some_and(|x| x.is_never_negative()))
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
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let (c, a, b) = (need(io.x, 0)?, need(io.x, 1)?, need(io.x, 2)?);
        let y = io.output(0);
        Ok(Box::new(Choice {
            runs: Runs::new([&c.shape, &a.shape, &b.shape], y),
            condition: positions(&c.shape, y),
            operands: [a, b].map(|x| Runs::new([&x.shape], y)),
        }))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(io, link, false);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

/// The choice at the shapes of one node.
#[derive(Debug)]
struct Choice {
    runs: Runs<3>,
    /// Position of the condition of each element of the result.
    condition: Vec<usize>,
    /// Runs of a and b alone, in which their gradients are summed.
    operands: [Runs<1>; 2],
}

impl<T: Real> Compute<T> for Choice {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let [c, a, b] = [0, 1, 2].map(|slot| present(x, slot).elements());
        let y = y[0].elements_mut();
        self.runs.each(|o, [i, j, k], n, [p, q, r]| {
            for (s, y) in y[o..o + n].iter_mut().enumerate() {
                *y = if c[i + s * p] != T::zero() { a[j + s * q] } else { b[k + s * r] };
            }
        });
    }
    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let (c, dy) = (present(x, 0).elements(), dy[0].elements());
        for (slot, runs, held) in [(1, &self.operands[0], true), (2, &self.operands[1], false)] {
            let Some(dx) = wanted(dx, slot) else { continue };
            let taken = |i: usize| (c[self.condition[i]] != T::zero()) == held;
            runs.add(dx.elements_mut(), |i, _| if taken(i) { dy[i] } else { T::zero() });
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
