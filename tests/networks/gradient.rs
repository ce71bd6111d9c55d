//! The executor against a plain interpreter in f64: values at soft gates, and dL/dλ and dL/dκ against central differences. Its plain
//! and its fast kernels are held to the same limits.
//!
//! The interpreter walks the graph operator by operator; the executor folds BatchNormalization, fuses gates, convolutions
//! and ReLUs, takes several images at a time and computes in f32.

use super::{NetworkFile, Residual, ours};
use autobot_onnx::internals::exec::{
    GatedNetwork, LARGEST, Precision, Program, ReferenceInterpreter, Workspace, batched,
};
use autobot_onnx::internals::gates::compensate::{BiasCompensation, Moments};
use autobot_onnx::internals::graph::Network;
use autobot_onnx::internals::pruner::{Compensation, gates};
use autobot_onnx::internals::support::random::Draw;
use autobot_onnx::internals::tensor::{array, volume};

#[test]
fn executor_equals_interpreter_and_backward_equals_differences() {
    for network in ours() {
        for residual in [Residual::Expand, Residual::Tie] {
            for compensation in [Compensation::None, Compensation::Mean, Compensation::Learned] {
                compare(&network, residual, compensation);
            }
        }
    }
}

fn compare(network: &NetworkFile, residual: Residual, compensation: Compensation) {
    let name = format!("{} ({residual:?}, compensation {compensation:?})", network.name);
    let graph = &network.model.graph;
    let targets = network.targets();
    let facts = batched(network.network(), &targets, LARGEST).unwrap();
    let (groups, _) = network.groups(residual);
    let gates = gates(graph, &groups);
    let mut draw = Draw::new(7, 0);
    let mut moment = || {
        let mean = f64::from(draw.bell());
        Moments { mean, rms: mean.abs() + f64::from(draw.unit()) }
    };
    let moments: Vec<Vec<Moments>> =
        gates.iter().map(|g| g.index.iter().map(|_| moment()).collect()).collect();
    let batched = Network::new(graph, &facts);
    let BiasCompensation { bias_terms, levels } = match compensation {
        Compensation::None => BiasCompensation::default(),
        Compensation::Mean => BiasCompensation::mean(batched, &gates, &moments),
        Compensation::Learned => BiasCompensation::learned(batched, &gates, &moments, groups.classes.len()),
    };
    let gated = GatedNetwork { network: batched, gates: &gates, bias_terms: &bias_terms };
    let compile = |precision| Program::compile(gated, precision, &targets).unwrap();
    let programs = [compile(Precision::Exact), compile(Precision::Fast)];
    let plain = ReferenceInterpreter { network: gated, targets: &targets };

    let mut lambda: Vec<f32> = groups.classes.iter().map(|_| 0.2 + 0.7 * draw.unit()).collect();
    lambda.extend(levels.iter().map(|&l| l as f32));
    let wide: Vec<f64> = lambda.iter().map(|&l| f64::from(l)).collect();
    let mut workspaces = programs.each_ref().map(Workspace::new);
    let mut inputs = Vec::new();
    for (k, &v) in graph.inputs.iter().enumerate() {
        let x: Vec<f32> = (0..volume(facts.shape(v).unwrap())).map(|_| draw.bell()).collect();
        for (program, workspace) in programs.iter().zip(&mut workspaces) {
            workspace.input(program, k).copy_from_slice(&x);
        }
        inputs.push(array(facts.shape(v).unwrap(), x.iter().map(|&x| f64::from(x)).collect()));
    }
    let expected = plain.outputs(&inputs, &wide).unwrap();
    let weights: Vec<Vec<f32>> = expected.iter().map(|y| y.iter().map(|_| draw.bell()).collect()).collect();
    let mut gradients = Vec::new();
    for (program, workspace) in programs.iter().zip(&mut workspaces) {
        workspace.forward(program, Some(&lambda));
        for (t, (y, dy)) in expected.iter().zip(&weights).enumerate() {
            let range = y.iter().fold(0.0f64, |m, y| m.max(y.abs()));
            for (a, b) in workspace.target(program, t).iter().zip(y) {
                assert!((f64::from(*a) - b).abs() <= 1e-5 * range, "{name}: {a}, in f64 {b}");
            }
            workspace.target_gradient(program, t).copy_from_slice(dy);
        }
        let mut gradient = vec![0.0; lambda.len()];
        workspace.backward(program, &lambda, &mut gradient);
        gradients.push(gradient);
    }

    let loss = |lambda: &[f64]| -> f64 {
        let y = plain.outputs(&inputs, lambda).unwrap();
        y.iter().zip(&weights).flat_map(|(y, w)| y.iter().zip(w)).map(|(y, w)| y * f64::from(*w)).sum()
    };
    // Demo networks have hundreds of gates: some of them will do.
    let step = lambda.len() / 40 + 1;
    let differences: Vec<(usize, f64)> = (0..lambda.len())
        .step_by(step)
        .map(|c| {
            let moved = |d: f64| {
                let mut lambda = wide.clone();
                lambda[c] += d;
                loss(&lambda)
            };
            (c, (moved(1e-6) - moved(-1e-6)) / 2e-6)
        })
        .collect();
    let scale = differences.iter().fold(1e-3f64, |m, (_, d)| m.max(d.abs()));
    for (c, expected) in differences {
        let group = groups.classes.get(c).map_or("a level", |class| &groups.groups[class.group].name);
        for found in gradients.iter().map(|gradient| f64::from(gradient[c])) {
            let near = (found - expected).abs() <= 1e-4 * scale;
            assert!(
                near,
                "{name}: the gradient of a channel of {group} is {found}, differences say {expected}"
            );
        }
    }
}
