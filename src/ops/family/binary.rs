//! Family: y = f(a, b) with broadcasting, by its two derivatives; and comparisons, which have none.

use super::broadcast::{channels, infer_two, map2, runs};
use crate::graph::*;
use crate::tensor::*;
use std::fmt::Debug;

/// A function of two numbers.
pub trait BinaryFn: Debug + Send + Sync + 'static {
    /// Zero is neutral: what an operand lost may be scattered back as zeros.
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
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        self.0.instructions(io)
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
    fn never_negative(&self, x: &Operands) -> bool {
        self.0.never_negative([0, 1].map(|k| x[k].is_some_and(|x| x.is_never_negative())))
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

impl<F: BinaryFn, T: Real> Compute<T> for Binary<F> {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (Some(a), Some(b)) = (x[0], x[1]) else { return };
        map2(a, b, &mut y[0], |a, b| self.0.f(a, b));
    }
    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        y: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(a), Some(b)) = (x[0], x[1]) else { return };
        if let Some(da) = &mut dx[0] {
            gradient::<T, 0>([a, b], &y[0], &dy[0], da, |a, b, y| self.0.da(a, b, y));
        }
        if let Some(db) = &mut dx[1] {
            gradient::<T, 1>([a, b], &y[0], &dy[0], db, |a, b, y| self.0.db(a, b, y));
        }
    }
}

/// `dx += dy·g(a, b, y)`, summed over what operand `SIDE` was broadcast to.
fn gradient<T: Real, const SIDE: usize>(
    x: [&Array<T>; 2],
    y: &Array<T>,
    dy: &Array<T>,
    dx: &mut Array<T>,
    g: impl Fn(T, T, T) -> T,
) {
    runs([&x[0].shape, &x[1].shape], &y.shape, |o, [i, j], n, steps| {
        let (a, b) = (&x[0].data[i..], &x[1].data[j..]);
        let (y, dy) = (&y.data[o..o + n], &dy.data[o..o + n]);
        let dx = &mut dx.data[[i, j][SIDE]..];
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

/// An operator that asks two numbers a question; the answer is a truth value. With its [`Hints::instructions`].
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
    fn never_negative(&self, _: &Operands) -> bool {
        true
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(io, link, false);
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

impl<T: Real> Compute<T> for Comparison {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (Some(a), Some(b)) = (x[0], x[1]) else { return };
        map2(a, b, &mut y[0], |a, b| if (self.0)(a.wide(), b.wide()) { T::one() } else { T::zero() });
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
