//! A file with another graph.
//!
//! Takes: a file, the graph that was read from it, and the graph to be. Gives: the file, changed where the graphs differ.
//! Never: touches anything else. An unchanged node keeps every byte, also where our reading of it is incomplete.

use super::attribute;
use super::fault::Fault;
use super::{shapes, tensor};
use crate::error::{Error, Result};
use crate::graph::{Fact, Facts, Graph, Node, Origin};
use crate::tensor::Tensor;
use onnx_protobuf::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The IR version since which an initializer need not be listed as an input.
const INITIALIZERS_STAND_ALONE: i64 = 4;

/// Puts `new` in place of `old`. Renumbers the nodes' sources and makes the file and `new` declare the shapes that hold, as
/// `facts_of` finds them.
pub fn apply(
    proto: &ModelProto,
    old: &Graph,
    new: &mut Graph,
    facts_of: &dyn Fn(&Graph) -> Result<Facts>,
) -> Result<ModelProto> {
    new.check()?;
    check_interface(old, new)?;
    let facts = facts_of(new)?;
    let mut proto = proto.clone();
    let list = proto.ir_version < INITIALIZERS_STAND_ALONE;
    if let Some(graph) = proto.graph.as_mut() {
        initializers(graph, old, new, list);
        nodes(graph, old, new)?;
        drop_gone(graph, old, new);
        correct(graph, new, &facts);
    }
    for (value, fact) in new.values.iter_mut().zip(facts.fact) {
        if value.declared.is_some() && fact.is_some() {
            value.declared = fact;
        }
    }
    Ok(proto)
}

/// Errors unless the network's inputs and outputs have the names that they had.
fn check_interface(old: &Graph, new: &Graph) -> Result<()> {
    let names = |g: &Graph| -> [Vec<String>; 2] {
        [&g.inputs, &g.outputs].map(|ids| ids.iter().map(|&v| g.values[v].name.clone()).collect())
    };
    if names(old) == names(new) {
        return Ok(());
    }
    let reason = "the rewritten network has other inputs or outputs".to_owned();
    Err(Error::Verification { reason, hint: "this is a bug of autobot-onnx; nothing was written".into() })
}

/// Makes the file's initializers the ones of `new`; new ones are inputs too if `list`.
fn initializers(proto: &mut GraphProto, old: &Graph, new: &Graph, list: bool) {
    let before = constants(old);
    let mut after = constants(new);
    let carried: HashSet<&str> =
        new.values.iter().filter(|v| matches!(v.origin, Origin::Carried)).map(|v| v.name.as_str()).collect();
    proto.initializer.retain_mut(|t| match after.remove(t.name.as_str()) {
        Some(tensor) => {
            let old = before.get(t.name.as_str());
            if old.is_none_or(|old| !old.shares(tensor) && old != &tensor) {
                tensor::store(t, tensor);
                tensor::lighten(t, tensor);
            }
            true
        }
        None => carried.contains(t.name.as_str()),
    });
    let added = new.values.iter().filter_map(|v| after.get(v.name.as_str()).map(|t| (&v.name, *t)));
    for (name, tensor) in added {
        let mut t = tensor::fresh(name, tensor);
        tensor::lighten(&mut t, tensor);
        proto.initializer.push(t);
        if list {
            proto.input.push(shapes::fresh(name, &Fact::new(tensor.dtype(), tensor.shape().to_vec())));
        }
    }
}

/// The initializers by name.
pub fn constants(graph: &Graph) -> HashMap<&str, &Tensor> {
    let constant = |v: usize| graph.initializer(v).map(|t| (graph.values[v].name.as_str(), t));
    (0..graph.values.len()).filter_map(constant).collect()
}

/// Names by slot, as the file writes them.
fn names(graph: &Graph, slots: &[Option<usize>]) -> Vec<String> {
    slots.iter().map(|s| s.map_or_else(String::new, |v| graph.values[v].name.clone())).collect()
}

/// Makes the file's nodes the ones of `new`, which then know their places in the file.
fn nodes(proto: &mut GraphProto, old: &Graph, new: &mut Graph) -> Result<()> {
    let sources = |g: &Graph| g.nodes.iter().map(|n| n.source).collect::<Vec<_>>();
    let same_nodes = sources(old) == sources(new);
    let before: HashMap<usize, &Node> = old.nodes.iter().filter_map(|n| Some((n.source?, n))).collect();
    let mut file: Vec<Option<NodeProto>> = std::mem::take(&mut proto.node).into_iter().map(Some).collect();
    let mut patched = Vec::with_capacity(new.nodes.len());
    for node in &new.nodes {
        let known = node.source.and_then(|s| Some((before.get(&s)?, file.get_mut(s)?.take()?)));
        patched.push(match (known, node.source) {
            (Some((was, proto)), _) => {
                patch(proto, Place { graph: old, node: was }, Place { graph: new, node })?
            }
            (None, None) => fresh(new, node)?,
            (None, Some(_)) => {
                return Err(fail(node, Fault::new("it stands for a node that the file lacks")));
            }
        });
    }
    if same_nodes {
        // A file whose nodes are not in order keeps its order.
        let mut placed: Vec<_> = new.nodes.iter().map(|n| n.source).zip(patched).collect();
        placed.sort_by_key(|(source, _)| *source);
        proto.node = placed.into_iter().map(|(_, n)| n).collect();
    } else {
        proto.node = patched;
        new.nodes.iter_mut().enumerate().for_each(|(n, node)| node.source = Some(n));
    }
    Ok(())
}

fn fail(node: &Node, fault: Fault) -> Error {
    Error::node(&node.name, &node.op_type, fault.reason, "this is a bug of autobot-onnx; nothing was written")
}

/// A node in its graph, where its operands and results have names.
#[derive(Clone, Copy)]
struct Place<'g> {
    graph: &'g Graph,
    node: &'g Node,
}

/// The node `proto`, which stood for `old`, changed where `new` differs.
fn patch(mut proto: NodeProto, old: Place, new: Place) -> Result<NodeProto> {
    let (was, node) = (old.node, new.node);
    reconnect(&mut proto.input, names(old.graph, &was.inputs), names(new.graph, &node.inputs));
    reconnect(&mut proto.output, names(old.graph, &was.outputs), names(new.graph, &node.outputs));
    if was.op_type != node.op_type {
        proto.op_type.clone_from(&node.op_type);
    }
    if Arc::ptr_eq(&was.op, &node.op) {
        return Ok(proto);
    }
    let (before, after) = (was.op.attributes(), node.op.attributes());
    proto.attribute.retain(|a| !before.contains_key(&a.name) || after.contains_key(&a.name));
    for (name, value) in after.iter().filter(|(name, value)| before.get(*name) != Some(value)) {
        match proto.attribute.iter_mut().find(|a| a.name == *name) {
            Some(a) => attribute::store(a, value).map_err(|f| fail(node, f))?,
            None => proto.attribute.push(attribute::fresh(name, value).map_err(|f| fail(node, f))?),
        }
    }
    Ok(proto)
}

/// Replaces names of slots where they changed.
fn reconnect(slots: &mut Vec<String>, before: Vec<String>, after: Vec<String>) {
    if before != after {
        *slots = after;
    }
}

/// A node that the file does not have.
fn fresh(graph: &Graph, node: &Node) -> Result<NodeProto> {
    let mut proto = NodeProto {
        name: node.name.clone(),
        op_type: node.op_type.clone(),
        input: names(graph, &node.inputs),
        output: names(graph, &node.outputs),
        ..NodeProto::default()
    };
    for (name, value) in &node.op.attributes() {
        proto.attribute.push(attribute::fresh(name, value).map_err(|f| fail(node, f))?);
    }
    Ok(proto)
}

/// Drops the entries of values that are gone.
fn drop_gone(proto: &mut GraphProto, old: &Graph, new: &Graph) {
    let known = |g: &Graph| -> HashSet<String> { g.values.iter().map(|value| value.name.clone()).collect() };
    let (before, after) = (known(old), known(new));
    let stays = |info: &ValueInfoProto| !before.contains(&info.name) || after.contains(&info.name);
    proto.value_info.retain(stays);
    proto.input.retain(stays);
}

/// Makes every entry of the file state the shape that holds, except of the network's own inputs. An entry of an output stays
/// where it holds at the analysed sizes: it is the interface. Gives the names of values whose entries were wrong.
pub fn correct(proto: &mut GraphProto, graph: &Graph, facts: &Facts) -> Vec<String> {
    let known: HashMap<&str, usize> =
        graph.values.iter().enumerate().map(|(v, value)| (value.name.as_str(), v)).collect();
    let holds = |info: &mut ValueInfoProto, follows: bool| {
        let Some(&v) = known.get(info.name.as_str()).filter(|v| !graph.inputs.contains(v)) else {
            return true;
        };
        let Some(fact) = &facts.fact[v] else { return true };
        let others = facts.elsewhere.iter().filter(|_| follows);
        let elsewhere: Vec<&Fact> = others.filter_map(|f| f.fact[v].as_ref()).collect();
        !shapes::correct(info, fact, &elsewhere)
    };
    let outputs = proto.output.iter_mut().map(|info| (info, false));
    let others = proto.input.iter_mut().chain(&mut proto.value_info).map(|info| (info, true));
    let wrong =
        |(info, follows): (&mut ValueInfoProto, bool)| (!holds(info, follows)).then(|| info.name.clone());
    outputs.chain(others).filter_map(wrong).collect()
}

/// States the sizes of all entries as they are known.
pub fn fix(proto: &mut GraphProto, graph: &Graph, facts: &Facts) {
    let known: HashMap<&str, usize> =
        graph.values.iter().enumerate().map(|(v, value)| (value.name.as_str(), v)).collect();
    for info in proto.input.iter_mut().chain(&mut proto.output).chain(&mut proto.value_info) {
        if let Some(fact) = known.get(info.name.as_str()).and_then(|&v| facts.fact[v].as_ref()) {
            shapes::fix(info, fact);
        }
    }
}
