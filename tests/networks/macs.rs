//! Our count of multiply-accumulates is tract's, and what models.json says.

use super::{NetworkFile, Residual, others, ours, random_plan};
use autobot_onnx::internals::cost::{Convention, Cost};
use autobot_onnx::internals::graph::{Fact, Graph, Network};
use autobot_onnx::internals::rewrite;
use autobot_onnx::internals::tensor::DType;
use std::collections::HashMap;
use tract_core::ops::Cost as Spent;
use tract_core::prelude::*;
use tract_onnx::prelude::{InferenceFact, InferenceModelExt};

#[test]
fn macs_are_tracts_before_and_after() {
    // The last has products in loops, which tract does not add up; the others it does not run.
    let others = ["decided_branches", "functions", "unknown_operator", "text_line"];
    for network in ours().into_iter().filter(|n| !others.contains(&n.name.as_str())) {
        let (graph, model) = (&network.model.graph, &network.model);
        let (groups, cost) = network.groups(Residual::Select);
        let plan = random_plan(&network, &groups, &cost, 0.5, 4);
        let small = rewrite::rewrite(network.network(), &groups, &plan.kept, model.opset()).unwrap().graph;
        let small_facts = network.network().facts_of(&small).unwrap();
        let counted =
            Cost::new(Network::new(&small, &small_facts), &no_groups(small.values.len()), Convention::Macs);
        let name = &network.name;
        assert_eq!(counted.hard(&[]), plan.cost, "{name}: the pruned graph does not cost what was planned");
        let bytes = model.with_graph(small.clone()).and_then(|m| m.to_bytes()).unwrap();
        let inputs = network.input_facts();
        let ours = without_transposed(&small, &counted.per_node(&[]));
        assert_eq!(fma(&bytes, &inputs), ours, "{name}: tract and we differ on the pruned network");
        let ours = without_transposed(graph, &cost.per_node(&vec![true; groups.classes.len()]));
        assert_eq!(fma(&model.to_bytes().unwrap(), &inputs), ours, "{name}: tract and we differ");
    }
}

/// tract does not count transposed convolutions.
fn without_transposed(graph: &Graph, macs: &[u64]) -> u64 {
    let counted = graph.nodes.iter().zip(macs).filter(|(n, _)| n.op_type != "ConvTranspose");
    counted.map(|(_, m)| m).sum()
}

fn no_groups(values: usize) -> autobot_onnx::internals::coupling::Groups {
    autobot_onnx::internals::coupling::Groups { label: vec![Vec::new(); values], ..Default::default() }
}

/// Multiply-accumulates of the convolutions and matrix products that tract makes of a file.
fn fma(bytes: &[u8], inputs: &[Fact]) -> u64 {
    // Shapes that the file states for values in between may be at an open batch.
    let onnx = tract_onnx::onnx().with_ignore_value_info(true).with_ignore_output_shapes(true);
    let mut model = onnx.model_for_read(&mut std::io::Cursor::new(bytes)).unwrap();
    for (k, fact) in inputs.iter().enumerate() {
        let dtype = match fact.dtype {
            DType::U8 => u8::datum_type(),
            DType::Bool => bool::datum_type(),
            DType::I64 => i64::datum_type(),
            _ => f32::datum_type(),
        };
        model.set_input_fact(k, InferenceFact::dt_shape(dtype, &fact.shape)).unwrap();
    }
    let model = model.into_typed().unwrap();
    let mut sum = 0;
    for node in model.nodes() {
        let name = node.op.name();
        if !["Conv", "EinSum", "MatMul"].iter().any(|n| name.contains(n)) {
            continue;
        }
        let facts: TVec<TypedFact> =
            node.inputs.iter().map(|i| model.outlet_fact(*i).unwrap().clone()).collect();
        let facts: TVec<&TypedFact> = facts.iter().collect();
        for (what, amount) in node.op.cost(&facts).unwrap() {
            if matches!(what, Spent::FMA(_)) {
                sum += amount.to_i64().unwrap() as u64;
            }
        }
    }
    sum
}

/// Compares the networks whose multiply-accumulates are known; their number.
fn compare(networks: &[NetworkFile], known: impl Fn(&NetworkFile) -> Option<u64>) -> usize {
    let (mut compared, mut wrong) = (0, Vec::new());
    for network in networks {
        let Some(known) = known(network) else { continue };
        let (groups, cost) = network.groups(Residual::Tie);
        let found = cost.hard(&vec![true; groups.classes.len()]);
        if found != known {
            wrong.push(format!("{}: {found}, known {known}", network.name));
        }
        compared += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    compared
}

#[test]
fn macs_are_the_known_numbers() {
    let json: serde_json::Value = serde_json::from_str(include_str!("../../models/models.json")).unwrap();
    let mut known = HashMap::new();
    for m in json["models"].as_array().unwrap() {
        known.insert(m["file"].as_str().unwrap().replace(".onnx", ""), m["macs"].as_u64().unwrap());
    }
    assert_eq!(compare(&ours(), |n| known.get(&n.name).copied()), 4);
}

#[test]
#[ignore = "needs the networks and models.json of ../shared/data/models"]
fn macs_are_the_known_numbers_on_real_networks() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/models/models.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("needs {path}: {e}"));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let known = |n: &NetworkFile| {
        let m = &json["models"][&n.name];
        // Counted over stored weights and subgraphs: those are other numbers.
        let whole = ["DequantizeLinear", "If"].iter().all(|op| m["ops"][op].is_null());
        let here = |&v: &usize| (n.model.graph.values[v].name.clone(), n.facts.shape(v).unwrap().into());
        let here: serde_json::Map<String, serde_json::Value> =
            n.model.graph.inputs.iter().map(here).collect();
        let measured = whole && m["measured_shape"] == serde_json::Value::Object(here);
        m["macs"].as_u64().filter(|_| measured)
    };
    assert!(compare(&others(), known) > 0, "needs a network whose number is in {path}");
}
