//! If nodes whose condition is a constant: the branch that is taken stands in their place.
//!
//! Takes: an If and its condition. Gives: the nodes of the branch, with the graph's names. Never: chooses by what may change.

use super::{external, walk};
use crate::graph::Names;
use crate::tensor::DType;
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{AttributeProto, GraphProto, NodeProto, TensorProto};
use std::collections::{HashMap, HashSet};

/// Truth values by name.
pub type Conditions = HashMap<String, bool>;

/// The truth values that a graph and the branches in it store.
pub fn stated(graph: &GraphProto) -> Conditions {
    let mut found = Conditions::new();
    gather(graph, &mut found);
    found
}

/// Adds the truth values of a graph and of its branches. The parser bounds how deep subgraphs nest.
fn gather(graph: &GraphProto, found: &mut Conditions) {
    found.extend(graph.initializer.iter().filter_map(|t| Some((t.name.clone(), truth(t)?))));
    for node in &graph.node {
        found.extend(constant(node));
        node.attribute.iter().filter_map(|a| a.g.as_ref()).for_each(|g| gather(g, found));
    }
}

/// The truth value that a Constant node gives, with its name.
pub fn constant(node: &NodeProto) -> Option<(String, bool)> {
    let plain = node.op_type == "Constant" && matches!(node.domain.as_str(), "" | "ai.onnx");
    let value = node.attribute.iter().find(|a| a.name == "value").filter(|_| plain)?;
    Some((node.output.first()?.clone(), truth(value.t.as_ref()?)?))
}

/// The truth value that a tensor of one element stores.
fn truth(t: &TensorProto) -> Option<bool> {
    let one = t.dims.iter().all(|&n| n == 1) && DType::from_onnx(t.data_type) == Some(DType::Bool);
    let stored = t.raw_data.first().map(|&b| b != 0).or(t.int32_data.first().map(|&i| i != 0));
    stored.filter(|_| one)
}

/// The branch that an If takes by `conditions`; none for any other node.
pub fn taken<'a>(node: &'a NodeProto, conditions: &Conditions) -> Option<&'a GraphProto> {
    let condition = *conditions.get(node.input.first()?)?;
    let plain = node.op_type == "If" && matches!(node.domain.as_str(), "" | "ai.onnx");
    let name = if condition { "then_branch" } else { "else_branch" };
    node.attribute.iter().find(|a| plain && a.name == name)?.g.as_ref()
}

/// The nodes of the branch of an If, with names that are not in `names`; none for a form that cannot stand in the graph.
pub fn instance(node: &NodeProto, branch: &GraphProto, names: &mut Names) -> Option<Vec<NodeProto>> {
    // Data in other files are found where they stand.
    let mut tensors = Vec::new();
    walk::in_node(node, &mut tensors);
    if tensors.into_iter().any(external::is_external) {
        return None;
    }
    if !branch.input.is_empty()
        || !branch.sparse_initializer.is_empty()
        || branch.output.len() != node.output.len()
    {
        return None;
    }
    let made: HashSet<&str> = branch.node.iter().flat_map(|n| &n.output).map(String::as_str).collect();
    let mut map: HashMap<String, String> = HashMap::new();
    for (inner, outer) in branch.output.iter().zip(&node.output).filter(|(_, outer)| !outer.is_empty()) {
        if made.contains(inner.name.as_str()) {
            map.entry(inner.name.clone()).or_insert_with(|| outer.clone());
        }
    }
    let base = if node.name.is_empty() { node.output.iter().find(|o| !o.is_empty())? } else { &node.name };
    let stored = branch.initializer.iter().map(|t| &t.name);
    for name in stored.chain(branch.node.iter().flat_map(|n| &n.output)).filter(|name| !name.is_empty()) {
        if !map.contains_key(name) {
            map.insert(name.clone(), names.fresh(&format!("{base}/{name}")));
        }
    }
    let mut nodes: Vec<NodeProto> = branch.initializer.iter().map(|t| stored_in(t, &map)).collect();
    for inner in &branch.node {
        let mut node = inner.clone();
        rename(&mut node, &map);
        if !node.name.is_empty() {
            node.name = format!("{base}/{}", node.name);
        }
        nodes.push(node);
    }
    for (inner, outer) in branch.output.iter().zip(&node.output).filter(|(_, outer)| !outer.is_empty()) {
        let given = map.get(&inner.name).unwrap_or(&inner.name);
        if given != outer {
            nodes.push(NodeProto {
                name: format!("{base}/{outer}"),
                op_type: "Identity".into(),
                input: vec![given.clone()],
                output: vec![outer.clone()],
                ..NodeProto::default()
            });
        }
    }
    Some(nodes)
}

/// A Constant node in place of an initializer.
fn stored_in(t: &TensorProto, map: &HashMap<String, String>) -> NodeProto {
    let mut value = AttributeProto { name: "value".into(), ..AttributeProto::default() };
    value.type_ = AttributeType::TENSOR.into();
    value.t = Some(t.clone()).into();
    NodeProto {
        name: map[&t.name].clone(),
        op_type: "Constant".into(),
        output: vec![map[&t.name].clone()],
        attribute: vec![value],
        ..NodeProto::default()
    }
}

/// Renames values that a node and its subgraphs take from around them, and that the node gives.
fn rename(node: &mut NodeProto, map: &HashMap<String, String>) {
    let new = |name: &mut String| {
        if let Some(to) = map.get(name.as_str()) {
            name.clone_from(to);
        }
    };
    node.input.iter_mut().chain(&mut node.output).for_each(new);
    for g in node.attribute.iter_mut().flat_map(|a| a.g.as_mut().into_iter().chain(&mut a.graphs)) {
        let own = g.input.iter().map(|i| &i.name).chain(g.initializer.iter().map(|t| &t.name));
        let own: HashSet<String> = own.chain(g.node.iter().flat_map(|n| &n.output)).cloned().collect();
        let mut outer = map.clone();
        outer.retain(|name, _| !own.contains(name));
        g.node.iter_mut().for_each(|n| rename(n, &outer));
        g.output.iter_mut().for_each(|o| {
            if let Some(to) = outer.get(&o.name) {
                o.name.clone_from(to);
            }
        });
    }
}
