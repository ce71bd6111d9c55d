//! Flags of what is done about lost accuracy.

use crate::cli::value;
use autobot_onnx::internals::data::Augment;
use autobot_onnx::internals::pruner::Finetune;
use autobot_onnx::internals::recover::Method;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What is done about lost accuracy after pruning.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recovery")]
pub struct RecoveryArgs {
    /// 'reconstruct' fits every layer in closed form to what the unpruned network's layer gave, without labels; 'finetune' then
    /// trains the weights; 'none' changes no weight; 'auto' reconstructs where there are images (--calib), and trains shortly
    /// by what the unpruned network says to them
    #[arg(long, value_enum, default_value_t = RecoverArg::Auto)]
    pub recover: RecoverArg,
    /// Finetuning: passes over the images
    #[arg(long, value_name = "N", default_value_t = Finetune::EPOCHS, value_parser = value::at_least_one)]
    pub epochs: usize,
    /// Finetuning: images per update
    #[arg(long, value_name = "N", default_value_t = Finetune::BATCH_SIZE, value_parser = value::at_least_one)]
    pub tune_batch: usize,
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
    #[arg(long, value_name = "X", default_value_t = Finetune::TEMPERATURE, value_parser = value::positive)]
    pub temperature: f64,
    /// Finetuning: share of the labels in the loss, where there are any (mixtures have none); the rest follows the unpruned network
    #[arg(long, value_name = "SHARE", default_value_t = Finetune::default().labels, value_parser = value::share)]
    pub label_share: f64,
    /// Finetuning: keep the state of the run here, and go on from it if it is there (after a power cut, say); stages before
    /// the last are gone through again. It is removed when the small network is written
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
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
