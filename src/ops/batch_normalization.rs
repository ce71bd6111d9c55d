//! BatchNormalization (inference): y = scale·(x − mean)/√(var + ε) + bias, per channel.
//! <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html>

use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct BatchNormalization {
    epsilon: Option<f32>,
    momentum: Option<f32>,
    training_mode: Option<i64>,
    spatial: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    if r.opset < 7 {
        return unsupported(format!("BatchNormalization of opset {}", r.opset));
    }
    let op = BatchNormalization {
        epsilon: r.float("epsilon")?,
        momentum: r.float("momentum")?,
        training_mode: if r.opset >= 14 { r.int("training_mode")? } else { None },
        spatial: if r.opset < 9 { r.int("spatial")? } else { None },
    };
    if op.training_mode.unwrap_or(0) != 0 {
        return unsupported("training_mode=1 (export the network in inference mode)");
    }
    if op.spatial.unwrap_or(1) != 1 {
        return unsupported("spatial=0");
    }
    if r.outputs != 1 {
        return unsupported("batch statistics as outputs (export the network in inference mode)");
    }
    Ok(Box::new(op))
}

/// Images, channels, elements per channel.
fn sizes(x: &[usize]) -> (usize, usize, usize) {
    (x[0], x[1], volume(&x[2..]))
}

impl BatchNormalization {
    fn epsilon(&self) -> f64 {
        f64::from(self.epsilon.unwrap_or(1e-5))
    }
}

impl Hints for BatchNormalization {
    fn normalisation(&self) -> Option<Normalisation> {
        Some(Normalisation { scale: 1, bias: 2, mean: 3, variance: 4, epsilon: self.epsilon })
    }
    fn parameters(&self) -> &'static [usize] {
        &[1, 2]
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        None
    }
}

impl Op for BatchNormalization {
    fn attributes(&self) -> Attributes {
        Writer::default()
            .maybe("epsilon", self.epsilon)
            .maybe("momentum", self.momentum)
            .maybe("training_mode", self.training_mode)
            .maybe("spatial", self.spatial)
            .done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        if fact.shape.len() < 2 {
            return unsupported(format!("an input of rank {}", fact.shape.len()));
        }
        for slot in 1..5 {
            let shape = &need(x, slot)?.shape;
            if *shape != [fact.shape[1]] {
                return invalid(format!("input {slot} of shape {shape:?} for {} channels", fact.shape[1]));
            }
        }
        Ok(vec![fact.clone()])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn never_negative(&self, _: &Operands) -> bool {
        false
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        super::family::pointwise::tie_all(io, link);
        (1..5).for_each(|slot| link.tie_axes(input(slot, 0), output(0, 1)));
    }

    fn cost(&self, io: &Io) -> Work {
        let y = io.output(0);
        let Some(&channels) = y.get(1).filter(|&&c| c > 0) else { return Work::Free };
        Work::Other(vec![Product {
            coefficient: 2.0 * real_volume(y) / channels as f64,
            widths: vec![output(0, 1)],
        }])
    }

    fn linear(&self, _: &Io) -> Option<Linear> {
        None
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for BatchNormalization {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let [Some(x), Some(scale), Some(bias), Some(mean), Some(var)] = *x else { return };
        let (images, channels, pixels) = sizes(&x.shape);
        let epsilon = T::of(self.epsilon());
        for c in 0..channels {
            let a = scale.data[c] / (var.data[c] + epsilon).sqrt();
            let b = bias.data[c] - mean.data[c] * a;
            for n in 0..images {
                let row = (n * channels + c) * pixels..(n * channels + c + 1) * pixels;
                for (y, &x) in y[0].data[row.clone()].iter_mut().zip(&x.data[row]) {
                    *y = a * x + b;
                }
            }
        }
    }

    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        _: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let [Some(x), Some(scale), Some(_), Some(mean), Some(var)] = *x else { return };
        let dy = &dy[0].data;
        let (images, channels, pixels) = sizes(&x.shape);
        let epsilon = T::of(self.epsilon());
        let parameters = dx[1..].iter().any(Option::is_some);
        for c in 0..channels {
            let inverse = (var.data[c] + epsilon).sqrt().recip();
            let a = scale.data[c] * inverse;
            // Σ dy and Σ dy·(x − mean)/√(var + ε)
            let (mut sum, mut dot) = (T::zero(), T::zero());
            for n in 0..images {
                let row = (n * channels + c) * pixels..(n * channels + c + 1) * pixels;
                if let Some(dx) = &mut dx[0] {
                    for (dx, &dy) in dx.data[row.clone()].iter_mut().zip(&dy[row.clone()]) {
                        *dx += a * dy;
                    }
                }
                if parameters {
                    for (&x, &dy) in x.data[row.clone()].iter().zip(&dy[row]) {
                        sum += dy;
                        dot += dy * (x - mean.data[c]) * inverse;
                    }
                }
            }
            let half = T::of(0.5);
            let gradients = [dot, sum, -a * sum, -half * a * inverse * dot];
            for (dp, gradient) in dx[1..].iter_mut().zip(gradients) {
                if let Some(dp) = dp {
                    dp.data[c] += gradient;
                }
            }
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, positive_weight, weight};
    let case = |name, x: &[usize]| {
        let c = [x[1]];
        Case::new("BatchNormalization").named(name).inputs([
            data(x),
            weight(&c),
            weight(&c),
            weight(&c),
            positive_weight(&c),
        ])
    };
    vec![
        case("images", &[2, 3, 4, 2]).float("epsilon", 0.01).float("momentum", 0.8).free(11),
        case("rank 2", &[2, 3]).opset(15).int("training_mode", 0).free(5),
        case("opset 7", &[1, 4, 3]).opset(7).int("spatial", 1).free(7),
        case("opset 9", &[1, 2, 1, 1]).opset(9).float("epsilon", 1e-3).free(2),
    ]
}
