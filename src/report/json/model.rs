//! What is known of a network before anything is trained.

use crate::cost::Convention;
use crate::gates::gate::Unlearned;
use crate::pruner::Comparison;
use crate::rewrite::Replaced;
use serde::Serialize;
use std::collections::BTreeMap;

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
    /// Size of unread initializers, in bytes.
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
    /// Nodes after unknown operators whose shapes are not known; their multiply-accumulates are not counted.
    pub nodes_without_shape: usize,
    /// Values that the file computes from constants: analysed as constants, and stored as such where channels of theirs go.
    pub computed: Vec<String>,
    /// Ifs on a constant condition: the branch that they take is analysed in their place, and stands there where channels of it go.
    pub decided: Vec<String>,
    /// Nodes that runtimes read in different ways, and how.
    pub cautions: Vec<String>,
    /// Nodes that were said in other operators before anything was cut.
    pub rewritten: Vec<Replaced>,
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

/// Channels of a network's layers.
#[derive(Debug, Clone, Serialize)]
pub struct Channels {
    /// Channels that can be deleted, by group; the channels of a group live in the same layers.
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

/// Times that were not measured: what a model of a processor says an inference takes in tract on one of its cores.
#[derive(Debug, Clone, Serialize)]
pub struct Predicted {
    /// The processor.
    pub cpu: String,
    /// Where its figures come from.
    pub origin: String,
    /// Milliseconds of the original.
    pub milliseconds_before: f64,
    /// Of the original in other operators, where some were replaced.
    pub milliseconds_rewritten: Option<f64>,
    /// Milliseconds of the small network.
    pub milliseconds_after: f64,
    /// Milliseconds asked for (`--target-latency`).
    pub milliseconds_target: Option<f64>,
    /// The small network beside the original, as measured (`--cpu host`, `--measure`).
    pub measured: Option<Comparison>,
    /// All networks that were tried, measured so, in their order.
    pub tried: Vec<Comparison>,
    /// Probability that a share which was measured lies within its bounds.
    pub confidence: f64,
}
