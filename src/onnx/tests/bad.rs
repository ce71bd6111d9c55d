//! Every way for a model to be bad has an error that names the part and the way out.

use super::super::message::whole;
use super::super::*;
use super::make::*;
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{AttributeProto, GraphProto, ModelProto, SparseTensorProto, TensorProto};
use protobuf::MessageField;
use std::path::Path;

/// The small model with a subgraph, a Constant, strings, and a function beside it.
pub fn with_everything() -> ModelProto {
    edited(|g| {
        let branch = GraphProto {
            node: vec![node("Add", &["y", "k"], &["inner"])],
            output: vec![info("inner", &[])],
            ..GraphProto::default()
        };
        let mut choice = node("If", &["flag"], &["z"]);
        choice.attribute = vec![subgraph("then_branch", branch.clone()), subgraph("else_branch", branch)];
        let mut constant = node("Constant", &[], &["k"]);
        let mut a = AttributeProto { name: "value".into(), ..AttributeProto::default() };
        a.type_ = AttributeType::TENSOR.into();
        a.t = MessageField::some(counting("stored", &[2]));
        constant.attribute = vec![a];
        // Out of order: what the choice is made by stands behind it.
        let mut flag = node("Cast", &["total"], &["flag"]);
        flag.attribute = vec![int("to", 9)];
        let mut total = node("ReduceSum", &["x"], &["total"]);
        total.attribute = vec![int("keepdims", 0)];
        g.node.extend([constant, choice, flag, total]);
        g.initializer.push(TensorProto {
            name: "labels".into(),
            data_type: 8,
            dims: vec![2],
            string_data: vec![b"cat".to_vec(), b"dog".to_vec()],
            ..TensorProto::default()
        });
        g.output.push(info("z", &["N", "2"]));
    })
}

fn says(text: String, parts: &[&str]) {
    for part in parts.iter().chain(&["way out"]) {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

fn not_a_model(bytes: &[u8]) -> String {
    parse(bytes, Path::new("some.file"), &[]).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn other_files_are_called_by_their_name() {
    for (bytes, kind) in [
        (&b""[..], "empty"),
        (b"PK\x03\x04 and more of it", "PyTorch .pt"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0", "HDF5"),
        (b"\x1c\0\0\0TFL3\x14\0", "TensorFlow Lite"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page"),
        (
            b"<\n  ir_version: 8,\n  opset_import: [\"\" : 13]\n>\nagraph (float[1,3] x) => (float y) {}",
            "text syntax",
        ),
        (b"ir_version: 8\ngraph {\n}\n", "text format"),
        (b"this is only a letter", "a text file"),
        (b"\x80\x02}q\0.", "pickle"),
    ] {
        says(not_a_model(bytes), &[kind, "some.file"]);
    }
}

#[test]
fn a_model_without_a_graph_is_refused() {
    let proto = ModelProto { ir_version: 8, ..ModelProto::default() };
    says(not_a_model(&bytes(&proto)), &["no graph"]);
}

#[test]
fn files_that_are_not_there_or_not_files() {
    says(
        super::super::read(Path::new("/nowhere/x.onnx"), &[]).unwrap_err().to_string(),
        &["/nowhere/x.onnx"],
    );
    says(super::super::read(Path::new("/"), &[]).unwrap_err().to_string(), &["not a regular file"]);
}

#[test]
fn opsets() {
    let mut proto = small();
    proto.opset_import[0].version = 6;
    says(refusal(&proto), &["opset 6", "version_converter"]);
    proto.opset_import.clear();
    says(refusal(&proto), &["does not say which opset"]);
    let mut proto = small();
    proto.opset_import[0].domain = "ai.onnx".into();
    assert_eq!(opened(&proto).unwrap().opset(), 13);
}

#[test]
fn names_defined_twice() {
    let twice = [
        edited(|g| g.initializer.push(counting("w", &[1]))),
        edited(|g| g.node.push(node("Relu", &["c"], &["r"]))),
        edited(|g| g.initializer.push(counting("r", &[1]))),
        edited(|g| g.input.push(info("c", &["1"]))),
    ];
    for (proto, name) in twice.iter().zip(["w", "r", "r", "c"]) {
        says(refusal(proto), &[&format!("'{name}' is defined twice")]);
    }
    says(refusal(&edited(|g| g.input.push(info("x", &["1"])))), &["'x' is listed twice"]);
}

#[test]
fn names_defined_nowhere() {
    says(refusal(&edited(|g| g.node[1].input[0] = "ghost".into())), &["Relu_r", "'ghost'"]);
    says(refusal(&edited(|g| g.output[0].name = "ghost".into())), &["'ghost'"]);
    let mut proto = with_everything();
    let branch = proto.graph.as_mut().unwrap().node[4].attribute[0].g.as_mut().unwrap();
    branch.node[0].input[1] = "ghost".into();
    says(refusal(&proto), &["If_z", "'ghost'"]);
}

#[test]
fn a_cycle_names_its_nodes() {
    says(refusal(&edited(|g| g.node[0].input[0] = "y".into())), &["cycle", "Conv_c"]);
}

#[test]
fn nodes_out_of_order_are_sorted_and_the_file_keeps_its_order() {
    let proto = edited(|g| g.node.reverse());
    let model = opened(&proto).unwrap();
    let sources: Vec<_> = model.graph.nodes.iter().map(|n| n.source).collect();
    assert_eq!(sources, [Some(2), Some(1), Some(0)]);
    assert_eq!(whole(&model.with_graph(model.graph.clone()).unwrap()), proto);
}

#[test]
fn unnamed_nodes_get_unique_names_and_the_file_keeps_none() {
    let proto = edited(|g| {
        g.node[0].name = "Relu -> r".into();
        g.node[1].name.clear();
    });
    let model = opened(&proto).unwrap();
    let names: Vec<_> = model.graph.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["Relu -> r", "Relu -> r (2)", "Conv -> y"]);
    assert_eq!(whole(&model.with_graph(model.graph.clone()).unwrap()), proto);
}

#[test]
fn damaged_weights_are_named() {
    let w = |edit: fn(&mut TensorProto)| refusal(&edited(|g| edit(&mut g.initializer[0])));
    says(w(|t| t.raw_data.truncate(100)), &["initializer 'w'", "432 bytes; 100 are stored"]);
    says(w(|t| t.raw_data.push(0)), &["initializer 'w'", "433"]);
    says(w(|t| t.raw_data.clear()), &["initializer 'w'", "108 elements, 0 are stored"]);
    says(w(|t| t.dims[1] = -3), &["initializer 'w'", "negative"]);
    says(w(|t| t.dims = vec![1 << 40, 1 << 40]), &["initializer 'w'", "2^36 elements"]);
    says(w(|t| t.dims = vec![0, 1 << 40, 1 << 40]), &["initializer 'w'", "2^36 elements"]);
    says(w(|t| t.name.clear()), &["initializer ''", "no name"]);
    says(w(|t| t.segment = MessageField::some(Default::default())), &["initializer 'w'", "segments"]);
    says(
        w(|t| t.raw_data[7..12].copy_from_slice(&[0x7f, 0, 0, 0xc0, 0x7f])),
        &["NaN", "element 2 of", "'w'"],
    );
    says(
        w(|t| t.raw_data[..4].copy_from_slice(&f32::INFINITY.to_le_bytes())),
        &["infinity, first at element 0"],
    );
}

#[test]
fn an_infinite_bound_is_no_damage() {
    let proto = edited(|g| g.initializer.push(floats("bound", &[], vec![f32::INFINITY])));
    assert!(opened(&proto).is_ok());
}

#[test]
fn sparse_initializers_are_refused() {
    let sparse =
        SparseTensorProto { values: MessageField::some(counting("s", &[1])), ..SparseTensorProto::default() };
    says(refusal(&edited(|g| g.sparse_initializer.push(sparse))), &["'s' is sparse"]);
}

#[test]
fn types_that_we_do_not_hold_travel_along() {
    let proto = with_everything();
    let model = opened(&proto).unwrap();
    assert!(matches!(model.graph.values[value(&model, "labels")].origin, crate::graph::Origin::Carried));
    assert!(model.facts().unwrap().fact[value(&model, "labels")].is_none());
    assert_eq!(whole(&model.with_graph(model.graph.clone()).unwrap()), proto);
    let proto = edited(|g| {
        let mut constant = node("Constant", &[], &["text"]);
        let mut a = AttributeProto { name: "value".into(), ..AttributeProto::default() };
        a.type_ = AttributeType::TENSOR.into();
        a.t = MessageField::some(TensorProto { data_type: 8, ..TensorProto::default() });
        constant.attribute = vec![a];
        g.node.push(constant);
    });
    assert!(opened(&proto).is_ok());
}

#[test]
fn subgraphs_tell_what_they_use() {
    let model = opened(&with_everything()).unwrap();
    let choice = model.graph.nodes.iter().find(|n| n.op_type == "If").unwrap();
    let names: Vec<_> = choice.captured.iter().map(|&v| model.graph.values[v].name.as_str()).collect();
    assert_eq!(names, ["k", "y"]);
}

#[test]
fn inputs_are_at_batch_one() {
    let model = opened(&small()).unwrap();
    let x = model.graph.values[model.graph.inputs[0]].declared.clone().unwrap();
    assert_eq!(x.shape, [1, 3, 8, 8]);
    assert!(model.input_is_symbolic_batch(0) && !model.input_is_symbolic_batch(1));
    let declared = |name| model.graph.values[value(&model, name)].declared.as_ref().map(|f| f.shape.clone());
    assert_eq!(declared("c"), Some(vec![1, 4, 6, 6]));
    assert_eq!(declared("r"), None);
    let fixed = opened(&edited(|g| g.input[0] = info("x", &["4", "3", "8", "8"]))).unwrap();
    assert_eq!(fixed.graph.values[fixed.graph.inputs[0]].declared.as_ref().unwrap().shape[0], 4);
    assert!(!fixed.input_is_symbolic_batch(0));
}

#[test]
fn open_sizes_ask_for_the_flag_to_type() {
    let proto = edited(|g| g.input[0] = info("in:0", &["N", "3", "height", "?"]));
    let mut proto = proto;
    proto.graph.as_mut().unwrap().node[0].input[0] = "in:0".into();
    says(refusal(&proto), &["`input_shape` in:0:1,3,224,224", "open: [1, 3, height, ?]"]);
    let with = |flag: &str| parse(&bytes(&proto), Path::new("made.onnx"), &[flag.parse().unwrap()]);
    let model = with("in:0:2,3,8,10").unwrap();
    assert_eq!(model.facts().unwrap().shape(value(&model, "c")), Some(&[2, 4, 6, 8][..]));
    says(with("in:0:1,4,8,8").unwrap_err().to_string(), &["[1, 4, 8, 8] does not fit", "in:0:1,3,224,224"]);
    says(with("in:0:1,3,8").unwrap_err().to_string(), &["does not fit"]);
    says(with("other:1,3,8,8").unwrap_err().to_string(), &["no input 'other'", "in:0"]);
    let twice = ["in:0:1,3,8,8", "in:0:1,3,9,9"].map(|f| f.parse().unwrap());
    says(parse(&bytes(&proto), Path::new("made.onnx"), &twice).unwrap_err().to_string(), &["given twice"]);
    assert!("x:1,-3".parse::<InputShape>().is_err() && "x:".parse::<InputShape>().is_err());
    assert_eq!("1,3x8,8".parse::<InputShape>().unwrap(), InputShape { name: None, shape: vec![1, 3, 8, 8] });
}

#[test]
fn a_symbol_is_the_same_size_in_every_input() {
    let proto = edited(|g| g.input.push(info("state", &["2", "N", "seq"])));
    says(refusal(&proto), &["input 'state' open: [2, 1, seq]", "`input_shape` state:2,1,224"]);
    let open = edited(|g| g.input.push(info("state", &["2", "N", "8"])));
    let with = |flag: &str| parse(&bytes(&open), Path::new("made.onnx"), &[flag.parse().unwrap()]);
    let state = |m: Model| m.graph.values[m.graph.inputs[1]].declared.clone().unwrap().shape;
    assert_eq!(state(opened(&open).unwrap()), [2, 1, 8]);
    assert_eq!(state(with("x:5,3,8,8").unwrap()), [2, 5, 8]);
    says(with("1,3,8,8").unwrap_err().to_string(), &["which input is meant"]);
    for any in ["?", "dynamic"] {
        let proto = edited(|g| g.input[0] = info("x", &[any, "3", any, any]));
        says(refusal(&proto), &["`input_shape` x:1,3,224,224"]);
        let given = ["1,3,8,8".parse().unwrap()];
        let model = parse(&bytes(&proto), Path::new("made.onnx"), &given).unwrap();
        assert_eq!(model.facts().unwrap().shape(value(&model, "y")), Some(&[1, 2, 6, 6][..]));
    }
}

#[test]
fn damaged_constants_are_named() {
    let mut proto = with_everything();
    let value = proto.graph.as_mut().unwrap().node[3].attribute[0].t.as_mut().unwrap();
    *value = floats("", &[2], vec![0.0, f32::NAN]);
    says(refusal(&proto), &["Constant_k", "attribute 'value'", "NaN, first at element 1"]);
}

#[test]
fn an_initializer_listed_as_an_input_is_a_constant() {
    let proto = edited(|g| g.input.push(info("w", &["4", "3", "3", "3"])));
    let model = opened(&proto).unwrap();
    assert_eq!(model.graph.inputs, [value(&model, "x")]);
    assert!(model.graph.initializer(value(&model, "w")).is_some());
}

#[test]
fn a_contradicting_operator_is_named() {
    says(refusal(&edited(|g| g.node[0].attribute[0] = int("group", 0))), &["Conv_c", "group is 0"]);
    says(refusal(&edited(|g| g.node[0].attribute.push(int("group", 1)))), &["Conv_c", "stated twice"]);
}

#[test]
fn what_the_file_says_about_itself() {
    let model = opened(&small()).unwrap();
    assert_eq!((model.ir_version(), model.producer().as_str()), (8, "tests"));
    assert_eq!(model.metadata().collect::<Vec<_>>(), [("author", "nobody")]);
    assert_eq!(model.opsets().collect::<Vec<_>>(), [("", 13)]);
    assert_eq!(model.path(), Path::new("made.onnx"));
}
