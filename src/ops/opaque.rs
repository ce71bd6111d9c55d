//! An operator we do not know, or a form of one that we do not know: it says nothing, so everything it touches is frozen.

use crate::ir::*;

/// Carried verbatim by the file; its shape is what the file declares.
#[derive(Debug)]
pub struct Opaque {
    why: String,
}

impl Opaque {
    /// An operator that is not understood, and why.
    pub fn new(why: String) -> Self {
        Self { why }
    }
}

impl Op for Opaque {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, _: &Operands) -> Result<Vec<Fact>, Refusal> {
        unsupported(self.why.clone())
    }
    fn differentiable(&self) -> bool {
        false
    }
    fn never_negative(&self, _: &Operands) -> bool {
        false
    }
    fn channels(&self, _: &Io, _: &mut dyn Link) {}
    fn other_operations(&self, _: &Io) -> Vec<Product> {
        Vec::new()
    }
    fn macs(&self, _: &Io) -> Vec<Product> {
        Vec::new()
    }
    fn linear(&self, _: &Io) -> Option<Linear> {
        None
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        unsupported(self.why.clone())
    }
}

impl<T: Real> Diff<T> for Opaque {
    fn forward(&self, _: &[Option<&Array<T>>], _: &mut [Array<T>]) {
        unreachable!("an operator without inferred results is never run")
    }
    fn backward(
        &self,
        _: &[Option<&Array<T>>],
        _: &[Array<T>],
        _: &[Array<T>],
        _: &mut [Option<&mut Array<T>>],
    ) {
        unreachable!("an operator without inferred results is never run")
    }
}
