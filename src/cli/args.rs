//! Every flag, defined once: `--help`, the parser and the report read the same lines.
//!
//! Takes: nothing. Gives: [`Cli`]. Never: opens a file.

use super::value::{self, Batches, Processor};
use autobot_onnx::internals::cost::Convention;
use autobot_onnx::internals::coupling::Residual;
use autobot_onnx::internals::data::{Augment, Layout, Resize};
use autobot_onnx::internals::exec::LossKind;
use autobot_onnx::internals::gates::Checkpointing;
use autobot_onnx::internals::onnx::{self, InputShape};
use autobot_onnx::internals::plan::Round;
use autobot_onnx::internals::pruner::{Compensation, Criterion, Finetune, Options, Target};
use autobot_onnx::internals::recover::Method;
use clap::{Args, Parser, Subcommand, ValueEnum};
use regex::Regex;
use std::path::{Path, PathBuf};

/// Headings of flags that stand behind a group of others.
const OUTPUT: &str = "Output";
const RUN: &str = "Run";

const EXAMPLES: &str = "\
Examples:
  autobot-onnx demo
  autobot-onnx inspect in.onnx
  autobot-onnx in.onnx out.onnx --target-flops 50% --calib images/ --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  autobot-onnx verify in.onnx out.onnx --calib images.npy
  autobot-onnx bench in.onnx out.onnx

Exit codes: 0 done; 1 verified, and it does not hold (nothing is written); 2 bad input or arguments, or the network could not be
written; 3 done, but something beside it could not be written, which a warning names (a report, gates, a checkpoint, the results
on stdout): the network is there.";

/// Make an ONNX convolutional network smaller: trains a gate per channel for a minute or so, deletes the channels whose
/// gates closed, and proves that the small file computes what the masked big one does.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub prune: PruneArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Inspect(InspectArgs),
    Verify(VerifyArgs),
    Demo(DemoArgs),
    Bench(BenchArgs),
}

/// Prune a network.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// The network to prune; it is never changed
    // Required of the command line, not of the struct: a subcommand stands instead of it.
    #[arg(value_name = "IN.onnx", required = true)]
    pub input: Option<PathBuf>,
    /// Where the small network goes; written complete and verified, or not at all
    #[arg(value_name = "OUT.onnx", required_unless_present = "dry_run")]
    pub output: Option<PathBuf>,
    /// How much to keep: 50%, 0.5, 55.8M, 2G or a plain number; or several of them: 70%,50%,30%
    ///
    /// Counts the multiply-accumulates that are KEPT, those of Conv, ConvTranspose, Gemm, MatMul, LSTM, GRU and RNN at
    /// the model's input shape and batch 1: as a share of the network's (50% or 0.5) or as such (55.8M, 2G, 55800000). A
    /// target below what can be reached is refused before anything is trained. Several targets give a file each
    /// (small-70.onnx, small-50.onnx of small.onnx), from the most to the least: the gates of one are used for the next as
    /// they are where that loses nothing, and trained a little further where it does.
    #[arg(long, value_name = "KEPT", value_delimiter = ',', required_unless_present_any = ["dry_run", "target_latency"], value_parser = value::target)]
    pub target_flops: Vec<Target>,
    /// How long an inference may take on --cpu: 30ms, 1.5s or 50% of what it takes now; or several of them
    ///
    /// Times are predicted for tract on one core at batch 1. Channels are chosen by what each saves of them, which is not what
    /// it saves of the multiply-accumulates, and kept in numbers that fill the processor's tiles (see --round-to). With --cpu
    /// host the small network is measured beside the original, and cut until that is met.
    #[arg(long, value_name = "TIME", conflicts_with = "target_flops", requires = "cpu", value_delimiter = ',', value_parser = value::latency)]
    pub target_latency: Vec<Target>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub scope: ScopeArgs,
    #[command(flatten)]
    pub learn: LearnArgs,
    #[command(flatten)]
    pub recovery: RecoveryArgs,
    /// Show what could be pruned and whether the target can be reached; train and write nothing
    #[arg(long, help_heading = OUTPUT)]
    pub dry_run: bool,
    /// Also write everything as JSON, with all that is needed to rebuild the masked network
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub json: Option<PathBuf>,
    /// Also write a page for a browser: what was cut, what it cost, and how the training went
    #[arg(long, value_name = "FILE.html", help_heading = OUTPUT)]
    pub report: Option<PathBuf>,
    /// Measure every N updates what pruning would give, on held-out images, for --report and --json; 0: never
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = OUTPUT)]
    pub trace: usize,
    /// Leave initializers that nothing reads out of the small file; otherwise they are carried as they are
    #[arg(long, help_heading = OUTPUT)]
    pub drop_unused: bool,
    /// Print the result only: no facts, no progress, no notes
    #[arg(short, long, help_heading = OUTPUT)]
    pub quiet: bool,
}

/// Show what a network costs, what can be pruned, and what cannot and why
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The network
    #[arg(value_name = "IN.onnx")]
    pub input: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Also write everything as JSON
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub json: Option<PathBuf>,
}

/// Compare two networks on the same inputs, in our executor and in tract
///
/// With --report (what --json wrote when SMALL was made) the deleted channels of BIG are set to zero first, and SMALL must
/// compute the same: a proof that the pruning is exact. Without it the files are compared as they are, which shows how
/// much the pruning changed: outputs that differ by more than --tolerance are a "no" (exit code 1), unless
/// --min-agreement says how many images with the same top class are enough.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The original network
    #[arg(value_name = "BIG.onnx")]
    pub big: PathBuf,
    /// The pruned one
    #[arg(value_name = "SMALL.onnx")]
    pub small: PathBuf,
    /// The report of the run that made SMALL, as --json wrote it
    #[arg(long, value_name = "FILE", alias = "json")]
    pub report: Option<PathBuf>,
    /// Largest |difference| allowed, as a share of the output's range
    #[arg(long, value_name = "SHARE", default_value_t = autobot_onnx::internals::verify::TOLERANCE, value_parser = value::positive)]
    pub tolerance: f64,
    /// Without --report: enough if this share of images (95% or 0.95) has the same top class
    #[arg(long, value_name = "SHARE", value_parser = value::share, conflicts_with = "report")]
    pub min_agreement: Option<f64>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    /// Seed of the choice of images and of synthetic ones
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = RUN)]
    pub seed: u64,
    /// Threads; 0 takes one per core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value::threads, help_heading = RUN)]
    pub threads: usize,
}

/// Prune one of the built-in digit classifiers to half its cost, and test the result
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Which one
    #[arg(value_enum, default_value_t = DemoName::Residual)]
    pub network: DemoName,
    /// Write the small network here
    #[arg(value_name = "OUT.onnx")]
    pub output: Option<PathBuf>,
    /// Print the result only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Measure how fast networks are in tract on this machine, side by side
///
/// Every round runs each file once, so that whatever slows the machine down slows all of them; the ratios are taken round by
/// round. One thread, batch as the file says (1 where it leaves it open), an input of noise.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The networks; the others are compared with the first
    #[arg(value_name = "FILE.onnx", required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
    /// Rounds that are counted, at least
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value::at_least_one, help_heading = RUN)]
    pub runs: usize,
    /// More rounds follow until so much time has passed
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = value::not_negative, help_heading = RUN)]
    pub seconds: f64,
    /// Rounds before anything is counted
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = RUN)]
    pub warm_up: usize,
    /// Also show where the time goes, node by node
    #[arg(long, help_heading = OUTPUT)]
    pub layers: bool,
    /// Also fit what this processor takes for the parts of an inference to the nodes' times, in the networks and in cuts of them,
    /// and write that for --cpu FILE on any machine; the more networks are given, the better
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub calibrate: Option<PathBuf>,
    /// Also write everything as JSON
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub json: Option<PathBuf>,
    /// Print the result only: nothing about the machine
    #[arg(short, long, help_heading = OUTPUT)]
    pub quiet: bool,
}

/// The built-in networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DemoName {
    /// VGG-like chain with BatchNormalization
    Chain,
    /// ResNet
    Residual,
    /// Inception module and dense block
    Concat,
    /// MobileNetV2-style, with squeeze-and-excite
    Depthwise,
}

/// How the model is read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Sizes that the model leaves open: name:1,3,224,224, or without the name if there is one input; repeatable
    #[arg(long, value_name = "[NAME:]SIZES", value_parser = value::plain::<InputShape>)]
    pub input_shape: Vec<InputShape>,
    /// Make the written file state the sizes that the model leaves open: those of --input-shape, batch 1 unless it is given. Without
    /// it they stay open, and the small network is proved at a second size of each
    #[arg(long)]
    pub fix_sizes: bool,
}

impl ModelArgs {
    /// Reads a model, with open sizes fixed where that is wanted.
    pub fn read(&self, path: &Path) -> autobot_onnx::Result<onnx::Model> {
        let model = onnx::read(path, &self.input_shape)?;
        if self.fix_sizes { model.with_fixed_sizes() } else { Ok(model) }
    }
}

/// What may be cut.
#[derive(Debug, Args)]
#[command(next_help_heading = "What may be cut")]
pub struct ScopeArgs {
    /// How residual additions are read: 'tie' cuts branch and trunk together; 'expand' cuts a branch alone and scatters
    /// what is left of it back; 'select' also lets each layer gather what it reads of the trunk; 'auto' chooses
    #[arg(long, value_enum, default_value_t = ResidualArg::Auto, default_value_if("preset", "paper", "expand"))]
    pub residual: ResidualArg,
    /// What is counted: multiply-accumulates; or, as the paper does, also two operations per element of a
    /// BatchNormalization node, and average pooling
    #[arg(long, value_enum, default_value_t = ConventionArg::Macs)]
    pub flops_convention: ConventionArg,
    /// The processor to predict times for: cortex-a7, cortex-a9, cortex-a53, cortex-a55, cortex-a72, the file of one that
    /// 'bench --calibrate' wrote, or 'host': this one, from the times of the network and of cuts of it
    #[arg(long, value_name = "CPU", value_parser = value::cpu)]
    pub cpu: Option<Processor>,
    /// Leave out layers and tensors whose names match
    #[arg(long, value_name = "REGEX")]
    pub exclude: Option<Regex>,
    /// Prune nothing but layers and tensors whose names match
    #[arg(long, value_name = "REGEX")]
    pub only: Option<Regex>,
    /// Keep channels in multiples of N (a layer that loses nothing keeps its number), or 'auto': in numbers that fill the tiles
    /// of --cpu, where one more costs most [default: 1; auto with --target-latency and a --cpu that is known by name]
    #[arg(long, value_name = "N", value_parser = value::round)]
    pub round_to: Option<Round>,
    /// Keep at least N channels everywhere
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value::at_least_one)]
    pub min_channels: usize,
}

impl ScopeArgs {
    /// The file of a processor.
    pub fn file(&self) -> Option<&Path> {
        match &self.cpu {
            Some(Processor::File(path)) => Some(path),
            _ => None,
        }
    }
}

/// The calibration data.
#[derive(Debug, Args)]
#[command(next_help_heading = "Calibration data")]
pub struct DataArgs {
    /// Images to learn on: .npy or .npz (uint8 NHWC or float NCHW; arrays named by input), a folder of images, or a folder
    /// with one sub-folder per class
    ///
    /// A few thousand are plenty, and they need no labels: without them the unpruned network's own outputs teach. With no
    /// --calib at all, synthetic images stand in, which costs accuracy.
    #[arg(long, value_name = "PATH")]
    pub calib: Option<PathBuf>,
    /// Labels of the images: .npy, or text with one per line
    #[arg(long, value_name = "FILE", requires = "calib")]
    pub labels: Option<PathBuf>,
    /// Subtracted from each channel after --scale; one value or one per channel
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_hyphen_values = true, requires = "calib")]
    pub mean: Vec<f32>,
    /// Each channel is divided by this; one value or one per channel
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "calib")]
    pub std: Vec<f32>,
    /// Stored values are multiplied by this first [default: 1/255 for uint8, 1 for float]
    #[arg(long, value_name = "X", requires = "calib")]
    pub scale: Option<f32>,
    /// Axes of the network's own inputs: auto, nchw or nhwc
    #[arg(long, value_name = "LAYOUT", default_value = "auto", value_parser = value::plain::<Layout>)]
    pub layout: Layout,
    /// Resize images first: 256 (the shorter side) or 224x320 (height x width)
    #[arg(long, value_name = "SIZE", value_parser = value::plain::<Resize>, requires = "calib")]
    pub resize: Option<Resize>,
    /// Then cut this much out of the centre: 224 or 224x320
    #[arg(long, value_name = "SIZE", value_parser = value::size, requires = "calib")]
    pub crop: Option<(usize, usize)>,
    /// The network takes blue first
    #[arg(long, requires = "calib")]
    pub bgr: bool,
    /// Leave out images that cannot be used (broken files, NaN), and say how many; else the first ends the run
    #[arg(long, requires = "calib")]
    pub skip_bad: bool,
    /// Use so many images, drawn at random [default: all]
    #[arg(long, value_name = "N", value_parser = value::at_least_one)]
    pub calib_size: Option<usize>,
}

/// How channels are chosen.
#[derive(Debug, Args)]
#[command(next_help_heading = "Learning")]
pub struct LearnArgs {
    /// Prune in N stages, a part of the way each, with fits in between: N times as long, and sometimes more accurate where much
    /// is cut
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value::at_least_one, conflicts_with_all = ["gates", "save_gates"])]
    pub stages: usize,
    /// What ranks the channels: trained gates, the usual L1 norm, or chance; the last two need no data
    #[arg(long, value_enum, default_value_t = CriterionArg::Gates)]
    pub criterion: CriterionArg,
    /// Also write the trained gates, for --gates (of several targets, those of the least)
    #[arg(long, value_name = "FILE")]
    pub save_gates: Option<PathBuf>,
    /// Use gates that --save-gates wrote instead of training: the same network can be recovered in another way, or cut to
    /// another target (after a short training where they lose something there), at once
    #[arg(long, value_name = "FILE", conflicts_with = "save_gates")]
    pub gates: Option<PathBuf>,
    /// What replaces a deleted channel, in the biases of the layers that read it: its mean, a constant that is trained
    /// beside the gates, or nothing
    #[arg(long, value_enum, default_value_t = CompensationArg::of(defaults().compensation))]
    pub compensation: CompensationArg,
    /// What the outputs are judged by: labels where there are any, else the unpruned network's outputs, as class scores or
    /// as values
    #[arg(long, value_enum, default_value_t = LossArg::Auto)]
    pub loss: LossArg,
    /// Where the following flags start: 'paper' is what the paper trained with (200 updates on 64 augmented images at a rate
    /// of 0.6, the best single batch kept, branches expanded); each can still be given
    #[arg(long, value_enum, default_value_t = PresetArg::Default)]
    pub preset: PresetArg,
    /// Which update's gates are kept, of the last 40 %: the one whose plan has the lowest loss over a few hundred images,
    /// or the one with the lowest loss on its own batch
    #[arg(long, value_enum, default_value_t = ChoiceArg::Plan, default_value_if("preset", "paper", "batch"))]
    pub choice: ChoiceArg,
    /// What becomes of gates that closed for good: 'freeze' takes their channels out of the network while the others are
    /// trained, which saves time; 'train' lets them open again
    #[arg(long, value_enum, default_value_t = ClosedArg::Freeze, default_value_if("preset", "paper", "train"))]
    pub closed: ClosedArg,
    /// Images per update
    #[arg(long, value_name = "N", default_value_t = defaults().batch_size, default_value_if("preset", "paper", "64"), value_parser = value::at_least_one)]
    pub batch_size: usize,
    /// Updates; auto: until the plan has settled and two thirds as many again, on at most 12,800 images
    #[arg(long, value_name = "N", default_value = "auto", default_value_if("preset", "paper", "200"), value_parser = value::batches)]
    pub batches: Batches,
    /// Random changes to the images while gates are trained, joined by commas: crop4, flip; or none [default: none, which gave the
    /// better plans]
    #[arg(long, value_name = "LIST", value_parser = value::moves, requires = "calib", default_value_if("preset", "paper", "crop4,flip"))]
    pub gate_augment: Option<Augment>,
    /// Weight of the budget in the loss
    #[arg(long, value_name = "X", default_value_t = defaults().beta, value_parser = value::not_negative)]
    pub beta: f64,
    /// Weight of the hardness of the gates in the loss
    #[arg(long, value_name = "X", default_value_t = defaults().gamma, value_parser = value::not_negative)]
    pub gamma: f64,
    /// Learning rate of the gates
    #[arg(long, value_name = "X", default_value_t = defaults().lr, default_value_if("preset", "paper", "0.6"), value_parser = value::positive)]
    pub gate_lr: f64,
    /// Seed of everything random: the same seed gives the same file
    #[arg(long, value_name = "N", default_value_t = defaults().seed)]
    pub seed: u64,
    /// Threads; 0 takes one per core. The result does not depend on it
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value::threads)]
    pub threads: usize,
}

/// What is done about lost accuracy after pruning.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recovery")]
pub struct RecoveryArgs {
    /// 'reconstruct' fits every layer in closed form to what the unpruned network's layer gave, without labels; 'finetune' then
    /// trains the weights; 'none' changes no weight; 'auto' reconstructs where there are images (--calib)
    #[arg(long, value_enum, default_value_t = RecoverArg::Auto)]
    pub recover: RecoverArg,
    /// Finetuning: passes over the images
    #[arg(long, value_name = "N", default_value_t = Finetune::default().epochs, value_parser = value::at_least_one)]
    pub epochs: usize,
    /// Finetuning: AdamW with each tensor's rate in units of its root mean square, plain AdamW, or SGD with momentum 0.9
    #[arg(long, value_enum, default_value_t = OptimizerArg::ScaledAdamw)]
    pub optimizer: OptimizerArg,
    /// Finetuning: the learning rate after the warm-up, from where it falls to zero as half a cosine [default: 0.002, 0.008 with
    /// mixtures; adamw: 0.0003; sgd: 0.0002]
    #[arg(long, value_name = "X", value_parser = value::positive)]
    pub lr: Option<f64>,
    /// Finetuning: random changes to the images, joined by commas: crop4, flip, jitter (other colours), mix (every image with
    /// another one), cutmix (a part of another one in every image); or none [default: flip, and in more than 12 epochs of a
    /// classifier all of these, with crops by an eighth of the side]
    #[arg(long, value_name = "LIST", value_parser = value::plain::<Augment>, requires = "calib")]
    pub augment: Option<Augment>,
    /// Finetuning: decay of the weights (not of biases)
    #[arg(long, value_name = "X", default_value_t = Finetune::default().weight_decay, default_value_if("optimizer", "sgd", "0.0005"), value_parser = value::not_negative)]
    pub weight_decay: f64,
    /// Finetuning: what logits are divided by when the unpruned network's are followed
    #[arg(long, value_name = "X", default_value_t = Finetune::default().temperature, value_parser = value::positive)]
    pub temperature: f64,
    /// Finetuning: share of the labels in the loss, where there are any (mixtures have none); the rest follows the unpruned network
    #[arg(long, value_name = "SHARE", default_value_t = Finetune::default().labels, value_parser = value::share)]
    pub label_share: f64,
    /// Finetuning: keep the state of the run here, and go on from it if it is there (after a power cut, say); stages before
    /// the last are gone through again. It is removed when the small network is written
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
}

/// The library's own defaults.
fn defaults() -> Options {
    Options::default()
}

/// `--flops-convention`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConventionArg {
    Macs,
    Paper,
}

impl From<ConventionArg> for Convention {
    fn from(arg: ConventionArg) -> Self {
        match arg {
            ConventionArg::Macs => Convention::Macs,
            ConventionArg::Paper => Convention::Paper,
        }
    }
}

/// `--residual`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ResidualArg {
    Tie,
    Expand,
    Select,
    Auto,
}

impl From<ResidualArg> for Residual {
    fn from(arg: ResidualArg) -> Self {
        match arg {
            ResidualArg::Tie => Residual::Tie,
            ResidualArg::Expand => Residual::Expand,
            ResidualArg::Select => Residual::Select,
            ResidualArg::Auto => Residual::Auto,
        }
    }
}

/// `--criterion`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CriterionArg {
    Gates,
    L1,
    Random,
}

impl From<CriterionArg> for Criterion {
    fn from(arg: CriterionArg) -> Self {
        match arg {
            CriterionArg::Gates => Criterion::Gates,
            CriterionArg::L1 => Criterion::L1,
            CriterionArg::Random => Criterion::Random,
        }
    }
}

/// `--compensation`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompensationArg {
    Mean,
    Learned,
    None,
}

impl CompensationArg {
    fn of(c: Compensation) -> Self {
        match c {
            Compensation::Mean => Self::Mean,
            Compensation::Learned => Self::Learned,
            Compensation::None => Self::None,
        }
    }
}

impl From<CompensationArg> for Compensation {
    fn from(arg: CompensationArg) -> Self {
        match arg {
            CompensationArg::Mean => Compensation::Mean,
            CompensationArg::Learned => Compensation::Learned,
            CompensationArg::None => Compensation::None,
        }
    }
}

/// `--preset`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresetArg {
    Default,
    Paper,
}

/// `--choice`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ChoiceArg {
    Plan,
    Batch,
}

impl From<ChoiceArg> for Checkpointing {
    fn from(arg: ChoiceArg) -> Self {
        match arg {
            ChoiceArg::Plan => Checkpointing::Plan,
            ChoiceArg::Batch => Checkpointing::Batch,
        }
    }
}

/// `--closed`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClosedArg {
    Freeze,
    Train,
}

/// `--recover`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RecoverArg {
    Auto,
    Reconstruct,
    Finetune,
    None,
}

/// `--optimizer`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OptimizerArg {
    ScaledAdamw,
    Adamw,
    Sgd,
}

impl From<OptimizerArg> for Method {
    fn from(arg: OptimizerArg) -> Self {
        match arg {
            OptimizerArg::Sgd => Method::Sgd { momentum: 0.9 },
            OptimizerArg::ScaledAdamw => Method::ScaledAdamW,
            OptimizerArg::Adamw => Method::AdamW,
        }
    }
}

/// `--loss`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LossArg {
    Auto,
    Classes,
    Values,
}

impl From<LossArg> for LossKind {
    fn from(arg: LossArg) -> Self {
        match arg {
            LossArg::Auto => LossKind::Auto,
            LossArg::Classes => LossKind::Classes,
            LossArg::Values => LossKind::Values,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_path_prunes_and_a_word_inspects() {
        let cli = Cli::try_parse_from(["x", "in.onnx", "out.onnx", "--target-flops", "50%"]).unwrap();
        assert!(cli.command.is_none() && cli.prune.target_flops == [Target::Share(0.5)]);
        let cli = Cli::try_parse_from(["x", "inspect", "in.onnx"]).unwrap();
        assert!(cli.prune.input.is_none() && matches!(cli.command, Some(Command::Inspect(_))));
        assert!(Cli::try_parse_from(["x", "in.onnx", "--dry-run"]).is_ok());
        let paper =
            ["x", "in.onnx", "out.onnx", "--target-flops", "50%", "--preset", "paper", "--batches", "7"];
        let cli = Cli::try_parse_from(paper).unwrap();
        let learn = &cli.prune.learn;
        assert_eq!(
            (learn.batches, learn.batch_size, learn.gate_lr, learn.choice, learn.closed),
            (Batches(Some(7)), 64, 0.6, ChoiceArg::Batch, ClosedArg::Train)
        );
        assert!(learn.gate_augment.is_some() && cli.prune.scope.residual == ResidualArg::Expand);
        let several = ["x", "in.onnx", "out.onnx", "--target-flops", "70%,30M"];
        let targets = Cli::try_parse_from(several).unwrap().prune.target_flops;
        assert_eq!(targets, [Target::Share(0.7), Target::Macs(30_000_000)]);
        for missing in
            [&["x", "in.onnx", "out.onnx"][..], &["x", "in.onnx", "--target-flops", "1k"], &["x", "-q"]]
        {
            assert!(Cli::try_parse_from(missing).is_err());
        }
    }
}
