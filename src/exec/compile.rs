//! Compiles a graph into the steps of the forward pass.
//!
//! Takes: a graph, its facts, gates, the requested values. Gives: a [`Program`]: constants are evaluated, dead nodes dropped,
//! operators bound, gates put between a value and the nodes that read it, and the passes of `passes/` applied. Never: leaves
//! anything to the run that could fail there.

use super::bias_term::BiasTerm;
use super::gated::{BiasTermSpec, GateSpec, GatedNetwork};
use super::passes::{fold_batch_norm, lower};
use super::program::{Kind, Precision, Program, Source, Step};
use crate::error::{Error, Result};
use crate::graph::*;
use crate::setting::Setting;
use crate::tensor::*;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A network, its gates, and the values that a program of it computes.
struct Request<'a> {
    graph: &'a Graph,
    /// Types and shapes at the batch size to compile for.
    facts: &'a Facts,
    precision: Precision,
    gates: &'a [GateSpec],
    bias_terms: &'a [BiasTermSpec],
    /// Constants that are trained.
    parameters: &'a [ValueId],
    /// Values that the program computes.
    targets: &'a [ValueId],
}

impl Program {
    /// Compiles the part of a network, with its gates where it has some, that `targets` need. Its facts carry the batch size.
    /// Errors when a target cannot be computed from the network's inputs, naming what stands in the way.
    pub fn compile<'a>(
        network: impl Into<GatedNetwork<'a>>,
        precision: Precision,
        targets: &'a [ValueId],
    ) -> Result<Self> {
        let GatedNetwork { network: Network { graph, facts }, gates, bias_terms } = network.into();
        Request { graph, facts, precision, gates, bias_terms, parameters: &[], targets }.compile()
    }

    /// As [`Program::compile`], without gates, for training the constants `parameters`: stored ones that no folded constant
    /// is made from.
    pub fn trainable(
        Network { graph, facts }: Network,
        precision: Precision,
        parameters: &[ValueId],
        targets: &[ValueId],
    ) -> Result<Self> {
        Request { graph, facts, precision, gates: &[], bias_terms: &[], parameters, targets }.compile()
    }
}

impl<'a> Request<'a> {
    fn compile(&self) -> Result<Program> {
        let kernels = self.bind(&self.needed()?)?;
        let mut c = self.compiler(kernels);
        for &v in &self.graph.inputs {
            let slot = c.slot(v, false);
            c.program.inputs.push(slot);
            c.place_gates(v);
        }
        for (n, node) in self.graph.nodes.iter().enumerate() {
            if let Some(kernel) = c.kernels.get(&n).cloned() {
                c.node(n, node, kernel);
                node.outputs.iter().flatten().for_each(|&v| c.place_gates(v));
            }
        }
        for v in self.targets {
            let Some(&slot) = c.slot_of.get(v) else {
                let name = &self.graph.values[*v].name;
                return Err(Error::graph(
                    format!("the output '{name}' does not depend on the network's inputs"),
                    "nothing is to be gained by pruning it",
                ));
            };
            c.program.targets.push(slot);
        }
        let mut program = c.program;
        program.parameters = self.parameters.iter().map(|v| c.constant_of.get(v).copied()).collect();
        program.slots = c.slot_of;
        program.constant_bytes = program.constants.iter().map(|c| 4 * c.len()).sum();
        fold_batch_norm(&mut program);
        lower(&mut program, self.precision);
        program.ends = ends(&program);
        program.check_memory()?;
        Ok(program)
    }

    /// The nodes that the targets need. Errors where one of them cannot be analysed.
    fn needed(&self) -> Result<BTreeSet<NodeId>> {
        let (graph, facts) = (self.graph, self.facts);
        let mut wanted = BTreeSet::new();
        let mut refusals = BTreeSet::new();
        let mut open: Vec<ValueId> = self.targets.to_vec();
        while let Some(v) = open.pop() {
            let Some(n) = graph.producer(v).filter(|_| facts.constant[v].is_none()) else { continue };
            if !wanted.insert(n) {
                continue;
            }
            let node = &graph.nodes[n];
            if facts.results(node).is_none() || facts.operands(node).is_none() || facts.refusals[n].is_some()
            {
                let why = facts.refusals[n].as_deref().unwrap_or("operands of unknown shape");
                refusals.insert(named(node, why));
            }
            open.extend(node.inputs.iter().flatten());
        }
        if refusals.is_empty() { Ok(wanted) } else { Err(cannot_run(refusals)) }
    }

    /// Binds the operators of nodes to their operands and results. Errors where one refuses, naming all that do.
    fn bind(&self, nodes: &BTreeSet<NodeId>) -> Result<HashMap<NodeId, Arc<dyn Kernel>>> {
        let mut refusals = BTreeSet::new();
        let mut kernels: HashMap<NodeId, Arc<dyn Kernel>> = HashMap::new();
        for &n in nodes {
            let node = &self.graph.nodes[n];
            match self.bound(node) {
                Ok(kernel) => drop(kernels.insert(n, kernel.into())),
                Err(refusal) => drop(refusals.insert(named(node, refusal.reason()))),
            }
        }
        if refusals.is_empty() { Ok(kernels) } else { Err(cannot_run(refusals)) }
    }

    fn bound(&self, node: &Node) -> Result<Box<dyn Kernel>, Refusal> {
        let mut x = self.facts.operands(node).unwrap_or_default();
        for (operand, v) in x.iter_mut().zip(&node.inputs) {
            // What is trained is no constant to a kernel, which would keep its first value.
            if v.is_some_and(|v| self.parameters.contains(&v)) {
                *operand = operand.map(|o| Operand::new(o.fact, None));
            }
        }
        let y = self.facts.results(node).unwrap_or_default();
        node.op.bind(&Io { x: &x, y: &y })
    }

    fn compiler(&self, kernels: HashMap<NodeId, Arc<dyn Kernel>>) -> Compiler<'a> {
        let mut gates: HashMap<ValueId, Vec<&GateSpec>> = HashMap::new();
        self.gates.iter().for_each(|g| gates.entry(g.value).or_default().push(g));
        let mut bias_terms: HashMap<NodeId, &BiasTermSpec> = HashMap::new();
        self.bias_terms.iter().rev().for_each(|s| _ = bias_terms.insert(s.node, s));
        let batched = self.graph.inputs.iter().map(|&v| self.facts.is_batched(self.graph, v)).collect();
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
            target_values: self.targets.to_vec(),
            batch: self.facts.batch(self.graph),
            batched,
            constant_bytes: 0,
        };
        Compiler {
            facts: self.facts,
            kernels,
            gates,
            bias_terms,
            program,
            parameters: self.parameters.iter().copied().collect(),
            constant_of: HashMap::new(),
            slot_of: HashMap::new(),
            gated_slot: HashMap::new(),
        }
    }
}

/// A program in the making.
struct Compiler<'a> {
    facts: &'a Facts,
    /// The nodes that the targets need, bound.
    kernels: HashMap<NodeId, Arc<dyn Kernel>>,
    /// Gates by the value that they stand at.
    gates: HashMap<ValueId, Vec<&'a GateSpec>>,
    bias_terms: HashMap<NodeId, &'a BiasTermSpec>,
    program: Program,
    parameters: BTreeSet<ValueId>,
    constant_of: HashMap<ValueId, usize>,
    slot_of: HashMap<ValueId, usize>,
    /// By reader: the slot with the gated value.
    gated_slot: HashMap<(NodeId, usize), usize>,
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

    fn node(&mut self, n: NodeId, node: &Node, kernel: Arc<dyn Kernel>) {
        let inputs: Vec<Option<Source>> = (0..node.inputs.len())
            .map(|slot| {
                let v = node.inputs[slot]?;
                match self.gated_slot.get(&(n, slot)).or_else(|| self.slot_of.get(&v)) {
                    Some(&s) => Some(Source::Slot(s)),
                    None => self.constant(v).map(Source::Constant),
                }
            })
            .collect();
        let bias_term = self.bias_terms.get(&n).copied();
        let live = bias_term.is_some()
            || node.inputs.iter().flatten().any(|v| self.parameters.contains(v))
            || inputs.iter().flatten().any(|s| matches!(s, Source::Slot(s) if self.program.live[*s]));
        let results = self.facts.results(node).unwrap_or_default();
        let whole = match results.iter().all(|f| f.dtype.is_float()) {
            true => Vec::new(),
            false => results.iter().map(|f| f.dtype).collect(),
        };
        let outputs = node
            .outputs
            .iter()
            .zip(results)
            .map(|(v, fact)| match v {
                Some(v) => self.slot(*v, live),
                None => self.new_slot(fact.shape, false),
            })
            .collect();
        self.program.steps.push(Step {
            kind: Kind::Op(kernel),
            op: Some(node.op.clone()),
            geometry: self.facts.linear(node).and_then(|linear| linear.geometry),
            inputs,
            outputs,
            bias_term: bias_term.map(BiasTerm::from),
            whole,
            live,
        });
    }

    /// Puts the gates of value `v` between it and its readers, as far as the targets need these.
    fn place_gates(&mut self, v: ValueId) {
        for gate in self.gates.get(&v).cloned().into_iter().flatten() {
            // Several gates on one reader (along different axes) stand one after the other.
            let mut gated: HashMap<usize, usize> = HashMap::new();
            for reader in &gate.readers {
                let known = self.gated_slot.get(reader).or_else(|| self.slot_of.get(&v));
                let Some(&source) = known.filter(|_| self.kernels.contains_key(&reader.0)) else { continue };
                let slot = match gated.get(&source) {
                    Some(&slot) => slot,
                    None => self.gate(source, gate),
                };
                gated.insert(source, slot);
                self.gated_slot.insert(*reader, slot);
            }
        }
    }

    /// A slot with the value of slot `source` through a gate.
    fn gate(&mut self, source: usize, gate: &GateSpec) -> usize {
        let slot = self.new_slot(self.program.shapes[source].clone(), true);
        self.program.steps.push(Step {
            kind: Kind::Gate { axis: gate.axis, index: gate.index.clone() },
            op: None,
            geometry: None,
            inputs: vec![Some(Source::Slot(source))],
            outputs: vec![slot],
            bias_term: None,
            whole: Vec::new(),
            live: true,
        });
        slot
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

/// A node, and why it cannot be run.
fn named(node: &Node, why: &str) -> String {
    format!("'{}' ({}): {why}", node.name, node.op_type)
}

fn cannot_run(nodes: BTreeSet<String>) -> Error {
    Error::Unsupported {
        nodes: nodes.into_iter().collect(),
        hint: format!("cut the model before these nodes, or prune without gates: {} l1", Setting::Criterion),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx;
    use crate::support::index::OptIndex;
    use std::path::Path;

    fn residual() -> (Graph, Facts) {
        let model = onnx::read(Path::new("fixtures/residual/model.onnx"), &[]).unwrap();
        let facts = model.facts().unwrap();
        (model.graph, facts)
    }

    fn compiled(graph: &Graph, facts: &Facts, targets: &[ValueId]) -> Result<Program> {
        Program::compile(Network::new(graph, facts), Precision::Exact, targets)
    }

    /// A Relu that is inferred and not bound.
    #[derive(Debug)]
    struct Unbindable;

    impl Hints for Unbindable {
        fn never_negative(&self, _: &Operands) -> bool {
            true
        }
    }

    impl Op for Unbindable {
        fn attributes(&self) -> Attributes {
            Attributes::new()
        }
        fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
            Ok(vec![need(x, 0)?.clone()])
        }
        fn differentiable(&self) -> bool {
            true
        }
        fn bind(&self, _: &Io) -> Result<Box<dyn Kernel>, Refusal> {
            unsupported("a Relu of this kind")
        }
        fn channels(&self, _: &Io, _: &mut dyn Couplings) {}
        fn cost(&self, _: &Io) -> Work {
            Work::Free
        }
        fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
            Ok(Resized::UNCHANGED)
        }
    }

    #[test]
    fn every_node_that_cannot_be_bound_is_named() {
        let (mut graph, facts) = residual();
        let mut names = Vec::new();
        for node in graph.nodes.iter_mut().filter(|n| n.op_type == "Relu") {
            node.op = Arc::new(Unbindable);
            names.push(format!("'{}' (Relu): a Relu of this kind", node.name));
        }
        assert!(names.len() > 1);
        names.sort();
        match compiled(&graph, &facts, &graph.outputs).unwrap_err() {
            Error::Unsupported { nodes, .. } => assert_eq!(nodes, names),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_target_that_no_input_reaches_is_refused() {
        let (graph, facts) = residual();
        let stored = (0..graph.values.len()).find(|&v| graph.initializer(v).is_some()).unwrap();
        let error = compiled(&graph, &facts, &[stored]).unwrap_err().to_string();
        assert!(error.contains(&graph.values[stored].name) && error.contains("does not depend"), "{error}");
    }

    /// No value is read after it ended, and all end but inputs and targets.
    #[test]
    fn every_value_ends_after_its_last_reader() {
        let (graph, facts) = residual();
        let program = compiled(&graph, &facts, &graph.outputs).unwrap();
        let mut ended = BTreeSet::new();
        for (step, ends) in program.steps.iter().zip(&program.ends) {
            let slot = |s: &Source| if let Source::Slot(s) = s { Some(*s) } else { None };
            let mut used = step.inputs.iter().flatten().filter_map(slot).chain(step.outputs.iter().copied());
            assert!(used.all(|s| !ended.contains(&s)));
            assert!(ends.iter().all(|s| ended.insert(*s)), "a slot that ends twice");
        }
        let kept: BTreeSet<usize> = program.inputs.iter().chain(&program.targets).copied().collect();
        let made = program.steps.iter().flat_map(|s| s.outputs.iter().copied());
        assert!(made.filter(|s| !kept.contains(s)).all(|s| ended.contains(&s)));
        assert!(kept.iter().all(|s| !ended.contains(s)));
    }

    #[test]
    fn readers_of_a_value_share_a_gate() {
        let (graph, facts) = residual();
        let consumers = graph.consumers();
        let value = (0..graph.values.len()).find(|&v| consumers[v].len() > 1 && facts.constant[v].is_none());
        let value = value.unwrap();
        let index = (0..facts.shape(value).unwrap()[1]).map(OptIndex::some).collect();
        let gate = GateSpec { value, axis: 1, index, readers: consumers[value].clone() };
        let request = Request {
            graph: &graph,
            facts: &facts,
            precision: Precision::Exact,
            gates: &[gate],
            bias_terms: &[],
            parameters: &[],
            targets: &graph.outputs,
        };
        let kernels = request.bind(&request.needed().unwrap()).unwrap();
        let mut c = request.compiler(kernels);
        c.slot(value, false);
        c.place_gates(value);
        assert_eq!(c.program.steps.len(), 1);
        assert!(matches!(&c.program.steps[0].kind, Kind::Gate { axis: 1, .. }));
        let gated: BTreeSet<usize> = c.gated_slot.values().copied().collect();
        assert_eq!((c.gated_slot.len(), gated.len()), (consumers[value].len(), 1));
    }
}
