//! What the gated network is to get right: the labels, or the outputs of the unpruned network.

use super::loss;
use crate::error::{Error, Result};
use crate::grad;
use crate::ir::*;
use crate::ops;
use std::borrow::Cow;

/// What the user asked the network to be judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// Labels where there are any, else the unpruned outputs: as classes where they look like logits, else as values.
    #[default]
    Auto,
    /// The unpruned network's class probabilities (KL divergence).
    Classes,
    /// The unpruned network's values (squared error, normalised by each output's variance).
    Values,
}

/// How one image's outputs are judged.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
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
        /// What the logits are divided by.
        temperature: f64,
    },
    /// Σ over outputs of (gated − unpruned)² / variance of the output.
    Values {
        /// Variance of each target over calibration images.
        variance: Vec<f64>,
    },
}

impl Task {
    /// True if the unpruned network's outputs are needed.
    pub fn needs_teacher(&self) -> bool {
        !matches!(self, Task::Labels { distil, .. } if *distil == 0.0)
    }

    /// True if target 0 holds class scores.
    pub fn is_classes(&self) -> bool {
        !matches!(self, Task::Values { .. })
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
            (Task::Labels { smoothing, distil, temperature }, Some(label)) => {
                let p = loss::one_hot(label as usize, x[0].len(), *smoothing);
                let hard = loss::cross_entropy(x[0], &p, weight * (1.0 - distil), dx[0]);
                match *distil > 0.0 {
                    true => hard + loss::distil(x[0], teacher[0], *temperature, weight * distil, dx[0]),
                    false => hard,
                }
            }
            (Task::Values { variance }, _) => (0..x.len())
                .map(|t| loss::squared_error(x[t], teacher[t], variance[t], weight / x.len() as f64, dx[t]))
                .sum(),
            (Task::Distil { temperature } | Task::Labels { temperature, .. }, _) => {
                loss::distil(x[0], teacher[0], *temperature, weight, dx[0])
            }
        }
    }
}

/// The values to judge: the executable outputs, with a final Softmax or LogSoftmax taken off (losses want logits).
/// The flag tells whether they are class scores of a classifier: one target, one row of at least two numbers.
pub fn targets(graph: &Graph, facts: &Facts) -> Result<(Vec<ValueId>, bool)> {
    let mut targets = grad::targets(graph, facts);
    let mut softmax = false;
    for t in &mut targets {
        if let Some(n) = graph.producer(*t)
            && matches!(graph.nodes[n].op_type.as_str(), "Softmax" | "LogSoftmax")
            && let Some(x) = graph.nodes[n].inputs[0]
        {
            *t = x;
            softmax = true;
        }
    }
    if targets.is_empty() {
        return Err(Error::Unsupported {
            nodes: blockers(graph, facts),
            hint: "cut the model before these nodes, or prune without gates: --criterion l1".into(),
        });
    }
    let row = |v: ValueId| {
        let shape = facts.shape(v).unwrap_or_default();
        shape.len() >= 2 && shape[1] >= 2 && volume(&shape[1..]) == shape[1]
    };
    let classes = targets.len() == 1 && (softmax || row(targets[0])) && row(targets[0]);
    Ok((targets, classes))
}

/// Every node that cannot be run or differentiated, with its reason.
fn blockers(graph: &Graph, facts: &Facts) -> Vec<String> {
    let mut all: Vec<String> = unknown(graph, facts)
        .into_iter()
        .map(|(n, why)| format!("'{}' ({}): {why}", graph.nodes[n].name, graph.nodes[n].op_type))
        .collect();
    if all.is_empty() {
        all.push("no output of the network is a differentiable function of its inputs".into());
    }
    all
}

/// Nodes that cannot be analysed for a reason of their own, and why: not those that only stand behind one.
pub fn unknown<'a>(graph: &Graph, facts: &'a Facts) -> Vec<(NodeId, Cow<'a, str>)> {
    let known = |op_type: &str| ops::OPERATORS.iter().any(|o| o.name == op_type);
    let own = |(n, node): (NodeId, &Node)| {
        let why = facts.trouble[n].as_deref()?;
        match facts.operands(node) {
            Some(_) => Some((n, why.into())),
            None if known(&node.op_type) => None,
            None => Some((n, format!("operator {} is not supported", node.op_type).into())),
        }
    };
    graph.nodes.iter().enumerate().filter_map(own).collect()
}
