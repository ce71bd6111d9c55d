//! BatchNormalization (inference): y = scale·(x − mean)/√(var + ε) + bias, per channel.
//! <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html>

use crate::graph::*;
use crate::tensor::*;
use ndarray::Axis;

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

/// The normalisation, by its ε.
#[derive(Debug)]
struct Bound(f64);

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

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        self.infer(io.x)?;
        Ok(Box::new(Bound(f64::from(self.epsilon.unwrap_or(1e-5)))))
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

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let [scale, bias, mean, var] = [1, 2, 3, 4].map(|slot| present(x, slot).elements());
        let (x, mut y) = (around(present(x, 0), 1), around_mut(&mut y[0], 1));
        let epsilon = T::of(self.0);
        for (c, (x, mut y)) in x.axis_iter(Axis(1)).zip(y.axis_iter_mut(Axis(1))).enumerate() {
            let a = scale[c] / (var[c] + epsilon).sqrt();
            let b = bias[c] - mean[c] * a;
            for (x, mut y) in x.outer_iter().zip(y.outer_iter_mut()) {
                y.elements_mut().iter_mut().zip(x.elements()).for_each(|(y, &x)| *y = a * x + b);
            }
        }
    }

    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let [scale, mean, var] = [1, 3, 4].map(|slot| present(x, slot).elements());
        let (x, dy) = (around(present(x, 0), 1), around(&dy[0], 1));
        let (epsilon, half) = (T::of(self.0), T::of(0.5));
        let (dx, parameters) = dx.split_at_mut(1);
        let mut dx = wanted(dx, 0).map(|dx| around_mut(dx, 1));
        for (c, (x, dy)) in x.axis_iter(Axis(1)).zip(dy.axis_iter(Axis(1))).enumerate() {
            let inverse = (var[c] + epsilon).sqrt().recip();
            let a = scale[c] * inverse;
            if let Some(dx) = &mut dx {
                for (mut dx, dy) in dx.index_axis_mut(Axis(1), c).outer_iter_mut().zip(dy.outer_iter()) {
                    dx.elements_mut().iter_mut().zip(dy.elements()).for_each(|(dx, &dy)| *dx += a * dy);
                }
            }
            if parameters.iter().all(Option::is_none) {
                continue;
            }
            // Σ dy and Σ dy·(x − mean)/√(var + ε)
            let (mut sum, mut dot) = (T::zero(), T::zero());
            for (x, dy) in x.outer_iter().zip(dy.outer_iter()) {
                for (&x, &dy) in x.elements().iter().zip(dy.elements()) {
                    sum += dy;
                    dot += dy * (x - mean[c]) * inverse;
                }
            }
            let gradients = [dot, sum, -a * sum, -half * a * inverse * dot];
            for (dp, gradient) in parameters.iter_mut().zip(gradients) {
                if let Some(dp) = dp {
                    dp.elements_mut()[c] += gradient;
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
