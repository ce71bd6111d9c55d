//! InstanceNormalization: every channel of every image is normalised over its pixels.
//! <https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html>

use super::family::normalise::Rows;
use super::family::reduce::tie_others;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct InstanceNormalization {
    epsilon: Option<f32>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    if r.opset < 6 {
        return unsupported(format!("InstanceNormalization of opset {}", r.opset));
    }
    Ok(Box::new(InstanceNormalization { epsilon: r.float("epsilon")? }))
}

impl Hints for InstanceNormalization {
    fn parameters(&self) -> &'static [usize] {
        &[1, 2]
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(6.0, 29.0)
    }
}

impl Op for InstanceNormalization {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("epsilon", self.epsilon).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        if fact.shape.len() < 3 {
            return unsupported(format!("an input of rank {}", fact.shape.len()));
        }
        for slot in 1..3 {
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
        let x = &need(io.x, 0)?.shape;
        let pixels = volume(&x[2..]);
        Ok(Box::new(Rows {
            row: pixels,
            segment: pixels,
            epsilon: f64::from(self.epsilon.unwrap_or(1e-5)),
            parameters: (0..x[1]).map(|k| [k, k]).collect(),
        }))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        tie_others(io, |axis| axis > 1, "normalises over this axis", link);
        (1..3).for_each(|slot| link.tie_axes(input(slot, 0), output(0, 1)));
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    let case = |name| Case::new("InstanceNormalization").named(name);
    vec![
        case("images").inputs([data(&[2, 3, 3, 4]), weight(&[3]), weight(&[3])]).free(5),
        case("1d").float("epsilon", 0.1).inputs([data(&[1, 3, 5]), weight(&[3]), weight(&[3])]).free(3),
    ]
}
