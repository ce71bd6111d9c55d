//! The flags of `verify`.

use super::{DataArgs, ModelArgs, RUN};
use crate::cli::value;
use clap::Args;
use std::path::PathBuf;

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
