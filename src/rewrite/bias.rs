//! Biases that take over the means of deleted channels.

use super::Rewritten;
use super::cuts::Cuts;
use crate::coupling::Groups;
use crate::error::Result;
use crate::graph::*;
use crate::tensor::*;

/// A bias that took over the means of deleted channels.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Bias {
    /// The node whose bias it is.
    pub node: String,
    /// Name of the initializer that it went into in the small file: the node's bias, or the mean that a BatchNormalization
    /// subtracts from its result.
    pub initializer: String,
    /// Amount added to the bias of each output channel, in the original numbering; 0 for deleted ones.
    pub added: Vec<f64>,
}

/// Adds `amounts` (node of the original, amount per output channel of the original) to the biases of the rewritten graph. A
/// node without a bias gets one, unless a BatchNormalization subtracts a mean from its result: that is lowered.
pub fn add_biases(
    rewritten: &mut Rewritten,
    Network { graph: old, facts }: Network,
    groups: &Groups,
    kept: &[bool],
    amounts: &[(NodeId, Vec<f64>)],
) -> Result<Vec<Bias>> {
    let cuts = Cuts::new(groups, kept);
    let mut out = Vec::new();
    let mut raising = Raising::new(&rewritten.graph);
    for (n, amount) in amounts.iter().filter(|(_, a)| a.iter().any(|v| *v != 0.0)) {
        let Some(y) = old.nodes[*n].outputs[0] else { continue };
        let Some(layer) = facts.linear(&old.nodes[*n]) else { continue };
        let Some((_, factor)) = layer.bias else { continue };
        let amount: Vec<f64> = amount.iter().map(|a| a / factor).collect();
        let left = cuts.left(y, layer.result, amount.len());
        let dtype = facts.fact[y].as_ref().map_or(DType::F32, |f| f.dtype);
        let graph = &mut rewritten.graph;
        let Some(at) = graph.producer(y) else { continue };
        let amount_left: Vec<f64> = left.iter().map(|&o| amount[o]).collect();
        let place = raising.raise(graph, at, dtype, &amount_left);
        let mut added = vec![0.0; amount.len()];
        left.iter().for_each(|&o| added[o] = amount[o]);
        out.push(Bias {
            node: old.nodes[*n].name.clone(),
            initializer: graph.values[place].name.clone(),
            added,
        });
    }
    Ok(out)
}

/// Uses and names of a graph, kept while biases of its nodes are raised one after the other.
pub(super) struct Raising {
    /// By value: number of operands that it is.
    uses: Vec<usize>,
    names: Names,
}

impl Raising {
    pub fn new(graph: &Graph) -> Self {
        Self { uses: graph.uses(), names: Names::of(graph) }
    }

    /// Adds `amount` to the bias of node `at`, which gets one of its own if it has none or shares it. Returns the value that was
    /// changed.
    pub fn raise(&mut self, graph: &mut Graph, at: NodeId, dtype: DType, amount: &[f64]) -> ValueId {
        let bias = graph.nodes[at].inputs.get(2).copied().flatten();
        if bias.is_none()
            && let Some((mean, t)) = self.mean_after(graph, at).filter(|(_, t)| t.len() == amount.len())
        {
            let lowered: Vec<f64> = t.to_real::<f64>().iter().zip(amount).map(|(m, a)| m - a).collect();
            graph.values[mean].origin = Origin::Initializer(t.with_values(t.shape(), &lowered));
            return mean;
        }
        let before = match bias.and_then(|b| graph.initializer(b)) {
            Some(t) => t.to_real::<f64>(),
            None => vec![0.0; amount.len()],
        };
        let sum: Vec<f64> = before.iter().zip(amount).map(|(a, b)| a + b).collect();
        let tensor = Tensor::from_real(dtype, &[sum.len()], &sum);
        if let Some(b) = bias.filter(|&b| self.uses[b] <= 1) {
            graph.values[b].origin = Origin::Initializer(tensor);
            return b;
        }
        let output = graph.nodes[at].outputs.first().copied().flatten();
        let base = output.map_or("layer", |y| graph.values[y].name.as_str());
        let name = self.names.fresh(&format!("{base}_bias"));
        graph.values.push(Value { name, origin: Origin::Initializer(tensor), declared: None });
        let fresh = graph.values.len() - 1;
        let inputs = &mut graph.nodes[at].inputs;
        inputs.resize(inputs.len().max(3), None);
        if let Some(shared) = inputs[2].replace(fresh) {
            self.uses[shared] -= 1;
        }
        self.uses.push(1);
        fresh
    }

    /// The stored mean of the BatchNormalization that alone reads the result of node `at`, if nothing else uses that mean.
    /// tract 0.23.9 refuses some networks where a Conv has a bias and a normalisation behind it.
    fn mean_after(&self, graph: &Graph, at: NodeId) -> Option<(ValueId, Tensor)> {
        let y = (*graph.nodes[at].outputs.first()?)?;
        let reader = graph.nodes.iter().find(|n| n.inputs.first() == Some(&Some(y)))?;
        let mean = (*reader.inputs.get(reader.op.normalisation()?.mean)?)?;
        let elsewhere = |v| graph.outputs.contains(&v) || graph.nodes.iter().any(|n| n.captured.contains(&v));
        let alone = [y, mean].iter().all(|&v| self.uses[v] == 1 && !elsewhere(v));
        Some((mean, graph.initializer(mean)?.clone())).filter(|_| alone)
    }
}
