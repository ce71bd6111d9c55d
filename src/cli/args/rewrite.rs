//! The flags of `rewrite`.

use super::{ModelArgs, OUTPUT, RUN};
use crate::cli::value;
use clap::Args;
use std::path::PathBuf;

/// Write a network in operators that tract takes less time for; nothing is cut, and the result is proved equal
#[derive(Debug, Args)]
pub struct RewriteArgs {
    /// The network; it is never changed
    #[arg(value_name = "IN.onnx")]
    pub input: PathBuf,
    /// Where the rewritten network goes
    #[arg(value_name = "OUT.onnx")]
    pub output: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
    /// Seed of the inputs on which the two are compared
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = RUN)]
    pub seed: u64,
    /// Threads; 0 takes one per core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value::threads, help_heading = RUN)]
    pub threads: usize,
    /// Print the result only
    #[arg(short, long, help_heading = OUTPUT)]
    pub quiet: bool,
}
