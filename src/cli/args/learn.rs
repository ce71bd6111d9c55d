//! Flags that say how channels are chosen.

use crate::cli::value::{self, Count};
use autobot_onnx::internals::data::Augment;
use autobot_onnx::internals::exec::LossKind;
use autobot_onnx::internals::gates::Checkpointing;
use autobot_onnx::internals::pruner::{Compensation, Criterion, Options};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How channels are chosen.
#[derive(Debug, Args)]
#[command(next_help_heading = "Learning")]
pub struct LearnArgs {
    /// Prune in N stages, a part of the way each, with fits in between: N times as long, and more accurate where much is cut
    /// out of a plain chain of layers
    #[arg(long, value_name = "N", default_value_t = defaults().stages, value_parser = value::at_least_one, conflicts_with_all = ["gates", "save_gates"])]
    pub stages: usize,
    /// Share of what is cut that is left to dependence: after the gates, channels go that the others of their layer can stand
    /// for, as the fits will see to; 0: gates alone [default: a third or nothing, by what held-out images say]
    #[arg(long, value_name = "SHARE", value_parser = value::share, default_value_if("preset", "paper", "0"))]
    pub dependent: Option<f64>,
    /// What ranks the channels: trained gates; how well the others of their layer can stand for them, which needs images but no
    /// training; the usual L1 norm, or chance, which need no data
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
    /// Updates; auto: until the plan has settled and two thirds as many again, on at most 12,800 images and in
    /// at most nine passes over the given ones
    #[arg(long, value_name = "N", default_value = "auto", default_value_if("preset", "paper", "200"), value_parser = value::count)]
    pub batches: Count,
    /// Random changes to the images while gates are trained, joined by commas, as --augment, or none; where labels teach, only
    /// crop4 and flip are made [default: none, but all of them on a classifier's few images]
    #[arg(long, value_name = "LIST", value_parser = value::plain::<Augment>, requires = "calib", default_value_if("preset", "paper", "crop4,flip"))]
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

/// The library's own defaults.
fn defaults() -> Options {
    Options::default()
}

/// `--criterion`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CriterionArg {
    Gates,
    Dependence,
    L1,
    Random,
}

impl From<CriterionArg> for Criterion {
    fn from(arg: CriterionArg) -> Self {
        match arg {
            CriterionArg::Gates => Criterion::Gates,
            CriterionArg::Dependence => Criterion::Dependence,
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
