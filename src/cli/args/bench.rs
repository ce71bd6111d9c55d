//! The flags of `bench`.

use super::{MeasureArgs, ModelArgs, OUTPUT, RUN};
use crate::cli::value;
use clap::Args;
use std::path::PathBuf;

/// Measure how fast networks are in tract on this machine, side by side
///
/// Every round runs each file once, so that whatever slows the machine down slows all of them; the ratios are taken round by
/// round. One thread, batch as the file says (1 where it leaves it open), an input of noise.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The networks; the others are compared with the first. '-' alone reads one from standard input and prints nothing but its
    /// milliseconds: `ssh pi autobot-onnx bench - < small.onnx`
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
    #[command(flatten)]
    pub measure: MeasureArgs,
    /// Also show where the time goes, node by node
    #[arg(long, help_heading = OUTPUT)]
    pub layers: bool,
    /// Also fit what this processor takes for the parts of an inference to the nodes' times, in the networks and in cuts of them,
    /// and write that for --cpu FILE on any machine; the more networks are given, the better. With --measure this is fitted to the
    /// times of the networks and of cuts of them that the command prints, and nothing is run in tract
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub calibrate: Option<PathBuf>,
    /// Also write everything as JSON
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub json: Option<PathBuf>,
    /// Print the result only: nothing about the machine
    #[arg(short, long, help_heading = OUTPUT)]
    pub quiet: bool,
}
