//! The way for callers: a model, options and images in, a network that was proved out.
//!
//! Takes: a model with options, calibration data. Gives: a [`Done`], with all that was measured, and in it a [`Pruned`], which alone
//! can be written.
//! Never: makes a [`Pruned`] that was not proved, in our executor and, if it runs there, in tract, as the very bytes to be written.

use super::{Analysis, Criterion, Observer, Options, Outcome, Target};
use crate::cost::Cost;
use crate::coupling::Groups;
use crate::data::Calibration;
use crate::data::InputSpec;
use crate::error::{Error, Result};
use crate::exec::Pool;
use crate::gates::{self};
use crate::graph::{Fact, Facts, Graph, infer};
use crate::onnx::{self, InputShape, Model, Written};
use crate::rewrite;
use crate::setting::Setting;
use crate::verify::{self, Verdict};
use std::path::Path;

/// A model that is to be pruned, with what is known about it.
#[derive(Debug)]
pub struct Pruner {
    model: Model,
    facts: Facts,
    options: Options,
    analysis: Analysis,
    drop_unused: bool,
}

/// A run that came to its end.
#[derive(Debug)]
pub struct Done {
    /// All that was measured on the way.
    pub outcome: Outcome,
    /// How far the small network is from the masked original.
    pub verdict: Verdict,
    /// How far tract and our executor are apart with recovered weights, as a share of the output's range.
    pub executors: Option<f64>,
    /// Stored numbers of the small network.
    pub parameters: usize,
    /// Bytes of its file.
    pub bytes: u64,
    /// What can be written; none where the verdict is no.
    pub pruned: Option<Pruned>,
}

/// A smaller network that was proved.
#[derive(Debug)]
pub struct Pruned {
    small: Model,
    /// The message that was run in tract; none where it takes more than one message may.
    proved: Option<Vec<u8>>,
}

impl Pruned {
    /// The small network.
    pub fn model(&self) -> &Model {
        &self.small
    }

    /// Writes it: the bytes that were run in tract, read back from the disk before they take their name. A file that is there is
    /// replaced as a whole, or left as it is on an error.
    pub fn write(&self, path: &Path) -> Result<Written> {
        match &self.proved {
            Some(proved) => self.small.write_proved(path, proved),
            None => self.small.write(path),
        }
    }
}

impl Pruner {
    /// Analyses a model. Errors where it contradicts the operators' definitions, or the options do not fit it.
    pub fn new(model: Model, options: Options) -> Result<Self> {
        let facts = model.facts()?;
        let analysis = super::analyse(&model.graph, &facts, &options)?;
        Ok(Self { model, facts, options, analysis, drop_unused: false })
    }

    /// Leaves initializers that nothing reads out of the small network.
    pub fn dropping_unused(mut self, wanted: bool) -> Self {
        self.drop_unused = wanted;
        self
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What is known of its values.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The options, with the present target.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What can be cut.
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// The inputs that calibration data have to fit. Errors where none of them can be fed.
    pub fn inputs(&self) -> Result<Vec<InputSpec>> {
        gates::inputs(&self.model.graph, &self.facts)
    }

    /// The smallest reachable cost for a criterion that needs no gradients; none where gates reach it too.
    pub fn without_gradients(&self) -> Result<Option<u64>> {
        if self.analysis.unlearned.is_empty() {
            return Ok(None);
        }
        let options = Options { criterion: Criterion::L1, ..self.options.clone() };
        Ok(Some(super::analyse(&self.model.graph, &self.facts, &options)?.macs_min))
    }

    /// Takes aim at a target, and gives it as the analysis counts it: MACs, or nanoseconds for a time. Errors where it is more than
    /// the network has, or cannot be reached.
    pub fn aim(&mut self, target: Target) -> Result<u64> {
        let other = target.is_time() != self.options.target.is_time();
        self.options.target = target;
        if other {
            self.analysis = super::analyse(&self.model.graph, &self.facts, &self.options)?;
        }
        super::target_cost(&self.analysis, target)
    }

    /// Errors where the small network would fit the analysed sizes only although the file leaves sizes open.
    pub fn check_open_sizes(&self) -> Result<()> {
        let network = (&self.model.graph, &self.facts);
        super::check_open_sizes(network, &self.analysis, &self.options, self.model.opset())
    }

    /// Trains, rewrites, recovers, and proves.
    pub fn run(&self, data: &Calibration, observer: &mut dyn Observer) -> Result<Done> {
        let (graph, facts, opset) = (&self.model.graph, &self.facts, self.model.opset());
        let outcome = super::prune(graph, facts, &self.analysis, data, &self.options, opset, observer)?;
        observer.proving(outcome.rewritten.graph.nodes.len());
        let source = outcome.source.as_ref().unwrap_or(graph);
        let masked = rewrite::masked(source, &outcome.rewritten.masks, &outcome.biases)?;
        let files = [self.message(graph)?, self.message(&masked)?, self.message(&outcome.rewritten.graph)?];
        let pool = Pool::new(self.options.threads)?;
        let bytes = files.each_ref().map(Option::as_deref);
        let mut verdict = super::verdict(&outcome, (graph, facts), &masked, bytes, &pool)?;
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
        let small = self.model.with_graph(self.to_write(&outcome))?;
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
        self.read_again(&small, bytes.as_deref(), self.analysis.cost.hard(&outcome.plan.kept))?;
        let size = bytes.as_ref().map_or_else(|| small.size(), |bytes| bytes.len() as u64);
        let parameters = small.graph.parameters();
        let pruned = verdict.pass.then_some(Pruned { small, proved: bytes });
        Ok(Done { outcome, verdict, executors, parameters, bytes: size, pruned })
    }

    /// The file with a graph in it; none where tract could not run it for what calls it, or it takes more than one message may.
    fn message(&self, graph: &Graph) -> Result<Option<Vec<u8>>> {
        let model = self.model.with_graph(graph.clone())?;
        if model.calls_functions() { Ok(None) } else { model.message() }
    }

    fn to_write(&self, outcome: &Outcome) -> Graph {
        let mut graph = outcome.graph().clone();
        if self.drop_unused {
            graph.unread().into_iter().for_each(|v| graph.leave_out(v));
        }
        graph
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
                hint: format!(
                    "nothing was written; please report this model, and try {} none",
                    Setting::Recover
                ),
            });
        }
        Ok(Some(d))
    }

    /// The last check: what will be written is read, and must cost what was planned.
    fn read_again(&self, small: &Model, bytes: Option<&[u8]>, planned: u64) -> Result<()> {
        let inputs = self.facts.inputs(&self.model.graph).unwrap_or_default();
        let graph = match bytes {
            Some(bytes) => {
                let read = |given: &[InputShape]| onnx::parse(bytes, self.model.path(), given);
                read(&[]).or_else(|_| read(&shapes(&self.model, &inputs)))?.graph
            }
            // More than one message may take: the graph itself.
            None => small.graph.clone(),
        };
        let facts = infer(&graph, Some(&inputs))?;
        let macs = Cost::new(&graph, &facts, &Groups::default(), self.options.convention).hard(&[]);
        if macs == planned {
            return Ok(());
        }
        Err(Error::Verification {
            reason: format!("the file costs {macs} MACs where {planned} were planned"),
            hint: "nothing was written; please report this model".into(),
        })
    }
}

/// The inputs' shapes, stated for a file that leaves them open.
fn shapes(model: &Model, inputs: &[Fact]) -> Vec<InputShape> {
    let names = model.graph.inputs.iter().map(|&v| model.graph.values[v].name.clone());
    names.zip(inputs).map(|(n, f)| InputShape { name: Some(n), shape: f.shape.clone() }).collect()
}
