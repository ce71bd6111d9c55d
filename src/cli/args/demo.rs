//! The flags of `demo`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

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
