//! Structured channel pruning of ONNX convolutional networks: an ONNX file in, a physically smaller ONNX file out, proved
//! equal to the original with the deleted channels at zero.
//!
//! Values flow one way, and each stage's result is plain data:
//!
//! ```text
//! bytes ─onnx→ Graph ─coupling→ Groups ─gates→ scores ─plan→ Plan ─rewrite→ Graph ─recover→ Graph ─verify→ Pruned ─onnx→ bytes
//! ```
//!
//! | room | what it answers |
//! |---|---|
//! | [`tensor`] | constants in their own element type, arrays to compute with |
//! | [`graph`] | what a network is, its shapes and constants, and what every operator must answer (`trait Op`) |
//! | [`kernels`] | convolutions and products on slices; every `unsafe` |
//! | [`ops`] | the operators, one file each, tested by one set of laws |
//! | [`onnx`] | reading and writing files; the only room that knows protobuf |
//! | [`coupling`] | which channels live and die together, and why some cannot go |
//! | [`cost`] | multiply-accumulates, or predicted time, by soft or hard widths |
//! | [`exec`] | forward and backward pass over a network with gates, or with weights that are trained; losses |
//! | [`data`] | calibration images from arrays, archives, folders or nothing |
//! | [`gates`] | where gates stand, and their training |
//! | [`plan`] | from scores and a budget to what is kept |
//! | [`mod@rewrite`] | the only writer: deletes what the plan drops |
//! | [`recover`] | closed-form fits of the layers that are left, training of their weights |
//! | [`tract`] | model files run and timed in tract; the only room that knows it |
//! | [`verify`] | measured differences, in our executor and in tract |
//! | [`pruner`] | the whole way, for callers: [`pruner::Pruner`] |
//! | [`report`] | text, JSON and a page of what was measured |
//! | [`support`] | files that are replaced as a whole, hashes, memory, random numbers |
//!
//! Invariants: what no operator speaks for is frozen, with a reason; a result that was not verified is not given; the same
//! seed and data give the same bytes, whatever the number of threads.
//!
//! ```
//! use autobot_onnx::pruner::{Criterion, Observer, Options, Pruner, Recover, Target};
//! use autobot_onnx::{data::Calibration, onnx};
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
//! assert!(done.outcome.plan.cost <= pruner.analysis().macs_total / 2);
//! assert!(done.verdict.relative <= 1e-4 && done.verdict.tract.is_ok());
//! let small = done.pruned.expect("it was proved");
//! let folder = tempfile::tempdir().expect("a folder");
//! small.write(&folder.path().join("small.onnx"))?;
//! # Ok::<(), autobot_onnx::Error>(())
//! ```

pub mod cost;
pub mod coupling;
pub mod data;
pub mod error;
pub mod exec;
pub mod gates;
pub mod graph;
pub mod kernels;
pub mod onnx;
pub mod ops;
pub mod plan;
pub mod pruner;
pub mod recover;
pub mod report;
pub mod rewrite;
mod setting;
pub mod support;
pub mod tensor;
pub mod tract;
pub mod verify;

pub use error::{Error, Result};
pub use setting::Setting;
