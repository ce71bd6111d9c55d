//! RNN: h = f(W·x + R·h + B) in each step. <https://onnx.ai/onnx/operators/onnx__RNN.html>

use super::family::recurrent::{self, Activation, Back, Cell, Step};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Rnn;

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    recurrent::read(r, Rnn)
}

impl Cell for Rnn {
    const GATES: usize = 1;
    const STATES: usize = 1;
    const ACTIVATIONS: &'static [Activation] = &[Activation::Tanh];

    fn write(&self, w: Writer) -> Writer {
        w
    }

    fn direct(&self) -> usize {
        1
    }

    fn forward<T: Real>(&self, f: &[Activation], s: Step<T>) {
        let [h, _] = s.after;
        for ((g, &u), h) in s.gates.iter_mut().zip(s.recurrent).zip(h) {
            *g = f[0].of(*g + u);
            *h = *g;
        }
    }

    fn backward<T: Real>(&self, f: &[Activation], s: Back<T>) {
        for ((g, u), &dh) in s.gates.iter_mut().zip(s.recurrent).zip(s.d_after[0]) {
            *g = dh * f[0].slope(*g);
            *u = *g;
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let relu = |name, directions| recurrent::case_of("RNN", name, 1, directions, &[]).outputs(2);
    let mut cases = recurrent::cases_of("RNN", 1, 1);
    cases.push(relu("rectified", 1).attr("activations", names(&["Relu"])));
    let both = relu("one rectified", 2).string("direction", "bidirectional");
    cases.push(both.attr("activations", names(&["Tanh", "Relu"])).attr("activation_alpha", vec![0.5f32]));
    cases
}
