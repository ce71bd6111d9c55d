//! Layers that values come from, through operators without weights.

use crate::graph::*;
use crate::tensor::*;

/// Multiply-accumulates of one node.
pub(super) fn macs_of(facts: &Facts, node: &Node) -> f64 {
    let Some((x, y)) = facts.operands(node).zip(facts.results(node)) else { return 0.0 };
    let io = Io { x: &x, y: &y };
    let size = |a: &Axis| match a.port {
        Port::In(s) => io.input(s).unwrap_or_default()[a.axis] as f64,
        Port::Out(s) => io.output(s)[a.axis] as f64,
    };
    node.op.cost(&io).macs().iter().map(|p| p.coefficient * p.widths.iter().map(size).product::<f64>()).sum()
}

/// Most elements of a value on which an operator is tried.
const LARGEST_TRIED: usize = 1 << 26;

/// Properties that values inherit from the layers they come from, through operators without weights; by value.
pub(super) struct Sources {
    /// Zero wherever the weights of the layer are zero (no f(0) ≠ 0 in between), so that the original with zeroed weights
    /// equals the network with the branch cut. Tried on numbers, node by node.
    pub vanishes: Vec<bool>,
    /// Multiply-accumulates per element of the layer.
    pub density: Vec<f64>,
}

impl Sources {
    /// For the values `wanted` and all between them and their layers, each node once and in order.
    pub fn trace(graph: &Graph, facts: &Facts, wanted: &[ValueId]) -> Self {
        let n = graph.values.len();
        let mut sources = Self { vanishes: vec![false; n], density: vec![0.0; n] };
        for n in ancestors(graph, facts, wanted) {
            let node = &graph.nodes[n];
            let known = facts.refusals[n].is_none();
            let (vanishes, macs) = (known && sources.node_vanishes(facts, node), macs_of(facts, node));
            let through = node.inputs.iter().flatten().filter(|&&u| facts.constant[u].is_none());
            let through = through.map(|&u| sources.density[u]).fold(0.0, f64::max);
            for &v in node.outputs.iter().flatten() {
                let elements = volume(facts.shape(v).unwrap_or_default()).max(1) as f64;
                sources.vanishes[v] = vanishes;
                sources.density[v] = if macs > 0.0 { macs / elements } else { through };
            }
        }
        sources
    }

    fn node_vanishes(&self, facts: &Facts, node: &Node) -> bool {
        let Some((x, y)) = facts.operands(node).zip(facts.results(node)) else { return false };
        if multiplies(facts, node) {
            return true;
        }
        let shapes = x.iter().flatten().map(|o| o.fact).chain(&y);
        if shapes.map(|fact| volume(&fact.shape)).max() > Some(LARGEST_TRIED) {
            return false;
        }
        let inputs: Vec<Option<Array<f64>>> = node
            .inputs
            .iter()
            .zip(&x)
            .map(|(value, operand)| {
                let (value, operand) = ((*value)?, (*operand)?);
                let filled = |v: f64| Array::from_elem(operand.fact.shape.as_slice(), v);
                Some(match operand.value {
                    // Per-channel constants lose the channel, scalars stay.
                    Some(t) if t.len() > 1 && t.dtype().is_float() => filled(0.0),
                    Some(t) => t.to_array(),
                    None if self.vanishes[value] => filled(0.0),
                    None => filled(0.7),
                })
            })
            .collect();
        let Ok(kernel) = node.op.bind(&Io { x: &x, y: &y }) else { return false };
        let results = computed(&*kernel, &views(&inputs), &y);
        results.iter().all(|r| r.iter().all(|v| *v == 0.0))
    }
}

/// The nodes from the nearest layers of `wanted`, which are among them, to `wanted`, in the order of the graph.
fn ancestors(graph: &Graph, facts: &Facts, wanted: &[ValueId]) -> Vec<NodeId> {
    let mut found = vec![false; graph.nodes.len()];
    let mut open: Vec<ValueId> = wanted.to_vec();
    while let Some(v) = open.pop() {
        let Some(n) = graph.producer(v).filter(|&n| !found[n]) else { continue };
        found[n] = true;
        if !multiplies(facts, &graph.nodes[n]) {
            let inputs = graph.nodes[n].inputs.iter().flatten().copied();
            open.extend(inputs.filter(|&u| facts.constant[u].is_none()));
        }
    }
    (0..found.len()).filter(|&n| found[n]).collect()
}

/// True for a node that multiplies and accumulates.
pub(super) fn multiplies(facts: &Facts, node: &Node) -> bool {
    let known = facts.operands(node).zip(facts.results(node));
    known.is_some_and(|(x, y)| node.op.cost(&Io { x: &x, y: &y }).multiplies())
}
