//! LpNormalization: y = x / ‖x‖ₚ along an axis (p is 1 or 2); zero where the norm is.
//! <https://onnx.ai/onnx/operators/onnx__LpNormalization.html>
//!
//! A zero adds nothing to the norm and stays zero, so the axis is read and passes through.

use super::family::reduce::axis_of;
use crate::graph::*;
use crate::tensor::*;
use ndarray::{ArrayView1, Zip};

/// The axis that is normalised over, with the sizes outside and inside of it.
const ALONG: ndarray::Axis = ndarray::Axis(1);

#[derive(Debug)]
struct LpNormalization {
    axis: Option<i64>,
    p: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let op = LpNormalization { axis: r.int("axis")?, p: r.int("p")? };
    match op.p.unwrap_or(2) {
        1 | 2 => Ok(Box::new(op)),
        p => invalid(format!("p is {p}")),
    }
}

impl LpNormalization {
    fn axis(&self, rank: usize) -> Result<usize, Refusal> {
        axis_of(self.axis.unwrap_or(-1), rank)
    }
}

impl Hints for LpNormalization {
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(4.0, 17.0)
    }
    fn never_negative(&self, x: &Operands) -> bool {
        x[0].is_some_and(|x| x.is_never_negative())
    }
}

impl Op for LpNormalization {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axis", self.axis).maybe("p", self.p).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        self.axis(fact.shape.len())?;
        Ok(vec![fact.clone()])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let axis = self.axis(need(io.x, 0)?.shape.len())?;
        Ok(Box::new(Bound { axis, absolute: self.p == Some(1) }))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Ok(axis) = self.axis(io.output(0).len()) else { return };
        super::family::pointwise::tie_all(io, link);
        link.contracts(input(0, axis));
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

/// The norm of lines along an axis.
#[derive(Debug)]
struct Bound {
    axis: usize,
    /// True for Σ |x|, false for √Σ x².
    absolute: bool,
}

impl Bound {
    fn norm<T: Real>(&self, line: ArrayView1<T>) -> T {
        match self.absolute {
            true => line.iter().map(|x| x.abs()).sum::<T>(),
            false => line.iter().map(|&x| x * x).sum::<T>().sqrt(),
        }
    }
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let (x, mut y) = (around(present(x, 0), self.axis), around_mut(&mut y[0], self.axis));
        Zip::from(x.lanes(ALONG)).and(y.lanes_mut(ALONG)).for_each(|x, y| {
            let norm = self.norm(x);
            let inverse = if norm == T::zero() { norm } else { norm.recip() };
            Zip::from(y).and(x).for_each(|y, &x| *y = x * inverse);
        });
    }

    /// `dx = (dy − n·Σ dy·y)/‖x‖`, with n the norm's gradient: y for p = 2, the sign of x for p = 1.
    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let Some(dx) = wanted(dx, 0) else { return };
        let [x, y, dy] = [present(x, 0), &y[0], &dy[0]].map(|a| around(a, self.axis));
        let mut dx = around_mut(dx, self.axis);
        let lines =
            Zip::from(x.lanes(ALONG)).and(y.lanes(ALONG)).and(dy.lanes(ALONG)).and(dx.lanes_mut(ALONG));
        lines.for_each(|x, y, dy, dx| {
            let norm = self.norm(x);
            if norm == T::zero() {
                return;
            }
            let dot: T = dy.iter().zip(y).map(|(&dy, &y)| dy * y).sum();
            Zip::from(dx).and(x).and(y).and(dy).for_each(|dx, &x, &y, &dy| {
                let n = match self.absolute {
                    true if x == T::zero() => T::zero(),
                    true => x.signum(),
                    false => y,
                };
                *dx += (dy - n * dot) / norm;
            });
        });
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name| Case::new("LpNormalization").named(name);
    vec![
        case("last axis").inputs([data(&[2, 3, 4])]).free(9),
        case("channels, p = 1").int("axis", 1).int("p", 1).inputs([data(&[1, 3, 2])]).free(5),
        case("negative").int("axis", -2).int("p", 2).inputs([data(&[2, 3])]).free(5),
    ]
}
