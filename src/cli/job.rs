//! One pruning run from model to verified model: what `prune` and `demo` share.
//!
//! Takes: a model, options, data. Gives: [`Done`]. Never: writes a file; calls unverified work done.

use super::talk::Talk;
use autobot_onnx::channels::Groups;
use autobot_onnx::cost::Cost;
use autobot_onnx::grad::Pool;
use autobot_onnx::ir::{Fact, Facts, Graph};
use autobot_onnx::learn::calib::Calibration;
use autobot_onnx::onnx::{self, InputShape, Model, Written};
use autobot_onnx::pipeline::{self, Analysis, Criterion, Observer, Options, Outcome};
use autobot_onnx::report::{gather, json, text};
use autobot_onnx::verify::{self, Verdict};
use autobot_onnx::{Error, Result, learn, rewrite};
use std::collections::BTreeMap;
use std::path::Path;

/// A model that was read, with what is known about it.
pub struct Job {
    pub model: Model,
    pub facts: Facts,
    pub options: Options,
    pub analysis: Analysis,
    /// The model, as it is reported.
    pub known: json::ModelFacts,
    /// Its channels, as they are reported.
    pub channels: json::Channels,
    /// Whether initializers that nothing reads are left out of the small file.
    pub drop_unused: bool,
}

/// A run that came to its end.
pub struct Done {
    pub small: Model,
    pub outcome: Outcome,
    pub verdict: Verdict,
    /// How far tract and our executor are apart with recovered weights, as a share of the output's range.
    pub executors: Option<f64>,
    /// Size of the small file.
    pub bytes: u64,
    /// The message that was run in tract; none where it takes more than one message may.
    proved: Option<Vec<u8>>,
}

impl Done {
    /// Writes the small network: the bytes that were run in tract, read back from the disk before they take their name.
    pub fn write(&self, path: &Path) -> Result<Written> {
        match &self.proved {
            Some(proved) => self.small.write_proved(path, proved),
            None => self.small.write(path),
        }
    }
}

impl Job {
    /// Analyses a model. `bytes` is its file's size, without external data.
    pub fn new(model: Model, bytes: u64, options: Options) -> Result<Self> {
        let bytes = bytes + model.external_size();
        let facts = model.facts()?;
        let analysis = pipeline::analyse(&model.graph, &facts, &options)?;
        let known = gather::model(&model, &facts, bytes, analysis.full, options.convention);
        let unlearned = match analysis.unlearned.is_empty() {
            true => None,
            false => {
                let options = Options { criterion: Criterion::L1, ..options.clone() };
                Some(pipeline::analyse(&model.graph, &facts, &options)?.smallest)
            }
        };
        let channels = gather::channels(&model.graph, &facts, &analysis, unlearned);
        Ok(Self { model, facts, options, analysis, known, channels, drop_unused: false })
    }

    /// Refuses a target that makes no sense; else gives it as the analysis counts it.
    pub fn target(&self) -> Result<u64> {
        if self.analysis.groups.classes.is_empty() {
            return Err(self.nothing_to_prune());
        }
        let target = pipeline::target_cost(&self.analysis, self.options.target);
        target.map_err(|e| match (e, &self.known.advice) {
            (Error::Argument { argument, reason, hint }, Some(advice))
                if !self.analysis.unlearned.is_empty() =>
            {
                Error::Argument { argument, reason, hint: format!("{advice}; or {hint}") }
            }
            (e, _) => e,
        })
    }

    fn nothing_to_prune(&self) -> Error {
        let graph = &self.model.graph;
        let unknown = learn::unknown(graph, &self.facts).into_iter();
        let nodes: Vec<String> = unknown
            .map(|(n, why)| format!("'{}' ({}): {why}", graph.nodes[n].name, graph.nodes[n].op_type))
            .collect();
        if !nodes.is_empty() {
            let hint = "cut the model before these nodes, or export it without them";
            let hint = self.known.advice.as_deref().unwrap_or(hint).to_owned();
            return Error::Unsupported { nodes, hint };
        }
        let path = &self.known.path;
        if self.analysis.full == 0 {
            let hint =
                "give a convolutional network whose Conv, Gemm or MatMul weights are stored in the file";
            return Error::graph(format!("{path}: the network has no layer with weights to prune"), hint);
        }
        let hint = "'autobot-onnx inspect' tells the reason for each layer";
        Error::graph(format!("{path}: not one channel can be deleted"), hint)
    }

    /// Refuses what would have to be written for the analysed sizes only although the file leaves sizes open.
    pub fn check_open_sizes(&self) -> Result<()> {
        let network = (&self.model.graph, &self.facts);
        pipeline::check_open_sizes(network, &self.analysis, &self.options, self.model.opset())
    }

    /// Prints what is known before the run.
    pub fn announce(&self, talk: Talk) {
        talk.facts(&text::facts(&self.known, &self.channels));
    }

    /// Trains, rewrites, verifies.
    pub fn run(&self, data: &Calibration, observer: &mut dyn Observer) -> Result<Done> {
        let (graph, facts) = (&self.model.graph, &self.facts);
        let (analysis, opset) = (&self.analysis, self.model.opset());
        let outcome = pipeline::prune(graph, facts, analysis, data, &self.options, opset, observer)?;
        observer.proving(outcome.rewritten.graph.nodes.len());
        let source = outcome.source.as_ref().unwrap_or(graph);
        let masked = rewrite::masked(source, &outcome.rewritten.masks, &outcome.biases)?;
        let message = |graph: &Graph| {
            let model = self.model.with_graph(graph.clone())?;
            if model.calls_functions() { Ok(None) } else { model.message() }
        };
        let files = [message(graph)?, message(&masked)?, message(&outcome.rewritten.graph)?];
        let mut graph_to_write = outcome.graph().clone();
        if self.drop_unused {
            graph_to_write.unread().into_iter().for_each(|v| graph_to_write.leave_out(v));
        }
        let small = self.model.with_graph(graph_to_write)?;
        let inputs = facts.inputs(graph).unwrap_or_default();
        let pool = Pool::new(self.options.threads)?;
        let bytes = files.each_ref().map(Option::as_deref);
        let mut verdict = pipeline::verdict(&outcome, (graph, facts), &masked, bytes, &pool)?;
        if verdict.tract.is_err() && self.model.calls_functions() {
            verdict.tract = Err("it does not know functions that a model defines itself".into());
        }
        verdict.elsewhere = verify::sizes::elsewhere(
            (graph, facts),
            (&masked, &outcome.rewritten.graph),
            bytes[1].zip(bytes[2]),
            &outcome.samples,
            &pool,
        )?;
        verdict.pass &= verdict.elsewhere.iter().all(verify::sizes::AtSizes::pass);
        let bytes = small.message()?;
        let is_proved = bytes == files[2];
        drop((masked, files));
        // What is written in other bytes than those above is run in tract, too.
        let executors = match &bytes {
            Some(bytes) if !is_proved => {
                self.same_everywhere(&small, bytes, &outcome, verdict.apart, &pool)?
            }
            _ => None,
        };
        let executors = executors.filter(|_| outcome.recovered.is_some());
        let planned = self.analysis.cost.hard(&outcome.plan.kept);
        self.read_again(&small, bytes.as_deref(), &inputs, planned)?;
        let size = bytes.as_ref().map_or_else(|| small.size(), |b| b.len() as u64);
        Ok(Done { small, outcome, verdict, executors, bytes: size, proved: bytes })
    }

    /// A network with other weights than the original's has nothing to be equal to but itself: what will be written must give
    /// in tract what it gives in our executor.
    fn same_everywhere(
        &self,
        small: &Model,
        bytes: &[u8],
        outcome: &Outcome,
        apart: Option<f64>,
        pool: &Pool,
    ) -> Result<Option<f64>> {
        let facts = verify::facts_like(&self.model.graph, &self.facts, &small.graph)?;
        let (network, samples) = ((&small.graph, &facts), &outcome.samples);
        let original = (&self.model.graph, &self.facts);
        verify::sizes::executors_elsewhere(original, &small.graph, bytes, apart, samples, pool)?;
        let Ok(d) = verify::compare_executors(network, bytes, samples, pool)? else { return Ok(None) };
        if !verify::near_enough(network, d, apart, samples, pool)? {
            return Err(Error::Verification {
                reason: format!(
                    "with the fitted weights tract and our executor differ by {d:.1e} of the range"
                ),
                hint: "nothing was written; please report this model, and try --recover none".into(),
            });
        }
        Ok(Some(d))
    }

    /// The last check: what will be written is read, and must cost what was planned.
    fn read_again(&self, small: &Model, bytes: Option<&[u8]>, inputs: &[Fact], planned: u64) -> Result<()> {
        let graph = match bytes {
            Some(bytes) => {
                let read = |given: &[InputShape]| onnx::parse(bytes, self.model.path(), given);
                read(&[]).or_else(|_| read(&shapes(&self.model, inputs)))?.graph
            }
            // More than one message may take: the graph itself.
            None => small.graph.clone(),
        };
        let facts = autobot_onnx::ir::infer(&graph, Some(inputs))?;
        let macs = Cost::new(&graph, &facts, &Groups::default(), self.options.convention).hard(&[]);
        if macs == planned {
            return Ok(());
        }
        Err(Error::Verification {
            reason: format!("the file costs {macs} MACs where {planned} were planned"),
            hint: "nothing was written; please report this model".into(),
        })
    }

    /// Predicted times of the original and of what was made of it (of the smallest reachable network, before there is any),
    /// where a processor was named.
    pub fn predicted(&self, done: Option<&Done>) -> Option<json::Predicted> {
        let (speed, time) = (self.options.speed.as_ref()?, self.analysis.time.as_ref()?);
        let milliseconds = |ns: u64| ns as f64 / 1e6;
        let original = (&self.model.graph, &self.facts);
        let made = |done: &Done| pipeline::predicted(original, &done.small.graph, speed).ok();
        let planned = || done.map_or(&self.analysis.least, |d| &d.outcome.plan.kept);
        let after = done.and_then(made).unwrap_or_else(|| time.hard(planned()));
        Some(json::Predicted {
            cpu: speed.name.clone(),
            origin: speed.origin.clone(),
            milliseconds_before: milliseconds(time.hard(&vec![true; self.analysis.least.len()])),
            milliseconds_after: milliseconds(after),
            measured: done.and_then(|d| d.outcome.measured),
            milliseconds_target: done
                .filter(|_| self.options.target.is_time())
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
        let (graph, outcome) = (&self.model.graph, &done.outcome);
        json::Run {
            program: gather::program(),
            options,
            seed: self.options.seed,
            model: self.known.clone(),
            channels: self.channels.clone(),
            output,
            macs_target: (!self.options.target.is_time()).then_some(outcome.target),
            macs_before: self.analysis.full,
            macs_after: self.analysis.cost.hard(&outcome.plan.kept),
            parameters_before: self.known.parameters,
            parameters_after: done.small.graph.parameters() as u64,
            bytes_before: self.known.bytes,
            bytes_after: done.bytes,
            layers: gather::layers(graph, &self.facts, &self.analysis, &outcome.plan.kept),
            sliced: outcome.rewritten.sliced.clone(),
            masks: outcome.rewritten.masks.clone(),
            // What stages before the last added went into weights that were fitted since.
            biases: if outcome.stages.is_empty() { outcome.biases.clone() } else { Vec::new() },
            restated: outcome.rewritten.restated.clone(),
            agreement: outcome.agreement,
            judged_before: gather::judged_before(graph, &self.facts),
            recovery: outcome.recovered.as_ref().map(|r| gather::recovery(r, done.executors)),
            predicted: self.predicted(Some(done)),
            held_out: outcome.agreement.is_some_and(|a| a.images < data.images),
            training: outcome.trained.as_ref().map(gather::training),
            verification: gather::verification(&done.verdict, &self.facts),
            stages: outcome.stages.clone(),
            data,
        }
    }
}

/// The inputs' shapes, stated for a file that leaves them open.
fn shapes(model: &Model, inputs: &[Fact]) -> Vec<onnx::InputShape> {
    let names = model.graph.inputs.iter().map(|&v| model.graph.values[v].name.clone());
    names.zip(inputs).map(|(n, f)| onnx::InputShape { name: Some(n), shape: f.shape.clone() }).collect()
}
