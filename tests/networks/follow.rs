//! A network without its closed channels goes on training as the whole one would: with the closed gates at zero, the same values
//! and the same gradients for the gates that are left, and for what stands in for those that are not.

use super::{ALL, ours, random_plan};
use autobot_onnx::internals::exec::{GatedNetwork, Precision, Program, Workspace};
use autobot_onnx::internals::gates::compensate::{BiasCompensation, Moments};
use autobot_onnx::internals::graph::{Network, ValueId};
use autobot_onnx::internals::pruner::gates;
use autobot_onnx::internals::rewrite;
use autobot_onnx::internals::support::random::Draw;
use autobot_onnx::internals::tensor::{Array, Elements};
use autobot_onnx::internals::tract::Sample;

#[test]
fn values_and_gradients_are_those_of_the_whole_network() {
    for network in ours() {
        for residual in ALL {
            let (groups, cost) = network.groups(residual);
            let plan = random_plan(&network, &groups, &cost, 0.5, 5);
            let graph = &network.model.graph;
            let gates = gates(graph, &groups);
            let mut draw = Draw::new(3, 0);
            let mut moment = || Moments { mean: f64::from(draw.bell()), rms: 1.0 };
            let moments: Vec<Vec<Moments>> =
                gates.iter().map(|g| g.index.iter().map(|_| moment()).collect()).collect();
            let n = groups.classes.len();
            let BiasCompensation { bias_terms, levels } =
                BiasCompensation::learned(network.network(), &gates, &moments, n);
            let gated = GatedNetwork { network: network.network(), gates: &gates, bias_terms: &bias_terms };
            let soft = |c: usize| if plan.kept[c] { 0.2 + 0.7 * ((c * 7) % 11) as f32 / 11.0 } else { 0.0 };
            let parameters: Vec<f32> = (0..n).map(soft).chain(levels.iter().map(|&l| l as f32)).collect();
            let small = rewrite::rewrite(network.network(), &groups, &plan.kept, network.model.opset())
                .unwrap()
                .graph;
            let small_facts = network.network().facts_of(&small).unwrap();
            let (few, terms) = rewrite::follow(gated, &groups, &plan.kept, &small);
            let followed =
                GatedNetwork { network: Network::new(&small, &small_facts), gates: &few, bias_terms: &terms };
            let targets = network.targets();
            let sample = &network.samples(1, 2)[0];
            let [whole, left] = [gated, followed].map(|n| run(n, &targets, &parameters, sample));
            let name = format!("{} ({residual:?})", network.name);
            near(&whole.0, &left.0, &format!("{name}: values"));
            let trained = |g: &[f32]| -> Vec<f32> {
                (0..g.len()).filter(|&c| c >= n || plan.kept[c]).map(|c| g[c]).collect()
            };
            near(&trained(&whole.1), &trained(&left.1), &format!("{name}: gradients"));
        }
    }
}

/// The targets, and the gradients of a weighted sum of them.
fn run(
    network: GatedNetwork,
    targets: &[ValueId],
    parameters: &[f32],
    sample: &Sample,
) -> (Vec<f32>, Vec<f32>) {
    let program = Program::compile(network, Precision::Exact, targets).unwrap();
    let mut workspace = Workspace::new(&program);
    for (k, x) in sample.iter().enumerate() {
        workspace.input(&program, k).copy_from_slice(x.elements());
    }
    // Twice: buffers have other numbers in them then.
    for _ in 0..2 {
        workspace.evaluate(&program, Some(parameters));
    }
    let alone: Vec<Array<f32>> = (0..targets.len()).map(|t| workspace.target(&program, t).clone()).collect();
    workspace.forward(&program, Some(parameters));
    for (t, alone) in alone.iter().enumerate() {
        assert!(alone == workspace.target(&program, t), "target {t} is another one where values make room");
    }
    let values = (0..targets.len()).flat_map(|t| workspace.target(&program, t).clone()).collect();
    for t in 0..targets.len() {
        let dy = workspace.target_gradient(&program, t);
        dy.iter_mut().enumerate().for_each(|(i, d)| *d = 1.0 - (i % 5) as f32 / 3.0);
    }
    let mut gradient = vec![0.0; parameters.len()];
    workspace.backward(&program, parameters, &mut gradient);
    (values, gradient)
}

fn near(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let range = a.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= 2e-4 * range, "{what}: element {i}: {a} {b} (of {range})");
    }
}
