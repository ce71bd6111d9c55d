//! Only what differs is changed.

use super::super::message::whole;
use super::super::*;
use super::make::*;
use crate::error::Error;
use crate::graph::*;
use crate::ops;
use crate::tensor::*;
use onnx_protobuf::{GraphProto, ModelProto};
use std::path::Path;
use std::sync::Arc;

fn identity(proto: &ModelProto) {
    let model = opened(proto).unwrap();
    let same = model.with_graph(model.graph.clone()).unwrap();
    assert_eq!(&whole(&same), proto);
    assert_eq!(same.to_bytes().unwrap(), bytes(proto));
    assert_eq!(format!("{:?}", same.graph.nodes), format!("{:?}", model.graph.nodes));
}

#[test]
fn an_unchanged_graph_gives_the_same_file() {
    identity(&small());
    identity(&super::bad::with_everything());
    identity(&edited(|g| {
        g.node[1].input.push(String::new());
        g.node.push(node("Mystery", &["", "r", ""], &["", "unused"]));
        g.node[3].domain = "com.example".into();
    }));
}

/// The small model without output channels 1 and 3 of its first convolution.
fn pruned(model: &Model) -> Graph {
    let mut graph = model.graph.clone();
    for (name, axis) in [("w", 0), ("b", 0), ("v", 1)] {
        let v = value(model, name);
        let t = graph.initializer(v).unwrap().select(axis, &[0, 2]);
        graph.values[v].origin = Origin::Initializer(t);
    }
    graph
}

#[test]
fn sliced_weights_restate_what_depends_on_them_and_nothing_else() {
    let mut proto = small();
    proto.graph.as_mut().unwrap().input.push(info("w", &["4", "3", "3", "3"]));
    let model = opened(&proto).unwrap();
    let new = model.with_graph(pruned(&model)).unwrap();
    let mut wanted = proto.clone();
    let g = wanted.graph.as_mut().unwrap();
    for (k, (axis, inner)) in [(0, 27), (0, 1), (1, 1)].into_iter().enumerate() {
        let t = &mut g.initializer[k];
        t.dims[axis] = 2;
        let kept = |i: usize| (i / 4 / inner).is_multiple_of(2);
        t.raw_data = t.raw_data.iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, b)| *b).collect();
    }
    g.value_info[0] = info("c", &["N", "2", "6", "6"]);
    g.input[1] = info("w", &["2", "3", "3", "3"]);
    assert_eq!(whole(&new), wanted);
    assert_eq!(new.graph.values[value(&new, "c")].declared.as_ref().unwrap().shape, [1, 2, 6, 6]);
    let again = parse(&new.to_bytes().unwrap(), Path::new("again.onnx"), &[]).unwrap();
    let text = |model: &Model| print(Network::new(&model.graph, &model.facts().unwrap()));
    assert_eq!(text(&again), text(&new));
}

fn op(op_type: &str, attributes: &[(&str, Attr)]) -> Arc<dyn Op> {
    let attributes = attributes.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
    ops::read(op_type, "", 13, &attributes, 2, 1).unwrap().into()
}

#[test]
fn attributes_are_added_changed_and_removed_one_by_one() {
    let mut proto = small();
    let conv = &mut proto.graph.as_mut().unwrap().node[0];
    conv.attribute[0].doc_string = "why".into();
    let read_again = |attributes: &[(&str, Attr)]| {
        let model = opened(&proto).unwrap();
        let mut graph = model.graph.clone();
        graph.nodes[0].op = op("Conv", attributes);
        let mut new = whole(&model.with_graph(graph).unwrap());
        let node = &mut new.graph.as_mut().unwrap().node[0];
        let found = std::mem::take(&mut node.attribute);
        let mut rest = proto.clone();
        rest.graph.as_mut().unwrap().node[0].attribute.clear();
        rest.graph.as_mut().unwrap().value_info.clear();
        rest.graph.as_mut().unwrap().output.clear();
        new.graph.as_mut().unwrap().value_info.clear();
        new.graph.as_mut().unwrap().output.clear();
        assert_eq!(new, rest);
        found
    };
    // An explicit default stays; a new attribute is added behind it.
    let found = read_again(&[("pads", vec![1i64; 4].into())]);
    assert_eq!(found.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["group", "pads"]);
    assert_eq!(
        (found[0].i, found[0].doc_string.as_str(), found[1].ints.as_slice()),
        (1, "why", &[1i64; 4][..])
    );
}

#[test]
fn a_changed_and_a_removed_attribute() {
    let grouped = |group: i64| {
        edited(|g| {
            g.node[0].attribute = vec![int("group", group)];
            g.node[0].attribute[0].doc_string = "why".into();
            g.input[0] = info("x", &["N", "6", "8", "8"]);
            g.initializer[0] = counting("w", &[6, 6 / group, 3, 3]);
            g.initializer[1] = counting("b", &[6]);
            g.initializer[2] = counting("v", &[2, 6, 1, 1]);
            g.value_info.clear();
        })
    };
    let change = |from: i64, to: i64| {
        let (from, goal) = (grouped(from), opened(&grouped(to)).unwrap());
        whole(&opened(&from).unwrap().with_graph(goal.graph).unwrap())
    };
    assert_eq!(change(2, 3), grouped(3));
    let mut without = grouped(1);
    without.graph.as_mut().unwrap().node[0].attribute.clear();
    assert_eq!(change(2, 1), without);
}

#[test]
fn a_constant_keeps_its_names() {
    let proto = super::bad::with_everything();
    let model = opened(&proto).unwrap();
    let mut graph = model.graph.clone();
    let n = graph.nodes.iter().position(|n| n.op_type == "Constant").unwrap();
    graph.nodes[n].op = op("Constant", &[("value", Tensor::floats(&[1], vec![7.0]).into())]);
    let new = whole(&model.with_graph(graph).unwrap());
    let mut wanted = proto.clone();
    wanted.graph.as_mut().unwrap().node[3].attribute[0].t = Some(floats("stored", &[1], vec![7.0])).into();
    assert_eq!(new, wanted);
}

/// Adds `Add(r, zero)` between the Relu and the second convolution.
fn with_insertion(model: &Model) -> Graph {
    let mut graph = model.graph.clone();
    let zero = graph.values.len();
    let tensor = Tensor::floats(&[1, 4, 1, 1], vec![0.0; 4]);
    graph.values.push(Value { name: "zero".into(), origin: Origin::Initializer(tensor), declared: None });
    graph.values.push(Value { name: "sum".into(), origin: Origin::Node(3, 0), declared: None });
    graph.nodes.push(Node {
        name: "inserted".into(),
        op_type: "Add".into(),
        op: op("Add", &[]),
        inputs: vec![Some(value(model, "r")), Some(zero)],
        outputs: vec![Some(zero + 1)],
        captured: vec![],
        source: None,
    });
    graph.nodes[2].inputs[0] = Some(zero + 1);
    graph.sort().unwrap();
    graph
}

#[test]
fn new_nodes_stand_before_their_users() {
    let proto = small();
    let model = opened(&proto).unwrap();
    let new = model.with_graph(with_insertion(&model)).unwrap();
    let mut wanted = proto.clone();
    let g = wanted.graph.as_mut().unwrap();
    g.node[2].input[0] = "sum".into();
    let mut add = node("Add", &["r", "zero"], &["sum"]);
    add.name = "inserted".into();
    g.node.insert(2, add);
    g.initializer.push(floats("zero", &[1, 4, 1, 1], vec![0.0; 4]));
    assert_eq!(whole(&new), wanted);
    assert_eq!(
        new.graph.nodes.iter().map(|n| n.source).collect::<Vec<_>>(),
        (0..4).map(Some).collect::<Vec<_>>()
    );
    // The result can be rewritten again.
    assert_eq!(whole(&new.with_graph(new.graph.clone()).unwrap()), wanted);
    let back = new.with_graph(model_without_insertion(&new)).unwrap();
    assert_eq!(whole(&back), proto);
}

/// Takes the inserted node and its constant out again.
fn model_without_insertion(model: &Model) -> Graph {
    let mut graph = model.graph.clone();
    graph.nodes[3].inputs[0] = Some(value(model, "r"));
    graph.nodes.remove(2);
    graph.values.truncate(graph.values.len() - 2);
    let y = value(model, "y");
    graph.values[y].origin = Origin::Node(2, 0);
    graph
}

#[test]
fn before_ir_version_4_a_new_initializer_is_listed_as_an_input() {
    let mut proto = small();
    proto.ir_version = 3;
    let model = opened(&proto).unwrap();
    let new = model.with_graph(with_insertion(&model)).unwrap();
    assert_eq!(new.proto.graph.input.last(), Some(&info("zero", &["1", "4", "1", "1"])));
    assert_eq!(opened(&whole(&new)).unwrap().graph.inputs.len(), 1);
}

#[test]
fn a_graph_with_another_interface_is_refused() {
    let model = opened(&small()).unwrap();
    let mut graph = model.graph.clone();
    graph.outputs[0] = value(&model, "r");
    assert!(matches!(model.with_graph(graph), Err(Error::Verification { .. })));
    let mut graph = model.graph.clone();
    graph.nodes[1].source = Some(99);
    assert!(model.with_graph(graph).is_err());
}

#[test]
fn subgraphs_and_functions_travel_along() {
    let mut proto = super::bad::with_everything();
    let function = onnx_protobuf::FunctionProto {
        name: "Twice".into(),
        domain: "local".into(),
        node: vec![node("Add", &["a", "a"], &["b"])],
        ..Default::default()
    };
    proto.functions.push(function);
    proto.training_info.push(onnx_protobuf::TrainingInfoProto {
        algorithm: Some(GraphProto { name: "step".into(), ..GraphProto::default() }).into(),
        ..Default::default()
    });
    let model = opened(&proto).unwrap();
    let new = model.with_graph(pruned(&model)).unwrap();
    assert_eq!(new.proto.functions, proto.functions);
    assert_eq!(new.proto.training_info, proto.training_info);
    assert_eq!(new.proto.graph.node[4], proto.graph.node[4]);
}
