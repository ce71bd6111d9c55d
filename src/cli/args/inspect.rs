//! The flags of `inspect`.

use super::{ModelArgs, OUTPUT, ScopeArgs};
use clap::Args;
use std::path::PathBuf;

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
