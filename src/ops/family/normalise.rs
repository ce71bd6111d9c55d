//! Family: y = scale·(x − mean)/√(var + ε) + bias, with mean and variance over runs of neighbouring elements.

use super::reduce::sum;
use crate::tensor::*;

/// Which elements are normalised together, and with which parameters.
pub struct Rows<'a> {
    /// Elements normalised together.
    pub row: usize,
    /// Elements of a row that share a scale and a bias; divides `row`.
    pub segment: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// Positions of scale and bias of a row's segment.
    pub at: &'a dyn Fn(usize, usize) -> (usize, usize),
}

impl Rows<'_> {
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

    /// Adds to `dx` what the gradients of mean and inverse deviation, one per row, bring.
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

    /// Normalises all rows of `x`.
    pub fn forward<T: Real>(&self, x: &[T], scale: &[T], bias: Option<&[T]>, y: &mut [T]) {
        if x.is_empty() {
            return;
        }
        for (r, (x, y)) in x.chunks_exact(self.row).zip(y.chunks_exact_mut(self.row)).enumerate() {
            let (mean, inverse) = self.moments(x);
            let segments = x.chunks_exact(self.segment).zip(y.chunks_exact_mut(self.segment));
            for (s, (x, y)) in segments.enumerate() {
                let (i, j) = (self.at)(r, s);
                let (a, b) = (scale[i] * inverse, bias.map_or(T::zero(), |b| b[j]));
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - mean) * a + b);
            }
        }
    }

    /// With g = dy·scale and z the normalised x: `dx = (g − mean g − z·mean(g·z))/√(var + ε)`.
    pub fn backward<T: Real>(&self, x: &[T], scale: &[T], dy: &[T], dx: &mut [Option<&mut Array<T>>]) {
        if x.is_empty() {
            return;
        }
        let share = T::of(1.0 / self.row as f64);
        for (r, (x, dy)) in x.chunks_exact(self.row).zip(dy.chunks_exact(self.row)).enumerate() {
            let (mean, inverse) = self.moments(x);
            let segments = || x.chunks_exact(self.segment).zip(dy.chunks_exact(self.segment)).enumerate();
            let (mut g, mut gz) = (T::zero(), T::zero());
            for (s, (x, dy)) in segments() {
                let (i, j) = (self.at)(r, s);
                let total = sum(dy, |dy| dy);
                let dot = x.iter().zip(dy).map(|(&x, &dy)| (x - mean) * dy).sum::<T>() * inverse;
                g += scale[i] * total;
                gz += scale[i] * dot;
                if let Some(Some(ds)) = dx.get_mut(1) {
                    ds.data[i] += dot;
                }
                if let Some(Some(db)) = dx.get_mut(2) {
                    db.data[j] += total;
                }
            }
            let Some(dx) = &mut dx[0] else { continue };
            let (g, gz) = (g * share, gz * share * inverse);
            let dx = &mut dx.data[r * self.row..(r + 1) * self.row];
            for ((s, (x, dy)), dx) in segments().zip(dx.chunks_exact_mut(self.segment)) {
                let scale = scale[(self.at)(r, s).0];
                for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                    *dx += (dy * scale - g - (x - mean) * gz) * inverse;
                }
            }
        }
    }
}
