//! Bias terms of closed gates, in the results of their readers: `Σ_c (1 − λ_c)·κ_c·m[o, c]`, added along one axis.

use super::channel_gather::lambda_at;
use super::gated::BiasTermSpec;
use super::gradients::Gradients;
use crate::kernels::simd::dot;
use crate::support::index::OptIndex;
use crate::tensor::*;

/// A bias term of a step's result.
#[derive(Debug, Clone)]
pub(super) struct BiasTerm {
    /// The axis of the result that `o` runs over.
    pub axis: usize,
    /// For each c, its λ; none where λ = 1.
    pub index: Vec<OptIndex>,
    /// For each c, its κ; none where κ = 1.
    pub level: Vec<OptIndex>,
    /// Row-major [o, c].
    pub matrix: Vec<f32>,
}

impl From<&BiasTermSpec> for BiasTerm {
    fn from(spec: &BiasTermSpec) -> Self {
        let BiasTermSpec { axis, index, level, matrix, .. } = spec.clone();
        Self { axis, index, level, matrix }
    }
}

impl BiasTerm {
    /// By o, `Σ_c (1 − λ_c)·κ_c·m[o, c]`.
    pub fn amounts(&self, lambda: &[f32]) -> Vec<f32> {
        let of_gate = |(&i, &l): (&OptIndex, &OptIndex)| (1.0 - lambda_at(lambda, i)) * lambda_at(lambda, l);
        let closed: Vec<f32> = self.index.iter().zip(&self.level).map(of_gate).collect();
        self.matrix.chunks(closed.len().max(1)).map(|row| dot(row, &closed)).collect()
    }

    /// y_o += Σ_c (1 − λ_c)·κ_c·m[o, c]
    pub fn add(&self, lambda: &[f32], y: &mut Array<f32>) {
        let amounts = self.amounts(lambda);
        let (_, size, inner) = sides(y.shape(), self.axis);
        for y in y.elements_mut().chunks_exact_mut((size * inner).max(1)) {
            for (y, by) in y.chunks_exact_mut(inner).zip(&amounts) {
                y.iter_mut().for_each(|y| *y += by);
            }
        }
    }

    /// With s_c = Σ_o m[o, c]·Σ dy_o: dλ_c −= κ_c·s_c, dκ_c += (1 − λ_c)·s_c
    pub fn backward(&self, dy: &Array<f32>, gradients: &mut Gradients) {
        let lambda = gradients.lambda;
        let columns = self.index.len().max(1);
        let mut sums = vec![0.0f32; self.matrix.len() / columns];
        let (_, size, inner) = sides(dy.shape(), self.axis);
        for dy in dy.elements().chunks_exact((size * inner).max(1)) {
            for (sum, dy) in sums.iter_mut().zip(dy.chunks_exact(inner)) {
                *sum += dy.iter().sum::<f32>();
            }
        }
        let mut of_channel = vec![0.0f32; columns];
        for (row, g) in self.matrix.chunks(columns).zip(&sums) {
            of_channel.iter_mut().zip(row).for_each(|(s, m)| *s += m * g);
        }
        for ((&i, &l), s) in self.index.iter().zip(&self.level).zip(&of_channel) {
            let Some(gate) = i.get() else { continue };
            gradients.gates[gate] -= s * lambda_at(lambda, l);
            if let Some(level) = l.get() {
                gradients.gates[level] += s * (1.0 - lambda_at(lambda, i));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two outputs, of three channels: one with a level, one without, one without a gate. λ = (0.25, 0.5), κ = 3.
    fn term() -> BiasTerm {
        let matrix = vec![1.0, 2.0, 9.0, -1.0, 4.0, 9.0];
        let index = [Some(0), Some(1), None].map(OptIndex::from).to_vec();
        let level = [Some(2), None, None].map(OptIndex::from).to_vec();
        BiasTerm { axis: 1, index, level, matrix }
    }

    const LAMBDA: [f32; 3] = [0.25, 0.5, 3.0];

    #[test]
    fn closed_gates_add_their_level_along_the_axis() {
        let mut y = Array::zeros(&[2, 2, 2][..]);
        term().add(&LAMBDA, &mut y);
        // 0.75 · 3 = 2.25 and 0.5 · 1 of the gated channels; nothing of the third.
        let (a, b) = (2.25 + 2.0 * 0.5, -2.25 + 4.0 * 0.5);
        assert_eq!(y.elements(), [a, a, b, b, a, a, b, b]);
    }

    #[test]
    fn gradients_are_differences() {
        let weights: Vec<f32> = (0..8).map(|i| i as f32 - 2.5).collect();
        let dy = array(&[2, 2, 2], weights.clone());
        let mut gates = vec![0.0; 3];
        term().backward(&dy, &mut Gradients { lambda: &LAMBDA, gates: &mut gates, parameters: &mut [] });
        let value = |lambda: &[f32]| -> f32 {
            let mut y = Array::zeros(dy.shape());
            term().add(lambda, &mut y);
            y.iter().zip(&weights).map(|(y, w)| y * w).sum()
        };
        for (k, found) in gates.iter().enumerate() {
            let moved = |by: f32| {
                let mut lambda = LAMBDA;
                lambda[k] += by;
                value(&lambda)
            };
            // The term is linear in each of them.
            let expected = (moved(0.5) - moved(-0.5)) / 1.0;
            assert!((found - expected).abs() < 1e-4, "{k}: {found} {expected}");
        }
    }
}
