//! Optimisers of weights, in the form that the field's frameworks give them.

/// An optimiser.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// Stochastic gradient descent: v ← μ·v + g + wd·w, w ← w − lr·v.
    /// <https://pytorch.org/docs/stable/generated/torch.optim.SGD.html>
    Sgd {
        /// μ
        momentum: f32,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101), β = (0.9, 0.999), ε = 1e-8.
    AdamW,
    /// AdamW with the rate of each tensor in units of its root mean square, as Adafactor scales parameters (Shazeer and
    /// Stern, arXiv 1804.04235): one rate serves networks whose weights differ by orders of magnitude.
    ScaledAdamW,
}

/// Least root mean square that scales a tensor's rate.
const LEAST_SCALE: f64 = 1e-3;

impl Method {
    /// Numbers of state per weight.
    pub(super) fn moments(self) -> usize {
        match self {
            Self::Sgd { .. } => 1,
            Self::AdamW | Self::ScaledAdamW => 2,
        }
    }

    /// One update of a tensor of weights; `step` counts from 1.
    pub(super) fn update(
        self,
        weights: &mut [f32],
        gradient: &[f32],
        moments: &mut [Vec<f32>],
        rate: f32,
        decay: f32,
        step: usize,
    ) {
        match (self, moments) {
            (Self::Sgd { momentum }, [v]) => {
                for ((w, g), v) in weights.iter_mut().zip(gradient).zip(v) {
                    *v = momentum * *v + g + decay * *w;
                    *w -= rate * *v;
                }
            }
            (Self::AdamW | Self::ScaledAdamW, [m, v]) => {
                let rate = if self == Self::ScaledAdamW { rate * scale(weights) } else { rate };
                const B: [f64; 2] = [0.9, 0.999];
                let [c1, c2] = B.map(|b| 1.0 - libm::pow(b, step as f64));
                let (scale, root) = ((f64::from(rate) / c1) as f32, c2.sqrt() as f32);
                let [b1, b2] = B.map(|b| b as f32);
                for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(m).zip(v) {
                    *w -= rate * decay * *w;
                    *m = b1 * *m + (1.0 - b1) * g;
                    *v = b2 * *v + (1.0 - b2) * g * g;
                    *w -= scale * *m / (v.sqrt() / root + 1e-8);
                }
            }
            _ => {}
        }
    }
}

/// Root mean square.
fn scale(weights: &[f32]) -> f32 {
    let squares: f64 = weights.iter().map(|&w| f64::from(w) * f64::from(w)).sum();
    (squares / weights.len().max(1) as f64).sqrt().max(LEAST_SCALE) as f32
}
