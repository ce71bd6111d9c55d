//! Adam (Kingma and Ba, arXiv 1412.6980), with the usual moments.

/// State of the optimiser.
#[derive(Debug, Clone)]
pub struct Adam {
    /// Learning rate of the next update.
    pub rate: f64,
    step: i32,
    mean: Vec<f64>,
    square: Vec<f64>,
}

impl Adam {
    /// For `n` parameters at learning rate `rate`.
    pub fn new(n: usize, rate: f64) -> Self {
        Self { rate, step: 0, mean: vec![0.0; n], square: vec![0.0; n] }
    }

    /// One update of `parameters` against `gradient`.
    pub fn update(&mut self, parameters: &mut [f64], gradient: &[f64]) {
        const B1: f64 = 0.9;
        const B2: f64 = 0.999;
        self.step += 1;
        let (c1, c2) = (1.0 - B1.powi(self.step), 1.0 - B2.powi(self.step));
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((p, g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *m = B1 * *m + (1.0 - B1) * g;
            *v = B2 * *v + (1.0 - B2) * g * g;
            *p -= self.rate * (*m / c1) / ((*v / c2).sqrt() + 1e-8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_has_the_length_of_the_rate() {
        let mut p = vec![1.0, 1.0];
        Adam::new(2, 0.5).update(&mut p, &[3.0, -0.01]);
        assert!((p[0] - 0.5).abs() < 1e-6 && (p[1] - 1.5).abs() < 1e-5, "{p:?}");
    }
}
