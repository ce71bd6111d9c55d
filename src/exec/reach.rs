//! How far a network can be run, and how far it can be learned from.
//!
//! Takes: a graph and its facts. Gives: the nodes that are reached, and for each other node the one that stands in the way.
//! Gradients are needed from the first weights on: preprocessing of the inputs (casts of pixels, masks, token ids) may have
//! none. Never: guesses at an operator that is not known.

use crate::graph::*;
use std::collections::BTreeSet;

/// Nodes and values that are reached from the network's inputs.
#[derive(Debug, Clone)]
pub struct Reach {
    /// By node: whether it is reached.
    pub nodes: Vec<bool>,
    /// By value: whether it is reached, as all constants are.
    pub values: Vec<bool>,
    /// By node: the first node in the way, which may be itself; none where it is reached.
    pub blocker: Vec<Option<NodeId>>,
}

impl Reach {
    /// What can be computed.
    pub fn computed(network: Network) -> Self {
        Self::of(network, |_, _| true)
    }

    /// What can be computed, and differentiated by the weights before it.
    pub fn learned(network: Network) -> Self {
        let Network { graph, facts } = network;
        let real = |v: ValueId| facts.fact[v].as_ref().is_some_and(|f| f.dtype.is_float());
        // Depends on weights.
        let mut moves = vec![false; graph.values.len()];
        Self::of(network, |_, node| {
            let weighs = |&v: &ValueId| {
                let constant = facts.constant[v].as_ref().filter(|t| t.dtype().is_float());
                moves[v] || constant.is_some_and(|t| t.shape().len() > 1)
            };
            let moving = node.inputs.iter().flatten().any(weighs) && !facts.is_folded(node);
            node.outputs.iter().flatten().for_each(|&v| moves[v] = moving);
            let outputs = node.outputs.iter().flatten();
            !moving
                || node.op.differentiable()
                    && outputs.copied().all(|v| real(v) || facts.constant[v].is_some())
        })
    }

    fn of(Network { graph, facts }: Network, mut passes: impl FnMut(NodeId, &Node) -> bool) -> Self {
        let mut values: Vec<bool> = facts.constant.iter().map(Option::is_some).collect();
        graph.inputs.iter().for_each(|&v| values[v] = facts.fact[v].is_some());
        let mut blocked_by: Vec<Option<NodeId>> = vec![None; graph.values.len()];
        let (mut nodes, mut blocker) = (Vec::new(), Vec::new());
        for (n, node) in graph.nodes.iter().enumerate() {
            let uses = || node.inputs.iter().flatten().chain(&node.captured);
            let missing = uses().find(|&&v| !values[v]);
            let known = facts.refusals[n].is_none()
                && node.captured.is_empty()
                && node.outputs.iter().flatten().all(|&v| facts.fact[v].is_some());
            let passes = passes(n, node);
            let ok = missing.is_none() && known && passes;
            let by = if ok { None } else { Some(missing.and_then(|&v| blocked_by[v]).unwrap_or(n)) };
            for &v in node.outputs.iter().flatten() {
                values[v] |= ok;
                blocked_by[v] = by;
            }
            nodes.push(ok);
            blocker.push(by);
        }
        Self { nodes, values, blocker }
    }

    /// The network's outputs that are reached, and what was last reached before the nodes that are not.
    pub fn ends(&self, Network { graph, facts }: Network) -> Vec<ValueId> {
        let reached = |v: &ValueId| self.values[*v] && facts.constant[*v].is_none();
        let mut found: BTreeSet<ValueId> = graph.outputs.iter().copied().filter(reached).collect();
        for (node, _) in graph.nodes.iter().zip(&self.nodes).filter(|(_, reached)| !**reached) {
            let inputs = node.inputs.iter().flatten().chain(&node.captured).copied();
            found.extend(inputs.filter(reached).filter(|&v| graph.producer(v).is_some()));
        }
        found.into_iter().collect()
    }
}

/// A network cut where it cannot be run: the results of nodes in the way are inputs of their own, so that all of their readers can
/// be run, from any values.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The network, with the node and value numbers of the original. Nodes in the way have no results.
    pub graph: Graph,
    /// Its facts.
    pub facts: Facts,
    /// Added inputs, with their facts; in `graph.inputs` they follow the network's own.
    pub sources: Vec<(ValueId, Fact)>,
}

impl Opened {
    /// Cuts a network.
    pub fn new(Network { graph, facts }: Network) -> crate::Result<Self> {
        let mut sources = Vec::new();
        let read: BTreeSet<ValueId> =
            graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).copied().collect();
        for (n, node) in graph.nodes.iter().enumerate() {
            let runs = facts.refusals[n].is_none()
                && node.captured.is_empty()
                && facts.operands(node).is_some()
                && facts.results(node).is_some();
            if !runs {
                let results = node.outputs.iter().flatten().filter(|v| read.contains(v));
                sources.extend(results.filter_map(|&v| Some((v, facts.fact[v].clone()?))));
            }
        }
        let graph_inputs = facts.inputs(graph);
        let graph = cut(graph, &sources);
        let facts = match sources.is_empty() {
            true => facts.clone(),
            false => {
                let inputs = graph_inputs.map(|mut all| {
                    all.extend(sources.iter().map(|(_, fact)| fact.clone()));
                    all
                });
                infer(&graph, inputs.as_deref())?
            }
        };
        Ok(Self { graph, facts, sources })
    }

    /// Graph and facts.
    pub fn network(&self) -> Network<'_> {
        Network::new(&self.graph, &self.facts)
    }

    /// A network that was made of this one, cut in the same places.
    pub fn like(&self, made: &Graph) -> Graph {
        cut(made, &self.sources)
    }

    /// Values whose equality proves that of all that can be run: the outputs, and the operands of nodes in the way.
    pub fn ends(&self) -> Vec<ValueId> {
        let given: BTreeSet<ValueId> = self.graph.inputs.iter().copied().collect();
        let ends = Reach::computed(self.network()).ends(self.network());
        ends.into_iter().filter(|v| !given.contains(v)).collect()
    }
}

/// A graph in which `sources` are inputs.
fn cut(graph: &Graph, sources: &[(ValueId, Fact)]) -> Graph {
    let mut graph = graph.clone();
    for (v, fact) in sources {
        if let Some(n) = graph.producer(*v) {
            for slot in graph.nodes[n].outputs.iter_mut().filter(|slot| **slot == Some(*v)) {
                *slot = None;
            }
        }
        graph.values[*v].origin = Origin::Input;
        graph.values[*v].declared = Some(fact.clone());
        graph.inputs.push(*v);
    }
    graph
}
