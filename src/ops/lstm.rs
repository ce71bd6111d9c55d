//! LSTM: gates i, o, f and a candidate c̃; c = f ⊙ c + i ⊙ c̃, h = o ⊙ tanh c.
//! <https://onnx.ai/onnx/operators/onnx__LSTM.html>

use super::family::recurrent::{self, Activation, Back, Cell, Step, add, parts};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Lstm {
    input_forget: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let input_forget = r.int("input_forget")?;
    if input_forget.is_some_and(|coupled| coupled != 0) {
        return unsupported("input and forget gates that are coupled");
    }
    recurrent::read(r, Lstm { input_forget })
}

impl Cell for Lstm {
    const GATES: usize = 4;
    const STATES: usize = 2;
    const ACTIVATIONS: &'static [Activation] = &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh];
    // And the peepholes.
    const PARAMETERS: &'static [usize] = &[1, 2, 3, 7];

    fn write(&self, w: Writer) -> Writer {
        w.maybe("input_forget", self.input_forget)
    }

    fn direct(&self) -> usize {
        4
    }

    fn forward<T: Real>(&self, f: &[Activation], s: Step<T>) {
        add(s.gates, s.recurrent);
        let ([_, before], [h, after], size) = (s.before, s.after, s.hidden);
        for (n, row) in s.gates.chunks_exact_mut(4 * size).enumerate() {
            let [i, o, forget, new] = parts(row);
            let at = n * size;
            for (j, i) in i.iter_mut().enumerate() {
                let [pi, po, pf] = seen(s.peepholes, j, size);
                let c = before[at + j];
                *i = f[0].of(*i + pi * c);
                forget[j] = f[0].of(forget[j] + pf * c);
                new[j] = f[1].of(new[j]);
                let c = forget[j] * c + *i * new[j];
                o[j] = f[0].of(o[j] + po * c);
                (after[at + j], h[at + j]) = (c, o[j] * f[2].of(c));
            }
        }
    }

    fn backward<T: Real>(&self, f: &[Activation], mut s: Back<T>) {
        let ([_, before], [_, after], [dh, dc], size) = (s.before, s.after, s.d_after, s.hidden);
        for (n, row) in s.gates.chunks_exact_mut(4 * size).enumerate() {
            let [i, o, forget, new] = parts(row);
            let at = n * size;
            for (j, i) in i.iter_mut().enumerate() {
                let [pi, po, pf] = seen(s.peepholes, j, size);
                let (c, next) = (before[at + j], after[at + j]);
                let y = f[2].of(next);
                let d_o = dh[at + j] * y * f[0].slope(o[j]);
                let d = dc[at + j] + dh[at + j] * o[j] * f[2].slope(y) + d_o * po;
                let d_i = d * new[j] * f[0].slope(*i);
                let d_f = d * c * f[0].slope(forget[j]);
                s.d_before[1][at + j] += d * forget[j] + d_i * pi + d_f * pf;
                new[j] = d * *i * f[1].slope(new[j]);
                (*i, o[j], forget[j]) = (d_i, d_o, d_f);
                if let Some(dp) = &mut s.d_peepholes {
                    dp[j] += d_i * c;
                    dp[size + j] += d_o * next;
                    dp[2 * size + j] += d_f * c;
                }
            }
        }
        s.recurrent.copy_from_slice(s.gates);
    }
}

/// Peephole weights of i, o and f for the cell state of unit `j`.
fn seen<T: Real>(peepholes: Option<&[T]>, j: usize, size: usize) -> [T; 3] {
    peepholes.map_or([T::zero(); 3], |p| [p[j], p[size + j], p[2 * size + j]])
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{absent, data, weight};
    let names = ["Sigmoid", "Relu", "Tanh", "sigmoid", "tanh", "relu"].map(String::from).to_vec();
    let peepholes = [absent(), absent(), absent(), data(&[2, 2, 2]), weight(&[2, 6])];
    let both = |name, more: &[_]| {
        recurrent::case_of("LSTM", name, 4, 2, more).string("direction", "bidirectional").outputs(3)
    };
    let mut cases = recurrent::cases_of("LSTM", 4, 2);
    cases.push(both("peepholes", &peepholes));
    cases.push(both("other activations", &[]).int("input_forget", 0).attr("activations", names));
    cases
}
