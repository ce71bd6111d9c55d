//! Weights that were changed in a pruned network find their places in the original: pruned anew it is that network, and masked
//! it gives the same.

use super::{ALL, ours, random_plan, single};
use autobot_onnx::internals::exec::{GatedNetwork, Precision, Program, Workspace};
use autobot_onnx::internals::gates::hard;
use autobot_onnx::internals::graph::{Graph, Network, NodeId, ValueId};
use autobot_onnx::internals::support::random::Draw;
use autobot_onnx::internals::tensor::{Array, DType, Elements};
use autobot_onnx::internals::{pruner, rewrite, verify};

#[test]
fn what_is_widened_and_pruned_anew_is_what_it_was() {
    for network in ours() {
        for residual in ALL {
            let (groups, cost) = network.groups(residual);
            let kept = random_plan(&network, &groups, &cost, 0.5, 5).kept;
            let (graph, facts, opset) = (&network.model.graph, &network.facts, network.model.opset());
            let mut rewritten = rewrite::rewrite(network.network(), &groups, &kept, opset).unwrap();
            let mut draw = Draw::new(9, 0);
            let amounts: Vec<(NodeId, Vec<f64>)> = (0..graph.nodes.len())
                .filter(|&n| has_room(graph, n))
                .map(|n| {
                    let outputs = facts.shape(graph.nodes[n].outputs[0].unwrap()).unwrap()[1];
                    (n, (0..outputs).map(|_| f64::from(draw.bell()) / 10.0).collect())
                })
                .collect();
            rewrite::add_biases(&mut rewritten, network.network(), &groups, &kept, &amounts).unwrap();
            let mut small = rewritten.graph;
            for v in weights(&small) {
                let old = small.initializer(v).unwrap().clone();
                let change = |w: f64, d: f64| w * (1.0 + d / 20.0);
                let values: Vec<f64> =
                    old.to_real::<f64>().into_iter().map(|w| change(w, draw.bell().into())).collect();
                rewrite::store(&mut small, v, old.with_values(old.shape(), &values)).unwrap();
            }
            let (wide, known) = rewrite::widen(network.network(), &groups, &kept, &small).unwrap();
            let wide_facts = network.network().facts_of(&wide).unwrap();
            let again =
                rewrite::rewrite(Network::new(&wide, &wide_facts), &known, &kept, opset).unwrap().graph;
            let name = format!("{} ({residual:?})", network.name);
            let targets = network.targets();
            let samples = network.samples(1, 2);
            let outputs = |small: &Graph| -> Vec<Array<f32>> {
                let of_small = network.network().facts_of(small).unwrap();
                let program =
                    Program::compile(Network::new(small, &of_small), Precision::Exact, &targets).unwrap();
                let mut workspace = Workspace::new(&program);
                for (k, x) in samples[0].iter().enumerate() {
                    workspace.input(&program, k).copy_from_slice(x.elements());
                }
                workspace.evaluate(&program, None);
                (0..targets.len()).map(|t| workspace.target(&program, t).clone()).collect()
            };
            assert!(outputs(&small) == outputs(&again), "{name}: pruned anew it is another network");
            let (gates, lambda) = (pruner::gates(&wide, &known), hard(&kept, &[]));
            let network = Network::new(&wide, &wide_facts);
            let masked = GatedNetwork { network, gates: &gates, bias_terms: &[] };
            let proof = verify::compare(masked, &lambda, &small, &targets, &samples, &single());
            let difference = proof.unwrap().difference.relative;
            assert!(difference < verify::TOLERANCE, "{name}: masked it differs by {difference}");
        }
    }
}

/// A convolution, or a product with a bias or none, whose bias is its own business.
fn has_room(graph: &Graph, n: NodeId) -> bool {
    let node = &graph.nodes[n];
    let stored = |v: ValueId| graph.initializer(v).is_some_and(|t| t.shape().len() == 1 && t.len() > 1);
    let bias = node.inputs.get(2).copied().flatten();
    let weight = node.inputs.get(1).copied().flatten();
    node.op_type == "Conv"
        && bias.is_none_or(stored)
        && weight.is_some_and(|w| graph.initializer(w).is_some_and(|t| t.dtype() == DType::F32))
}

/// Stored weights of layers that fits may change.
fn weights(graph: &Graph) -> Vec<ValueId> {
    let layers =
        graph.nodes.iter().filter(|n| ["Conv", "Gemm", "BatchNormalization"].contains(&n.op_type.as_str()));
    let mut found: Vec<ValueId> = layers
        .flat_map(|n| n.inputs[1..].iter().flatten().copied())
        .filter(|&v| graph.initializer(v).is_some())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
