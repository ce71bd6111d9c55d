//! Add: y = a + b with broadcasting. <https://onnx.ai/onnx/operators/onnx__Add.html>
//!
//! Zero is neutral, so an operand's channels may be cut alone and scattered back (`link.zero_is_neutral`).

use super::family::broadcast::{Runs, channels, infer_two, runs_of_two};
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
    fn never_negative(&self, x: &Operands) -> bool {
        x.iter().all(|x| x.is_some_and(|x| x.is_never_negative()))
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
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let operands = [need(io.x, 0)?, need(io.x, 1)?].map(|x| Runs::new([&x.shape], io.output(0)));
        Ok(Box::new(BoundAdd { runs: runs_of_two(io)?, operands }))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(io, link, true);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

/// The sum at the shapes of one node.
#[derive(Debug)]
struct BoundAdd {
    runs: Runs<2>,
    /// Runs of each operand alone, in which its gradient is summed.
    operands: [Runs<1>; 2],
}

impl<T: Real> Compute<T> for BoundAdd {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let [a, b] = [0, 1].map(|slot| present(x, slot).elements());
        self.runs.map(a, b, y[0].elements_mut(), |a, b| a + b);
    }
    fn backward(&self, _: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let dy = dy[0].elements();
        for (slot, runs) in self.operands.iter().enumerate() {
            let Some(dx) = wanted(dx, slot) else { continue };
            runs.add(dx.elements_mut(), |i, _| dy[i]);
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
