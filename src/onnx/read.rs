//! `GraphProto` → [`Graph`].
//!
//! Takes: a parsed model. Gives: values by number, nodes in an order in which they can be computed, constants typed.
//! Never: guesses. A name that is defined twice or not at all, or weights that are damaged, are errors that name them.

use super::attribute;
use super::external::Folder;
use super::fault::{EXPORT_AGAIN, Fault};
use super::shapes::{self, InputShape, Inputs};
use super::tensor;
use super::walk::subgraphs;
use crate::error::{Error, Result};
use crate::graph::{Attr, Attributes, Graph, Node, Origin, Value, ValueId};
use crate::ops;
use onnx_protobuf::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

/// The graph of a file, under construction.
struct Reader<'a> {
    path: &'a Path,
    folder: &'a Folder,
    opset: i64,
    graph: Graph,
    ids: HashMap<&'a str, ValueId>,
}

/// Reads the graph; also says which inputs have an open first axis.
pub fn graph(
    proto: &GraphProto,
    path: &Path,
    folder: &Folder,
    opset: i64,
    given: &[InputShape],
) -> Result<(Graph, Inputs)> {
    let mut r = Reader { path, folder, opset, graph: Graph::default(), ids: HashMap::new() };
    for t in &proto.initializer {
        r.initializer(t)?;
    }
    let inputs = r.inputs(&proto.input, given)?;
    for (n, node) in proto.node.iter().enumerate() {
        for (slot, name) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            r.define(name, Origin::Node(n, slot), "as an output of a node")?;
        }
    }
    r.declare(proto, &inputs);
    let names = names(&proto.node);
    for (n, (node, name)) in proto.node.iter().zip(names).enumerate() {
        let node = r.node(n, node, name)?;
        r.graph.nodes.push(node);
    }
    for info in &proto.output {
        let Some(&v) = r.ids.get(info.name.as_str()) else {
            let reason = format!("nothing computes the network's output '{}'", info.name);
            return Err(Error::file(path, reason, EXPORT_AGAIN));
        };
        r.graph.outputs.push(v);
    }
    r.graph.sort()?;
    r.graph.check()?;
    Ok((r.graph, inputs))
}

impl<'a> Reader<'a> {
    /// Gives a value its number. Errors where the name is taken.
    fn define(&mut self, name: &'a str, origin: Origin, role: &str) -> Result<ValueId> {
        let v = self.graph.values.len();
        if self.ids.insert(name, v).is_some() {
            let reason = format!("the name '{name}' is defined twice, the second time {role}");
            return Err(Error::file(self.path, reason, EXPORT_AGAIN));
        }
        self.graph.values.push(Value { name: name.to_owned(), origin, declared: None });
        Ok(v)
    }

    fn initializer(&mut self, t: &'a TensorProto) -> Result<()> {
        let part = format!("initializer '{}'", t.name);
        let name = |fault: Fault| fault.of(&part, self.path);
        if t.name.is_empty() {
            return Err(name(Fault::new("it has no name")));
        }
        let origin = match tensor::read(t, self.folder).map_err(name)? {
            Some(tensor) => {
                tensor::check_finite(&tensor).map_err(name)?;
                Origin::Initializer(tensor)
            }
            None => Origin::Carried,
        };
        self.define(&t.name, origin, "as an initializer").map(|_| ())
    }

    /// The inputs that are no initializers (until IR version 3 every initializer was listed as an input).
    fn inputs(&mut self, infos: &'a [ValueInfoProto], given: &[InputShape]) -> Result<Inputs> {
        let mut true_inputs = Vec::new();
        let mut seen = HashSet::new();
        for info in infos {
            if !seen.insert(info.name.as_str()) {
                let reason = format!("the input '{}' is listed twice", info.name);
                return Err(Error::file(self.path, reason, EXPORT_AGAIN));
            }
            if !self.ids.contains_key(info.name.as_str()) {
                true_inputs.push(info);
            }
        }
        let inputs = shapes::inputs(&true_inputs, given)?;
        for (info, fact) in true_inputs.into_iter().zip(&inputs.facts) {
            let v = self.define(&info.name, Origin::Input, "as an input")?;
            self.graph.values[v].declared = fact.clone();
            self.graph.inputs.push(v);
        }
        Ok(inputs)
    }

    /// Notes the facts that the file states of computed values.
    fn declare(&mut self, proto: &GraphProto, inputs: &Inputs) {
        for info in proto.value_info.iter().chain(&proto.output) {
            if let Some(&v) = self.ids.get(info.name.as_str())
                && self.graph.values[v].declared.is_none()
                && !matches!(self.graph.values[v].origin, Origin::Input)
            {
                self.graph.values[v].declared = inputs.fact(info);
            }
        }
    }

    fn node(&self, source: usize, proto: &NodeProto, name: String) -> Result<Node> {
        let fail = |reason: String, hint: &str| Error::node(&name, &proto.op_type, reason, hint);
        let find = |wanted: &str| match self.ids.get(wanted) {
            Some(&v) => Ok(v),
            None => Err(fail(format!("nothing defines its input '{wanted}'"), EXPORT_AGAIN)),
        };
        let slot = |name: &String| if name.is_empty() { Ok(None) } else { find(name).map(Some) };
        let inputs = proto.input.iter().map(slot).collect::<Result<Vec<_>>>()?;
        let outputs = proto.output.iter().map(|n| self.ids.get(n.as_str()).copied()).collect();
        let captured = captured(proto).into_iter().map(find).collect::<Result<Vec<_>>>()?;
        let attributes = self.attributes(proto, &name)?;
        let (i, o) = (proto.input.len(), proto.output.len());
        let op = ops::read(&proto.op_type, &proto.domain, self.opset, &attributes, i, o)
            .map_err(|refusal| fail(refusal.reason().to_owned(), EXPORT_AGAIN))?;
        let op_type = proto.op_type.clone();
        Ok(Node { name, op_type, op: op.into(), inputs, outputs, captured, source: Some(source) })
    }

    fn attributes(&self, proto: &NodeProto, node: &str) -> Result<Attributes> {
        let mut found = Attributes::new();
        for a in &proto.attribute {
            let fail = |fault: Fault| {
                let reason = format!("attribute '{}': {}", a.name, fault.reason);
                Error::node(node, &proto.op_type, reason, fault.hint)
            };
            let value = attribute::read(a, self.folder).map_err(fail)?;
            if let Attr::Tensor(t) = &value {
                tensor::check_finite(t).map_err(fail)?;
            }
            if found.insert(a.name.clone(), value).is_some() {
                return Err(fail(Fault::new("it is stated twice")));
            }
        }
        Ok(found)
    }
}

/// A unique name for every node: the file's where it has one, else made up from what the node computes.
fn names(nodes: &[NodeProto]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut names = vec![String::new(); nodes.len()];
    for (name, node) in names.iter_mut().zip(nodes) {
        if !node.name.is_empty() && taken.insert(node.name.clone()) {
            name.clone_from(&node.name);
        }
    }
    for (n, (name, node)) in names.iter_mut().zip(nodes).enumerate().filter(|(_, (name, _))| name.is_empty())
    {
        let kind = if node.name.is_empty() { &node.op_type } else { &node.name };
        let wish = match node.output.iter().find(|o| !o.is_empty()) {
            Some(output) => format!("{kind} -> {output}"),
            None => format!("{kind} #{n}"),
        };
        *name = wish.clone();
        let mut k = 1;
        while !taken.insert(name.clone()) {
            k += 1;
            *name = format!("{wish} ({k})");
        }
    }
    names
}

/// Names that a node's subgraphs use and do not define. The parser bounds how deep subgraphs nest.
fn captured(node: &NodeProto) -> BTreeSet<&str> {
    subgraphs(node).flat_map(free).collect()
}

/// Names that a subgraph uses and does not define.
fn free(graph: &GraphProto) -> BTreeSet<&str> {
    let mut used: BTreeSet<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    for node in &graph.node {
        used.extend(node.input.iter().map(String::as_str));
        used.extend(captured(node));
    }
    used.remove("");
    for info in &graph.input {
        used.remove(info.name.as_str());
    }
    for t in graph.initializer.iter().chain(graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref()))
    {
        used.remove(t.name.as_str());
    }
    for output in graph.node.iter().flat_map(|n| &n.output) {
        used.remove(output.as_str());
    }
    used
}
