//! A network as the steps of its forward pass: constants, shapes, and operators that are bound to them.

use super::bias_term::BiasTerm;
use super::channel_map::ChannelMap;
use super::convolution::Convolution;
use crate::error::Result;
use crate::graph::*;
use crate::kernels::conv::Geometry;
use crate::setting::Setting;
use crate::support::index::OptIndex;
use crate::support::memory;
use crate::tensor::*;
use std::collections::HashMap;
use std::sync::Arc;

/// Where a step's operand comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A constant of the program.
    Constant(usize),
    /// A slot of the workspace.
    Slot(usize),
}

/// The computation of a step.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// An operator of the graph, bound to its node.
    Op(Arc<dyn Kernel>),
    /// A convolution with constant weights.
    Conv(Box<Convolution>),
    /// A gate: y = x ⊙ λ.
    Gate { axis: usize, index: Vec<OptIndex> },
    /// y_k = x_c for c = map[k]; 0 where map[k] is none.
    Gather(ChannelMap),
    /// y_k = relu(trunk_k + λ_k·branch_c) for c = channel_map[k], of inputs of the result's rank.
    Sum { channel_map: Option<ChannelMap>, gate: Option<Vec<OptIndex>>, relu: bool },
}

/// One step of a program: computes the values of its output slots.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub kind: Kind,
    /// The node's operator, for passes to ask; none for a gate.
    pub op: Option<Arc<dyn Op>>,
    /// Sizes of the convolution that the node is, where it is one with a constant weight.
    pub geometry: Option<Geometry>,
    pub inputs: Vec<Option<Source>>,
    pub outputs: Vec<usize>,
    pub bias_term: Option<BiasTerm>,
    /// Types of the results, where one is no floating-point type: they are rounded to it.
    pub whole: Vec<DType>,
    /// True if the results depend on a gate or a parameter, so that there is a backward pass of the step.
    pub live: bool,
}

impl Step {
    /// Slot of operand `k`, which must be a value.
    pub fn slot(&self, k: usize) -> usize {
        match self.inputs.get(k) {
            Some(Some(Source::Slot(s))) => *s,
            other => unreachable!("operand {k} of a fused step is a value: {other:?}"),
        }
    }
}

/// Precision of convolutions with constant weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Sums as in the definition: for proofs.
    Exact,
    /// Fewer multiplications where that is faster, with rounding errors some ten times as large: for training.
    Fast,
}

/// The steps of a network at one batch size.
#[derive(Debug)]
pub struct Program {
    pub(super) steps: Vec<Step>,
    /// Constants, empty where a kernel alone reads one and holds its numbers in an order of its own.
    pub(super) constants: Vec<Array<f32>>,
    pub(super) shapes: Vec<Shape>,
    /// By slot: whether it depends on a gate or a parameter.
    pub(super) live: Vec<bool>,
    /// Trained constants, in the order of the request; none where no target depends on one.
    pub(super) parameters: Vec<Option<usize>>,
    pub(super) inputs: Vec<usize>,
    pub(super) targets: Vec<usize>,
    /// By step, the slots that no later step reads.
    pub(super) ends: Vec<Vec<usize>>,
    /// Slot of each computed value of the graph.
    pub(super) slots: HashMap<ValueId, usize>,
    /// Values of the graph whose slots `targets` are.
    pub target_values: Vec<ValueId>,
    /// Number of images that go through at a time.
    pub batch: usize,
    /// By input: whether its first axis runs over these images.
    pub(super) batched: Vec<bool>,
    /// Bytes of all constants, the emptied ones included.
    pub constant_bytes: usize,
}

impl Program {
    /// Errors when one step alone takes more memory than there is.
    pub(super) fn check_memory(&self) -> Result<()> {
        let slot = |s: &Source| match s {
            Source::Slot(s) => volume(&self.shapes[*s]),
            Source::Constant(_) => 0,
        };
        let step = |step: &Step| {
            let read: usize = step.inputs.iter().flatten().map(slot).sum();
            read + step.outputs.iter().map(|&o| volume(&self.shapes[o])).sum::<usize>()
        };
        let largest = self.steps.iter().map(step).max().unwrap_or(0);
        let bytes = 4 * largest as u64 + self.constant_bytes as u64;
        let hint =
            format!("state smaller sizes ({}), or use a machine with more memory", Setting::InputShape);
        memory::check(bytes, "running the network", &hint)
    }

    /// Shape of target `k`, batch included.
    pub fn target_shape(&self, k: usize) -> &[usize] {
        &self.shapes[self.targets[k]]
    }

    /// Number of network inputs.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Elements per image of network input `k`; all of them where it has one value for a whole run.
    pub fn input_len(&self, k: usize) -> usize {
        let images = if self.batched[k] { self.batch.max(1) } else { 1 };
        volume(&self.shapes[self.inputs[k]]) / images
    }

    /// Number of the parameter that a source is; none where it is none.
    pub(super) fn parameter(&self, source: Option<Source>) -> Option<usize> {
        match source? {
            Source::Constant(c) => self.parameters.iter().position(|p| *p == Some(c)),
            Source::Slot(_) => None,
        }
    }

    /// Gradients of the parameters, at zero.
    pub fn gradients(&self) -> Vec<Array<f32>> {
        let zero =
            |p: &Option<usize>| p.map_or_else(Default::default, |c| Array::zeros(self.constants[c].shape()));
        self.parameters.iter().map(zero).collect()
    }

    /// Largest workspace, in bytes: every value, and every gradient at once.
    pub fn workspace_bytes(&self) -> usize {
        self.shapes.iter().map(|s| 4 * volume(s)).sum::<usize>() * 2
    }
}
