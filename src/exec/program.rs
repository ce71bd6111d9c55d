//! Compiles a graph into the steps of the forward pass.
//!
//! Constants are evaluated, dead nodes dropped, BatchNormalization folded into the convolution before it, and gates put
//! between a value and the nodes that read it.

use super::channel_map::ChannelMap;
use super::passes::fold_batch_norm;
use super::passes::{Convolution, lower, prepare_again};
use crate::error::{Error, Result};
use crate::graph::*;
use crate::setting::Setting;
use crate::support::memory;
use crate::tensor::*;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// In [`GateSpec::index`]: a coordinate without a gate (λ = 1).
pub const UNGATED: u32 = u32::MAX;

/// A gate: multiplies `value` by `λ[index[c]]` along `axis`, for some of its consumers.
#[derive(Debug, Clone, PartialEq)]
pub struct GateSpec {
    /// The gated value.
    pub value: ValueId,
    /// The axis whose coordinates are gated.
    pub axis: usize,
    /// For each coordinate, which λ.
    pub index: Vec<u32>,
    /// Who sees the gated value: (node, input slot). Others see it whole.
    pub readers: Vec<(NodeId, usize)>,
}

/// A term added to the result of `node` along `axis`: `Σ_c (1 − λ_c)·κ_c·matrix[o][c]` (compensation for what a gate closes).
/// The levels κ stand behind the λ in the vector that a pass is given.
#[derive(Debug, Clone, PartialEq)]
pub struct BiasTermSpec {
    /// The node whose result is shifted.
    pub node: NodeId,
    /// The axis of its result that `o` runs over.
    pub axis: usize,
    /// For each c, which λ.
    pub index: Vec<u32>,
    /// For each c, which κ; [`UNGATED`] where it is 1.
    pub level: Vec<u32>,
    /// Row-major [o, c].
    pub matrix: Vec<f32>,
}

/// Where a step's operand comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A constant of the program.
    Constant(usize),
    /// A slot of the workspace.
    Slot(usize),
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// An operator of the graph.
    Op(Arc<dyn Op>),
    /// A convolution with constant weights.
    Conv(Box<Convolution>),
    /// A gate: y = x ⊙ λ.
    Gate { axis: usize, index: Vec<u32> },
    /// Channels of one value taken to others' places.
    ChannelMap(ChannelMap),
    /// y = relu(trunk + λ ⊙ route(branch)), of inputs of the result's rank; λ by channel of the result.
    Sum { route: Option<ChannelMap>, gate: Option<Vec<u32>>, relu: bool },
}

#[derive(Debug, Clone)]
pub(super) struct BiasTerm {
    pub axis: usize,
    pub index: Vec<u32>,
    pub level: Vec<u32>,
    pub matrix: Vec<f32>,
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub kind: Kind,
    /// ONNX operator type, empty for a gate.
    pub op_type: String,
    pub inputs: Vec<Option<Source>>,
    pub outputs: Vec<usize>,
    pub shift: Option<BiasTerm>,
    /// Types of the results, where one is no floating-point type: they are rounded to it.
    pub whole: Vec<DType>,
    /// True if a gate or a parameter lies before it or in it: then gradients are wanted for its inputs that depend on one.
    pub live: bool,
}

/// How convolutions with constant weights are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// As they are written down: for proofs.
    Exact,
    /// With fewer multiplications where that is faster. Rounding errors grow some ten times: for training.
    Fast,
}

/// The steps of a network at one batch size.
#[derive(Debug)]
pub struct Program {
    pub(super) steps: Vec<Step>,
    /// Those whose numbers a kernel holds in its own order have no others.
    pub(super) constants: Vec<Array<f32>>,
    pub(super) shapes: Vec<Shape>,
    /// Slots that depend on a gate or a parameter.
    pub(super) live: Vec<bool>,
    /// Constants that are trained, in the order in which they were asked for; none where nothing depends on one.
    pub(super) parameters: Vec<Option<usize>>,
    pub(super) inputs: Vec<usize>,
    pub(super) targets: Vec<usize>,
    /// Slots that nobody reads any more, by the step after which.
    pub(super) ends: Vec<Vec<usize>>,
    /// For watched values: their slot.
    pub(super) slots: HashMap<ValueId, usize>,
    /// The values in `targets`.
    pub target_values: Vec<ValueId>,
    /// Images that go through at a time.
    pub batch: usize,
    /// By input: whether its first axis runs over these images.
    batched: Vec<bool>,
    /// Bytes of the constants, before any was forgotten.
    pub constant_bytes: usize,
}

struct Compiler<'a> {
    facts: &'a Facts,
    program: Program,
    parameters: BTreeSet<ValueId>,
    constant_of: HashMap<ValueId, usize>,
    slot_of: HashMap<ValueId, usize>,
    gated_slot: HashMap<(NodeId, usize), usize>,
}

impl Program {
    /// Compiles the part of `graph` that `targets` need. `facts` carry the batch size.
    /// Errors when a target cannot be computed from the network's inputs, naming what stands in the way.
    pub fn compile(
        graph: &Graph,
        facts: &Facts,
        sums: Precision,
        gates: &[GateSpec],
        shifts: &[BiasTermSpec],
        targets: &[ValueId],
    ) -> Result<Self> {
        Self::build((graph, facts), sums, (gates, shifts), &[], targets)
    }

    /// As [`Program::compile`], without gates, for training the constants `parameters`: stored ones that no folded constant
    /// is made from.
    pub fn trainable(
        graph: &Graph,
        facts: &Facts,
        sums: Precision,
        parameters: &[ValueId],
        targets: &[ValueId],
    ) -> Result<Self> {
        Self::build((graph, facts), sums, (&[], &[]), parameters, targets)
    }

    fn build(
        (graph, facts): (&Graph, &Facts),
        sums: Precision,
        (gates, shifts): (&[GateSpec], &[BiasTermSpec]),
        parameters: &[ValueId],
        targets: &[ValueId],
    ) -> Result<Self> {
        let wanted = needed(graph, facts, targets)?;
        let batch = facts.batch(graph);
        let batched = graph.inputs.iter().map(|&v| facts.is_batched(graph, v)).collect();
        let program = Program {
            steps: vec![],
            constants: vec![],
            shapes: vec![],
            live: vec![],
            parameters: vec![],
            inputs: vec![],
            targets: vec![],
            ends: vec![],
            slots: HashMap::new(),
            target_values: targets.to_vec(),
            batch,
            batched,
            constant_bytes: 0,
        };
        let mut gates_of: HashMap<ValueId, Vec<&GateSpec>> = HashMap::new();
        gates.iter().for_each(|g| gates_of.entry(g.value).or_default().push(g));
        let mut shift_of: HashMap<NodeId, &BiasTermSpec> = HashMap::new();
        shifts.iter().rev().for_each(|s| _ = shift_of.insert(s.node, s));
        let mut c = Compiler {
            facts,
            program,
            parameters: parameters.iter().copied().collect(),
            constant_of: HashMap::new(),
            slot_of: HashMap::new(),
            gated_slot: HashMap::new(),
        };
        for &v in &graph.inputs {
            let slot = c.slot(v, false);
            c.program.inputs.push(slot);
            c.place_gates(&gates_of, v, &wanted);
        }
        for (n, node) in graph.nodes.iter().enumerate().filter(|(n, _)| wanted.contains(n)) {
            c.node(n, node, shift_of.get(&n).copied());
            node.outputs.iter().flatten().for_each(|&v| c.place_gates(&gates_of, v, &wanted));
        }
        for v in targets {
            let Some(&slot) = c.slot_of.get(v) else {
                return Err(Error::graph(
                    format!("the output '{}' does not depend on the network's inputs", graph.values[*v].name),
                    "nothing is to be gained by pruning it",
                ));
            };
            c.program.targets.push(slot);
        }
        c.program.parameters = parameters.iter().map(|v| c.constant_of.get(v).copied()).collect();
        c.program.slots = c.slot_of;
        let mut program = c.program;
        program.constant_bytes = program.constants.iter().map(|c| 4 * c.data.len()).sum();
        fold_batch_norm(&mut program);
        lower(&mut program, sums);
        program.ends = ends(&program);
        program.check_memory()?;
        Ok(program)
    }

    /// Refuses a network of which one step alone takes more memory than there is.
    fn check_memory(&self) -> Result<()> {
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

    /// Which parameter a source is.
    pub(super) fn parameter(&self, source: Option<Source>) -> Option<usize> {
        match source? {
            Source::Constant(c) => self.parameters.iter().position(|p| *p == Some(c)),
            Source::Slot(_) => None,
        }
    }

    /// Gradients of the parameters, at zero.
    pub fn gradients(&self) -> Vec<Array<f32>> {
        let zero =
            |p: &Option<usize>| p.map_or_else(Array::default, |c| Array::zeros(&self.constants[c].shape));
        self.parameters.iter().map(zero).collect()
    }

    /// Gives the parameters other values, row-major as they are stored; those of no use are passed over.
    pub fn set_parameters<'v>(&mut self, values: impl Iterator<Item = &'v [f32]>) {
        for (at, value) in self.parameters.iter().zip(values) {
            if let Some(c) = at {
                self.constants[*c].data.copy_from_slice(value);
            }
        }
        prepare_again(self);
    }

    /// Bytes a workspace holds at the most: every value, and every gradient at once.
    pub fn workspace_bytes(&self) -> usize {
        self.shapes.iter().map(|s| 4 * volume(s)).sum::<usize>() * 2
    }
}

impl Compiler<'_> {
    fn slot(&mut self, v: ValueId, live: bool) -> usize {
        let shape = self.facts.shape(v).unwrap_or_default().to_vec();
        let slot = self.new_slot(shape, live);
        self.slot_of.insert(v, slot);
        slot
    }

    fn new_slot(&mut self, shape: Shape, live: bool) -> usize {
        self.program.shapes.push(shape);
        self.program.live.push(live);
        self.program.shapes.len() - 1
    }

    fn constant(&mut self, v: ValueId) -> Option<usize> {
        let t = self.facts.constant[v].as_ref()?;
        Some(*self.constant_of.entry(v).or_insert_with(|| {
            self.program.constants.push(t.to_array());
            self.program.constants.len() - 1
        }))
    }

    fn node(&mut self, n: NodeId, node: &Node, shift: Option<&BiasTermSpec>) {
        let inputs: Vec<Option<Source>> = (0..node.inputs.len())
            .map(|slot| {
                let v = node.inputs[slot]?;
                match self.gated_slot.get(&(n, slot)).or_else(|| self.slot_of.get(&v)) {
                    Some(&s) => Some(Source::Slot(s)),
                    None => self.constant(v).map(Source::Constant),
                }
            })
            .collect();
        let live = shift.is_some()
            || node.inputs.iter().flatten().any(|v| self.parameters.contains(v))
            || inputs.iter().flatten().any(|s| matches!(s, Source::Slot(s) if self.program.live[*s]));
        let results = self.facts.results(node).unwrap_or_default();
        let whole = match results.iter().all(|f| f.dtype.is_float()) {
            true => Vec::new(),
            false => results.iter().map(|f| f.dtype).collect(),
        };
        let shapes: Vec<Shape> = results.into_iter().map(|f| f.shape).collect();
        let outputs = node
            .outputs
            .iter()
            .zip(shapes)
            .map(|(v, shape)| match v {
                Some(v) => self.slot(*v, live),
                None => self.new_slot(shape, false),
            })
            .collect();
        let shift = shift.cloned().map(|s| BiasTerm {
            axis: s.axis,
            index: s.index,
            level: s.level,
            matrix: s.matrix,
        });
        self.program.steps.push(Step {
            kind: Kind::Op(node.op.clone()),
            op_type: node.op_type.clone(),
            inputs,
            outputs,
            shift,
            whole,
            live,
        });
    }

    fn place_gates(
        &mut self,
        gates: &HashMap<ValueId, Vec<&GateSpec>>,
        v: ValueId,
        wanted: &BTreeSet<NodeId>,
    ) {
        for gate in gates.get(&v).into_iter().flatten() {
            // Several gates on one reader (along different axes) stand one behind the other.
            let mut behind: HashMap<usize, usize> = HashMap::new();
            for reader in gate.readers.iter().filter(|(n, _)| wanted.contains(n)) {
                let Some(&source) = self.gated_slot.get(reader).or_else(|| self.slot_of.get(&v)) else {
                    continue;
                };
                let slot = match behind.get(&source) {
                    Some(&slot) => slot,
                    None => {
                        let slot = self.new_slot(self.program.shapes[source].clone(), true);
                        self.program.steps.push(Step {
                            kind: Kind::Gate { axis: gate.axis, index: gate.index.clone() },
                            op_type: String::new(),
                            inputs: vec![Some(Source::Slot(source))],
                            outputs: vec![slot],
                            shift: None,
                            whole: Vec::new(),
                            live: true,
                        });
                        behind.insert(source, slot);
                        slot
                    }
                };
                self.gated_slot.insert(*reader, slot);
            }
        }
    }
}

/// By step, the slots that are read or made there for the last time; inputs and targets stay.
fn ends(program: &Program) -> Vec<Vec<usize>> {
    let mut last = HashMap::new();
    for (k, step) in program.steps.iter().enumerate() {
        let read = step.inputs.iter().flatten().filter_map(|s| match s {
            Source::Slot(s) => Some(*s),
            Source::Constant(_) => None,
        });
        last.extend(step.outputs.iter().copied().chain(read).map(|s| (s, k)));
    }
    last.retain(|s, _| !program.inputs.contains(s) && !program.targets.contains(s));
    let mut ends = vec![Vec::new(); program.steps.len()];
    last.into_iter().for_each(|(s, k)| ends[k].push(s));
    // In no order of a map's: the same buffers serve the same values in every run.
    ends.iter_mut().for_each(|slots| slots.sort_unstable());
    ends
}

/// The nodes that the targets need.
fn needed(graph: &Graph, facts: &Facts, targets: &[ValueId]) -> Result<BTreeSet<NodeId>> {
    let mut wanted = BTreeSet::new();
    let mut trouble = BTreeSet::new();
    let mut open: Vec<ValueId> = targets.to_vec();
    while let Some(v) = open.pop() {
        let Some(n) = graph.producer(v).filter(|_| facts.constant[v].is_none()) else { continue };
        if !wanted.insert(n) {
            continue;
        }
        let node = &graph.nodes[n];
        if facts.results(node).is_none() || facts.operands(node).is_none() || facts.trouble[n].is_some() {
            let why = facts.trouble[n].as_deref().unwrap_or("operands of unknown shape");
            trouble.insert(format!("'{}' ({}): {why}", node.name, node.op_type));
        }
        open.extend(node.inputs.iter().flatten());
    }
    if trouble.is_empty() {
        return Ok(wanted);
    }
    Err(Error::Unsupported {
        nodes: trouble.into_iter().collect(),
        hint: format!("cut the model before these nodes, or prune without gates: {} l1", Setting::Criterion),
    })
}
