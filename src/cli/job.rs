//! One pruning run from model to verified model: what `prune` and `demo` share.
//!
//! Takes: a model, options. Gives: a [`Pruner`] and what is reported of it and of its runs. Never: writes a file.

use super::talk::Talk;
use autobot_onnx::onnx::Model;
use autobot_onnx::pruner::{self, Done, Options, Pruner, Target};
use autobot_onnx::report::{gather, json, text};
use autobot_onnx::{Error, Result};
use std::collections::BTreeMap;

/// A model that was read, with what is known about it.
pub struct Job {
    pub pruner: Pruner,
    /// The model, as it is reported.
    pub known: json::ModelFacts,
    /// Its channels, as they are reported.
    pub channels: json::Channels,
}

impl Job {
    /// Analyses a model. `bytes` is its file's size, without external data.
    pub fn new(model: Model, bytes: u64, options: Options) -> Result<Self> {
        let bytes = bytes + model.external_size();
        let convention = options.convention;
        let pruner = Pruner::new(model, options)?;
        let (model, facts, analysis) = (pruner.model(), pruner.facts(), pruner.analysis());
        let known = gather::model(model, facts, bytes, analysis.macs_total, convention);
        let channels = gather::channels(&model.graph, facts, analysis, pruner.without_gradients()?);
        Ok(Self { pruner, known, channels })
    }

    /// Takes aim at a target, which is refused where it makes no sense; gives it as the analysis counts it.
    pub fn aim(&mut self, target: Target) -> Result<u64> {
        if self.pruner.analysis().groups.classes.is_empty() {
            return Err(self.nothing_to_prune());
        }
        let aimed = self.pruner.aim(target);
        let unlearned = !self.pruner.analysis().unlearned.is_empty();
        aimed.map_err(|e| match (e, &self.known.advice) {
            (Error::Argument { setting, reason, hint }, Some(advice)) if unlearned => {
                Error::Argument { setting, reason, hint: format!("{advice}; or {hint}") }
            }
            (e, _) => e,
        })
    }

    fn nothing_to_prune(&self) -> Error {
        let graph = &self.pruner.model().graph;
        let unknown = autobot_onnx::exec::unknown(graph, self.pruner.facts()).into_iter();
        let nodes: Vec<String> = unknown
            .map(|(n, why)| format!("'{}' ({}): {why}", graph.nodes[n].name, graph.nodes[n].op_type))
            .collect();
        if !nodes.is_empty() {
            let hint = "cut the model before these nodes, or export it without them";
            let hint = self.known.advice.as_deref().unwrap_or(hint).to_owned();
            return Error::Unsupported { nodes, hint };
        }
        let path = &self.known.path;
        if self.pruner.analysis().macs_total == 0 {
            let hint =
                "give a convolutional network whose Conv, Gemm or MatMul weights are stored in the file";
            return Error::graph(format!("{path}: the network has no layer with weights to prune"), hint);
        }
        let hint = "'autobot-onnx inspect' tells the reason for each layer";
        Error::graph(format!("{path}: not one channel can be deleted"), hint)
    }

    /// Prints what is known before the run.
    pub fn announce(&self, talk: Talk) {
        talk.facts(&text::facts(&self.known, &self.channels));
    }

    /// Predicted times of the original and of what was made of it (of the smallest reachable network, before there is any),
    /// where a processor was named.
    pub fn predicted(&self, done: Option<&Done>) -> Option<json::Predicted> {
        let analysis = self.pruner.analysis();
        let (speed, time) = (self.pruner.options().speed.as_ref()?, analysis.time.as_ref()?);
        let milliseconds = |ns: u64| ns as f64 / 1e6;
        let original = (&self.pruner.model().graph, self.pruner.facts());
        let made = |done: &Done| pruner::predicted(original, done.outcome.graph(), speed).ok();
        let planned = || done.map_or(&analysis.kept_at_min, |d| &d.outcome.plan.kept);
        let after = done.and_then(made).unwrap_or_else(|| time.hard(planned()));
        Some(json::Predicted {
            cpu: speed.name.clone(),
            origin: speed.origin.clone(),
            milliseconds_before: milliseconds(time.hard(&vec![true; analysis.kept_at_min.len()])),
            milliseconds_after: milliseconds(after),
            measured: done.and_then(|d| d.outcome.measured),
            milliseconds_target: done
                .filter(|_| self.pruner.options().target.is_time())
                .map(|d| milliseconds(d.outcome.target)),
        })
    }

    /// Everything about the run, to be printed and written.
    pub fn report(
        &self,
        done: &Done,
        data: json::DataFacts,
        options: BTreeMap<String, serde_json::Value>,
        output: Option<String>,
    ) -> json::Run {
        let (graph, outcome) = (&self.pruner.model().graph, &done.outcome);
        let (facts, analysis) = (self.pruner.facts(), self.pruner.analysis());
        json::Run {
            program: gather::program(),
            options,
            seed: self.pruner.options().seed,
            model: self.known.clone(),
            channels: self.channels.clone(),
            output,
            macs_target: (!self.pruner.options().target.is_time()).then_some(outcome.target),
            macs_before: analysis.macs_total,
            macs_after: analysis.cost.hard(&outcome.plan.kept),
            parameters_before: self.known.parameters,
            parameters_after: done.parameters as u64,
            bytes_before: self.known.bytes,
            bytes_after: done.bytes,
            layers: gather::layers(graph, facts, analysis, &outcome.plan.kept),
            sliced: outcome.rewritten.sliced.clone(),
            masks: outcome.rewritten.masks.clone(),
            // What stages before the last added went into weights that were fitted since.
            biases: if outcome.stages.is_empty() { outcome.biases.clone() } else { Vec::new() },
            restated: outcome.rewritten.restated.clone(),
            agreement: outcome.agreement,
            judged_before: gather::judged_before(graph, facts),
            recovery: outcome.recovered.as_ref().map(|r| gather::recovery(r, done.executors)),
            predicted: self.predicted(Some(done)),
            held_out: outcome.agreement.is_some_and(|a| a.images < data.images),
            training: outcome.trained.as_ref().map(gather::training),
            verification: gather::verification(&done.verdict, facts),
            stages: outcome.stages.clone(),
            data,
        }
    }
}
