//! MeanVarianceNormalization: y = (x − mean)/(σ + 10⁻⁹), mean and σ over some axes.
//! <https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html>

use super::family::broadcast::runs;
use super::family::reduce::{axis_of, tie_others};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct MeanVarianceNormalization {
    axes: Option<Vec<i64>>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(MeanVarianceNormalization { axes: r.ints("axes")? }))
}

/// Statistics of the elements that are normalised together.
struct Moments<T> {
    /// Shape of the statistics: ones along the axes that are normalised over.
    ones: Shape,
    /// Elements normalised together.
    count: T,
    mean: Vec<T>,
    deviation: Vec<T>,
}

impl MeanVarianceNormalization {
    fn whole(&self, rank: usize) -> Result<Vec<bool>, Refusal> {
        let mut whole = vec![false; rank];
        for &axis in self.axes.as_deref().unwrap_or(&[0, 2, 3]) {
            whole[axis_of(axis, rank)?] = true;
        }
        Ok(whole)
    }

    fn moments<T: Real>(&self, x: &Array<T>) -> Option<Moments<T>> {
        let whole = self.whole(x.shape.len()).ok()?;
        let ones: Shape = x.shape.iter().zip(whole).map(|(&s, w)| if w { 1 } else { s }).collect();
        let groups = volume(&ones);
        if x.data.is_empty() || groups == 0 {
            return None;
        }
        let count = T::of((x.data.len() / groups) as f64);
        let (mut mean, mut var) = (vec![T::zero(); groups], vec![T::zero(); groups]);
        each(&ones, x, |i, o| mean[o] += x.data[i]);
        mean.iter_mut().for_each(|m| *m /= count);
        each(&ones, x, |i, o| var[o] += (x.data[i] - mean[o]) * (x.data[i] - mean[o]));
        let deviation = var.into_iter().map(|v| (v / count).sqrt()).collect();
        Some(Moments { ones, count, mean, deviation })
    }
}

/// Calls `f(position in x, position in the statistics)`.
fn each<T>(ones: &[usize], x: &Array<T>, mut f: impl FnMut(usize, usize)) {
    runs([ones], &x.shape, |o, [i], n, [p]| (0..n).for_each(|k| f(o + k, i + k * p)));
}

fn epsilon<T: Real>() -> T {
    T::of(1e-9)
}

impl Hints for MeanVarianceNormalization {
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(24.0, 33.0)
    }
}

impl Op for MeanVarianceNormalization {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axes", self.axes.clone()).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        self.whole(fact.shape.len())?;
        Ok(vec![fact.clone()])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn never_negative(&self, _: &Operands) -> bool {
        false
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Ok(whole) = self.whole(io.output(0).len()) else { return };
        tie_others(io, |axis| whole[axis], "normalises over this axis", link);
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

impl<T: Real> Compute<T> for MeanVarianceNormalization {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let Some((x, m)) = x[0].and_then(|x| Some((x, self.moments(x)?))) else { return };
        each(&m.ones, x, |i, o| {
            y[0].data[i] = (x.data[i] - m.mean[o]) / (m.deviation[o] + epsilon());
        });
    }

    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        y: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(x), Some(dx)) = (x[0], &mut dx[0]) else { return };
        let Some(m) = self.moments(x) else { return };
        let (y, dy) = (&y[0].data, &dy[0].data);
        let (mut total, mut dot) = (vec![T::zero(); m.mean.len()], vec![T::zero(); m.mean.len()]);
        each(&m.ones, x, |i, o| {
            total[o] += dy[i] / m.count;
            dot[o] += dy[i] * y[i] / m.count;
        });
        each(&m.ones, x, |i, o| {
            let s = m.deviation[o];
            let slope = if s == T::zero() { s } else { (x.data[i] - m.mean[o]) / s };
            dx.data[i] += (dy[i] - total[o] - slope * dot[o]) / (s + epsilon());
        });
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name| Case::new("MeanVarianceNormalization").named(name);
    vec![
        case("per channel").inputs([data(&[2, 3, 2, 4])]).free(3),
        case("per image").ints("axes", &[1, -1]).inputs([data(&[2, 3, 2])]).free(2),
    ]
}
