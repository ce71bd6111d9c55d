//! Compensation for closed gates: a constant in a channel's place, added to the reader's bias.
//!
//! λx + (1 − λ)k at a reader is λx there plus Σ_c (1 − λ_c)·k_c·Σ_taps w[o, c] in its bias: linear in λ, exact under
//! deletion, free at run time. (A reader's zero padding sees the bias form, not k.) The constant is the channel's mean over
//! calibration images, or it is trained beside the gates: k = κ·r, with r the channel's root mean square as the unit in
//! which κ is learned, and the mean as its start.

use super::Session;
use crate::exec::{BiasTermSpec, GateSpec};
use crate::graph::*;
use crate::support::index::OptIndex;
use crate::tensor::*;

/// Mean and root mean square of a gated coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moments {
    /// E x
    pub mean: f64,
    /// √E x²
    pub rms: f64,
}

/// Bias terms that stand in for closed channels.
#[derive(Debug, Clone, Default)]
pub struct BiasCompensation {
    /// The terms in the readers' biases.
    pub bias_terms: Vec<BiasTermSpec>,
    /// κ per level, where they are trained.
    pub levels: Vec<f64>,
}

impl BiasCompensation {
    /// Every channel's mean in its place.
    pub fn mean(network: Network, gates: &[GateSpec], moments: &[Vec<Moments>]) -> Self {
        let unit: Vec<Vec<f64>> = moments.iter().map(|g| g.iter().map(|m| m.mean).collect()).collect();
        Self { bias_terms: bias_terms(network, gates, &unit, None), levels: Vec::new() }
    }

    /// Trained constants κ·r; their levels κ are numbered from `classes` on, the number of the λ.
    pub fn learned(network: Network, gates: &[GateSpec], moments: &[Vec<Moments>], classes: usize) -> Self {
        let unit: Vec<Vec<f64>> = moments.iter().map(|g| g.iter().map(|m| m.rms).collect()).collect();
        let level = |m: &Moments| if m.rms > 0.0 { m.mean / m.rms } else { 0.0 };
        let levels = moments.iter().flatten().map(level).collect();
        Self { bias_terms: bias_terms(network, gates, &unit, Some(classes)), levels }
    }
}

/// Moments of every gated coordinate of the unpruned network over images, gate by gate.
pub fn moments(session: &Session, gates: &[GateSpec], list: &[usize]) -> Vec<Vec<Moments>> {
    let parts = session.each(list, None, |chunk| {
        chunk.workspace.forward(chunk.program, None);
        let n = chunk.positions.len();
        let one = |gate: &GateSpec| {
            let mut sums = vec![[0.0f64; 2]; gate.index.len()];
            let Some(y) = chunk.workspace.value(chunk.program, gate.value).filter(|y| !y.is_empty()) else {
                return sums;
            };
            let image = y.len() / session.batch;
            let (_, _, inner) = sides(y.shape(), gate.axis);
            for (row, x) in y.elements()[..n * image].chunks_exact(inner.max(1)).enumerate() {
                let sum = &mut sums[row % gate.index.len()];
                sum[0] += f64::from(x.iter().sum::<f32>());
                sum[1] += f64::from(x.iter().map(|x| x * x).sum::<f32>());
            }
            let count = (image / gate.index.len().max(1)).max(1) as f64;
            sums.iter_mut().flatten().for_each(|s| *s /= count);
            sums
        };
        gates.iter().map(one).collect::<Vec<_>>()
    });
    let mut total: Vec<Vec<[f64; 2]>> = gates.iter().map(|g| vec![[0.0; 2]; g.index.len()]).collect();
    for part in parts {
        for (t, p) in total.iter_mut().flatten().zip(part.iter().flatten()) {
            (0..2).for_each(|k| t[k] += p[k] / list.len() as f64);
        }
    }
    let moments = |t: Vec<[f64; 2]>| t.into_iter().map(|[m, q]| Moments { mean: m, rms: q.sqrt() }).collect();
    total.into_iter().map(moments).collect()
}

/// True where a bias of one number per output channel stands at `slot`, or can be put there.
fn has_room_for_bias(graph: &Graph, node: &Node, slot: usize) -> bool {
    match node.inputs.get(slot) {
        Some(Some(b)) => graph.initializer(*b).is_some_and(|b| b.shape().len() == 1 && b.len() > 1),
        _ => true,
    }
}

/// Bias terms of all readers that are convolutions or Gemms with constant weights and a place for a bias, for the constant
/// `unit` in each channel's place. The levels are numbered from `first` on, one per gated coordinate, gate by gate; without it
/// they are 1.
fn bias_terms(
    network: Network,
    gates: &[GateSpec],
    unit: &[Vec<f64>],
    first: Option<usize>,
) -> Vec<BiasTermSpec> {
    let mut out = Vec::new();
    let mut next = first;
    for (gate, unit) in gates.iter().zip(unit) {
        let size = gate.index.len();
        let level: Vec<OptIndex> = (0..size).map(|c| next.map(|first| first + c).into()).collect();
        next = next.map(|first| first + size);
        if gate.index.iter().all(|i| i.is_none()) {
            continue;
        }
        for &(n, slot) in &gate.readers {
            if let Some((axis, matrix)) = response(network, n, input(slot, gate.axis), unit) {
                let (index, level) = (gate.index.clone(), level.clone());
                out.push(BiasTermSpec { node: n, axis, index, level, matrix });
            }
        }
    }
    out
}

/// The axis of the result with the output channels, and row-major [o, c]: the constant that `unit[c]` in input channel c adds to
/// output channel o.
fn response(network: Network, n: NodeId, read: Axis, unit: &[f64]) -> Option<(usize, Vec<f32>)> {
    let node = &network.graph.nodes[n];
    let layer = network.facts.linear(node).filter(|l| l.weight == 1)?;
    let (slot, beta) = layer.bias?;
    let sums = tap_sums(network, n, read).filter(|s| s.inputs == unit.len())?;
    if beta == 0.0 || !has_room_for_bias(network.graph, node, slot) {
        return None;
    }
    let times = |(i, sum): (usize, f64)| (sum * unit[i % unit.len()]) as f32;
    Some((layer.result, sums.matrix.into_iter().enumerate().map(times).collect()))
}

/// What a layer makes of its input channels.
pub(super) struct TapSums {
    /// Number of input channels.
    pub inputs: usize,
    /// Row-major [o, c]: the sum over the taps of the weights from input channel c to output channel o, times the layer's factor.
    pub matrix: Vec<f64>,
}

/// The sums of a layer's weights over their taps; `None` where node `n` is no layer with stored weights that reads channels along
/// `read`.
pub(super) fn tap_sums(Network { graph, facts }: Network, n: NodeId, read: Axis) -> Option<TapSums> {
    let node = &graph.nodes[n];
    let layer = facts.linear(node).filter(|l| l.input == read)?;
    let w = facts.constant[(*node.inputs.get(layer.weight)?)?].as_ref()?;
    let data = w.to_real::<f64>();
    let [along, across] = layer.weight_axes;
    let (per_group, cout) = (w.shape()[along], w.shape()[across]);
    let inputs = per_group * layer.groups;
    let (outs, taps) = (cout / layer.groups, volume(&w.shape()[2..]));
    let [by_input, by_output] = [along, across].map(|axis| volume(&w.shape()[axis + 1..]));
    let mut matrix = vec![0.0; cout * inputs];
    for o in 0..cout {
        for j in 0..per_group {
            let c = o / outs * per_group + j;
            let sum: f64 = data[o * by_output + j * by_input..][..taps].iter().sum();
            matrix[o * inputs + c] = layer.factor * sum;
        }
    }
    Some(TapSums { inputs, matrix })
}
