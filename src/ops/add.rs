//! Add: y = a + b with broadcasting. <https://onnx.ai/onnx/operators/onnx__Add.html>
//!
//! Zero is neutral, so an operand's channels may be cut alone and scattered back (`link.absorbs`).

use super::family::broadcast::{channels, infer_two, map2, reduce_into};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Add;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Add))
}

impl Hints for Add {
    fn inverse(&self, _: usize) -> Option<Inverse> {
        Some(|other, y| y - other)
    }
    fn adds(&self) -> bool {
        true
    }
    fn parameters(&self) -> &'static [usize] {
        &[0, 1]
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(0.0, 16.0)
    }
}

impl Op for Add {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        infer_two(x)
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn never_negative(&self, x: &Operands) -> bool {
        x.iter().all(|x| x.is_some_and(|x| x.is_never_negative()))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(io, link, true);
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

impl<T: Real> Compute<T> for Add {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (Some(a), Some(b)) = (x[0], x[1]) else { return };
        map2(a, b, &mut y[0], |a, b| a + b);
    }
    fn backward(
        &self,
        _: &[Option<&Array<T>>],
        _: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        for dx in dx.iter_mut().flatten() {
            reduce_into(dx, &dy[0].shape, |i| dy[0].data[i]);
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    vec![
        Case::new("Add").inputs([data(&[2, 3, 4]), data(&[2, 3, 4])]).free(9),
        Case::new("Add").named("bias").inputs([data(&[2, 3, 4]), weight(&[3, 1])]).free(9),
        Case::new("Add").named("scalar").inputs([data(&[2, 3]), weight(&[])]).free(5),
    ]
}
