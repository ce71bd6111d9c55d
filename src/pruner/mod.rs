//! The whole way from a graph to a smaller, verified one.
//!
//! Takes: a model, a target, options, a dataset. Gives: a [`Pruned`] network with everything that was measured.
//! Never: gives a network that was not certified.

mod adapted;
mod analysis;
pub mod checkpoint;
mod choose;
mod clock;
pub mod command;
mod events;
mod front;
pub mod host;
mod identity;
mod images;
mod model;
mod options;
mod prepared;
mod recovery;
mod stage;
mod trial;

use crate::coupling::Groups;
use crate::data::{BoundDataset, Split};
use crate::error::{Error, Result};
use crate::exec::{GateSpec, Pool};
use crate::gates::gate;
use crate::gates::{Agreement, HeldOut, Trained};
use crate::graph::*;
use crate::plan::Plan;
use crate::rewrite::{Bias, Rewritten};
use crate::setting::Setting;
use crate::tract::Sample;
use crate::verify;
pub use adapted::Adapted;
pub use analysis::{Aim, Analysis, analyse, excluded};
pub use choose::predicted;
pub use clock::{CONFIDENCE, Clock, Comparison, Timekeeper};
pub use events::{Events, Resume, Silent, Stage, Start};
pub use front::{Processor, Pruned, Pruner};
pub use identity::Identity;
pub use images::samples;
use images::{noise, some_of};
pub use model::{Model, Port};
pub use options::{Compensation, Criterion, Finetune, Options, Recover, Target, Unit};
pub use prepared::{Done, Prepared};
pub use recovery::{Finetuned, Recovered};
use stage::Run;
pub use trial::{check_open_sizes, cut_at_random};

/// Everything a run gives.
#[derive(Debug)]
pub struct Outcome {
    /// The amount that was asked for, in the unit.
    pub target: u64,
    /// The unit of the target.
    pub unit: Unit,
    /// The stages before the last.
    pub stages: Vec<Stage>,
    /// Source of the last of several stages: the original with the weights that earlier stages fitted.
    pub source: Option<Graph>,
    /// The classes that are kept.
    pub plan: Plan,
    /// The plan's network beside the unpruned one, where that was measured.
    pub measured: Option<Comparison>,
    /// All networks that were tried, measured so.
    pub comparisons: Vec<Comparison>,
    /// Share of the cut that was left to dependence.
    pub dependent: f64,
    /// The smaller graph, which equals the masked source, and the slices.
    pub rewritten: Rewritten,
    /// Biases that took over the means of deleted channels.
    pub biases: Vec<Bias>,
    /// The held-out images, with the unpruned network's outputs.
    pub held_out_outputs: HeldOut,
    /// Agreement with the unpruned network on them.
    pub agreement: Option<Agreement>,
    /// Training history (gates only).
    pub trained: Option<Trained>,
    /// The smaller graph with weights fitted to the original's outputs, where that was wanted.
    pub recovered: Option<Recovered>,
    /// Inputs on which the result is verified.
    pub samples: Vec<Sample>,
    /// Largest |masked − pruned| in our executor.
    pub proof: verify::Proof,
}

impl Outcome {
    /// The graph to be written.
    pub fn graph(&self) -> &Graph {
        self.recovered.as_ref().map_or(&self.rewritten.graph, |r| &r.graph)
    }
}

/// A network to prune, its target, images and options.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The network.
    pub network: Network<'a>,
    /// Version of the standard operators that a smaller network may use.
    pub opset: i64,
    /// The target, with the analysis of the network.
    pub aim: &'a Aim<'a>,
    /// Images.
    pub data: &'a BoundDataset,
    /// The options that the network was analysed with.
    pub options: &'a Options,
}

/// A smaller network, proved in our executor only: [`Prepared::run`] has it certified besides. Errors where the target cannot
/// be met or the proof fails.
pub fn prune(task: &Task, start: &mut Start, events: &mut dyn Events) -> Result<Outcome> {
    let Task { network, opset, aim, data, options } = *task;
    let asked = matches!(options.recover, Recover::Finetune(how) if !how.is_short());
    if asked && !aim.analysis.aims.learned {
        let reason =
            "'finetune' trains by gradients, and none come back from what can be computed of this network";
        let hint = format!("give {} reconstruct or none", Setting::Recover);
        return Err(Error::argument(Setting::Recover, reason, hint));
    }
    let aim = &aim.opened();
    let split = Split::new(data.len(), options.seed);
    let pool = Pool::new(options.threads)?;
    let run = Run { network, aim, analysis: &aim.analysis, data, options, opset, pool: &pool, split: &split };
    run.all(start, events)
}

/// Places of the gates, for callers that verify on their own.
pub fn gates(graph: &Graph, groups: &Groups) -> Vec<GateSpec> {
    gate::specs(graph, groups)
}
