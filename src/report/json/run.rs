//! A pruning run.

use super::{Channels, Layer, ModelFacts, Predicted};
use crate::gates::{Agreement, Record, Traced};
use crate::pruner::Stage;
use crate::recover::{Epoch, Fitted};
use crate::rewrite::{Bias, Mask, Sliced};
use crate::verify::sizes::AtSizes;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything about a pruning run: `autobot-onnx IN OUT --json FILE`.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Program and version that made this.
    pub program: String,
    /// Every flag with the value it had, defaults included.
    pub options: BTreeMap<String, serde_json::Value>,
    /// Seed of everything random.
    pub seed: u64,
    /// The network that was pruned.
    pub model: ModelFacts,
    /// The calibration data.
    pub data: DataFacts,
    /// What could be cut, and what could not and why.
    pub channels: Channels,
    /// Where the small network was written; none if it was not.
    pub output: Option<String>,
    /// Multiply-accumulates asked for: kept MACs of Conv, ConvTranspose, Gemm, MatMul, LSTM, GRU and RNN.
    pub macs_target: Option<u64>,
    /// Multiply-accumulates of the original.
    pub macs_before: u64,
    /// Multiply-accumulates of the small network.
    pub macs_after: u64,
    /// Stored floating-point numbers of the original.
    pub parameters_before: u64,
    /// Stored floating-point numbers of the small network.
    pub parameters_after: u64,
    /// File size of the original, in bytes.
    pub bytes_before: u64,
    /// File size of the small network, in bytes.
    pub bytes_after: u64,
    /// Every layer that has multiply-accumulates.
    pub layers: Vec<Layer>,
    /// Every initializer (or output of a Constant or ConstantOfShape node) that lost something, one entry per axis.
    pub sliced: Vec<Sliced>,
    /// Every operand that lost channels which its node sums over or adds. With zeros at all other coordinates there, and with
    /// `biases` added, the original computes what the small network does.
    pub masks: Vec<Mask>,
    /// Biases that took over the means of deleted channels (`--compensation mean` or `learned`).
    pub biases: Vec<Bias>,
    /// Constants that restate sizes or indices in the small network: their names there.
    pub restated: Vec<String>,
    /// Agreement with the unpruned network on calibration images held out of training.
    pub agreement: Option<Agreement>,
    /// The node in front of which that was measured, where our executor cannot run the network to its outputs.
    pub judged_before: Option<String>,
    /// What was done about lost accuracy (`--recover`).
    pub recovery: Option<Recovery>,
    /// Predicted times (`--cpu`).
    pub predicted: Option<Predicted>,
    /// True if the images of `agreement` took no part in training.
    pub held_out: bool,
    /// The training of the gates (`--criterion gates`).
    pub training: Option<Training>,
    /// Share of the cut that was left to dependence (`--dependent`); 0: gates alone chose.
    pub dependent: f64,
    /// Whether the small network equals the masked original.
    pub verification: Verification,
    /// What stages before the last one gave (`--stages`): each went on with the weights that the one before it fitted.
    pub stages: Vec<Stage>,
}

/// Calibration data.
#[derive(Debug, Clone, Serialize)]
pub struct DataFacts {
    /// Where it came from; none for synthetic images.
    pub source: Option<String>,
    /// Number of images.
    pub images: usize,
    /// True if there are labels.
    pub labels: bool,
    /// What was done to it unasked.
    pub notes: Vec<String>,
}

/// How the gates were trained.
#[derive(Debug, Clone, Serialize)]
pub struct Training {
    /// Updates made.
    pub steps: usize,
    /// The update whose gates were taken.
    pub best: usize,
    /// The update after which the plan had settled, where training waited for that.
    pub settled: Option<usize>,
    /// What the gates were trained to keep, in MACs or nanoseconds; another figure than this run's where they stood as they were.
    pub target: Option<f64>,
    /// What they were trained to keep before, where training went on from another target's gates.
    pub before: Option<f64>,
    /// The loss terms of every update.
    pub history: Vec<Record>,
    /// By update of the gates, how much it changed the ranking of each group's channels, in the order of `channels.groups`.
    pub changes: Vec<Vec<f32>>,
    /// What pruning would have given on the way (`--trace`).
    pub trace: Vec<Traced>,
}

/// Measured differences between the masked original and the small network.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Inputs tried.
    pub samples: usize,
    /// max |masked − pruned| in our executor.
    pub absolute: f64,
    /// max |masked − pruned| in our executor, as a share of the output's range.
    pub relative: f64,
    /// Where the network blows the rounding of single precision up beyond the tolerance: that share in single precision. The
    /// two figures above hold such inputs' differences in double precision.
    pub rounding: Option<f64>,
    /// max |masked − pruned| in tract as a share of the output's range; none where tract cannot run the original.
    pub tract: Option<f64>,
    /// Why tract could not tell.
    pub tract_says: Option<String>,
    /// Differences at other sizes of the axes that the file leaves open.
    pub elsewhere: Vec<AtSizes>,
    /// Inputs tried in tract, where it runs both: fewer in float16, for which it takes long.
    pub tract_samples: usize,
    /// Where that is beyond the tolerance, and both networks are equal in double precision: how far rounding takes tract from
    /// double precision on the masked network, as a share of the output's range.
    pub tract_rounding: Option<f64>,
    /// Largest share allowed in tract: the tolerance, or what rounding was measured to make of it.
    pub tract_allowed: f64,
    /// max |tract − our executor| on the original as a share of the output's range; none where one of them cannot run it.
    pub apart: Option<f64>,
    /// True if that is more than rounding: then one of them computes something else than the other.
    pub disagree: bool,
    /// Largest share allowed.
    pub tolerance: f64,
    /// True if every difference that was measured is within the tolerance.
    pub pass: bool,
}

/// What the recovery brought, step by step.
#[derive(Debug, Clone, Serialize)]
pub struct Recovery {
    /// Agreement with the unpruned network after the last step, on the images of the run's `agreement`.
    pub agreement: Agreement,
    /// Agreement with the unpruned network after the closed-form fits, on these images.
    pub fitted: Agreement,
    /// Every layer that the fits looked at.
    pub layers: Vec<Fitted>,
    /// The training of the weights (`--recover finetune`).
    pub tuning: Option<Tuning>,
    /// max |tract − our executor| with the new weights, relative to the output's range; none where tract cannot run it.
    pub executors: Option<f64>,
}

/// How the weights were trained.
#[derive(Debug, Clone, Serialize)]
pub struct Tuning {
    /// The losses by epoch; the first entry is the state before any.
    pub epochs: Vec<Epoch>,
    /// The entry whose weights were taken.
    pub best: usize,
    /// The learning rate after the warm-up.
    pub lr: f64,
    /// How images were changed: the words of `--augment`.
    pub augment: String,
}
