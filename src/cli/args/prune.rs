//! The flags of pruning, which is the command without a word.

use super::{DataArgs, LearnArgs, MeasureArgs, ModelArgs, OUTPUT, RecoveryArgs, ScopeArgs};
use crate::cli::value;
use autobot_onnx::Target;
use clap::Args;
use std::path::PathBuf;

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
    /// How long an inference may take, by --cpu or --measure: 30ms, 1.5s or 50% of what it takes now; or several of them
    ///
    /// With --cpu times are predicted for tract on one core at batch 1. Channels are chosen by what each saves of them, which is not what
    /// it saves of the multiply-accumulates, and kept in numbers that fill the processor's tiles (see --round-to). With --cpu
    /// host, and with --measure, the small network is measured beside the original, and cut until that is met.
    #[arg(long, value_name = "TIME", conflicts_with = "target_flops", value_delimiter = ',', value_parser = value::latency)]
    pub target_latency: Vec<Target>,
    #[command(flatten)]
    pub measure: MeasureArgs,
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
