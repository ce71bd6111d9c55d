//! The body of a function in place of a call.
//!
//! Takes: a function, a call of it, the names of the graph. Gives: whether the body can stand in the graph, and its nodes with the
//! names and attributes of the call. Never: takes a body that another version of the standard operators could compute otherwise.

use super::walk::subgraphs;
use crate::graph::Names;
use onnx_protobuf::{AttributeProto, FunctionProto, NodeProto};
use std::collections::{HashMap, HashSet};

/// Operators of the standard domain that compute one thing in all versions that are read.
const STABLE: &[&str] = &[
    "Abs",
    "Add",
    "Ceil",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Cos",
    "Div",
    "Elu",
    "Erf",
    "Exp",
    "Flatten",
    "Floor",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "Identity",
    "LeakyRelu",
    "Log",
    "MatMul",
    "Mul",
    "Neg",
    "PRelu",
    "Pow",
    "Reciprocal",
    "Relu",
    "Selu",
    "Sigmoid",
    "Sin",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Sum",
    "Tanh",
    "Transpose",
];

/// True for a function whose body can stand in the graph: no subgraphs, each name made once, standard operators of its version.
pub fn is_plain(f: &FunctionProto, version: &dyn Fn(&str) -> Option<i64>) -> bool {
    let mut made: HashSet<&str> = HashSet::new();
    let once = f.input.iter().chain(f.node.iter().flat_map(|n| &n.output));
    let distinct = once.filter(|name| !name.is_empty()).all(|name| made.insert(name));
    let outputs: HashSet<&str> = f.output.iter().map(String::as_str).collect();
    let known = f
        .node
        .iter()
        .flat_map(|n| &n.input)
        .chain(&f.output)
        .all(|i| i.is_empty() || made.contains(i.as_str()));
    let flat = f.node.iter().all(|n| subgraphs(n).next().is_none());
    let passes = f.output.iter().any(|o| f.input.contains(o));
    let same = f.opset_import.iter().all(|o| {
        let standard = matches!(o.domain.as_str(), "" | "ai.onnx");
        let nodes = || f.node.iter().filter(|n| matches!(n.domain.as_str(), "" | "ai.onnx"));
        match version(&o.domain) {
            Some(v) if v == o.version => true,
            Some(_) if standard => nodes().all(|n| STABLE.contains(&n.op_type.as_str())),
            Some(_) => false,
            None => f.node.iter().all(|n| n.domain != o.domain),
        }
    });
    distinct && known && flat && same && !passes && outputs.len() == f.output.len() && !f.node.is_empty()
}

/// The nodes of one call, with the graph's names; `None` for a call that the function does not take.
pub fn instance(f: &FunctionProto, call: &NodeProto, taken: &mut Names) -> Option<Vec<NodeProto>> {
    if call.input.len() > f.input.len() || call.output.len() > f.output.len() {
        return None;
    }
    let base = match call.name.is_empty() {
        false => call.name.clone(),
        true => format!("{} of {}", call.op_type, call.output.iter().find(|o| !o.is_empty())?),
    };
    let empty = String::new();
    let mut map: HashMap<&str, String> = HashMap::new();
    for (k, name) in f.input.iter().enumerate() {
        map.insert(name, call.input.get(k).unwrap_or(&empty).clone());
    }
    for (k, name) in f.output.iter().enumerate() {
        if let Some(given) = call.output.get(k).filter(|o| !o.is_empty()) {
            map.insert(name, given.clone());
        }
    }
    for name in f.node.iter().flat_map(|n| &n.output).filter(|name| !name.is_empty()) {
        if !map.contains_key(name.as_str()) {
            map.insert(name, taken.fresh(&format!("{base}/{name}")));
        }
    }
    let value = |name: &String| if name.is_empty() { String::new() } else { map[name.as_str()].clone() };
    let node = |n: &NodeProto| {
        let mut new = n.clone();
        new.input = n.input.iter().map(value).collect();
        new.output = n.output.iter().map(value).collect();
        if !n.name.is_empty() {
            new.name = format!("{base}/{}", n.name);
        }
        new.attribute = n.attribute.iter().filter_map(|a| attribute(f, call, a)).collect();
        new
    };
    Some(f.node.iter().map(node).collect())
}

/// An attribute of a node of a function, as a call gives it; none where neither the call nor a default does.
fn attribute(f: &FunctionProto, call: &NodeProto, a: &AttributeProto) -> Option<AttributeProto> {
    if a.ref_attr_name.is_empty() {
        return Some(a.clone());
    }
    let given = call.attribute.iter().chain(&f.attribute_proto).find(|g| g.name == a.ref_attr_name)?;
    let mut new = given.clone();
    new.name.clone_from(&a.name);
    Some(new)
}
