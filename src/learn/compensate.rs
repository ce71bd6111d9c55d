//! Compensation for what a closed gate takes away: its channel's calibration mean, added to the reader's bias.
//!
//! λx + (1 − λ)μ at a reader is λx there plus Σ_c (1 − λ_c)·μ_c·Σ_k w[o, c, k] in its bias: linear in λ, exact under
//! deletion, free at run time. (A reader's zero padding sees the bias form, not μ.)
//!
//! Once the plan is known, [`correct`] goes on from there: biases are moved until every layer of the pruned network has the
//! mean output, channel by channel, that it had in the unpruned one. That also takes up what deleted branches leave behind
//! in a trunk, and what errors in early layers do to the means of late ones.

use super::Session;
use super::calib::Calibration;
use crate::channels::Groups;
use crate::error::Result;
use crate::grad::{GateSpec, Pool, ShiftSpec, UNGATED};
use crate::ir::*;

/// Rounds of bias correction. All layers are corrected at once, so errors travel on; a few rounds settle them.
const ROUNDS: usize = 5;

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

/// A plan's network with corrected biases.
#[derive(Debug, Clone)]
pub struct Corrected {
    /// Terms of the biases; those of the corrections hang on an extra λ, the last one, which is 0.
    pub shifts: Vec<ShiftSpec>,
    /// λ of the plan, and the extra one.
    pub lambda: Vec<f32>,
}

/// Moves the biases of all layers that have a place for one until the means of their outputs over the images `list` are those
/// of the unpruned network. `shifts` is where to start.
#[allow(clippy::too_many_arguments)]
pub fn correct(
    graph: &Graph,
    facts: &Facts,
    groups: &Groups,
    shifts: &[ShiftSpec],
    lambda: &[f32],
    data: &Calibration,
    pool: &Pool,
    list: &[usize],
) -> Result<Corrected> {
    let extra = lambda.len() as u32;
    let mut corrected = Corrected { shifts: shifts.to_vec(), lambda: lambda.to_vec() };
    corrected.lambda.push(0.0);
    let layers = layers(graph, facts);
    let values: Vec<ValueId> = layers.iter().filter_map(|&n| graph.nodes[n].outputs[0]).collect();
    if values.is_empty() {
        return Ok(corrected);
    }
    let mut wanted: Option<Vec<Vec<f64>>> = None;
    for _ in 0..ROUNDS {
        let session = Session::at(graph, facts, groups, &corrected.shifts, (&values, false), data, pool)?;
        let wanted = wanted.get_or_insert_with(|| output_means(&session, list, None));
        let found = output_means(&session, list, Some(&corrected.lambda));
        for (k, &n) in layers.iter().enumerate() {
            let change: Vec<f64> = wanted[k].iter().zip(&found[k]).map(|(w, f)| w - f).collect();
            add_constant(&mut corrected.shifts, n, extra, &change);
        }
    }
    Ok(corrected)
}

/// Nodes whose bias can be moved: convolutions and Gemms that run, with a bias of their own or room for one.
fn layers(graph: &Graph, facts: &Facts) -> Vec<NodeId> {
    let ok = |n: &NodeId| {
        let node = &graph.nodes[*n];
        let shape = node.outputs[0].and_then(|v| facts.shape(v));
        let plain = match node.op.attributes().get("beta") {
            Some(Attr::Float(b)) => *b == 1.0,
            _ => true,
        };
        matches!(node.op_type.as_str(), "Conv" | "Gemm")
            && plain
            && has_room_for_bias(graph, node)
            && facts.trouble[*n].is_none()
            && shape.is_some_and(|s| s.len() >= 2 && s[0] == 1)
            && node.inputs.first().copied().flatten().is_some_and(|v| facts.constant[v].is_none())
    };
    (0..graph.nodes.len()).filter(ok).collect()
}

fn has_room_for_bias(graph: &Graph, node: &Node) -> bool {
    match node.inputs.get(2) {
        Some(Some(b)) => graph.initializer(*b).is_some_and(|b| b.shape.len() == 1 && b.data.len() > 1),
        _ => true,
    }
}

/// Mean of every target's channels (axis 1) over images.
fn output_means(session: &Session, list: &[usize], lambda: Option<&[f32]>) -> Vec<Vec<f64>> {
    let parts = session.each(list, None, |chunk| {
        chunk.workspace.forward(&session.program, lambda);
        (0..session.program.target_values.len())
            .map(|t| {
                let y = chunk.workspace.target(&session.program, t);
                let inner = volume(&y.shape[2..]).max(1);
                let mut sums = vec![0.0f64; y.shape[1]];
                let rows = chunk.positions.len() * y.shape[1];
                for (row, x) in y.data.chunks_exact(inner).take(rows).enumerate() {
                    sums[row % y.shape[1]] += f64::from(x.iter().sum::<f32>()) / inner as f64;
                }
                sums
            })
            .collect::<Vec<_>>()
    });
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_default();
    for part in parts {
        for (t, p) in total.iter_mut().zip(part) {
            t.iter_mut().zip(p).for_each(|(t, p)| *t += p);
        }
    }
    total.iter_mut().flatten().for_each(|t| *t /= list.len() as f64);
    total
}

/// Adds a constant to what a node's bias gets: a column that hangs on the extra λ.
fn add_constant(shifts: &mut Vec<ShiftSpec>, node: NodeId, extra: u32, change: &[f64]) {
    let at = match shifts.iter().position(|s| s.node == node) {
        Some(at) => at,
        None => {
            shifts.push(ShiftSpec { node, axis: 1, index: Vec::new(), matrix: Vec::new() });
            shifts.len() - 1
        }
    };
    let s = &mut shifts[at];
    if s.index.last() != Some(&extra) {
        let columns = s.index.len();
        let rows: Vec<f32> = (0..change.len())
            .flat_map(|o| s.matrix[o * columns..(o + 1) * columns].iter().copied().chain([0.0]))
            .collect();
        s.matrix = rows;
        s.index.push(extra);
    }
    let columns = s.index.len();
    for (row, c) in s.matrix.chunks_exact_mut(columns).zip(change) {
        row[columns - 1] += *c as f32;
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
