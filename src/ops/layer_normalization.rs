//! LayerNormalization: x is normalised over its last axes. <https://onnx.ai/onnx/operators/onnx__LayerNormalization.html>

use super::family::broadcast::{positions, shape_of};
use super::family::normalise::Rows;
use super::family::reduce::{axis_of, tie_others};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct LayerNormalization {
    axis: Option<i64>,
    epsilon: Option<f32>,
    stash_type: Option<i64>,
    /// Number of results: with 2 or 3 there are the rows' means, and the inverses of their deviations.
    outputs: usize,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    if r.outputs > 3 {
        return invalid(format!("{} outputs", r.outputs));
    }
    Ok(Box::new(LayerNormalization {
        axis: r.int("axis")?,
        epsilon: r.float("epsilon")?,
        stash_type: r.int("stash_type")?,
        outputs: r.outputs,
    }))
}

impl LayerNormalization {
    fn axis(&self, rank: usize) -> Result<usize, Refusal> {
        axis_of(self.axis.unwrap_or(-1), rank)
    }
}

impl Hints for LayerNormalization {
    fn parameters(&self) -> &'static [usize] {
        &[1, 2]
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(63.0, 71.0)
    }
}

impl Op for LayerNormalization {
    fn attributes(&self) -> Attributes {
        Writer::default()
            .maybe("axis", self.axis)
            .maybe("epsilon", self.epsilon)
            .maybe("stash_type", self.stash_type)
            .done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        let line = &fact.shape[self.axis(fact.shape.len())?..];
        need(x, 1)?;
        for (slot, p) in x.iter().enumerate().skip(1) {
            let Some(p) = p.map(|p| &p.fact.shape) else { continue };
            if shape_of(&[p, line])? != line {
                return unsupported(format!("input {slot} of shape {p:?} for lines of shape {line:?}"));
            }
        }
        let first = self.axis(fact.shape.len())?;
        let rows =
            (0..fact.shape.len()).map(|k| if k < first { fact.shape[k] } else { 1 }).collect::<Shape>();
        let mut facts = vec![fact.clone()];
        facts.resize(self.outputs.max(1), Fact::new(DType::F32, rows));
        Ok(facts)
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        self.infer(io.x)?;
        let x = &need(io.x, 0)?.shape;
        let line = &x[self.axis(x.len())?..];
        let scale = positions(&need(io.x, 1)?.shape, line);
        let bias = io.input(2).map_or(vec![0; scale.len()], |bias| positions(bias, line));
        Ok(Box::new(Bound(Rows {
            row: volume(line),
            segment: 1,
            epsilon: f64::from(self.epsilon.unwrap_or(1e-5)),
            parameters: scale.into_iter().zip(bias).map(|(i, j)| [i, j]).collect(),
        })))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Ok(first) = self.axis(io.output(0).len()) else { return };
        tie_others(io, |axis| axis >= first, "normalises over this axis", link);
        for slot in 1..io.y.len() {
            let wanted = io.output(slot).len() == io.output(0).len();
            (0..first).filter(|_| wanted).for_each(|axis| link.tie_axes(input(0, axis), output(slot, axis)));
        }
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

/// The operator over lines of one length. Results: y, and the lines' means and inverse deviations where the node
/// has them.
#[derive(Debug)]
struct Bound(Rows);

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        self.0.forward(x, y);
        // A result that the node leaves out has no elements.
        let mut statistics: Vec<&mut [T]> = y[1..].iter_mut().map(|y| y.elements_mut()).collect();
        if statistics.iter().all(|y| y.is_empty()) {
            return;
        }
        for (k, (mean, inverse)) in self.0.all_moments(present(x, 0).elements()).enumerate() {
            for (y, value) in statistics.iter_mut().zip([mean, inverse]) {
                y.get_mut(k).into_iter().for_each(|y| *y = value);
            }
        }
    }

    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        self.0.backward(x, y, dy, dx);
        let [mean, inverse] = [1, 2].map(|k| dy.get(k).map(|g| g.elements()).filter(|g| !g.is_empty()));
        if let (Some(dx), true) = (wanted(dx, 0), mean.is_some() || inverse.is_some()) {
            self.0.backward_moments(present(x, 0).elements(), mean, inverse, dx.elements_mut());
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    let case = |name| Case::new("LayerNormalization").named(name);
    vec![
        case("last axis").inputs([data(&[2, 3, 4]), weight(&[4]), weight(&[4])]).free(5),
        case("without bias").int("axis", 2).inputs([data(&[2, 3, 4]), weight(&[4])]).free(5),
        case("with mean and deviation")
            .outputs(3)
            .inputs([data(&[2, 3, 4]), weight(&[4]), weight(&[4])])
            .free(5),
        case("two axes")
            .int("axis", -2)
            .float("epsilon", 0.1)
            .int("stash_type", 1)
            .inputs([data(&[2, 3, 4]), weight(&[3, 1]), weight(&[4])])
            .free(2),
    ]
}
