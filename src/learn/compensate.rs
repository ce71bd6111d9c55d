//! Compensation for what a closed gate takes away: its channel's calibration mean, added to the reader's bias.
//!
//! λx + (1 − λ)μ at a reader is λx there plus Σ_c (1 − λ_c)·μ_c·Σ_k w[o, c, k] in its bias: linear in λ, exact under
//! deletion, free at run time. (A reader's zero padding sees the bias form, not μ.)

use super::Session;
use crate::grad::{GateSpec, ShiftSpec, UNGATED};
use crate::ir::*;

/// Mean of every gated coordinate over images, gate by gate. λ as given (`None`: the unpruned network).
pub fn means(session: &Session, gates: &[GateSpec], list: &[usize], lambda: Option<&[f32]>) -> Vec<Vec<f64>> {
    let parts = session.each(list, None, |chunk| {
        chunk.workspace.forward(&session.program, lambda);
        let n = chunk.positions.len();
        let one = |gate: &GateSpec| {
            let mut sums = vec![0.0f64; gate.index.len()];
            let Some(y) = chunk.workspace.value(&session.program, gate.value).filter(|y| !y.data.is_empty())
            else {
                return sums;
            };
            let image = y.data.len() / session.program.batch;
            let inner = volume(&y.shape[gate.axis + 1..]).max(1);
            for (row, x) in y.data[..n * image].chunks_exact(inner).enumerate() {
                sums[row % gate.index.len()] += f64::from(x.iter().sum::<f32>());
            }
            let count = (image / gate.index.len().max(1)).max(1) as f64;
            sums.iter_mut().for_each(|s| *s /= count);
            sums
        };
        gates.iter().map(one).collect::<Vec<_>>()
    });
    let mut total: Vec<Vec<f64>> = gates.iter().map(|g| vec![0.0; g.index.len()]).collect();
    for part in parts {
        for (t, p) in total.iter_mut().zip(part) {
            t.iter_mut().zip(p).for_each(|(t, p)| *t += p / list.len() as f64);
        }
    }
    total
}

fn has_room_for_bias(graph: &Graph, node: &Node) -> bool {
    match node.inputs.get(2) {
        Some(Some(b)) => graph.initializer(*b).is_some_and(|b| b.shape.len() == 1 && b.data.len() > 1),
        _ => true,
    }
}

/// The bias terms of all readers that are convolutions or Gemms with constant weights and a place for a bias.
pub fn shifts(graph: &Graph, facts: &Facts, gates: &[GateSpec], means: &[Vec<f64>]) -> Vec<ShiftSpec> {
    let mut out = Vec::new();
    for (gate, mean) in gates.iter().zip(means) {
        for &(n, slot) in &gate.readers {
            if let Some(matrix) = response(graph, facts, n, slot, mean) {
                let index: Vec<u32> = gate.index.clone();
                if index.iter().any(|&i| i != UNGATED) {
                    out.push(ShiftSpec { node: n, axis: 1, index, matrix });
                }
            }
        }
    }
    out
}

/// Row-major [o, c]: what a constant μ_c in input channel c adds to output channel o.
fn response(graph: &Graph, facts: &Facts, n: NodeId, slot: usize, mean: &[f64]) -> Option<Vec<f32>> {
    let node = &graph.nodes[n];
    let w = facts.constant[(*node.inputs.get(1)?)?].as_ref().filter(|_| slot == 0)?;
    let data = w.data.to_real::<f64>();
    let attributes = node.op.attributes();
    let int = |name: &str, default| match attributes.get(name) {
        Some(Attr::Int(v)) => *v,
        _ => default,
    };
    match node.op_type.as_str() {
        _ if !has_room_for_bias(graph, node) => None,
        "Conv" => {
            let (cout, per_group) = (w.shape[0], w.shape[1]);
            let outs = cout / int("group", 1).max(1) as usize;
            let taps = volume(&w.shape[2..]);
            let mut m = vec![0.0; cout * mean.len()];
            for o in 0..cout {
                for j in 0..per_group {
                    let c = o / outs * per_group + j;
                    let sum: f64 = data[(o * per_group + j) * taps..][..taps].iter().sum();
                    m[o * mean.len() + c] = (sum * mean[c]) as f32;
                }
            }
            Some(m)
        }
        "Gemm" if int("transA", 0) == 0 => {
            let trans = int("transB", 0) != 0;
            let alpha = match attributes.get("alpha") {
                Some(Attr::Float(a)) => f64::from(*a),
                _ => 1.0,
            };
            let beta = matches!(attributes.get("beta"), None | Some(Attr::Float(1.0)));
            let (k, cout) = if trans { (w.shape[1], w.shape[0]) } else { (w.shape[0], w.shape[1]) };
            let at = |o: usize, c: usize| if trans { data[o * k + c] } else { data[c * cout + o] };
            let entry = |i: usize| (alpha * at(i / k, i % k) * mean[i % k]) as f32;
            (beta && k == mean.len()).then(|| (0..cout * k).map(entry).collect())
        }
        _ => None,
    }
}
