//! GRU: gates z, r and a candidate h̃ that r lets see the state; h = (1 − z) ⊙ h̃ + z ⊙ h.
//! <https://onnx.ai/onnx/operators/onnx__GRU.html>
//!
//! The state's part in the candidate is r ⊙ (R·h + B) with `linear_before_reset`, else R·(r ⊙ h) + B.

use super::family::recurrent::{self, Activation, Back, Cell, Step, add, parts};
use crate::graph::*;
use crate::kernels::matmul::{matmul, plain, transposed};
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Gru {
    linear_before_reset: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    recurrent::read(r, Gru { linear_before_reset: r.int("linear_before_reset")? })
}

impl Gru {
    fn is_linear(&self) -> bool {
        self.linear_before_reset.unwrap_or(0) != 0
    }

    /// r ⊙ the operand that it scales, image by image: `gates` hold r.
    fn reset<T: Real>(&self, gates: &[T], recurrent: &[T], h: &[T], size: usize) -> Vec<T> {
        let of = |n: usize| match self.is_linear() {
            true => &recurrent[(3 * n + 2) * size..][..size],
            false => &h[n * size..][..size],
        };
        let rows = gates.chunks_exact(3 * size).enumerate();
        rows.flat_map(|(n, g)| g[size..].iter().zip(of(n)).map(|(&r, &x)| r * x)).collect()
    }
}

impl Cell for Gru {
    const GATES: usize = 3;
    const STATES: usize = 1;
    const ACTIVATIONS: &'static [Activation] = &[Activation::Sigmoid, Activation::Tanh];

    fn write(&self, w: Writer) -> Writer {
        w.maybe("linear_before_reset", self.linear_before_reset)
    }

    fn direct(&self) -> usize {
        if self.is_linear() { 3 } else { 2 }
    }

    fn forward<T: Real>(&self, f: &[Activation], s: Step<T>) {
        let ([h, _], [after, _], size) = (s.before, s.after, s.hidden);
        let recurrent = s.recurrent.chunks_exact(self.direct() * size);
        for (row, u) in s.gates.chunks_exact_mut(3 * size).zip(recurrent) {
            add(&mut row[..2 * size], u);
            row[..2 * size].iter_mut().for_each(|g| *g = f[0].of(*g));
        }
        let mut reset = self.reset(s.gates, s.recurrent, h, size);
        if !self.is_linear() {
            let mut product = vec![T::zero(); reset.len()];
            matmul(h.len() / size, size, size, plain(&reset), transposed(s.rest), false, &mut product);
            reset = product;
        }
        for (n, row) in s.gates.chunks_exact_mut(3 * size).enumerate() {
            let [z, _, new] = parts(row);
            let at = n * size;
            for (j, new) in new.iter_mut().enumerate() {
                *new = f[1].of(*new + reset[at + j]);
                after[at + j] = *new + z[j] * (h[at + j] - *new);
            }
        }
    }

    fn backward<T: Real>(&self, f: &[Activation], s: Back<T>) {
        let ([h, _], [dy, _], [dh, _], size) = (s.before, s.d_after, s.d_before, s.hidden);
        let images = h.len() / size;
        // Gradient of the candidate's part of the state.
        let mut d_reset = Vec::with_capacity(h.len());
        for (n, row) in s.gates.chunks_exact_mut(3 * size).enumerate() {
            let [z, _, new] = parts(row);
            let at = n * size;
            for (j, new) in new.iter_mut().enumerate() {
                dh[at + j] += dy[at + j] * z[j];
                let dz = dy[at + j] * (h[at + j] - *new);
                *new = dy[at + j] * (T::one() - z[j]) * f[1].slope(*new);
                z[j] = dz * f[0].slope(z[j]);
                d_reset.push(*new);
            }
        }
        if !self.is_linear() {
            let reset = self.reset(s.gates, s.recurrent, h, size);
            if let Some(d_rest) = s.d_rest {
                matmul(size, images, size, transposed(&d_reset), plain(&reset), true, d_rest);
            }
            let mut product = vec![T::zero(); d_reset.len()];
            matmul(images, size, size, plain(&d_reset), plain(s.rest), false, &mut product);
            d_reset = product;
        }
        let rows = s.gates.chunks_exact_mut(3 * size).zip(s.recurrent.chunks_exact_mut(self.direct() * size));
        for (n, (row, u)) in rows.enumerate() {
            let at = n * size;
            for (j, r) in row[size..2 * size].iter_mut().enumerate() {
                let (d, slope) = (d_reset[at + j], f[0].slope(*r));
                match self.is_linear() {
                    true => {
                        let was = std::mem::replace(&mut u[2 * size + j], d * *r);
                        *r = d * was * slope;
                    }
                    false => {
                        dh[at + j] += d * *r;
                        *r = d * h[at + j] * slope;
                    }
                }
            }
            u[..2 * size].copy_from_slice(&row[..2 * size]);
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    let cases = || recurrent::cases_of("GRU", 3, 1).into_iter();
    cases().chain(cases().map(|case| case.int("linear_before_reset", 1))).collect()
}
