//! CumSum: y = the running sum of x along an axis. <https://onnx.ai/onnx/operators/onnx__CumSum.html>

use super::family::reduce::{axis_of, lines, tie_others};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct CumSum {
    exclusive: Option<i64>,
    reverse: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(CumSum { exclusive: r.int("exclusive")?, reverse: r.int("reverse")? }))
}

fn axis(given: &[i64], rank: usize) -> Result<usize, Refusal> {
    match *given {
        [axis] => axis_of(axis, rank),
        _ => invalid(format!("axis is {given:?}")),
    }
}

impl CumSum {
    /// Calls `f(position, is it the first of its line)` along each line, or backwards.
    fn walk(&self, x: &[usize], axis: usize, reverse: bool, mut f: impl FnMut(usize, bool)) {
        let (outer, length, inner) = lines(x, axis);
        for o in 0..outer {
            for i in 0..inner {
                for k in 0..length {
                    let k_now = if reverse { length - 1 - k } else { k };
                    f((o * length + k_now) * inner + i, k == 0);
                }
            }
        }
    }

    fn flags(&self) -> (bool, bool) {
        (self.exclusive.unwrap_or(0) != 0, self.reverse.unwrap_or(0) != 0)
    }
}

impl Hints for CumSum {}

impl Op for CumSum {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("exclusive", self.exclusive).maybe("reverse", self.reverse).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        need(x, 1)?;
        let Some(given) = x[1].and_then(|o| o.value) else {
            return unsupported("an axis that depends on the network's input values");
        };
        axis(&given.to_ints(), fact.shape.len())?;
        Ok(vec![fact.clone()])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn never_negative(&self, x: &Operands) -> bool {
        x[0].is_some_and(|x| x.is_never_negative())
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Some(given) = io.value(1) else { return };
        let Ok(whole) = axis(&given.to_ints(), io.output(0).len()) else { return };
        tie_others(io, |axis| axis == whole, "sums up along this axis", link);
        if !given.shape().is_empty() {
            link.free(input(1, 0), 0);
        }
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

impl<T: Real> Compute<T> for CumSum {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (Some(x), Some(given)) = (x[0], x[1]) else { return };
        let Ok(axis) = axis(&given.ints(), x.shape.len()) else { return };
        let (exclusive, reverse) = self.flags();
        let mut total = T::zero();
        self.walk(&x.shape, axis, reverse, |i, first| {
            if first {
                total = T::zero();
            }
            let before = total;
            total += x.data[i];
            y[0].data[i] = if exclusive { before } else { total };
        });
    }

    /// The running sum of dy in the other direction.
    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        _: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(x), Some(given), Some(dx)) = (x[0], x[1], &mut dx[0]) else { return };
        let Ok(axis) = axis(&given.ints(), x.shape.len()) else { return };
        let (exclusive, reverse) = self.flags();
        let mut total = T::zero();
        self.walk(&x.shape, axis, !reverse, |i, first| {
            if first {
                total = T::zero();
            }
            let before = total;
            total += dy[0].data[i];
            dx.data[i] += if exclusive { before } else { total };
        });
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, data, ints};
    let scalar = |axis: i64| Given::Fixed(Tensor::scalar(axis));
    let case = |name| Case::new("CumSum").named(name);
    vec![
        case("channels").inputs([data(&[2, 3, 4]), scalar(1)]).free(6),
        case("backwards, exclusive")
            .int("exclusive", 1)
            .int("reverse", 1)
            .inputs([data(&[2, 3]), ints(&[-1])])
            .free(2),
    ]
}
