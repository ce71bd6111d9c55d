//! Collects reports from the stages' results.
//!
//! Takes: a prepared model, a run that is over. Gives: the structs of [`json`](super::json). Never: formats.

use super::json::{
    Channels, DataFacts, Frozen, Group, Inspection, Layer, ModelFacts, Port, Predicted, Recovery, Run,
    Training, Tuning, Verification,
};
use crate::cost::Convention;
use crate::coupling::{self, Groups};
use crate::exec::Reach;
use crate::exec::unknown;
use crate::gates::Trained;
use crate::graph::{self, Axis, Fact, Facts, Io, Network, Node, NodeId, ValueId};
use crate::onnx::Model;
use crate::pruner::{self, Analysis, Done, Finetuned, Outcome, Prepared, Recovered, Unit};
use crate::tensor::{Shape, Tensor};
use crate::verify::{TOLERANCE, Verdict, allowed, disagree, tried_in_tract};
use std::collections::{BTreeMap, BTreeSet};

/// The program's name and version.
pub fn program() -> String {
    concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into()
}

/// What is reported of a model before anything is done to it.
#[derive(Debug, Clone)]
pub struct Known {
    /// The model.
    pub model: ModelFacts,
    /// Its channels.
    pub channels: Channels,
}

impl Known {
    /// Collects what is known before a run.
    pub fn new(prepared: &Prepared) -> Self {
        let (Network { graph, facts }, analysis) = (prepared.network(), prepared.analysis());
        let convention = prepared.options().convention;
        Self {
            model: match prepared.adapted() {
                Some(a) => {
                    let given = model(&a.given, &a.facts, analysis.whole(Unit::Macs), convention);
                    ModelFacts { rewritten: a.replaced.clone(), ..given }
                }
                None => model(prepared.model(), facts, analysis.macs_total, convention),
            },
            channels: channels(Network { graph, facts }, analysis, prepared.without_gradients()),
        }
    }
}

/// Everything about a run, to be printed and written. Nothing was typed, and nothing is written yet.
pub fn run(done: &Done, known: &Known) -> Run {
    let Done { of, outcome, certificate, data } = done;
    let (Network { graph, facts }, analysis) = (of.network(), of.analysis());
    let recovery = |r: &Recovered| recovery(r, certificate.executors());
    Run {
        program: program(),
        options: BTreeMap::new(),
        seed: of.options().seed,
        model: known.model.clone(),
        channels: known.channels.clone(),
        output: None,
        macs_target: (outcome.unit == Unit::Macs).then_some(outcome.target),
        macs_before: analysis.whole(Unit::Macs),
        macs_after: analysis.cost.hard(&outcome.plan.kept),
        parameters_before: known.model.parameters,
        parameters_after: certificate.model().graph.parameters() as u64,
        bytes_before: known.model.bytes,
        bytes_after: certificate.bytes(),
        layers: layers(Network { graph, facts }, analysis, &outcome.plan.kept),
        sliced: outcome.rewritten.sliced.clone(),
        masks: outcome.rewritten.masks.clone(),
        // What stages before the last added went into weights that were fitted since.
        biases: if outcome.stages.is_empty() { outcome.biases.clone() } else { Vec::new() },
        restated: outcome.rewritten.restated.clone(),
        agreement: outcome.agreement,
        judged_before: judged_before(Network { graph, facts }),
        recovery: outcome.recovered.as_ref().map(recovery),
        predicted: predicted(of, Some(outcome)),
        held_out: outcome.agreement.is_some_and(|a| a.images < data.images),
        training: outcome.trained.as_ref().map(training),
        dependent: outcome.dependent,
        verification: verification(certificate.verdict(), facts),
        stages: outcome.stages.clone(),
        data: DataFacts {
            source: data.source.clone(),
            images: data.images,
            labels: data.labels,
            notes: data.notes.clone(),
        },
    }
}

/// Everything about a model, to be printed and written.
pub fn inspection(prepared: &Prepared, known: Known) -> Inspection {
    let (Network { graph, facts }, analysis) = (prepared.network(), prepared.analysis());
    Inspection {
        program: program(),
        model: known.model,
        channels: known.channels,
        predicted: predicted(prepared, None),
        layers: layers(Network { graph, facts }, analysis, &analysis.kept_at_min),
    }
}

/// Predicted times of the original and of what was made of it (of the smallest reachable network, before there is any),
/// where a processor was named.
fn predicted(prepared: &Prepared, outcome: Option<&Outcome>) -> Option<Predicted> {
    let analysis = prepared.analysis();
    let (speed, time) = (prepared.options().speed.as_ref()?, analysis.time.as_ref()?);
    let milliseconds = |ns: u64| ns as f64 / 1e6;
    let made = |o: &Outcome| pruner::predicted(prepared.network(), o.graph(), speed).ok();
    let planned = || outcome.map_or(&analysis.kept_at_min, |o| &o.plan.kept);
    let after = outcome.and_then(made).unwrap_or_else(|| time.hard(planned()));
    Some(Predicted {
        cpu: speed.name.clone(),
        origin: speed.origin.clone(),
        milliseconds_before: milliseconds(analysis.whole(Unit::Time)),
        milliseconds_rewritten: prepared.adapted().map(|_| milliseconds(analysis.before(Unit::Time))),
        milliseconds_after: milliseconds(after),
        measured: outcome.and_then(|o| o.measured),
        tried: outcome.map_or_else(Vec::new, |o| o.comparisons.clone()),
        confidence: pruner::CONFIDENCE,
        milliseconds_target: outcome.filter(|o| o.unit == Unit::Time).map(|o| milliseconds(o.target)),
    })
}

/// Facts of a model file that costs `macs`, counted by `convention`.
fn model(model: &Model, facts: &Facts, macs: u64, convention: Convention) -> ModelFacts {
    let graph = &model.graph;
    let port = |v: ValueId, any_batch: bool, open: &[Option<String>]| Port {
        name: graph.values[v].name.clone(),
        shape: facts.shape(v).map(<[usize]>::to_vec),
        any_batch,
        open: open.to_vec(),
    };
    let open: Vec<bool> = (0..graph.inputs.len()).map(|k| model.input_is_symbolic_batch(k)).collect();
    let any = open.first().copied().unwrap_or(false);
    let (mut unknown_operators, mut whole_operators) = (BTreeMap::new(), BTreeMap::new());
    let unknown = unknown(Network { graph, facts });
    for (n, why) in &unknown {
        let node = &graph.nodes[*n];
        let operators = match facts.is_counted(*n, node) {
            true => whole_operators.entry(why.to_string()).or_default(),
            false => &mut unknown_operators,
        };
        *operators.entry(node.op_type.clone()).or_default() += 1;
    }
    let nodes_without_shape = facts.refusals.iter().flatten().count() - unknown.len();
    ModelFacts {
        path: model.path().display().to_string(),
        bytes: model.file_size(),
        opset: model.opset(),
        ir_version: model.ir_version(),
        producer: model.producer(),
        nodes: graph.nodes.len(),
        inputs: graph.inputs.iter().enumerate().map(|(k, &v)| port(v, open[k], model.open_axes(k))).collect(),
        outputs: graph.outputs.iter().map(|&v| port(v, any, &[])).collect(),
        parameters: graph.parameters() as u64,
        macs,
        macs_unknown: uncounted(Network { graph, facts }),
        advice: model.kind().map(|kind| kind.advice().to_owned()),
        unread: graph.unread().into_iter().map(|v| graph.values[v].name.clone()).collect(),
        unread_bytes: graph.unread().into_iter().filter_map(|v| graph.initializer(v)).map(stored).sum(),
        flops_convention: convention,
        unknown_operators,
        whole_operators,
        proved_at: facts.elsewhere.iter().filter_map(|f| Some(shapes(&f.inputs(graph)?))).collect(),
        false_declarations: model.false_declarations().unwrap_or_default(),
        nodes_without_shape,
        computed: graph.computed.values().map(|(v, _)| graph.values[*v].name.clone()).collect(),
        decided: model.decided(),
        rewritten: Vec::new(),
        cautions: cautions(Network { graph, facts }),
    }
}

fn shapes(facts: &[Fact]) -> Vec<Shape> {
    facts.iter().map(|f| f.shape.clone()).collect()
}

/// Bytes of a constant's elements.
fn stored(t: &Tensor) -> u64 {
    (t.len() * t.dtype().size()) as u64
}

/// Nodes with stored weights whose multiply-accumulates are not known: they, or what they read, cannot be analysed.
fn uncounted(Network { graph, facts }: Network) -> usize {
    let weighs = |node: &Node| {
        let weight = |&v: &ValueId| facts.constant[v].as_ref().is_some_and(|t| t.shape().len() > 1);
        node.inputs.iter().flatten().any(weight)
    };
    let unknown = |&(n, node): &(NodeId, &Node)| !facts.is_counted(n, node) && weighs(node);
    graph.nodes.iter().enumerate().filter(unknown).count()
}

fn cautions(Network { graph, facts }: Network) -> Vec<String> {
    let one = |node: &Node| {
        let (x, y) = facts.operands(node).zip(facts.results(node))?;
        let caution = node.op.caution(&Io { x: &x, y: &y })?;
        Some(format!("'{}' ({}) {caution}", node.name, node.op_type))
    };
    graph.nodes.iter().filter_map(one).collect()
}

/// The first node that our executor cannot run, if an output of the network depends on it.
fn judged_before(network: Network) -> Option<String> {
    let graph = network.graph;
    let reach = Reach::computed(network);
    let missing = graph.outputs.iter().find(|&&v| !reach.values[v])?;
    let node = graph.producer(*missing).and_then(|n| reach.blocker[n])?;
    Some(graph.nodes[node].name.clone())
}

/// Free and frozen channels; `unlearned` is what criteria without gradients reach, where gates do not get as far.
fn channels(network: Network, analysis: &Analysis, unlearned: Option<u64>) -> Channels {
    let graph = network.graph;
    let groups = &analysis.groups;
    let weighted: BTreeSet<NodeId> = layers_of(network).into_iter().map(|l| l.node).collect();
    let one = |g: &coupling::Group| {
        let producers = g.axes.iter().filter_map(|&(v, _)| graph.producer(v));
        let tied: BTreeSet<NodeId> =
            producers.filter(|n| weighted.contains(n) && graph.nodes[*n].name != g.name).collect();
        Group {
            layer: g.name.clone(),
            channels: g.classes.len(),
            tied: tied.into_iter().map(|n| graph.nodes[n].name.clone()).collect(),
        }
    };
    let frozen = groups.frozen.iter().map(|f| Frozen {
        layer: f.name.clone(),
        channels: f.channels,
        node: f.node.clone(),
        why: f.why.clone(),
    });
    Channels {
        groups: groups.groups.iter().map(one).collect(),
        frozen: frozen.collect(),
        lossless: analysis.dead.iter().filter(|dead| **dead).count(),
        unlearned: analysis.unlearned.clone(),
        macs_smallest: analysis.macs_min,
        macs_smallest_unlearned: unlearned,
    }
}

/// Every layer, before and after deleting the classes that `kept` marks false.
fn layers(network: Network, analysis: &Analysis, kept: &[bool]) -> Vec<Layer> {
    let Network { graph, facts } = network;
    let groups = &analysis.groups;
    let before = analysis.cost.per_node(&vec![true; kept.len()]);
    let after = analysis.cost.per_node(kept);
    let times = analysis.time.as_ref().map(|t| [t.per_node(&vec![true; kept.len()]), t.per_node(kept)]);
    let milliseconds = |k: usize, n: NodeId| times.as_ref().map(|t| t[k][n] as f64 / 1e6);
    let one = |layer: Weighted| {
        let n = layer.node;
        let node = &graph.nodes[n];
        Layer {
            name: node.name.clone(),
            operator: node.op_type.clone(),
            channels_before: layer.width(facts),
            channels_after: layer.width_kept(groups, facts, kept),
            macs_before: before[n],
            macs_after: after[n],
            parameters: parameters(facts, node),
            milliseconds_before: milliseconds(0, n),
            milliseconds_after: milliseconds(1, n),
        }
    };
    layers_of(network).into_iter().map(one).collect()
}

/// A node with multiply-accumulates.
struct Weighted {
    node: NodeId,
    /// Its first result.
    result: ValueId,
    /// The result's axis of output channels.
    axis: usize,
}

impl Weighted {
    /// Output channels.
    fn width(&self, facts: &Facts) -> usize {
        facts.shape(self.result).map_or(0, |s| s[self.axis])
    }

    /// Output channels whose classes are kept.
    fn width_kept(&self, groups: &Groups, facts: &Facts, kept: &[bool]) -> usize {
        match groups.axis(self.result, self.axis) {
            [] => self.width(facts),
            classes => classes.iter().filter(|c| c.get().is_none_or(|c| kept[c])).count(),
        }
    }
}

/// Nodes with multiply-accumulates, in the graph's order.
fn layers_of(Network { graph, facts }: Network) -> Vec<Weighted> {
    let layer = |(n, node): (NodeId, &Node)| {
        let (x, y) = facts.operands(node).zip(facts.results(node))?;
        let widths: Vec<Axis> =
            node.op.cost(&Io { x: &x, y: &y }).macs().into_iter().flat_map(|p| p.widths).collect();
        let v = node.outputs.first().copied().flatten()?;
        let out = widths.iter().find(|a| matches!(a.port, graph::Port::Out(0))).map(|a| a.axis);
        let counted = !widths.is_empty() && facts.constant[v].is_none();
        let axis = out.or_else(|| facts.shape(v)?.len().checked_sub(1))?;
        counted.then_some(Weighted { node: n, result: v, axis })
    };
    graph.nodes.iter().enumerate().filter_map(layer).collect()
}

/// Numbers in the constants that a node uses.
fn parameters(facts: &Facts, node: &Node) -> u64 {
    let used = node.inputs.iter().flatten().filter_map(|&v| facts.constant[v].as_ref());
    used.filter(|t| t.is_parameters()).map(|t| t.len() as u64).sum()
}

/// The training, where there was one.
fn training(trained: &Trained) -> Training {
    let Trained { best, history, changes, trace, settled, target, previous_target: before, .. } =
        trained.clone();
    Training { steps: history.len(), best, settled, target, before, history, changes, trace }
}

/// The recovery's steps; `executors` is how far tract and our executor are apart with the new weights.
fn recovery(r: &Recovered, executors: Option<f64>) -> Recovery {
    let tuning = |t: &Finetuned| Tuning {
        epochs: t.epochs.clone(),
        best: t.best,
        lr: t.lr,
        augment: t.augment.to_string(),
    };
    Recovery {
        agreement: r.tuned.as_ref().map_or(r.fitted, |t| t.agreement),
        fitted: r.fitted,
        layers: r.layers.clone(),
        tuning: r.tuned.as_ref().map(tuning),
        executors,
    }
}

/// The verdict over a network with these facts.
fn verification(v: &Verdict, facts: &Facts) -> Verification {
    Verification {
        samples: v.samples,
        absolute: v.absolute,
        relative: v.relative,
        rounding: v.rounding,
        tract: v.tract.as_ref().ok().copied(),
        tract_says: v.tract.as_ref().err().cloned(),
        elsewhere: v.elsewhere.clone(),
        tract_samples: tried_in_tract(facts, v.samples),
        tract_rounding: v.tract_rounding,
        tract_allowed: allowed(facts, v.tract_rounding),
        apart: v.apart,
        disagree: v.apart.is_some_and(|apart| disagree(facts, apart)),
        tolerance: TOLERANCE,
        pass: v.pass,
    }
}
