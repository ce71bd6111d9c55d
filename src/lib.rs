//! Structured channel pruning of ONNX convolutional networks: an ONNX file in, a physically smaller ONNX file out, proved
//! equal to the original with the deleted channels at zero.
//!
//! Values flow one way, and each stage's result is plain data:
//!
//! ```text
//! bytes ─onnx→ Graph ─channels→ Groups ─learn→ gates ─plan→ Plan ─rewrite→ Graph ─verify→ Verdict ─onnx→ bytes
//! ```
//!
//! | module | what it answers |
//! |---|---|
//! | [`ir`] | what a network is, and what every operator must answer (`trait Op`) |
//! | [`ops`] | the operators, one file each, tested by one set of laws |
//! | [`onnx`] | reading and writing files; the only place that knows protobuf |
//! | [`channels`] | which channels belong together, and why some cannot go |
//! | [`cost`] | multiply-accumulates by soft or hard widths |
//! | [`grad`] | forward and backward pass over a network with gates, or with weights that are trained |
//! | [`learn`] | calibration data, losses, training of the gates |
//! | [`plan`] | from scores and a budget to what is kept |
//! | [`mod@rewrite`] | the only writer: deletes what the plan drops |
//! | [`recover`] | what makes up for lost accuracy: closed-form fits of the layers that are left, training of their weights |
//! | [`memory`] | how much memory there is |
//! | [`runtime`] | a model file in tract; the only place that knows it |
//! | [`verify`] | measured differences, in our executor and in tract |
//! | [`mod@bench`] | measured times in tract |
//! | [`pipeline`] | the whole way, for callers: [`pipeline::Pruner`] |
//! | [`files`] | files that are replaced as a whole |
//!
//! Invariants: what no operator speaks for is frozen, with a reason; a result that was not verified is not given; the same
//! seed and data give the same bytes, whatever the number of threads.
//!
//! ```
//! use autobot_onnx::pipeline::{Criterion, Observer, Options, Pruner, Recover, Target};
//! use autobot_onnx::{learn::calib::Calibration, onnx};
//!
//! struct Quiet;
//! impl Observer for Quiet {}
//!
//! let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/digits_residual.onnx");
//! let mut options = Options::new(Target::Share(0.5));
//! options.criterion = Criterion::L1; // Criterion::Gates, the default, trains
//! options.recover = Recover::Reconstruct;
//! let pruner = Pruner::new(onnx::read(path.as_ref(), &[])?, options)?;
//! let data = Calibration::synthetic(&pruner.inputs()?, 64, 1); // Calibration::load reads images
//! let done = pruner.run(&data, &mut Quiet)?;
//! assert!(done.outcome.plan.cost <= pruner.analysis().full / 2);
//! assert!(done.verdict.relative <= 1e-4 && done.verdict.tract.is_ok());
//! let small = done.pruned.expect("it was proved");
//! let folder = tempfile::tempdir().expect("a folder");
//! small.write(&folder.path().join("small.onnx"))?;
//! # Ok::<(), autobot_onnx::Error>(())
//! ```

pub mod bench;
pub mod channels;
pub mod cost;
pub mod error;
pub mod files;
pub mod grad;
mod hash;
pub mod ir;
pub mod learn;
pub mod memory;
pub mod onnx;
pub mod ops;
pub mod pipeline;
pub mod plan;
pub mod printable;
pub mod random;
pub mod recover;
pub mod report;
pub mod rewrite;
pub mod runtime;
pub mod verify;

pub use error::{Error, Result};
