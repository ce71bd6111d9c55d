//! Objectives of the gated network: labels, or the outputs of the unpruned network; and the values that they are computed at.

use super::loss;
use crate::error::{Error, Result};
use crate::exec::Reach;
use crate::graph::*;
use crate::tensor::*;
use std::collections::BTreeSet;

/// Kind of loss, as the user asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LossKind {
    /// Labels where there are any, else the unpruned outputs: as classes where they look like logits, else as values.
    #[default]
    Auto,
    /// The unpruned network's class probabilities (KL divergence).
    Classes,
    /// The unpruned network's values (squared error, normalised by each output's variance).
    Values,
}

/// Loss of one image's outputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Objective {
    /// Cross-entropy with labels, label smoothing and a share of distillation from the unpruned network's logits.
    Labels {
        /// Mass spread over all classes.
        smoothing: f64,
        /// Weight of the distillation term beside the labels (0 is labels only).
        distil: f64,
        /// Temperature of the distillation.
        temperature: f64,
    },
    /// KL(unpruned ‖ gated) on logits.
    Distil {
        /// Divisor of the logits.
        temperature: f64,
    },
    /// Σ over outputs of (gated − unpruned)² / variance of the output.
    Values {
        /// Variance of each target over calibration images.
        variance: Vec<f64>,
    },
}

impl Objective {
    /// True if the unpruned network's outputs are needed.
    pub fn needs_teacher(&self) -> bool {
        !matches!(self, Objective::Labels { distil, .. } if *distil == 0.0)
    }

    /// True if target 0 holds class scores.
    pub fn is_classes(&self) -> bool {
        !matches!(self, Objective::Values { .. })
    }

    /// Loss of one image, whose share in the batch is `weight`; its gradient is added to `dx`, target by target.
    pub fn loss(
        &self,
        x: &[&[f32]],
        teacher: &[&[f32]],
        label: Option<u32>,
        weight: f64,
        dx: &mut [&mut [f32]],
    ) -> f64 {
        match (self, label) {
            (Objective::Labels { smoothing, distil, temperature }, Some(label)) => {
                let p = loss::one_hot(label as usize, x[0].len(), *smoothing);
                let hard = loss::cross_entropy(x[0], &p, weight * (1.0 - distil), dx[0]);
                match *distil > 0.0 {
                    true => hard + loss::distil(x[0], teacher[0], *temperature, weight * distil, dx[0]),
                    false => hard,
                }
            }
            (Objective::Values { variance }, _) => (0..x.len())
                .map(|t| loss::squared_error(x[t], teacher[t], variance[t], weight / x.len() as f64, dx[t]))
                .sum(),
            (Objective::Distil { temperature } | Objective::Labels { temperature, .. }, _) => {
                loss::distil(x[0], teacher[0], *temperature, weight, dx[0])
            }
        }
    }
}

/// Values at which a network is judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aims {
    /// Values at which a loss stands: logits where a Softmax or LogSoftmax would follow.
    pub targets: Vec<ValueId>,
    /// True where there is one target and it holds class scores: one row of at least two numbers.
    pub classes: bool,
    /// True where gradients come back from the targets.
    pub learned: bool,
}

impl Aims {
    /// For learning: the outputs that can be computed and differentiated by the weights, and what was last reached on the way to
    /// others, where `takes` accepts it.
    pub fn learned(network: Network, takes: impl Fn(ValueId) -> bool) -> Self {
        let Network { graph, facts } = network;
        let mut targets = without_softmax(graph, Reach::learned(network).ends(network));
        targets.retain(|&v| takes(v));
        Self::at(facts, targets, true)
    }

    /// For comparing: the same where no layer stands behind it, else whatever can be computed.
    pub fn compared(network: Network, takes: impl Fn(ValueId) -> bool) -> Self {
        let Network { graph, facts } = network;
        let (learned, computed) = (Reach::learned(network), Reach::computed(network));
        let weighs = |node: &Node| {
            let constants = node.inputs.iter().flatten().filter_map(|&v| facts.constant[v].as_ref());
            !facts.is_folded(node) && constants.into_iter().any(|t| t.shape().len() > 1)
        };
        let behind = |n: &NodeId| computed.nodes[*n] && !learned.nodes[*n] && weighs(&graph.nodes[*n]);
        let aims = Self::learned(network, takes);
        match aims.targets.is_empty() || (0..graph.nodes.len()).any(|n| behind(&n)) {
            true => Self::at(facts, without_softmax(graph, computed.ends(network)), false),
            false => aims,
        }
    }

    fn at(facts: &Facts, targets: Vec<ValueId>, learned: bool) -> Self {
        let row = |v: ValueId| {
            let shape = facts.shape(v).unwrap_or_default();
            shape.len() >= 2 && shape[1] >= 2 && volume(&shape[1..]) == shape[1]
        };
        let classes = targets.len() == 1 && row(targets[0]);
        Self { classes, learned: learned && !targets.is_empty(), targets }
    }
}

/// Values with the operator taken off that makes probabilities of logits (losses want the latter), each once.
fn without_softmax(graph: &Graph, mut values: Vec<ValueId>) -> Vec<ValueId> {
    for v in &mut values {
        if let Some(node) = graph.producer(*v).map(|n| &graph.nodes[n])
            && let Some(slot) = node.op.logits()
            && let Some(x) = node.inputs[slot]
        {
            *v = x;
        }
    }
    let mut seen = BTreeSet::new();
    values.retain(|&v| seen.insert(v));
    values
}

/// The values to learn at, and whether they are class scores. Errors where there are none.
pub fn targets(network: Network) -> Result<(Vec<ValueId>, bool)> {
    let Aims { targets, classes, .. } = Aims::learned(network, |_| true);
    match targets.is_empty() {
        true => Err(not_run(network)),
        false => Ok((targets, classes)),
    }
}

/// Not one value of the network can be computed.
pub fn not_run(network: Network) -> Error {
    let graph = network.graph;
    let named =
        |(n, why): (NodeId, &str)| format!("'{}' ({}): {why}", graph.nodes[n].name, graph.nodes[n].op_type);
    let mut nodes: Vec<String> = unknown(network).into_iter().map(named).collect();
    if nodes.is_empty() {
        nodes.push("no output of the network depends on its inputs".into());
    }
    Error::Unsupported { nodes, hint: "cut the model behind these nodes, or export it without them".into() }
}

/// Nodes that cannot be analysed for a reason of their own, and why: not those that only stand behind one.
pub fn unknown<'a>(Network { graph, facts }: Network<'a>) -> Vec<(NodeId, &'a str)> {
    let own = |(n, node): (NodeId, &'a Node)| {
        let why = facts.refusals[n].as_deref()?;
        match facts.operands(node) {
            Some(_) => Some((n, why)),
            None => Some((n, node.op.never_run()?)),
        }
    };
    graph.nodes.iter().enumerate().filter_map(own).collect()
}
