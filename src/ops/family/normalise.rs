//! Family: y = scale·(x − mean)/√(var + ε) + bias, with mean and variance over runs of neighbouring elements.

use super::reduce::sum;
use crate::graph::*;
use crate::tensor::*;

/// The kernel: which elements are normalised together, and with which parameters. Operands: x, scale, and a bias where the node
/// has one.
#[derive(Debug)]
pub struct Rows {
    /// Elements normalised together.
    pub row: usize,
    /// Elements of a row that share a scale and a bias; divides `row`.
    pub segment: usize,
    /// ε, added to the variance.
    pub epsilon: f64,
    /// Positions of scale and bias, segment by segment, of one row or of several whole rows; then from the first on again.
    pub parameters: Vec<[usize; 2]>,
}

impl Rows {
    fn moments<T: Real>(&self, x: &[T]) -> (T, T) {
        let share = T::of(1.0 / x.len() as f64);
        let mean = sum(x, |x| x) * share;
        let var = sum(x, |x| (x - mean) * (x - mean)) * share;
        (mean, (var + T::of(self.epsilon)).sqrt().recip())
    }

    /// Mean and inverse deviation of each row.
    pub fn all_moments<T: Real>(&self, x: &[T]) -> impl Iterator<Item = (T, T)> {
        x.chunks_exact(self.row.max(1)).map(|x| self.moments(x))
    }

    /// Adds the contributions of the gradients of mean and inverse deviation, one per row, to `dx`.
    pub fn backward_moments<T: Real>(
        &self,
        x: &[T],
        mean: Option<&[T]>,
        inverse: Option<&[T]>,
        dx: &mut [T],
    ) {
        let share = T::of(1.0 / self.row as f64);
        let rows = x.chunks_exact(self.row.max(1)).zip(dx.chunks_exact_mut(self.row.max(1)));
        for (r, (x, dx)) in rows.enumerate() {
            let (m, i) = self.moments(x);
            let to_mean = mean.map_or(T::zero(), |g| g[r]) * share;
            let to_inverse = inverse.map_or(T::zero(), |g| g[r]) * i * i * i * share;
            dx.iter_mut().zip(x).for_each(|(dx, &x)| *dx += to_mean - to_inverse * (x - m));
        }
    }

    /// A row in its segments.
    fn segments<'a, T>(&self, row: &'a [T]) -> std::slice::ChunksExact<'a, T> {
        row.chunks_exact(self.segment.max(1))
    }

    /// Positions of scale and bias of the segments of row `r`.
    fn parameters(&self, r: usize) -> &[[usize; 2]] {
        let segments = self.row / self.segment.max(1);
        &self.parameters[r * segments % self.parameters.len().max(1)..][..segments]
    }
}

impl<T: Real> Compute<T> for Rows {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let scale = present(x, 1).elements();
        let bias = optional(x, 2).map(|bias| bias.elements());
        let y = y[0].elements_mut().chunks_exact_mut(self.row.max(1));
        for (r, (x, y)) in present(x, 0).elements().chunks_exact(self.row.max(1)).zip(y).enumerate() {
            let (mean, inverse) = self.moments(x);
            let segments = self.segments(x).zip(y.chunks_exact_mut(self.segment.max(1)));
            for (&[i, j], (x, y)) in self.parameters(r).iter().zip(segments) {
                let (a, b) = (scale[i] * inverse, bias.map_or(T::zero(), |b| b[j]));
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - mean) * a + b);
            }
        }
    }

    /// With g = dy·scale and z the normalised x: `dx = (g − mean g − z·mean(g·z))/√(var + ε)`.
    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let (x, scale, dy) = (present(x, 0).elements(), present(x, 1).elements(), dy[0].elements());
        let mut gradients = dx.iter_mut().map(|dx| dx.as_mut().map(|dx| dx.elements_mut()));
        let [mut dx, mut ds, mut db] = std::array::from_fn(|_| gradients.next().flatten());
        let share = T::of(1.0 / self.row as f64);
        let rows = x.chunks_exact(self.row.max(1)).zip(dy.chunks_exact(self.row.max(1)));
        for (r, (x, dy)) in rows.enumerate() {
            let (mean, inverse) = self.moments(x);
            let segments = || self.parameters(r).iter().zip(self.segments(x).zip(self.segments(dy)));
            let (mut g, mut gz) = (T::zero(), T::zero());
            for (&[i, j], (x, dy)) in segments() {
                let total = sum(dy, |dy| dy);
                let dot = x.iter().zip(dy).map(|(&x, &dy)| (x - mean) * dy).sum::<T>() * inverse;
                g += scale[i] * total;
                gz += scale[i] * dot;
                if let Some(ds) = &mut ds {
                    ds[i] += dot;
                }
                if let Some(db) = &mut db {
                    db[j] += total;
                }
            }
            let Some(dx) = &mut dx else { continue };
            let (g, gz) = (g * share, gz * share * inverse);
            let dx = dx[r * self.row..][..self.row].chunks_exact_mut(self.segment.max(1));
            for ((&[i, _], (x, dy)), dx) in segments().zip(dx) {
                let scale = scale[i];
                for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                    *dx += (dy * scale - g - (x - mean) * gz) * inverse;
                }
            }
        }
    }
}
