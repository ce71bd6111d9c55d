//! Family: y = f(x), element by element, with constants from attributes. Every axis of x is tied to its axis of y.

use crate::graph::*;
use crate::tensor::*;
use ndarray::Zip;
use std::fmt::Debug;

/// A function of one number, its derivative and its attributes.
pub trait PointwiseFn: Debug + Clone + Send + Sync + 'static {
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
    /// True where y ≥ 0 for every x; `x` is true where x itself is never negative.
    fn never_negative(&self, _: bool) -> bool {
        false
    }
    /// y = f(x)
    fn f<T: Real>(&self, x: T) -> T;
    /// dy/dx, given x and y.
    fn df<T: Real>(&self, x: T, y: T) -> T;
    /// As [`Hints::instructions`].
    const INSTRUCTIONS: Option<Instructions> = Instructions::PASS;
    /// As [`Hints::form`].
    fn form(&self, _opset: i64) -> Option<Form> {
        None
    }
    /// As [`Hints::rearranges`].
    fn rearranges(&self, _slot: usize) -> bool {
        false
    }
    /// As [`Hints::limit`].
    fn limit(&self) -> Option<Limit> {
        None
    }
}

/// Makes a pointwise function an operator, and a kernel for every shape.
#[derive(Debug, Clone)]
pub struct Pointwise<F>(pub F);

impl<F: PointwiseFn> Hints for Pointwise<F> {
    fn rearranges(&self, slot: usize) -> bool {
        self.0.rearranges(slot)
    }
    fn limit(&self, _: &Operands) -> Option<Limit> {
        self.0.limit()
    }
    fn form(&self, _: &Io, opset: i64) -> Option<Form> {
        self.0.form(opset)
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        F::INSTRUCTIONS
    }
    fn never_negative(&self, x: &Operands) -> bool {
        self.0.never_negative(x[0].is_some_and(|x| x.is_never_negative()))
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
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        need(io.x, 0)?;
        Ok(Box::new(self.clone()))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        tie_all(io, link);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<F: PointwiseFn, T: Real> Compute<T> for Pointwise<F> {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        Zip::from(&mut y[0]).and(present(x, 0)).for_each(|y, &x| *y = self.0.f(x));
    }
    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let Some(dx) = wanted(dx, 0) else { return };
        let gradient = Zip::from(dx).and(present(x, 0)).and(&y[0]).and(&dy[0]);
        gradient.for_each(|dx, &x, &y, &dy| *dx += dy * self.0.df(x, y));
    }
}

/// Ties every axis of input 0 to its axis of output 0.
pub fn tie_all(io: &Io, link: &mut dyn Couplings) {
    for axis in 0..io.output(0).len() {
        link.tie_axes(input(0, axis), output(0, axis));
    }
}
