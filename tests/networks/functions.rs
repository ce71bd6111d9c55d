//! What stands for others in a file (functions of the model, decided branches, weights that it computes): analysed as what it gives,
//! written as it was where nothing in it was cut.

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

#[test]
fn layers_inside_decided_branches_are_cut() {
    let network = fixture("decided_branches");
    let (groups, _) = network.groups(Residual::Tie);
    let sizes: Vec<usize> = groups.groups.iter().map(|g| g.classes.len()).collect();
    assert_eq!(sizes, [6, 9, 9, 5], "{}", groups.print());
    assert_eq!(network.model.decided(), ["optional", "outer"]);
}

#[test]
fn an_if_stays_where_nothing_in_its_branch_is_cut() {
    let network = fixture("decided_branches");
    let groups = network.groups(Residual::Tie).0.groups;
    let original = ModelProto::parse_from_bytes(&std::fs::read(&network.path).unwrap()).unwrap();
    let small = |k: usize| without(&network, &|name| if name == groups[k].name { 2 } else { 0 });
    assert_eq!(operators(&small(3)), operators(&original));
    // In the middle of the outer branch; at its end, which the branch of the other If reads that is not taken.
    for (k, ifs) in [(1, 1), (2, 0)] {
        let (small, stay) = (small(k), |op: &str| op == "If");
        let ops = operators(&small);
        assert_eq!(ops.iter().filter(|op| stay(op)).count(), ifs, "{ops:?}");
        assert!(!ops.contains(&"Equal".to_owned()), "what decided is left: {ops:?}");
        let stored = |name: &str| small.graph.initializer.iter().any(|t| t.name == name);
        assert_eq!((stored("four"), stored("no")), (false, ifs == 1));
    }
}

#[test]
fn what_is_computed_from_constants_is_stored_where_channels_go_and_computed_elsewhere() {
    let network = fixture("computed_weights");
    let groups = network.groups(Residual::Tie).0.groups;
    let sizes: Vec<usize> = groups.iter().map(|g| g.classes.len()).collect();
    assert_eq!(sizes, [6, 8, 5, 7]);
    let names = |proto: &ModelProto| -> Vec<String> {
        proto.graph.initializer.iter().map(|t| t.name.clone()).collect()
    };
    let original = ModelProto::parse_from_bytes(&std::fs::read(&network.path).unwrap()).unwrap();
    let untouched = without(&network, &|_| 0);
    assert_eq!((operators(&untouched), names(&untouched)), (operators(&original), names(&original)));
    // The first layer's channels: its reader has standardised weights.
    let small = without(&network, &|name| if name == groups[0].name { 2 } else { 0 });
    let ops = operators(&small);
    assert!(
        !ops.contains(&"ReduceMean".to_owned()) && ops.iter().filter(|op| *op == "Slice").count() == 2,
        "{ops:?}"
    );
    assert!(
        !names(&small).contains(&"standard.v".to_owned()) && names(&small).contains(&"buffer".to_owned())
    );
    // The last layer's own: the other one is cut out of the buffer as before.
    let small = without(&network, &|name| if name == groups[3].name { 2 } else { 0 });
    let ops = operators(&small);
    assert!(
        ops.contains(&"ReduceMean".to_owned()) && ops.iter().filter(|op| *op == "Slice").count() == 1,
        "{ops:?}"
    );
}

// onnxruntime 1.32 takes a Pad by zeros of a constant out of the graph, and then misses what it gave.
#[test]
fn a_pad_that_has_nothing_left_to_pad_passes_on() {
    let network = fixture("padded_weight");
    let pads = |small: &ModelProto| operators(small).iter().filter(|op| *op == "Pad").count();
    assert_eq!(pads(&without(&network, &|name| usize::from(name == "padded"))), 1);
    let small = without(&network, &|name| if name == "padded" { 2 } else { 0 });
    assert_eq!(pads(&small), 0);
    let node = small.graph.node.iter().find(|n| n.op_type == "Identity").unwrap();
    assert_eq!(
        (node.name.as_str(), &node.input[..], &node.output[..]),
        ("padded.w", &["padded.core".to_owned()][..], &["padded.w.out".to_owned()][..])
    );
    assert!(node.attribute.is_empty());
}
