//! Our count of multiply-accumulates is tract's, and what models.json says.

use super::{Network, Residual, others, ours, random_plan};
use autobot_onnx::cost::{Convention, Cost};
use autobot_onnx::ir::{DType, Fact, Graph};
use autobot_onnx::{rewrite, verify};
use std::collections::HashMap;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::Cost as Spent;

#[test]
fn macs_are_tracts_before_and_after() {
    // The last has products in loops, which tract does not add up; the others it does not run.
    let others = ["decided_branches", "functions", "unknown_operator", "text_line"];
    for network in ours().into_iter().filter(|n| !others.contains(&n.name.as_str())) {
        let (graph, facts, model) = (&network.model.graph, &network.facts, &network.model);
        let (groups, cost) = network.groups(Residual::Select);
        let plan = random_plan(&network, &groups, &cost, 0.5, 4);
        let small = rewrite::rewrite(graph, facts, &groups, &plan.kept, model.opset()).unwrap().graph;
        let small_facts = verify::facts_like(graph, facts, &small).unwrap();
        let counted = Cost::new(&small, &small_facts, &no_groups(small.values.len()), Convention::Macs);
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

fn no_groups(values: usize) -> autobot_onnx::channels::Groups {
    autobot_onnx::channels::Groups { label: vec![Vec::new(); values], ..Default::default() }
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

#[test]
fn macs_are_the_known_numbers() {
    let (mut known, mut shapes) = (HashMap::new(), HashMap::new());
    let ours_json: serde_json::Value =
        serde_json::from_str(include_str!("../../models/models.json")).unwrap();
    for m in ours_json["models"].as_array().unwrap() {
        known.insert(m["file"].as_str().unwrap().replace(".onnx", ""), m["macs"].as_u64().unwrap());
    }
    assert_eq!(known.len(), 4);
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/models/models.json");
    if let Ok(text) = std::fs::read_to_string(beside) {
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        // Counted over stored weights and subgraphs: those are other numbers.
        let whole =
            |m: &serde_json::Value| ["DequantizeLinear", "If"].iter().all(|op| m["ops"][op].is_null());
        for (name, m) in json["models"].as_object().unwrap().iter().filter(|(_, m)| whole(m)) {
            known.extend(m["macs"].as_u64().map(|macs| (name.clone(), macs)));
            shapes.insert(name.clone(), m["measured_shape"].clone());
        }
    }
    let wrong = |n: &Network| {
        let here = |&v: &usize| (n.model.graph.values[v].name.clone(), n.facts.shape(v).unwrap().into());
        let here: serde_json::Map<String, serde_json::Value> =
            n.model.graph.inputs.iter().map(here).collect();
        if shapes.get(&n.name).is_some_and(|there| *there != serde_json::Value::Object(here)) {
            return None;
        }
        let (groups, cost) = n.groups(Residual::Tie);
        let (found, known) = (cost.hard(&vec![true; groups.classes.len()]), *known.get(&n.name)?);
        (found != known).then(|| format!("{}: {found}, known {known}", n.name))
    };
    let wrong: Vec<String> = ours().iter().chain(&others()).filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
