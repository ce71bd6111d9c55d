//! Family: y = x₀ ∘ x₁ ∘ … of any number of operands, with broadcasting.

use super::broadcast::{channels, infer, reduce_into, runs};
use crate::graph::*;
use crate::tensor::*;
use std::fmt::Debug;

/// An associative function of numbers.
pub trait VariadicFn: Debug + Send + Sync + 'static {
    /// Zero is neutral: what an operand lost may be scattered back as zeros.
    const ABSORBS: bool;
    /// The neutral element.
    fn neutral<T: Real>(&self) -> T;
    /// True where y ≥ 0; `x` says which operands are never negative.
    fn never_negative(&self, x: impl Iterator<Item = bool>) -> bool;
    /// x₀ ∘ x₁
    fn f<T: Real>(&self, a: T, b: T) -> T;
    /// What the result is multiplied by, for so many operands.
    fn scale<T: Real>(&self, _: usize) -> T {
        T::one()
    }
    /// dy/dx for an operand x, apart from the scale.
    fn df<T: Real>(&self, x: T, y: T) -> T;
    /// As [`Hints::instructions`].
    const INSTRUCTIONS: Option<Instructions> = Instructions::PASS;
}

/// Makes it an operator.
#[derive(Debug)]
pub struct Variadic<F>(pub F);

impl<F: VariadicFn> Hints for Variadic<F> {
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        F::INSTRUCTIONS
    }
}

impl<F: VariadicFn> Op for Variadic<F> {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        infer(x)
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn never_negative(&self, x: &Operands) -> bool {
        self.0.never_negative(x.iter().flatten().map(|x| x.is_never_negative()))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(io, link, F::ABSORBS);
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

impl<F: VariadicFn, T: Real> Compute<T> for Variadic<F> {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let Array { shape, data } = &mut y[0];
        data.fill(self.0.neutral());
        for x in x.iter().flatten() {
            runs([&x.shape], shape, |o, [i], n, [p]| {
                let y = data[o..o + n].iter_mut();
                match p {
                    1 => y.zip(&x.data[i..i + n]).for_each(|(y, &x)| *y = self.0.f(*y, x)),
                    _ => y.enumerate().for_each(|(k, y)| *y = self.0.f(*y, x.data[i + k * p])),
                }
            });
        }
        let scale: T = self.0.scale(x.iter().flatten().count());
        if scale != T::one() {
            data.iter_mut().for_each(|y| *y *= scale);
        }
    }
    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        y: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (y, dy) = (&y[0], &dy[0].data);
        let scale: T = self.0.scale(x.iter().flatten().count());
        for (x, dx) in x.iter().zip(dx) {
            let (Some(x), Some(dx)) = (x, dx) else { continue };
            if x.shape == y.shape {
                for (k, dx) in dx.data.iter_mut().enumerate() {
                    *dx += dy[k] * scale * self.0.df(x.data[k], y.data[k]);
                }
            } else {
                let at = super::broadcast::positions(&x.shape, &y.shape);
                reduce_into(dx, &y.shape, |k| dy[k] * scale * self.0.df(x.data[at[k]], y.data[k]));
            }
        }
    }
}
