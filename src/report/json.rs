//! Reports as data: what `--json` writes, and what the text on the terminal is made from.
//!
//! Takes: nothing. Gives: structs whose fields are the JSON's fields. Invariants: field names are stable, new ones may be
//! added; counts are exact (the text rounds them). Never: a number that was not measured in the run, except predicted times,
//! which are labelled so.

use crate::cost::Convention;
use crate::error::{Error, Result};
use crate::gates::gate::Unlearned;
use crate::gates::{Agreement, Record, Traced};
use crate::pruner::Stage;
use crate::recover::{Epoch, Fitted};
use crate::rewrite::{Bias, Mask, Sliced};
use crate::setting::Setting;
use crate::support::files;
use crate::tract::board::Board;
use crate::tract::timing::{self, Timing};
use crate::verify::sizes::AtSizes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

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
    /// Whether the small network equals the masked original.
    pub verification: Verification,
    /// What stages before the last one gave (`--stages`): each went on with the weights that the one before it fitted.
    pub stages: Vec<Stage>,
}

/// What `inspect --json` writes.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// Program and version that made this.
    pub program: String,
    /// The network.
    pub model: ModelFacts,
    /// What can be cut, and what cannot and why.
    pub channels: Channels,
    /// Predicted times (`--cpu`); "after" is the smallest reachable network.
    pub predicted: Option<Predicted>,
    /// Every layer that has multiply-accumulates; "after" is the smallest reachable network.
    pub layers: Vec<Layer>,
}

/// A model file.
#[derive(Debug, Clone, Serialize)]
pub struct ModelFacts {
    /// Its path.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Version of the standard operators.
    pub opset: i64,
    /// Version of the file format.
    pub ir_version: i64,
    /// The program that wrote it.
    pub producer: String,
    /// Nodes in its graph.
    pub nodes: usize,
    /// Inputs, at the sizes that were analysed.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// Stored floating-point numbers, and 8-bit ones of quantised weights, that something reads.
    pub parameters: u64,
    /// Multiply-accumulates at batch 1.
    pub macs: u64,
    /// Nodes with stored weights whose multiply-accumulates are not known, and not in any count.
    pub macs_unknown: usize,
    /// What was done to the file after its export, and what to prune in its place, where that bars the way.
    pub advice: Option<String>,
    /// Initializers that nothing reads: their names.
    pub unread: Vec<String>,
    /// Bytes of those.
    pub unread_bytes: u64,
    /// What every count of multiply-accumulates here includes: "macs", or "paper" for `--flops-convention paper`.
    pub flops_convention: Convention,
    /// Operators that are not known, with their number; what they touch is left alone.
    pub unknown_operators: BTreeMap<String, usize>,
    /// Operators that are counted, and not run, with their number, by the reason; what they touch is left alone.
    pub whole_operators: BTreeMap<String, BTreeMap<String, usize>>,
    /// Sizes of the inputs at which a small network is proved too; empty where the file leaves no size open, or the network runs
    /// at the analysed ones only.
    pub proved_at: Vec<Vec<Vec<usize>>>,
    /// Values whose shapes the file declares otherwise than they are; a written file states the real ones.
    pub false_declarations: Vec<String>,
    /// Nodes behind them whose shapes are not known; their multiply-accumulates are not counted.
    pub nodes_without_shape: usize,
    /// Values that the file computes from constants: analysed as constants, and stored as such where channels of theirs go.
    pub computed: Vec<String>,
    /// Ifs on a constant condition: the branch that they take is analysed in their place, and stands there where channels of it go.
    pub decided: Vec<String>,
    /// Nodes that runtimes read in different ways, and how.
    pub cautions: Vec<String>,
}

/// An input or output of a network.
#[derive(Debug, Clone, Serialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its sizes; none where they are not known.
    pub shape: Option<Vec<usize>>,
    /// True where the file leaves the first size open.
    pub any_batch: bool,
    /// By axis: the name of a size that the file leaves open (inputs).
    pub open: Vec<Option<String>>,
}

/// Times that were not measured: what a model of a processor says an inference takes in tract on one of its cores.
#[derive(Debug, Clone, Serialize)]
pub struct Predicted {
    /// The processor.
    pub cpu: String,
    /// Where its figures come from.
    pub origin: String,
    /// Milliseconds of the original.
    pub milliseconds_before: f64,
    /// Milliseconds of the small network.
    pub milliseconds_after: f64,
    /// Milliseconds asked for (`--target-latency`).
    pub milliseconds_target: Option<f64>,
    /// Measured time of the small network as a share of the original's (`--cpu host`).
    pub measured: Option<f64>,
}

/// What the recovery brought, step by step.
#[derive(Debug, Clone, Serialize)]
pub struct Recovery {
    /// Agreement with the unpruned network after the last step, on the images of the run's `agreement`.
    pub agreement: Agreement,
    /// The same after the closed-form fits.
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

/// Times of model files: `autobot-onnx bench FILES --json FILE`.
#[derive(Debug, Clone, Serialize)]
pub struct Benchmark {
    /// Program and version that made this.
    pub program: String,
    /// The machine, when the measurement began.
    pub board: Board,
    /// Its temperature when the measurement ended, in °C.
    pub celsius_after: Option<f64>,
    /// Threads that tract ran on.
    pub threads: usize,
    /// Rounds that were counted; each ran every model once.
    pub rounds: usize,
    /// The models, in the order given.
    pub models: Vec<Benched>,
}

/// Times of one model file.
#[derive(Debug, Clone, Serialize)]
pub struct Benched {
    /// Its path.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Multiply-accumulates at batch 1.
    pub macs: u64,
    /// Its times.
    pub timing: Timing,
    /// Its nodes' times in tract, if they were asked for.
    pub layers: Option<Vec<timing::Layer>>,
    /// The first numbers of its first output, on inputs that are the same on every machine.
    pub outputs: Vec<f32>,
    /// max |tract − our executor| on these inputs as a share of the output's range; none where our executor cannot run it.
    pub apart: Option<f64>,
    /// True if that is more than rounding: then one of them computes something else than the other.
    pub disagree: bool,
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

/// Channels of a network's layers.
#[derive(Debug, Clone, Serialize)]
pub struct Channels {
    /// Channels that can be deleted, by group: those of a group live in the same layers.
    pub groups: Vec<Group>,
    /// Channels that cannot be deleted, by layer and reason.
    pub frozen: Vec<Frozen>,
    /// How many of the channels that can be deleted change nothing: they are zero for every input, or nobody reads them.
    pub lossless: usize,
    /// Channels that can be deleted, but not by gates: what they are worth cannot be learned.
    pub unlearned: Vec<Unlearned>,
    /// The smallest number of multiply-accumulates that is reachable by the run's criterion.
    pub macs_smallest: u64,
    /// The smallest that is reachable by criteria that need no gradients, where gates do not get as far.
    pub macs_smallest_unlearned: Option<u64>,
}

/// Channels that can be deleted.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// The layer whose output they are.
    pub layer: String,
    /// How many can be deleted one by one.
    pub channels: usize,
    /// Other layers whose output channels go with them.
    pub tied: Vec<String>,
}

/// Channels that cannot be deleted.
#[derive(Debug, Clone, Serialize)]
pub struct Frozen {
    /// The layer whose output they are.
    pub layer: String,
    /// How many.
    pub channels: usize,
    /// The node that needs them; none for the network's interface or a choice of the user.
    pub node: Option<String>,
    /// What the node does with them.
    pub why: String,
}

/// A layer with multiply-accumulates.
#[derive(Debug, Clone, Serialize)]
pub struct Layer {
    /// The node.
    pub name: String,
    /// Its ONNX operator.
    pub operator: String,
    /// Output channels of the original.
    pub channels_before: usize,
    /// Output channels that stay.
    pub channels_after: usize,
    /// Multiply-accumulates of the original.
    pub macs_before: u64,
    /// Multiply-accumulates that stay.
    pub macs_after: u64,
    /// Stored floating-point numbers of the original.
    pub parameters: u64,
    /// Predicted milliseconds of the original (`--cpu`).
    pub milliseconds_before: Option<f64>,
    /// Predicted milliseconds that stay.
    pub milliseconds_after: Option<f64>,
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
    /// And before that, where they were trained further from another target's.
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
    /// The same as a share of the output's range.
    pub relative: f64,
    /// Where the network blows the rounding of single precision up beyond the tolerance: that share in single precision. The
    /// two figures above hold such inputs' differences in double precision.
    pub rounding: Option<f64>,
    /// max |masked − pruned| in tract as a share of the output's range; none where tract cannot run the original.
    pub tract: Option<f64>,
    /// Why tract could not tell.
    pub tract_says: Option<String>,
    /// The same at other sizes of the axes that the file leaves open.
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

/// The part of a [`Run`] from which the masked network is rebuilt.
#[derive(Debug, Clone, Deserialize)]
pub struct Recipe {
    /// See [`Run::masks`].
    pub masks: Vec<Mask>,
    /// See [`Run::biases`].
    #[serde(default)]
    pub biases: Vec<Bias>,
    /// See [`Run::recovery`].
    #[serde(default)]
    recovery: Option<serde::de::IgnoredAny>,
}

impl Recipe {
    /// Reads the report of a run.
    pub fn read(path: &Path) -> Result<Self> {
        let hint = &format!("give the file that {} wrote when the small network was made", Setting::Json);
        let text = files::read_text(path, hint)?;
        let recipe: Self = serde_json::from_str(&text)
            .map_err(|e| Error::file(path, format!("is no report of a run: {e}"), hint))?;
        if recipe.recovery.is_some() {
            let reason =
                format!("its network's weights were fitted after the pruning ({})", Setting::Recover);
            let hint = format!(
                "leave {} out to see how much changed; the run itself proved the masking before the fits",
                Setting::Report
            );
            return Err(Error::file(path, reason, hint));
        }
        Ok(recipe)
    }
}

/// A report as text that ends in a newline; its fields have names that are text, so nothing can go wrong.
pub fn text(report: &impl Serialize) -> String {
    serde_json::to_string_pretty(report).map_or_else(|e| format!("{e}\n"), |text| text + "\n")
}

/// Writes a report: complete or not at all.
pub fn write(path: &Path, report: &impl Serialize) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(report).map_err(|e| Error::io(path, e.into(), files::ROOM))?;
    bytes.push(b'\n');
    files::replace(path, &bytes, files::ROOM)
}
