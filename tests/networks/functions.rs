//! Functions that a model defines for itself: analysed as what they compute, written as they were where nothing in them was cut.

use super::{Residual, fixture, without};
use onnx_protobuf::{Message, ModelProto};

fn operators(proto: &ModelProto) -> Vec<String> {
    proto.graph.node.iter().map(|n| n.op_type.clone()).collect()
}

fn functions(proto: &ModelProto) -> Vec<String> {
    proto.functions.iter().map(|f| f.name.clone()).collect()
}

#[test]
fn layers_inside_functions_are_cut() {
    let network = fixture("functions");
    let (groups, _) = network.groups(Residual::Tie);
    let sizes: Vec<usize> = groups.groups.iter().map(|g| g.classes.len()).collect();
    // The stem with the depthwise block behind it, and the last block; default attributes and nested calls included.
    assert_eq!(sizes, [6, 8], "{}", groups.print());
}

#[test]
fn a_call_stays_where_nothing_in_it_is_cut() {
    let network = fixture("functions");
    let stem = &network.groups(Residual::Tie).0.groups[0].name.clone();
    let original = ModelProto::parse_from_bytes(&std::fs::read(&network.path).unwrap()).unwrap();
    assert_eq!(
        operators(&original),
        ["Block", "SiLU", "Block", "Block", "GlobalAveragePool", "Flatten", "Gemm"]
    );
    // Its weights are smaller, but what the nodes say is the same: only the depthwise one's number of groups is not.
    let small = without(&network, &|name| if name == stem { 2 } else { 0 });
    let expected =
        ["Block", "SiLU", "Conv", "Sigmoid", "Mul", "Block", "GlobalAveragePool", "Flatten", "Gemm"];
    assert_eq!(operators(&small), expected);
    assert_eq!(functions(&small), functions(&original));
    assert_eq!(small.graph.node[2].attribute.iter().find(|a| a.name == "group").unwrap().i, 4);
    assert_eq!(small.graph.initializer[0].dims, [4, 3, 3, 3]);
}
