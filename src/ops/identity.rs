//! Identity: y = x. <https://onnx.ai/onnx/operators/onnx__Identity.html>

use super::family::pointwise::tie_all;
use super::family::view::{Movement, View, ViewFn, all};
use crate::graph::*;

#[derive(Debug)]
struct Identity;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(View(Identity)))
}

/// The node as an Identity, where deletion leaves its operator nothing to do.
pub fn passing() -> Resized {
    Resized { passes: Some("Identity"), ..Resized::of(Box::new(View(Identity))) }
}

impl ViewFn for Identity {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn rearranges(&self, slot: usize) -> bool {
        slot == 0
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        None
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        Ok(vec![need(x, 0)?.clone()])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        tie_all(io, link);
    }
    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        all(io)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("Identity").inputs([data(&[2, 3, 4])]).free(9),
        Case::new("Identity").named("scalar").inputs([data(&[])]).free(0),
    ]
}
