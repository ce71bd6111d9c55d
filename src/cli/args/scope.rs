//! Flags that say what may be cut, and what is counted.

use crate::cli::value::{self, Processor};
use autobot_onnx::internals::cost::Convention;
use autobot_onnx::internals::coupling::Residual;
use autobot_onnx::internals::plan::Round;
use clap::{Args, ValueEnum};
use regex::Regex;
use std::path::Path;

/// What may be cut.
#[derive(Debug, Args)]
#[command(next_help_heading = "What may be cut")]
pub struct ScopeArgs {
    /// How residual additions are read: 'tie' cuts branch and trunk together; 'expand' cuts a branch alone and scatters
    /// what is left of it back; 'select' also lets each layer gather what it reads of the trunk; 'auto' chooses
    #[arg(long, value_enum, default_value_t = ResidualArg::Auto, default_value_ifs([
        ("preset", "paper", "expand"), ("runtime", "onnxruntime", "tie"), ("runtime", "any", "tie"),
    ]))]
    pub residual: ResidualArg,
    /// What is counted: multiply-accumulates; or, as the paper does, also two operations per element of a
    /// BatchNormalization node, and average pooling
    #[arg(long, value_enum, default_value_t = ConventionArg::Macs)]
    pub flops_convention: ConventionArg,
    /// The processor to predict times for: cortex-a7, cortex-a9, cortex-a53, cortex-a55, cortex-a72, the file of one that
    /// 'bench --calibrate' wrote, or 'host': this one, from the times of the network and of cuts of it
    #[arg(long, value_name = "CPU", value_parser = value::cpu)]
    pub cpu: Option<Processor>,
    /// The runtime that the small network is for, which sets what is not said: 'onnxruntime' and 'any' keep channels in multiples
    /// of 8 (--round-to) and cut branch and trunk together (--residual), as odd widths and moved channels cost them more than they
    /// save; 'tract' replaces operators that it is slow at (--rewrite)
    #[arg(long = "for", value_name = "RUNTIME", value_enum)]
    pub runtime: Option<RuntimeArg>,
    /// Say what a runtime is slow at in other operators, before anything is cut: for 'tract', not at all ('none'), or for tract
    /// where --cpu names a processor ('auto')
    #[arg(long, value_enum, default_value_t = RewriteArg::Auto)]
    pub rewrite: RewriteArg,
    /// Leave out layers and tensors whose names match
    #[arg(long, value_name = "REGEX")]
    pub exclude: Option<Regex>,
    /// Prune nothing but layers and tensors whose names match
    #[arg(long, value_name = "REGEX")]
    pub only: Option<Regex>,
    /// Keep channels in multiples of N (a layer that loses nothing keeps its number), or 'auto': in numbers that fill the tiles
    /// of --cpu, where one more costs most, or in the multiples that --measure takes least time for [default: 8, or less in layers
    /// of fewer than 64 channels; with --target-latency auto for a --cpu that is known by name]
    #[arg(long, value_name = "N", value_parser = value::round, default_value_if("preset", "paper", "1"))]
    pub round_to: Option<Round>,
    /// Keep at least N channels everywhere
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value::at_least_one)]
    pub min_channels: usize,
}

/// `--for`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuntimeArg {
    Tract,
    Onnxruntime,
    Any,
}

/// `--rewrite`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RewriteArg {
    Auto,
    Tract,
    None,
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
