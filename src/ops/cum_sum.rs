//! CumSum: y = the running sum of x along an axis. <https://onnx.ai/onnx/operators/onnx__CumSum.html>

use super::family::reduce::{axis_of, tie_others};
use crate::graph::*;
use crate::tensor::*;
use ndarray::{ArrayViewD, ArrayViewMutD, Zip};

#[derive(Debug)]
struct CumSum {
    exclusive: Option<i64>,
    reverse: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(CumSum { exclusive: r.int("exclusive")?, reverse: r.int("reverse")? }))
}

impl CumSum {
    /// The axis, which must be a constant.
    fn axis(&self, x: &Operands) -> Result<usize, Refusal> {
        let rank = need(x, 0)?.shape.len();
        need(x, 1)?;
        let Some(given) = x[1].and_then(|o| o.value) else {
            return unsupported("an axis that depends on the network's input values");
        };
        match given.to_ints()[..] {
            [axis] => axis_of(axis, rank),
            ref given => invalid(format!("axis is {given:?}")),
        }
    }
}

impl Hints for CumSum {
    fn never_negative(&self, x: &Operands) -> bool {
        x[0].is_some_and(|x| x.is_never_negative())
    }
}

impl Op for CumSum {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("exclusive", self.exclusive).maybe("reverse", self.reverse).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        self.axis(x)?;
        Ok(vec![fact.clone()])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let (exclusive, reverse) = (self.exclusive.unwrap_or(0) != 0, self.reverse.unwrap_or(0) != 0);
        Ok(Box::new(Bound { axis: self.axis(io.x)?, exclusive, reverse }))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(given), Ok(whole)) = (io.input(1), self.axis(io.x)) else { return };
        tie_others(io, |axis| axis == whole, "sums up along this axis", link);
        if !given.is_empty() {
            link.free(input(1, 0), 0);
        }
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

/// Running sums along an axis.
#[derive(Debug)]
struct Bound {
    axis: usize,
    exclusive: bool,
    reverse: bool,
}

impl Bound {
    /// Calls `put(element of y, running sum of x)` along each line, from its end where `reverse`.
    fn run<T: Real>(
        &self,
        x: &ArrayViewD<T>,
        y: &mut ArrayViewMutD<T>,
        reverse: bool,
        put: impl Fn(&mut T, T),
    ) {
        let along = ndarray::Axis(1);
        let (mut x, mut y) = (around(x, self.axis), around_mut(y, self.axis));
        if reverse {
            x.invert_axis(along);
            y.invert_axis(along);
        }
        Zip::from(x.lanes(along)).and(y.lanes_mut(along)).for_each(|x, y| {
            let mut total = T::zero();
            for (y, &x) in y.into_iter().zip(x) {
                let before = total;
                total += x;
                put(y, if self.exclusive { before } else { total });
            }
        });
    }
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        self.run(present(x, 0), &mut y[0], self.reverse, |y, total| *y = total);
    }

    /// The running sum of dy in the other direction.
    fn backward(&self, _: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let Some(dx) = wanted(dx, 0) else { return };
        self.run(&dy[0], dx, !self.reverse, |dx, total| *dx += total);
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
