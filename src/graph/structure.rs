//! The network as a graph of values and nodes.
//!
//! Takes: what `onnx::read` found. Gives: values by number, nodes in an order in which they can be computed.
//! Invariants: a node's inputs are defined before it; every value has one origin; names are unique.
//! Never: knows protobuf; changes after it was built (the rewriter builds a new one).

use super::fact::Fact;
use super::io::Port;
use super::op::Op;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Index into [`Graph::values`].
pub type ValueId = usize;
/// Index into [`Graph::nodes`].
pub type NodeId = usize;

/// Where a value comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// An input of the network.
    Input,
    /// Stored in the file.
    Initializer(Tensor),
    /// Stored in the file in a type that we do not hold (strings, complex numbers): only the file has its elements.
    Carried,
    /// Output `1` of node `0`.
    Node(NodeId, usize),
}

/// One value of the graph.
#[derive(Debug, Clone)]
pub struct Value {
    /// Unique name.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Type and shape the file declares, where it is static. For inputs, at batch 1 (see `onnx::read`).
    pub declared: Option<Fact>,
}

/// One node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Name (made up from the operator and the first output where the file has none).
    pub name: String,
    /// ONNX operator type.
    pub op_type: String,
    /// What it computes.
    pub op: Arc<dyn Op>,
    /// Input values by slot; `None` where an optional one is absent.
    pub inputs: Vec<Option<ValueId>>,
    /// Output values by slot; `None` where one is not wanted.
    pub outputs: Vec<Option<ValueId>>,
    /// Values of this graph that the node's subgraphs (If, Loop) use by name.
    pub captured: Vec<ValueId>,
    /// Position in the file's list of nodes; `None` for a node that a rewrite added.
    pub source: Option<usize>,
}

impl Node {
    /// The value at an input or output slot; `None` where it is absent.
    pub fn value_at(&self, port: Port) -> Option<ValueId> {
        match port {
            Port::In(slot) => self.inputs.get(slot).copied().flatten(),
            Port::Out(slot) => self.outputs.get(slot).copied().flatten(),
        }
    }

    /// True where the node itself stores its result.
    pub fn is_stored(&self) -> bool {
        self.op.stored().is_some()
    }
}

/// A network.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// All values.
    pub values: Vec<Value>,
    /// All nodes, in topological order.
    pub nodes: Vec<Node>,
    /// The network's inputs (initializers that are also listed as inputs are not among them).
    pub inputs: Vec<ValueId>,
    /// The network's outputs.
    pub outputs: Vec<ValueId>,
    /// Initializers that only stand here, with the value that the file has in their place: one that several operands share.
    pub copies: BTreeMap<ValueId, ValueId>,
    /// Initializers that only stand here, with the value that the file has in their place, which it computes from constants, and
    /// the number that this is.
    pub computed: BTreeMap<ValueId, (ValueId, Tensor)>,
    /// Conditions by which the file decides between branches, of which one stands here.
    pub conditions: Vec<ValueId>,
}

impl Graph {
    /// The value called `name`.
    pub fn value_named(&self, name: &str) -> Option<ValueId> {
        self.values.iter().position(|v| v.name == name)
    }

    /// The stored constant of a value, if it is an initializer.
    pub fn initializer(&self, value: ValueId) -> Option<&Tensor> {
        match &self.values[value].origin {
            Origin::Initializer(t) => Some(t),
            _ => None,
        }
    }

    /// The node that computes a value.
    pub fn producer(&self, value: ValueId) -> Option<NodeId> {
        match self.values[value].origin {
            Origin::Node(node, _) => Some(node),
            _ => None,
        }
    }

    /// True for a constant as the file has it: an initializer, or what a node stores.
    pub fn is_stored(&self, value: ValueId) -> bool {
        match self.values[value].origin {
            Origin::Initializer(_) => true,
            Origin::Node(node, _) => self.nodes[node].is_stored(),
            Origin::Input | Origin::Carried => false,
        }
    }

    /// The names of all values, with their numbers.
    pub fn names(&self) -> HashMap<&str, ValueId> {
        self.values.iter().enumerate().map(|(v, value)| (value.name.as_str(), v)).collect()
    }

    /// For every value, the number of operands that it is. Uses inside subgraphs are not counted.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.values.len()];
        self.nodes.iter().flat_map(|n| &n.inputs).flatten().for_each(|&v| uses[v] += 1);
        uses
    }

    /// For every value, the (node, input slot) pairs that use it. Uses inside subgraphs are not listed.
    pub fn consumers(&self) -> Vec<Vec<(NodeId, usize)>> {
        let mut users = vec![Vec::new(); self.values.len()];
        for (n, node) in self.nodes.iter().enumerate() {
            for (slot, value) in node.inputs.iter().enumerate() {
                if let Some(v) = value {
                    users[*v].push((n, slot));
                }
            }
        }
        users
    }

    /// For every value, true where a node, a subgraph or an output of the network reads it.
    pub fn read(&self) -> Vec<bool> {
        let mut read = vec![false; self.values.len()];
        let by_nodes = self.nodes.iter().flat_map(|n| n.inputs.iter().flatten().chain(&n.captured));
        by_nodes.chain(&self.outputs).chain(&self.conditions).for_each(|&v| read[v] = true);
        read
    }

    /// The initializers that nothing reads.
    pub fn unread(&self) -> Vec<ValueId> {
        let read = self.read();
        (0..self.values.len()).filter(|&v| !read[v] && self.initializer(v).is_some()).collect()
    }

    /// Takes an initializer out that nothing reads. Its number stays.
    pub fn leave_out(&mut self, v: ValueId) {
        self.values[v].name = self.fresh_name(&format!("{} (left out)", self.values[v].name));
        self.values[v].origin = Origin::Carried;
    }

    /// Number of stored parameters: elements of the initializers that are read and of Constant nodes, where they are
    /// floating-point numbers, or 8-bit ones with two axes or more (quantised weights). Copies of a constant that the file has
    /// once count as the file has them.
    pub fn parameters(&self) -> usize {
        let mut read = self.read();
        self.copies.iter().for_each(|(&copy, &file)| (read[copy], read[file]) = (false, true));
        self.computed.keys().for_each(|&copy| read[copy] = false);
        let stored = (0..self.values.len()).filter(|&v| read[v]).filter_map(|v| self.initializer(v));
        let stored = stored.filter(|t| t.is_parameters()).map(|t| t.len());
        let constants = self.nodes.iter().filter(|n| n.is_stored()).filter_map(|n| {
            match n.op.attributes().get("value") {
                Some(super::Attr::Tensor(t)) if t.is_parameters() => Some(t.len()),
                _ => None,
            }
        });
        stored.chain(constants).sum()
    }

    /// Puts nodes into an order in which they can be computed, keeping the given order where it is one.
    /// Errors on a cycle, naming its nodes.
    pub fn sort(&mut self) -> Result<()> {
        let order = topological(self)?;
        let mut place = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            place[old] = new;
        }
        let mut nodes: Vec<Option<Node>> = std::mem::take(&mut self.nodes).into_iter().map(Some).collect();
        self.nodes = order.iter().filter_map(|&n| nodes[n].take()).collect();
        for value in &mut self.values {
            if let Origin::Node(node, _) = &mut value.origin {
                *node = place[*node];
            }
        }
        Ok(())
    }

    /// Checks the invariants. Errors name the value or node.
    pub fn check(&self) -> Result<()> {
        let hint = "export the model again; onnx.checker shows what the exporter did";
        let mut names = HashSet::new();
        for v in &self.values {
            if !names.insert(&v.name) {
                return Err(Error::graph(format!("the name '{}' is defined twice", v.name), hint));
            }
        }
        for (n, node) in self.nodes.iter().enumerate() {
            for &v in node.inputs.iter().flatten().chain(&node.captured) {
                if let Origin::Node(p, _) = self.values[v].origin
                    && p >= n
                {
                    let reason = format!("its input '{}' is computed after it", self.values[v].name);
                    return Err(Error::node(&node.name, &node.op_type, reason, hint));
                }
            }
            for (slot, v) in node.outputs.iter().enumerate() {
                if let Some(v) = v
                    && !matches!(self.values[*v].origin, Origin::Node(p, s) if (p, s) == (n, slot))
                {
                    let reason = format!("its output '{}' has another origin", self.values[*v].name);
                    return Err(Error::node(&node.name, &node.op_type, reason, hint));
                }
            }
        }
        Ok(())
    }

    /// Puts nodes in front of others, by number; after the last node where there is none of that number.
    pub fn insert_nodes(&mut self, mut before: BTreeMap<NodeId, Vec<Node>>) {
        for (n, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            self.nodes.extend(before.remove(&n).unwrap_or_default());
            self.nodes.push(node);
        }
        self.nodes.extend(before.into_values().flatten());
        self.number_outputs();
    }

    /// Takes nodes out. Nothing may read what they compute.
    pub fn remove_nodes(&mut self, gone: &BTreeSet<NodeId>) {
        let nodes = std::mem::take(&mut self.nodes).into_iter().enumerate();
        self.nodes = nodes.filter(|(n, _)| !gone.contains(n)).map(|(_, node)| node).collect();
        self.number_outputs();
    }

    /// Takes values out, with the nodes that compute them, and numbers the others anew. An operand that is gone is absent.
    pub fn remove_values(&mut self, gone: &HashSet<ValueId>) {
        if gone.is_empty() {
            return;
        }
        let is_gone = |node: &Node| node.outputs.iter().flatten().any(|v| gone.contains(v));
        let nodes = (0..self.nodes.len()).filter(|&n| is_gone(&self.nodes[n])).collect();
        self.remove_nodes(&nodes);
        let mut number = vec![None; self.values.len()];
        let stay = (0..self.values.len()).filter(|v| !gone.contains(v));
        stay.enumerate().for_each(|(new, v)| number[v] = Some(new));
        let values = std::mem::take(&mut self.values).into_iter().enumerate();
        self.values = values.filter(|(v, _)| number[*v].is_some()).map(|(_, value)| value).collect();
        for node in &mut self.nodes {
            node.inputs.iter_mut().chain(&mut node.outputs).for_each(|v| *v = v.and_then(|v| number[v]));
            node.captured = node.captured.iter().filter_map(|&v| number[v]).collect();
        }
        for list in [&mut self.inputs, &mut self.outputs, &mut self.conditions] {
            *list = list.iter().filter_map(|&v| number[v]).collect();
        }
        let copies = std::mem::take(&mut self.copies).into_iter();
        self.copies = copies.filter_map(|(copy, v)| Some((number[copy]?, number[v]?))).collect();
        let computed = std::mem::take(&mut self.computed).into_iter();
        self.computed =
            computed.filter_map(|(copy, (v, t))| Some((number[copy]?, (number[v]?, t)))).collect();
    }

    /// Restates by which node each value is computed.
    pub fn number_outputs(&mut self) {
        for (n, node) in self.nodes.iter().enumerate() {
            for (slot, v) in node.outputs.iter().enumerate() {
                if let Some(v) = v {
                    self.values[*v].origin = Origin::Node(n, slot);
                }
            }
        }
    }

    /// A name like `wish` that no value has. For more than one, [`Names`].
    pub fn fresh_name(&self, wish: &str) -> String {
        Names::of(self).fresh(wish)
    }
}

/// The names of a graph's values, to make new ones that do not clash.
#[derive(Debug, Clone, Default)]
pub struct Names {
    taken: HashSet<String>,
    /// By wish, the last number that was appended.
    last: HashMap<String, usize>,
}

impl Names {
    /// Of all values of `graph`.
    pub fn of(graph: &Graph) -> Self {
        graph.values.iter().map(|v| v.name.clone()).collect()
    }

    /// A name like `wish` that is not taken, and now is.
    pub fn fresh(&mut self, wish: &str) -> String {
        if self.taken.insert(wish.to_owned()) {
            return wish.to_owned();
        }
        let last = self.last.entry(wish.to_owned()).or_default();
        loop {
            *last += 1;
            let name = format!("{wish}_{last}");
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

impl FromIterator<String> for Names {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self { taken: names.into_iter().collect(), last: HashMap::new() }
    }
}

/// Numbers of the nodes in an order in which they can be computed. Errors on a cycle.
fn topological(graph: &Graph) -> Result<Vec<NodeId>> {
    let needs = |n: NodeId| {
        let node = &graph.nodes[n];
        node.inputs.iter().flatten().chain(&node.captured).filter_map(|&v| graph.producer(v))
    };
    let mut missing: Vec<usize> = (0..graph.nodes.len()).map(|n| needs(n).count()).collect();
    let mut users: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for n in 0..graph.nodes.len() {
        for p in needs(n) {
            users.entry(p).or_default().push(n);
        }
    }
    let mut ready: std::collections::BTreeSet<NodeId> =
        (0..graph.nodes.len()).filter(|&n| missing[n] == 0).collect();
    let mut order = Vec::with_capacity(graph.nodes.len());
    while let Some(n) = ready.pop_first() {
        order.push(n);
        for &u in users.get(&n).into_iter().flatten() {
            missing[u] -= 1;
            if missing[u] == 0 {
                ready.insert(u);
            }
        }
    }
    if order.len() == graph.nodes.len() {
        return Ok(order);
    }
    let stuck: Vec<&str> = (0..graph.nodes.len())
        .filter(|&n| missing[n] > 0)
        .map(|n| graph.nodes[n].name.as_str())
        .take(5)
        .collect();
    Err(Error::graph(
        format!("the graph has a cycle through or before: {}", stuck.join(", ")),
        "export the model again: an ONNX graph must be acyclic",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Net;

    #[test]
    fn values_go_with_their_nodes_and_the_others_are_numbered_anew() {
        let mut net = Net::default();
        let x = net.input(&[1, 2, 4, 4]);
        let a = net.conv(x, &[2, 2, 1, 1], 1);
        let b = net.conv(x, &[3, 2, 1, 1], 1);
        let y = net.plain("Relu", &[b]);
        let (mut graph, _) = net.done(&[y]);
        let spare = graph.nodes[0].inputs[1].unwrap();
        graph.copies.insert(graph.nodes[1].inputs[1].unwrap(), x);
        let name = |graph: &Graph, v: ValueId| graph.values[v].name.clone();
        let before = (name(&graph, b), name(&graph, y), graph.copies.clone());
        graph.remove_values(&HashSet::from([a, spare]));
        graph.check().unwrap();
        assert_eq!((graph.nodes.len(), graph.values.len()), (2, 4));
        let [b, y] = [0, 1].map(|n: NodeId| graph.nodes[n].outputs[0].unwrap());
        assert_eq!((name(&graph, b), name(&graph, y)), (before.0, before.1));
        assert_eq!((graph.nodes[1].inputs[0], graph.outputs[0], graph.producer(y)), (Some(b), y, Some(1)));
        assert_eq!(graph.copies, BTreeMap::from([(graph.nodes[0].inputs[1].unwrap(), x)]));
        assert_ne!(graph.copies, before.2);
    }
}
