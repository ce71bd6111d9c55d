//! LpNormalization: y = x / ‖x‖ₚ along an axis (p is 1 or 2); zero where the norm is.
//! <https://onnx.ai/onnx/operators/onnx__LpNormalization.html>
//!
//! A zero adds nothing to the norm and stays zero, so the axis is read and passes through.

use super::family::reduce::{axis_of, lines};
use crate::graph::*;
use crate::tensor::*;

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

    /// Calls `f(positions of a line, its norm)` for each line.
    fn lines<T: Real>(&self, x: &Array<T>, mut f: impl FnMut(&mut dyn Iterator<Item = usize>, T)) {
        let Ok(axis) = self.axis(x.shape.len()) else { return };
        let (outer, length, inner) = lines(&x.shape, axis);
        for o in 0..outer {
            for i in 0..inner {
                let line = || (0..length).map(move |k| (o * length + k) * inner + i);
                let norm = match self.p {
                    Some(1) => line().map(|i| x.data[i].abs()).sum::<T>(),
                    _ => line().map(|i| x.data[i] * x.data[i]).sum::<T>().sqrt(),
                };
                f(&mut line(), norm);
            }
        }
    }
}

impl Hints for LpNormalization {
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(4.0, 17.0)
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

    fn never_negative(&self, x: &Operands) -> bool {
        x[0].is_some_and(|x| x.is_never_negative())
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Ok(axis) = self.axis(io.output(0).len()) else { return };
        super::family::pointwise::tie_all(io, link);
        link.contracts(input(0, axis));
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

impl<T: Real> Compute<T> for LpNormalization {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let Some(x) = x[0] else { return };
        self.lines(x, |line, norm| {
            let inverse = if norm == T::zero() { norm } else { norm.recip() };
            line.for_each(|i| y[0].data[i] = x.data[i] * inverse);
        });
    }

    /// `dx = (dy − n·Σ dy·y)/‖x‖`, with n the norm's gradient: y for p = 2, the sign of x for p = 1.
    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        y: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(x), Some(dx)) = (x[0], &mut dx[0]) else { return };
        let (y, dy) = (&y[0].data, &dy[0].data);
        self.lines(x, |line, norm| {
            if norm == T::zero() {
                return;
            }
            let line: Vec<usize> = line.collect();
            let dot: T = line.iter().map(|&i| dy[i] * y[i]).sum();
            for i in line {
                let n = match self.p {
                    Some(1) if x.data[i] == T::zero() => T::zero(),
                    Some(1) => x.data[i].signum(),
                    _ => y[i],
                };
                dx.data[i] += (dy[i] - n * dot) / norm;
            }
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
