//! Family: y = x₀ ∘ x₁ ∘ … of any number of operands, with broadcasting.

use super::broadcast::{Runs, channels, infer};
use crate::graph::*;
use crate::tensor::*;
use std::fmt::Debug;

/// An associative function of numbers.
pub trait VariadicFn: Debug + Clone + Send + Sync + 'static {
    /// True where zero is neutral: deleted channels of an operand may be scattered back as zeros.
    const ABSORBS: bool;
    /// The neutral element.
    fn neutral<T: Real>(&self) -> T;
    /// True where y ≥ 0; `x` says which operands are never negative.
    fn never_negative(&self, x: impl Iterator<Item = bool>) -> bool;
    /// x₀ ∘ x₁
    fn f<T: Real>(&self, a: T, b: T) -> T;
    /// Factor of the result, by the number of operands.
    fn scale<T: Real>(&self, _: usize) -> T {
        T::one()
    }
    /// dy/dx for an operand x, apart from the scale.
    fn df<T: Real>(&self, x: T, y: T) -> T;
    /// As [`Hints::instructions`].
    const INSTRUCTIONS: Option<Instructions> = Instructions::PASS;
}

/// Makes an associative function an operator.
#[derive(Debug)]
pub struct Variadic<F>(pub F);

impl<F: VariadicFn> Hints for Variadic<F> {
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        F::INSTRUCTIONS
    }
    fn never_negative(&self, x: &Operands) -> bool {
        self.0.never_negative(x.iter().flatten().map(|x| x.is_never_negative()))
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
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        need(io.x, 0)?;
        let runs = |slot| io.input(slot).map(|x| Runs::new([x], io.output(0)));
        let operands = (0..io.inputs()).map(runs).collect();
        Ok(Box::new(BoundVariadic { f: self.0.clone(), operands }))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(io, link, F::ABSORBS);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

/// A function of the operands that one node has, at their shapes.
#[derive(Debug)]
struct BoundVariadic<F> {
    f: F,
    /// Runs of each operand that is present, by slot.
    operands: Vec<Option<Runs<1>>>,
}

impl<F: VariadicFn> BoundVariadic<F> {
    fn operands(&self) -> impl Iterator<Item = (usize, &Runs<1>)> {
        self.operands.iter().enumerate().filter_map(|(slot, runs)| Some((slot, runs.as_ref()?)))
    }

    fn scale<T: Real>(&self) -> T {
        self.f.scale(self.operands().count())
    }
}

impl<F: VariadicFn, T: Real> Compute<T> for BoundVariadic<F> {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let y = y[0].elements_mut();
        y.fill(self.f.neutral());
        for (slot, runs) in self.operands() {
            let x = present(x, slot).elements();
            runs.each(|o, [i], n, [p]| {
                let y = y[o..o + n].iter_mut();
                match p {
                    1 => y.zip(&x[i..i + n]).for_each(|(y, &x)| *y = self.f.f(*y, x)),
                    _ => y.enumerate().for_each(|(k, y)| *y = self.f.f(*y, x[i + k * p])),
                }
            });
        }
        let scale: T = self.scale();
        if scale != T::one() {
            y.iter_mut().for_each(|y| *y *= scale);
        }
    }
    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let (y, dy) = (y[0].elements(), dy[0].elements());
        let scale: T = self.scale();
        for (slot, runs) in self.operands() {
            let Some(dx) = wanted(dx, slot) else { continue };
            let x = present(x, slot).elements();
            runs.add(dx.elements_mut(), |k, at| dy[k] * scale * self.f.df(x[at], y[k]));
        }
    }
}
