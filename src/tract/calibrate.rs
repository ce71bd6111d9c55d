//! Times of a processor for the parts of an inference, from measured times of networks or of their nodes.
//!
//! Takes: networks, with their nodes' times in tract, or each with its own time in any runtime. Gives: a [`Speed`], and its error on
//! these times. Every size of a tile is tried, where there are times of nodes; the rest is a least-squares fit of times without
//! negative ones, in which a time counts by its relative error. Times of whole networks say little of the parts: what they leave
//! open is taken as a known processor has it.

use super::timing::Layer;
use crate::cost::Cost;
use crate::cost::latency::{self, Cpu, Kernel, Speed};
use crate::coupling::Groups;
use crate::graph::*;

/// Rows and columns of tiles that are tried.
const ROWS: [usize; 6] = [4, 8, 12, 16, 24, 32];
const COLUMNS: [usize; 5] = [3, 4, 6, 8, 12];

/// Least time that a node counts with, as a share of the mean.
const LEAST: f64 = 0.25;

/// Time of an instruction outside of kernels, in multiply-accumulates inside them, where none was measured.
const INSTRUCTION: f64 = 6.0;

/// Passes over all unknowns.
const PASSES: usize = 400;

/// Columns of a tile of a processor of which only times of whole networks are known.
const PLAIN: usize = 4;

/// Share of the whole time by which a part's time may differ from a known processor's at the cost of a network's being wrong by that
/// share of this share.
const PULL: f64 = 0.1;

/// What was measured of a network.
#[derive(Debug, Clone)]
pub enum Times {
    /// Its nodes, in tract.
    Layers(Vec<Layer>),
    /// All of it: milliseconds.
    Whole(f64),
}

/// One network, and its times.
pub struct Measured {
    /// Its graph.
    pub graph: Graph,
    /// Its facts, at the input shapes that were measured.
    pub facts: Facts,
    /// Its times.
    pub times: Times,
}

/// The speed of what `name` was measured on, and the median of |predicted ÷ measured − 1| over nodes that take their share, or over
/// networks: then tiles have `rows` rows, which is nothing that times of whole networks tell.
pub fn speed(name: &str, networks: &[Measured], rows: usize) -> (Speed, f64) {
    let whole = networks.iter().any(|m| matches!(m.times, Times::Whole(_)));
    let times: Vec<f64> = networks.iter().flat_map(seconds).collect();
    let positive = times.iter().filter(|t| **t > 0.0);
    let mean = positive.clone().sum::<f64>() / positive.count().max(1) as f64;
    let weights: Vec<f64> = times.iter().map(|t| 1.0 / t.max(LEAST * mean)).collect();
    let feature = |u: usize, rows: usize, columns: usize| counts(networks, &unit(u, rows, columns));
    // What lies between the products does not depend on tiles.
    let between: Vec<Vec<f64>> = (TILED..UNITS).map(|u| feature(u, 1, 1)).collect();
    let fit = |rows: usize, columns: usize| {
        let mut features: Vec<Vec<f64>> = (0..TILED).map(|u| feature(u, rows, columns)).collect();
        features.extend_from_slice(&between);
        let (mut times, mut weights) = (times.clone(), weights.clone());
        if whole {
            pull(&mut features, &mut times, &mut weights);
        }
        let (found, error) = least_squares(&features, &times, &weights);
        (error, speed_of(name, rows, columns, &found))
    };
    let tiles: Vec<(usize, usize)> = match whole {
        true => vec![(rows, PLAIN)],
        false => ROWS.iter().flat_map(|&r| COLUMNS.iter().map(move |&c| (r, c))).collect(),
    };
    let best = tiles.into_iter().map(|(r, c)| fit(r, c)).min_by(|a, b| a.0.total_cmp(&b.0));
    let speed = best.map_or_else(|| unit(UNITS, 8, 8), |(_, speed)| speed);
    // Where no network has one.
    let instruction =
        if speed.instruction > 0.0 { speed.instruction } else { INSTRUCTION * speed.kernels[0].mac };
    let speed = Speed { instruction, ..speed };
    let predicted = counts(networks, &speed);
    let mut misses: Vec<f64> = (predicted.iter().zip(&times))
        .filter(|(_, t)| **t >= LEAST * mean)
        .map(|(p, t)| (p / t - 1.0).abs())
        .collect();
    misses.sort_unstable_by(f64::total_cmp);
    let median = misses.get(misses.len() / 2).copied().unwrap_or(0.0);
    (speed, median)
}

/// `speed`, scaled so that it predicts of a network what was measured.
pub fn scaled(speed: &Speed, network: &Measured) -> Speed {
    let network = std::slice::from_ref(network);
    let measured: f64 = network.iter().flat_map(seconds).sum();
    let predicted: f64 = counts(network, speed).iter().sum();
    if predicted > 0.0 { speed.scaled(measured / predicted) } else { speed.clone() }
}

/// Adds a row for each unknown that holds it to what a known processor has for it, at the speed that the times ask for.
fn pull(features: &mut [Vec<f64>], times: &mut Vec<f64>, weights: &mut Vec<f64>) {
    let known = Cpu::CortexA72.speed();
    let kernel = known.kernels[0];
    let each = [
        kernel.mac,
        kernel.tile,
        known.packed,
        known.depthwise,
        known.element,
        known.call,
        known.instruction,
    ];
    let sums: Vec<f64> = features.iter().map(|f| f.iter().sum()).collect();
    let (all, said) = (times.iter().sum::<f64>(), sums.iter().zip(each).map(|(f, x)| f * x).sum::<f64>());
    if !(all > 0.0 && said > 0.0) {
        return;
    }
    for (k, sum) in sums.iter().enumerate() {
        (0..features.len()).for_each(|j| features[j].push(if j == k { *sum } else { 0.0 }));
        times.push(sum * each[k] * all / said);
        weights.push(PULL / all);
    }
}

/// Seconds of every node of the graph, whatever steps tract made of it; what was fused into another took none. Or of all.
fn seconds(network: &Measured) -> Vec<f64> {
    let layers = match &network.times {
        Times::Layers(layers) => layers,
        Times::Whole(milliseconds) => return vec![milliseconds / 1e3],
    };
    let mut times = vec![0.0; network.graph.nodes.len()];
    for layer in layers {
        let names = network.graph.nodes.iter().enumerate();
        let fits = names.filter(|(_, n)| !n.name.is_empty() && layer.name.starts_with(&n.name));
        if let Some((n, _)) = fits.max_by_key(|(_, n)| n.name.len()) {
            // tract calls a product by the last that it computes with it.
            let product = latency::fused_into(Network::new(&network.graph, &network.facts), n).unwrap_or(n);
            times[product] += layer.milliseconds / 1e3;
        }
    }
    times
}

/// Seconds as `speed` has them: of every node, or of all.
fn counts(networks: &[Measured], speed: &Speed) -> Vec<f64> {
    let nodes = |m: &Measured| {
        let cost = Cost::latency(Network::new(&m.graph, &m.facts), &Groups::default(), speed);
        let nodes = cost.per_node(&[]).into_iter().map(|ns| ns as f64 / 1e9);
        match m.times {
            Times::Layers(_) => nodes.collect(),
            Times::Whole(_) => vec![nodes.sum::<f64>()],
        }
    };
    networks.iter().flat_map(nodes).collect()
}

/// Figures that are fitted; the first few belong to the tiles.
const UNITS: usize = 7;
const TILED: usize = 2;

/// A processor that takes a second per million of one thing, and none for all else.
fn unit(which: usize, rows: usize, columns: usize) -> Speed {
    let mut found = [0.0; UNITS];
    if let Some(one) = found.get_mut(which) {
        *one = 1e-6;
    }
    speed_of("", rows, columns, &found)
}

fn speed_of(name: &str, rows: usize, columns: usize, found: &[f64; UNITS]) -> Speed {
    let [mac, tile, packed, depthwise, element, call, instruction] = *found;
    let kernel = Kernel { rows, columns, mac, tile, call: 0.0 };
    // A product of one column takes its memory, not its tiles.
    let column = Kernel { rows, columns: 1, ..kernel };
    let kernels = vec![kernel, column];
    let origin = "fitted to measured times".to_owned();
    let narrow = cfg!(target_pointer_width = "32");
    let name = name.to_owned();
    Speed { name, origin, kernels, element, instruction, narrow, packed, depthwise, call }
}

/// Coefficients ≥ 0 of the features that give `y`, each row counting by its weight, and the weighted sum of squares that is left.
/// Coordinate descent; features are scaled.
fn least_squares(features: &[Vec<f64>], y: &[f64], weights: &[f64]) -> ([f64; UNITS], f64) {
    let dot =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).zip(weights).map(|((a, b), w)| a * b * w * w).sum() };
    let squares: Vec<f64> = features.iter().map(|f| dot(f, f)).collect();
    let mut x = [0.0; UNITS];
    let mut left = y.to_vec();
    for _ in 0..PASSES {
        for (k, f) in features.iter().enumerate().filter(|(k, _)| squares[*k] > 0.0) {
            let new = (x[k] + dot(f, &left) / squares[k]).max(0.0);
            let step = new - x[k];
            left.iter_mut().zip(f).for_each(|(l, f)| *l -= step * f);
            x[k] = new;
        }
    }
    // The features stood for a second per million.
    (x.map(|x| x * 1e-6), dot(&left, &left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::latency::Cpu;
    use crate::onnx;
    use std::path::Path;

    /// A processor whose times are what the model says is found again.
    #[test]
    fn times_made_by_a_model_are_fitted_by_it() {
        let files = ["digits_chain", "digits_residual", "digits_concat", "digits_depthwise"];
        let models = files.map(|f| onnx::read(Path::new(&format!("models/{f}.onnx")), &[]).unwrap());
        let facts = models.each_ref().map(|m| m.facts().unwrap());
        let truth = Cpu::CortexA72.speed();
        let layers: Vec<Vec<Layer>> = models
            .iter()
            .zip(&facts)
            .map(|(m, f)| {
                let times =
                    Cost::latency(Network::new(&m.graph, f), &Groups::default(), &truth).per_node(&[]);
                let named = m.graph.nodes.iter().zip(times).filter(|(_, ns)| *ns > 0);
                let layer = |(n, ns): (&Node, u64)| Layer {
                    name: n.name.clone(),
                    operator: n.op_type.clone(),
                    milliseconds: ns as f64 / 1e6,
                };
                named.map(layer).collect()
            })
            .collect();
        let measured: Vec<Measured> = models
            .into_iter()
            .zip(facts)
            .zip(layers)
            .map(|((m, facts), layers)| Measured { graph: m.graph, facts, times: Times::Layers(layers) })
            .collect();
        let (speed, error) = super::speed("test", &measured, 1);
        assert!(error < 0.1, "median error {error}: {speed:?}");
        let total = |s: &Speed| counts(&measured, s).iter().sum::<f64>();
        assert!((total(&speed) / total(&truth) - 1.0).abs() < 0.1);
    }
}
