//! A model that was analysed, and a run on it.
//!
//! Takes: a model with options, then a target and data. Gives: a [`Done`], with all that was measured and its certificate.
//! Never: says that a network can be written; [`Done::proved`] does, by the certificate.

use super::{Adapted, Aim, Analysis, Criterion, Events, Options, Outcome, Start, Target, Task, Unit};
use crate::cost::Cost;
use crate::coupling::Groups;
use crate::data::{BoundDataset, InputSpec, Summary};
use crate::error::{Error, Result};
use crate::exec::{self, Pool};
use crate::gates;
use crate::graph::{Facts, Graph, Network};
use crate::onnx::{Kind, Model};
use crate::verify::certify::{Certificate, Claim, Planned, certify};
use std::sync::Arc;

/// A model that is to be pruned, with its analysis.
#[derive(Debug)]
pub struct Prepared {
    /// The model that was given, where another one that is equal to it is cut.
    adapted: Option<Adapted>,
    /// The model that is cut.
    model: Model,
    facts: Facts,
    options: Options,
    analysis: Analysis,
    drop_unused: bool,
}

/// A run that came to its end.
#[derive(Debug)]
pub struct Done {
    /// The pruned model.
    pub of: Arc<Prepared>,
    /// All that was measured on the way.
    pub outcome: Outcome,
    /// The proof, and the bytes that it is of.
    pub certificate: Certificate,
    /// The data.
    pub data: Summary,
}

impl Prepared {
    /// Analyses a model for targets in a unit. Errors where it contradicts the operators' definitions, or the options do not fit
    /// it.
    pub fn new(model: Model, options: Options, unit: Unit) -> Result<Self> {
        let adapted = match options.adapt {
            true => Some(Adapted::new(model.clone(), options.threads, options.seed)?),
            false => None,
        };
        let adapted = adapted.filter(|adapted| !adapted.replaced.is_empty());
        let model = adapted.as_ref().map_or(Ok(model), Adapted::model)?;
        let facts = model.facts()?;
        let mut analysis = super::analyse(Network::new(&model.graph, &facts), &options, unit)?;
        analysis.given = adapted.as_ref().map(|a| {
            let (given, none) = (Network::new(&a.given.graph, &a.facts), Groups::default());
            let time = options.speed.as_ref().map(|speed| Cost::latency(given, &none, speed).hard(&[]));
            [Cost::new(given, &none, options.convention).hard(&[]), time.unwrap_or_default()]
        });
        Ok(Self { adapted, model, facts, options, analysis, drop_unused: false })
    }

    /// Leaves initializers that nothing reads out of the small network.
    pub fn dropping_unused(mut self, wanted: bool) -> Self {
        self.drop_unused = wanted;
        self
    }

    /// The model that was given with what was replaced in it, where another one that is equal to it is cut.
    pub fn adapted(&self) -> Option<&Adapted> {
        self.adapted.as_ref()
    }

    /// The model that is cut.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Its graph with types and shapes.
    pub fn network(&self) -> Network<'_> {
        Network::new(&self.model.graph, &self.facts)
    }

    /// Facts of its values.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Groups, costs and reach.
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// The inputs that data have to fit. Errors where none of them can be fed.
    pub fn inputs(&self) -> Result<Vec<InputSpec>> {
        gates::inputs(self.network())
    }

    /// The smallest reachable MACs for a criterion that needs no gradients; none where gates reach them too.
    pub fn without_gradients(&self) -> Option<u64> {
        if self.analysis.unlearned.is_empty() {
            return None;
        }
        let options = Options { criterion: Criterion::L1, ..self.options.clone() };
        // What can be analysed by one criterion can be by another.
        let analysis = super::analyse(self.network(), &options, self.analysis.unit);
        analysis.ok().map(|a| a.macs_min)
    }

    /// Checks a target. Errors where nothing can be cut, or the target is more than the network has or out of reach.
    pub fn aim(&self, target: Target) -> Result<Aim<'_>> {
        if self.analysis.groups.classes.is_empty() {
            return Err(self.nothing_to_prune());
        }
        self.analysis.aim(target)
    }

    fn nothing_to_prune(&self) -> Error {
        let graph = &self.model.graph;
        let unknown = exec::unknown(self.network()).into_iter();
        let nodes: Vec<String> = unknown
            .map(|(n, why)| format!("'{}' ({}): {why}", graph.nodes[n].name, graph.nodes[n].op_type))
            .collect();
        if !nodes.is_empty() {
            let hint = "cut the model before these nodes, or export it without them";
            let hint = self.model.kind().map_or(hint, Kind::advice).to_owned();
            return Error::Unsupported { nodes, hint };
        }
        let path = self.model.path().display();
        if self.analysis.macs_total == 0 {
            let hint =
                "give a convolutional network whose Conv, Gemm or MatMul weights are stored in the file";
            return Error::graph(format!("{path}: the network has no layer with weights to prune"), hint);
        }
        let hint = "'autobot-onnx inspect' tells the reason for each layer";
        Error::graph(format!("{path}: not one channel can be deleted"), hint)
    }

    /// Errors where the small network would fit the analysed sizes only although the file leaves sizes open.
    pub fn check_open_sizes(&self) -> Result<()> {
        super::check_open_sizes(self.network(), &self.analysis, &self.options, self.model.opset())
    }

    /// Trains, rewrites, recovers, and has the result certified. Errors where the target is out of reach, or a link of the chain
    /// breaks; a difference that is too large is in the certificate.
    pub fn run(
        self: &Arc<Self>,
        target: Target,
        data: &BoundDataset,
        mut start: Start,
        events: &mut dyn Events,
    ) -> Result<Done> {
        let (network, options, aim) = (self.network(), &self.options, self.aim(target)?);
        let task = Task { network, opset: self.model.opset(), aim: &aim, data, options };
        let outcome = super::prune(&task, &mut start, events)?;
        events.proving(outcome.rewritten.graph.nodes.len());
        let claim = Claim {
            original: &self.model,
            facts: &self.facts,
            source: outcome.source.as_ref().unwrap_or(&self.model.graph),
            cut: &outcome.rewritten,
            biases: &outcome.biases,
            proof: outcome.proof,
            result: self.to_write(&outcome),
            recovered: outcome.recovered.is_some(),
            samples: &outcome.samples,
            planned: Planned {
                convention: options.convention,
                macs: self.analysis.cost.hard(&outcome.plan.kept),
                // What was measured counts for what was predicted.
                amount: outcome.measured.map_or(outcome.plan.cost, |c| c.of(aim.total())),
                target: outcome.target,
            },
        };
        let certificate = certify(claim, &Pool::new(options.threads)?)?;
        Ok(Done { of: self.clone(), outcome, certificate, data: data.summary() })
    }

    fn to_write(&self, outcome: &Outcome) -> Graph {
        let mut graph = outcome.graph().clone();
        if self.drop_unused {
            graph.unread().into_iter().for_each(|v| graph.leave_out(v));
        }
        graph
    }
}
