//! Family: y = f(x), element by element, with constants from attributes. Every axis of x is tied to the same axis of y.

use crate::graph::*;
use crate::tensor::*;
use std::fmt::Debug;

/// A function of one number, its derivative and its attributes.
pub trait PointwiseFn: Debug + Send + Sync + 'static {
    /// The attributes as ONNX names them.
    fn attributes(&self) -> Attributes;
    /// Type of y.
    fn dtype(&self, x: DType) -> DType {
        x
    }
    /// False where y is not a real function of x.
    fn differentiable(&self) -> bool {
        true
    }
    /// True where y ≥ 0 for all x, or for those that are never negative where `x` says so.
    fn never_negative(&self, _: bool) -> bool {
        false
    }
    /// y = f(x)
    fn f<T: Real>(&self, x: T) -> T;
    /// dy/dx, given x and y.
    fn df<T: Real>(&self, x: T, y: T) -> T;
    /// As [`Hints::instructions`].
    const INSTRUCTIONS: Option<Instructions> = Instructions::PASS;
    /// As [`Hints::rearranges`].
    fn rearranges(&self, _slot: usize) -> bool {
        false
    }
    /// As [`Hints::limit`].
    fn limit(&self) -> Option<Limit> {
        None
    }
}

/// Makes a pointwise function an operator.
#[derive(Debug)]
pub struct Pointwise<F>(pub F);

impl<F: PointwiseFn> Hints for Pointwise<F> {
    fn rearranges(&self, slot: usize) -> bool {
        self.0.rearranges(slot)
    }
    fn limit(&self, _: &Operands) -> Option<Limit> {
        self.0.limit()
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        F::INSTRUCTIONS
    }
}

impl<F: PointwiseFn> Op for Pointwise<F> {
    fn attributes(&self) -> Attributes {
        self.0.attributes()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let x = need(x, 0)?;
        Ok(vec![Fact::new(self.0.dtype(x.dtype), x.shape.clone())])
    }
    fn differentiable(&self) -> bool {
        self.0.differentiable()
    }
    fn never_negative(&self, x: &Operands) -> bool {
        self.0.never_negative(x[0].is_some_and(|x| x.is_never_negative()))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        tie_all(io, link);
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

impl<F: PointwiseFn, T: Real> Compute<T> for Pointwise<F> {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let Some(x) = x[0] else { return };
        for (y, &x) in y[0].data.iter_mut().zip(&x.data) {
            *y = self.0.f(x);
        }
    }
    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        y: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(x), Some(dx)) = (x[0], &mut dx[0]) else { return };
        for (((dx, &x), &y), &dy) in dx.data.iter_mut().zip(&x.data).zip(&y[0].data).zip(&dy[0].data) {
            *dx += dy * self.0.df(x, y);
        }
    }
}

/// Ties every axis of input 0 to the same axis of output 0.
pub fn tie_all(io: &Io, link: &mut dyn Couplings) {
    for axis in 0..io.output(0).len() {
        link.tie_axes(input(0, axis), output(0, axis));
    }
}
