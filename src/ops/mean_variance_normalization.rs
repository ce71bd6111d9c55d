//! MeanVarianceNormalization: y = (x − mean)/(σ + 10⁻⁹), mean and σ over some axes.
//! <https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html>

use super::family::broadcast::Runs;
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

impl MeanVarianceNormalization {
    fn whole(&self, rank: usize) -> Result<Vec<bool>, Refusal> {
        let mut whole = vec![false; rank];
        for &axis in self.axes.as_deref().unwrap_or(&[0, 2, 3]) {
            whole[axis_of(axis, rank)?] = true;
        }
        Ok(whole)
    }
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

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let shape = &need(io.x, 0)?.shape;
        let whole = self.whole(shape.len())?;
        let ones: Shape = shape.iter().zip(whole).map(|(&s, w)| if w { 1 } else { s }).collect();
        let groups = volume(&ones);
        let count = (volume(shape) / groups.max(1)) as f64;
        Ok(Box::new(Bound { statistics: Runs::new([&ones], shape), groups, count }))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Ok(whole) = self.whole(io.output(0).len()) else { return };
        tie_others(io, |axis| whole[axis], "normalises over this axis", link);
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

/// The operator at one shape.
#[derive(Debug)]
struct Bound {
    /// Runs of the statistics, which are broadcast along the axes that are normalised over, in x.
    statistics: Runs<1>,
    /// Number of groups of elements that are normalised together.
    groups: usize,
    /// Number of elements in a group.
    count: f64,
}

/// Statistics of the elements that are normalised together.
struct Moments<T> {
    mean: Vec<T>,
    deviation: Vec<T>,
}

impl Bound {
    /// Calls `f(position in x, position in the statistics)`.
    fn each(&self, mut f: impl FnMut(usize, usize)) {
        self.statistics.each(|o, [i], n, [p]| (0..n).for_each(|k| f(o + k, i + k * p)));
    }

    fn moments<T: Real>(&self, x: &[T]) -> Moments<T> {
        let count = T::of(self.count);
        let (mut mean, mut var) = (vec![T::zero(); self.groups], vec![T::zero(); self.groups]);
        self.each(|i, o| mean[o] += x[i]);
        mean.iter_mut().for_each(|m| *m /= count);
        self.each(|i, o| var[o] += (x[i] - mean[o]) * (x[i] - mean[o]));
        let deviation = var.into_iter().map(|v| (v / count).sqrt()).collect();
        Moments { mean, deviation }
    }
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let (x, y) = (present(x, 0).elements(), y[0].elements_mut());
        let m = self.moments(x);
        self.each(|i, o| y[i] = (x[i] - m.mean[o]) / (m.deviation[o] + epsilon()));
    }

    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let Some(dx) = wanted(dx, 0) else { return };
        let (x, y, dy, dx) = (present(x, 0).elements(), y[0].elements(), dy[0].elements(), dx.elements_mut());
        let (m, count) = (self.moments(x), T::of(self.count));
        let (mut total, mut dot) = (vec![T::zero(); m.mean.len()], vec![T::zero(); m.mean.len()]);
        self.each(|i, o| {
            total[o] += dy[i] / count;
            dot[o] += dy[i] * y[i] / count;
        });
        self.each(|i, o| {
            let s = m.deviation[o];
            let slope = if s == T::zero() { s } else { (x[i] - m.mean[o]) / s };
            dx[i] += (dy[i] - total[o] - slope * dot[o]) / (s + epsilon());
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
