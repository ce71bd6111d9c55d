//! Family: y = f(a, b) with broadcasting, by its two derivatives; and comparisons, which have none.

use super::broadcast::{Runs, channels, infer_two, runs_of_two};
use crate::graph::*;
use crate::tensor::*;
use std::fmt::Debug;

/// A function of two numbers.
pub trait BinaryFn: Debug + Clone + Send + Sync + 'static {
    /// True where zero is neutral: deleted channels of an operand may be scattered back as zeros.
    const ABSORBS: bool;
    /// The attributes as ONNX names them.
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    /// Type and shape of the result.
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        infer_two(x)
    }
    /// True where y ≥ 0; `x` says which of the two are never negative.
    fn never_negative(&self, _: [bool; 2]) -> bool {
        false
    }
    /// y = f(a, b)
    fn f<T: Real>(&self, a: T, b: T) -> T;
    /// dy/da
    fn da<T: Real>(&self, a: T, b: T, y: T) -> T;
    /// dy/db
    fn db<T: Real>(&self, a: T, b: T, y: T) -> T;
    /// As [`Hints::parameters`].
    const PARAMETERS: &'static [usize] = &[];
    /// As [`Hints::inverse`].
    fn inverse(&self, _slot: usize) -> Option<Inverse> {
        None
    }
    /// As [`Hints::form`].
    fn form(&self, _: &Io, _opset: i64) -> Option<Form> {
        None
    }
    /// As [`Hints::instructions`].
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::PASS
    }
}

/// Makes a function of two numbers an operator.
#[derive(Debug)]
pub struct Binary<F>(pub F);

impl<F: BinaryFn> Hints for Binary<F> {
    fn inverse(&self, slot: usize) -> Option<Inverse> {
        self.0.inverse(slot)
    }
    fn parameters(&self) -> &'static [usize] {
        F::PARAMETERS
    }
    fn form(&self, io: &Io, opset: i64) -> Option<Form> {
        self.0.form(io, opset)
    }
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        self.0.instructions(io)
    }
    fn never_negative(&self, x: &Operands) -> bool {
        self.0.never_negative([0, 1].map(|k| x[k].is_some_and(|x| x.is_never_negative())))
    }
}

impl<F: BinaryFn> Op for Binary<F> {
    fn attributes(&self) -> Attributes {
        self.0.attributes()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        self.0.infer(x)
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        Ok(Box::new(BoundBinary { f: self.0.clone(), runs: runs_of_two(io)? }))
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

/// A function of two numbers at the shapes of one node.
#[derive(Debug)]
struct BoundBinary<F> {
    f: F,
    runs: Runs<2>,
}

impl<F: BinaryFn, T: Real> Compute<T> for BoundBinary<F> {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let [a, b] = [0, 1].map(|slot| present(x, slot).elements());
        self.runs.map(a, b, y[0].elements_mut(), |a, b| self.f.f(a, b));
    }
    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let x = [0, 1].map(|slot| present(x, slot).elements());
        let (y, dy) = (y[0].elements(), dy[0].elements());
        if let Some(da) = wanted(dx, 0) {
            gradient::<T, 0>(&self.runs, x, y, dy, da.elements_mut(), |a, b, y| self.f.da(a, b, y));
        }
        if let Some(db) = wanted(dx, 1) {
            gradient::<T, 1>(&self.runs, x, y, dy, db.elements_mut(), |a, b, y| self.f.db(a, b, y));
        }
    }
}

/// `dx += dy·g(a, b, y)`, summed over the elements that operand `SIDE` was broadcast to.
fn gradient<T: Real, const SIDE: usize>(
    runs: &Runs<2>,
    x: [&[T]; 2],
    y: &[T],
    dy: &[T],
    dx: &mut [T],
    g: impl Fn(T, T, T) -> T,
) {
    runs.each(|o, [i, j], n, steps| {
        let (a, b) = (&x[0][i..], &x[1][j..]);
        let (y, dy) = (&y[o..o + n], &dy[o..o + n]);
        let dx = &mut dx[[i, j][SIDE]..];
        match (steps, steps[SIDE]) {
            ([1, 1], _) => add(&mut dx[..n], |k| dy[k] * g(a[..n][k], b[..n][k], y[k])),
            ([1, 0], 1) => add(&mut dx[..n], |k| dy[k] * g(a[..n][k], b[0], y[k])),
            ([0, 1], 1) => add(&mut dx[..n], |k| dy[k] * g(a[0], b[..n][k], y[k])),
            ([1, 0], _) => dx[0] += sum(n, |k| dy[k] * g(a[..n][k], b[0], y[k])),
            ([0, 1], _) => dx[0] += sum(n, |k| dy[k] * g(a[0], b[..n][k], y[k])),
            ([p, q], 0) => dx[0] += sum(n, |k| dy[k] * g(a[k * p], b[k * q], y[k])),
            ([p, q], s) => (0..n).for_each(|k| dx[k * s] += dy[k] * g(a[k * p], b[k * q], y[k])),
        }
    });
}

fn add<T: Real>(dx: &mut [T], g: impl Fn(usize) -> T) {
    dx.iter_mut().enumerate().for_each(|(k, dx)| *dx += g(k));
}

/// Σ g(k) for k < n in eight interleaved sums (a fixed order that vectorises).
pub fn sum<T: Real>(n: usize, g: impl Fn(usize) -> T) -> T {
    let mut lanes = [T::zero(); 8];
    let whole = n / 8 * 8;
    for k in (0..whole).step_by(8) {
        lanes.iter_mut().enumerate().for_each(|(l, lane)| *lane += g(k + l));
    }
    lanes.into_iter().sum::<T>() + (whole..n).map(g).sum::<T>()
}

/// The operator y = f(a, b) with a truth value as its result, and its [`Hints::instructions`].
pub fn comparison(
    f: fn(f64, f64) -> bool,
    instructions: Option<Instructions>,
) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Comparison(f, instructions)))
}

#[derive(Debug)]
struct Comparison(fn(f64, f64) -> bool, Option<Instructions>);

impl Hints for Comparison {
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        self.1
    }
    fn never_negative(&self, _: &Operands) -> bool {
        true
    }
}

impl Op for Comparison {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        Ok(infer_two(x)?.into_iter().map(|y| Fact::new(DType::Bool, y.shape)).collect())
    }
    fn differentiable(&self) -> bool {
        false
    }
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        Ok(Box::new(BoundComparison { f: self.0, runs: runs_of_two(io)? }))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(io, link, false);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

/// A comparison at the shapes of one node.
#[derive(Debug)]
struct BoundComparison {
    f: fn(f64, f64) -> bool,
    runs: Runs<2>,
}

impl<T: Real> Compute<T> for BoundComparison {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let [a, b] = [0, 1].map(|slot| present(x, slot).elements());
        let truth = |a: T, b: T| if (self.f)(a.wide(), b.wide()) { T::one() } else { T::zero() };
        self.runs.map(a, b, y[0].elements_mut(), truth);
    }
    fn backward(&self, _: &Inputs<T>, _: &Results<T>, _: &Results<T>, _: &mut InputGradients<T>) {}
}
