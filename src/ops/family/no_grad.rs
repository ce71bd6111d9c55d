//! Family: results that are no smooth function of the operands (sizes, indices, masks): values only, no gradient.

use crate::graph::*;
use crate::tensor::*;
use std::fmt::Debug;

/// An operator without gradient, multiply-accumulates or restated sizes.
pub trait NoGradFn: Debug + Send + Sync + 'static {
    /// As [`Op::attributes`].
    fn attributes(&self) -> Attributes;
    /// As [`Op::infer`].
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal>;
    /// As [`Op::channels`].
    fn channels(&self, io: &Io, link: &mut dyn Couplings);
    /// As [`Op::resize`]; here: nothing restates a size.
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
    /// As [`Compute::forward`].
    fn forward<T: Real>(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]);
    /// As [`Hints::needs_shapes_only`].
    const NEEDS_SHAPES_ONLY: bool = false;
    /// As [`Hints::indexes`].
    fn indexes(&self, _: &Io, _slot: usize) -> Option<usize> {
        None
    }
    /// As [`Hints::instructions`].
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::PASS
    }
}

/// Makes it an operator.
#[derive(Debug)]
pub struct NoGrad<F>(pub F);

impl<F: NoGradFn> Hints for NoGrad<F> {
    fn needs_shapes_only(&self) -> bool {
        F::NEEDS_SHAPES_ONLY
    }
    fn indexes(&self, io: &Io, slot: usize) -> Option<usize> {
        self.0.indexes(io, slot)
    }
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        self.0.instructions(io)
    }
}

impl<F: NoGradFn> Op for NoGrad<F> {
    fn attributes(&self) -> Attributes {
        self.0.attributes()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        self.0.infer(x)
    }
    fn differentiable(&self) -> bool {
        false
    }
    fn never_negative(&self, _: &Operands) -> bool {
        false
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        self.0.channels(io, link);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn linear(&self, _: &Io) -> Option<Linear> {
        None
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        self.0.resize(io, keep)
    }
}

impl<F: NoGradFn, T: Real> Compute<T> for NoGrad<F> {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        self.0.forward(x, y);
    }
    fn backward(
        &self,
        _: &[Option<&Array<T>>],
        _: &[Array<T>],
        _: &[Array<T>],
        _: &mut [Option<&mut Array<T>>],
    ) {
    }
}
