//! Small models.

use super::super::*;
use crate::error::Result;
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, ValueInfoProto,
};
use protobuf::MessageField;
use std::path::Path;

pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |n: &[&str]| n.iter().map(|s| s.to_string()).collect();
    NodeProto {
        op_type: op.into(),
        input: names(inputs),
        output: names(outputs),
        name: outputs.first().map_or_else(String::new, |o| format!("{op}_{o}")),
        ..NodeProto::default()
    }
}

pub fn int(name: &str, value: i64) -> AttributeProto {
    let mut a = AttributeProto { name: name.into(), i: value, ..AttributeProto::default() };
    a.type_ = AttributeType::INT.into();
    a
}

pub fn subgraph(name: &str, graph: GraphProto) -> AttributeProto {
    let mut a =
        AttributeProto { name: name.into(), g: MessageField::some(graph), ..AttributeProto::default() };
    a.type_ = AttributeType::GRAPH.into();
    a
}

pub fn floats(name: &str, dims: &[i64], values: Vec<f32>) -> TensorProto {
    let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type: 1, raw_data, ..TensorProto::default() }
}

pub fn counting(name: &str, dims: &[i64]) -> TensorProto {
    let n: i64 = dims.iter().product();
    floats(name, dims, (0..n).map(|v| v as f32 * 0.5 - 3.0).collect())
}

/// A value of float type; sizes are numbers or symbols, `?` for none.
pub fn info(name: &str, sizes: &[&str]) -> ValueInfoProto {
    use onnx_protobuf::tensor_shape_proto::dimension::Value as Dim;
    let shape = vec![1; sizes.len()];
    let mut info = shapes::fresh(name, &crate::graph::Fact::new(crate::tensor::DType::F32, shape));
    let kind = info.type_.as_mut().unwrap().mut_tensor_type();
    for (dim, size) in kind.shape.as_mut().unwrap().dim.iter_mut().zip(sizes) {
        dim.value = match size.parse() {
            Ok(n) => Some(Dim::DimValue(n)),
            Err(_) if *size == "?" => None,
            Err(_) => Some(Dim::DimParam(size.to_string())),
        };
    }
    info
}

pub fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { version: 13, ..OperatorSetIdProto::default() }],
        graph: MessageField::some(graph),
        ..ModelProto::default()
    }
}

/// x[N,3,8,8] → Conv(w: 4·3·3·3, b) → Relu → Conv(v: 2·4·1·1) → y, with metadata and unknown fields everywhere.
pub fn small() -> ModelProto {
    let mut conv = node("Conv", &["x", "w", "b"], &["c"]);
    conv.attribute = vec![int("group", 1)];
    conv.doc_string = "first".into();
    conv.special_fields.mut_unknown_fields().add_length_delimited(10, b"device".to_vec());
    let mut second = node("Conv", &["r", "v"], &["y"]);
    second.name.clear();
    let mut graph = GraphProto {
        name: "small".into(),
        node: vec![conv, node("Relu", &["c"], &["r"]), second],
        initializer: vec![counting("w", &[4, 3, 3, 3]), counting("b", &[4]), counting("v", &[2, 4, 1, 1])],
        input: vec![info("x", &["N", "3", "8", "8"])],
        output: vec![info("y", &["N", "2", "6", "6"])],
        value_info: vec![info("c", &["N", "4", "6", "6"]), info("r", &["N", "channels", "6", "6"])],
        ..GraphProto::default()
    };
    graph.special_fields.mut_unknown_fields().add_varint(77, 5);
    let mut proto = model(graph);
    proto.producer_name = "tests".into();
    proto.metadata_props.push(StringStringEntryProto {
        key: "author".into(),
        value: "nobody".into(),
        ..StringStringEntryProto::default()
    });
    proto.special_fields.mut_unknown_fields().add_length_delimited(26, b"configuration".to_vec());
    proto
}

pub fn bytes(proto: &ModelProto) -> Vec<u8> {
    proto.write_to_bytes().unwrap()
}

pub fn opened(proto: &ModelProto) -> Result<Model> {
    parse(&bytes(proto), Path::new("made.onnx"), &[])
}

/// The message of the error that reading must give.
pub fn refusal(proto: &ModelProto) -> String {
    opened(proto).map(|_| ()).expect_err("a bad model was read").to_string()
}

/// The message that was built, changed.
pub fn edited(edit: impl FnOnce(&mut GraphProto)) -> ModelProto {
    let mut proto = small();
    edit(proto.graph.as_mut().unwrap());
    proto
}

pub fn value(model: &Model, name: &str) -> usize {
    model.graph.value_named(name).unwrap_or_else(|| panic!("no value {name}"))
}
