//! Every flag, defined once: `--help`, the parser and the report read these lines.
//!
//! Takes: nothing. Gives: [`Cli`]: the flags of each subcommand, and groups of flags that several of them have. Never: opens a
//! file.

mod bench;
mod data;
mod demo;
mod inspect;
mod learn;
mod measure;
mod model;
mod prune;
mod recovery;
mod rewrite;
mod scope;
mod verify;

pub use bench::BenchArgs;
pub use data::DataArgs;
pub use demo::{DemoArgs, DemoName};
pub use inspect::InspectArgs;
pub use learn::{ClosedArg, LearnArgs};
pub use measure::MeasureArgs;
pub use model::ModelArgs;
pub use prune::PruneArgs;
pub use recovery::{RecoverArg, RecoveryArgs};
pub use rewrite::RewriteArgs;
pub use scope::{RewriteArg, RuntimeArg, ScopeArgs};
pub use verify::VerifyArgs;

use clap::{Parser, Subcommand};

/// Heading of flags that say what is printed and written.
const OUTPUT: &str = "Output";
/// Heading of flags that say how a measurement is run.
const RUN: &str = "Run";

const EXAMPLES: &str = "\
Examples:
  autobot-onnx demo
  autobot-onnx inspect in.onnx
  autobot-onnx in.onnx out.onnx --target-flops 50% --calib images/ --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  autobot-onnx verify in.onnx out.onnx --calib images.npy
  autobot-onnx bench in.onnx out.onnx
  autobot-onnx rewrite in.onnx out.onnx

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
    Rewrite(RewriteArgs),
}

#[cfg(test)]
mod tests {
    use super::learn::ChoiceArg;
    use super::scope::ResidualArg;
    use super::*;
    use crate::cli::value::Count;
    use autobot_onnx::Target;
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
            (Count(Some(7)), 64, 0.6, ChoiceArg::Batch, ClosedArg::Train)
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
