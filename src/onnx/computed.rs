//! Constants that a file computes from others (weight normalisation, weights cut out of one flat buffer).
//!
//! Takes: a graph as it stands in the file. Gives: one whose layers read what comes out as constants of their own ([`part`]), so
//! that their channels are free of how the numbers are made; and back ([`join`]): numbers that were not changed are computed by
//! the file's nodes, others are stored. Never: stores numbers that take more bytes than their sources (integers, halves,
//! fillings).

use crate::graph::{Facts, Graph, Names, Node, Origin, Value, ValueId, infer};
use crate::support::random::Draw;
use crate::tensor::Tensor;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Gives readers of computed constants these as initializers, and lists them in [`Graph::computed`].
pub fn part(graph: &mut Graph) {
    let is_static = statics(graph);
    let stored = |graph: &Graph, v: ValueId| match graph.producer(v) {
        Some(n) => is_constant(&graph.nodes[n]),
        None => true,
    };
    let readers: Vec<(usize, usize, ValueId)> = (graph.nodes.iter().enumerate())
        .filter(|(_, node)| !node.outputs.iter().flatten().all(|&y| is_static[y]))
        .flat_map(|(n, node)| node.inputs.iter().enumerate().map(move |(slot, &v)| (n, slot, v)))
        .filter_map(|(n, slot, v)| v.filter(|&v| is_static[v] && !stored(graph, v)).map(|v| (n, slot, v)))
        .collect();
    if readers.is_empty() {
        return;
    }
    let Ok(facts) = infer(graph, None) else { return };
    let mut names = Names::of(graph);
    let mut copies: HashMap<ValueId, Option<ValueId>> = HashMap::new();
    for (n, slot, v) in readers {
        let copy = *copies.entry(v).or_insert_with(|| {
            let tensor = facts.constant[v].as_ref()?;
            let sources = sources(graph, &facts, v);
            let bytes = |t: &Tensor| t.len() * t.dtype().size();
            let smaller = sources.iter().map(bytes).sum::<usize>() < bytes(tensor);
            if !has_channels(tensor) || smaller || is_rearranged(&sources, tensor) {
                return None;
            }
            let origin = Origin::Initializer(tensor.clone());
            let name = names.fresh(&format!("{}_value", graph.values[v].name));
            graph.values.push(Value { name, origin, declared: None });
            let copy = graph.values.len() - 1;
            graph.computed.insert(copy, (v, tensor.clone()));
            Some(copy)
        });
        if copy.is_some() {
            graph.nodes[n].inputs[slot] = copy;
        }
    }
}

/// The graph as a file has it: what is computed from constants is, unless it was changed.
pub fn join(graph: &Graph) -> Graph {
    let mut joined = graph.clone();
    let computed = std::mem::take(&mut joined.computed);
    let (mut instead, mut replaced) = (HashMap::new(), Vec::new());
    for (copy, (v, before)) in computed {
        match graph.initializer(copy) {
            Some(now)
                if now == &before || now.to_bytes() == before.to_bytes() && now.shape() == before.shape() =>
            {
                instead.insert(copy, v);
            }
            _ => replaced.push(v),
        }
    }
    for v in joined.nodes.iter_mut().flat_map(|n| &mut n.inputs).flatten() {
        *v = instead.get(v).copied().unwrap_or(*v);
    }
    let mut gone: HashSet<ValueId> = instead.into_keys().collect();
    forget(&mut joined, replaced, &mut gone);
    joined.remove_values(&gone);
    joined
}

/// The graph without `values` that nothing reads, and without what only they are computed from.
pub fn without(mut graph: Graph, values: Vec<ValueId>) -> Graph {
    let read = graph.read();
    let mut gone: HashSet<ValueId> =
        values.iter().copied().filter(|&v| !read[v] && graph.initializer(v).is_some()).collect();
    forget(&mut graph, values, &mut gone);
    graph.remove_values(&gone);
    graph
}

/// Takes out the nodes that computed `values` and that nothing reads any more, and puts what is gone with them into `gone`.
fn forget(graph: &mut Graph, values: Vec<ValueId>, gone: &mut HashSet<ValueId>) {
    let mut readers = vec![0usize; graph.values.len()];
    let by_nodes = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten().chain(&n.captured));
    by_nodes.chain(&graph.outputs).chain(&graph.conditions).for_each(|&v| readers[v] += 1);
    let mut nodes: BTreeSet<usize> = BTreeSet::new();
    for n in ancestors(graph, values).into_iter().rev() {
        let node = &graph.nodes[n];
        if node.outputs.iter().flatten().any(|&y| readers[y] > 0) {
            continue;
        }
        nodes.insert(n);
        gone.extend(node.outputs.iter().flatten());
        for &v in node.inputs.iter().flatten().chain(&node.captured) {
            readers[v] -= 1;
            if readers[v] == 0 && graph.initializer(v).is_some() {
                gone.insert(v);
            }
        }
    }
    graph.remove_nodes(&nodes);
}

/// True for a Constant node, of strings too, which no tensor of ours holds.
pub(super) fn is_constant(node: &Node) -> bool {
    node.op_type == "Constant"
}

/// By value: true where it is made of stored constants alone.
pub fn statics(graph: &Graph) -> Vec<bool> {
    let stored = |v: ValueId| matches!(graph.values[v].origin, Origin::Initializer(_));
    let mut found: Vec<bool> = (0..graph.values.len()).map(stored).collect();
    for node in graph.nodes.iter().filter(|node| node.captured.is_empty()) {
        let made = node.inputs.iter().flatten().all(|&v| found[v]);
        let begins = is_constant(node) || node.inputs.iter().any(Option::is_some);
        node.outputs.iter().flatten().for_each(|&y| found[y] = made && begins);
    }
    found
}

/// The stored constants that a value is computed from.
fn sources(graph: &Graph, facts: &Facts, v: ValueId) -> Vec<Tensor> {
    let nodes = ancestors(graph, vec![v]);
    let operands = nodes.iter().flat_map(|&n| graph.nodes[n].inputs.iter().flatten());
    let made = nodes.iter().filter(|&&n| is_constant(&graph.nodes[n]));
    let made = made.flat_map(|&n| graph.nodes[n].outputs.iter().flatten());
    let stored: BTreeSet<ValueId> =
        operands.filter(|&&u| graph.initializer(u).is_some()).chain(made).copied().collect();
    stored.into_iter().filter_map(|u| facts.constant[u].clone()).collect()
}

/// True for the numbers of one source in another order or shape: their channels are the source's.
fn is_rearranged(sources: &[Tensor], t: &Tensor) -> bool {
    // Equal for any order.
    let sum = |t: &Tensor| {
        let bits = t.to_real::<f64>().into_iter().map(f64::to_bits);
        bits.fold(0u64, |sum, bits| sum.wrapping_add(Draw::new(bits, 0).next()))
    };
    let mut large = sources.iter().filter(|s| has_channels(s));
    match (large.next(), large.next()) {
        (Some(one), None) => one.len() == t.len() && sum(one) == sum(t),
        _ => false,
    }
}

/// True for real numbers along some axis.
fn has_channels(t: &Tensor) -> bool {
    t.dtype().is_float() && t.shape().iter().any(|&n| n > 1)
}

/// The nodes that values are computed by, in the order of the graph.
fn ancestors(graph: &Graph, values: Vec<ValueId>) -> BTreeSet<usize> {
    let (mut found, mut open) = (BTreeSet::new(), values);
    while let Some(v) = open.pop() {
        if let Some(n) = graph.producer(v)
            && found.insert(n)
        {
            open.extend(graph.nodes[n].inputs.iter().flatten());
        }
    }
    found
}
