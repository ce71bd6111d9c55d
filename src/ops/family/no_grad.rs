//! Family: results that are no smooth function of the operands (sizes, indices, masks): values only, no gradient.

use crate::graph::*;
use crate::tensor::*;
use std::fmt::Debug;

/// An operator without gradient, multiply-accumulates or restated sizes.
pub trait NoGradFn: Debug + Send + Sync + 'static {
    /// The operator at the shapes and constants of one node.
    type Bound: Values;
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
    /// As [`Op::bind`].
    fn bind(&self, io: &Io) -> Result<Self::Bound, Refusal>;
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

/// Values of a node that has no gradient.
pub trait Values: Debug + Send + Sync + 'static {
    /// As [`Compute::forward`].
    fn forward<T: Real>(&self, x: &Inputs<T>, y: &mut ResultsMut<T>);
}

/// Makes a function without gradient an operator.
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
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        Ok(Box::new(BoundNoGrad(self.0.bind(io)?)))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        self.0.channels(io, link);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        self.0.resize(io, keep)
    }
}

/// A kernel without gradient.
#[derive(Debug)]
struct BoundNoGrad<V>(V);

impl<V: Values, T: Real> Compute<T> for BoundNoGrad<V> {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        self.0.forward(x, y);
    }
    fn backward(&self, _: &Inputs<T>, _: &Results<T>, _: &Results<T>, _: &mut InputGradients<T>) {}
}

/// A result that shapes and constants alone decide: whole numbers, row-major.
#[derive(Debug)]
pub struct Integers(pub Vec<usize>);

impl Values for Integers {
    fn forward<T: Real>(&self, _: &Inputs<T>, y: &mut ResultsMut<T>) {
        y[0].elements_mut().iter_mut().zip(&self.0).for_each(|(y, &v)| *y = T::of(v as f64));
    }
}
