//! Structured channel pruning of ONNX convolutional networks: an ONNX file in, a physically smaller ONNX file out, proved
//! equal to the original with the deleted channels at zero.
//!
//! ```
//! use autobot_onnx::{Criterion, Dataset, Model, Options, Pruner, Recover, Target};
//! use ndarray::Array4;
//!
//! let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/digits_residual.onnx");
//! let model = Model::open(path)?;
//! // Pixels as a camera or a decoder gives them; mean and std are what the network was trained with.
//! let pixels = Array4::from_shape_fn((64, 8, 8, 1), |(n, y, x, _)| ((n * 31 + y * x * 7) % 256) as u8);
//! let data = Dataset::from_array(pixels)?.normalise(&[0.5], &[0.5])?;
//!
//! // Criterion::Gates, the default, trains for a minute or so. What is left is fitted to what the original gave.
//! let options = Options { criterion: Criterion::L1, recover: Recover::Reconstruct, ..Options::default() };
//! let pruned = Pruner::new(Target::macs_share(0.5)).options(options).run(&model, &data)?;
//!
//! // That the small network equals the masked original was measured, in this library's executor and in tract.
//! let report = pruned.report();
//! assert!(report.macs_after() <= report.macs_before() / 2);
//! assert!(report.difference() <= 1e-4 && report.difference_in_tract().is_some_and(|d| d <= 1e-4));
//! println!("{report}");
//!
//! let logits = pruned.model().run(&[Array4::zeros((1, 1, 8, 8))])?;
//! assert_eq!(logits[0].shape(), [1, 10]);
//! let folder = tempfile::tempdir().expect("a folder");
//! pruned.write(folder.path().join("small.onnx"))?; // only a run of a pruner makes what can be written
//! # Ok::<(), autobot_onnx::Error>(())
//! ```
//!
//! | to | use |
//! |---|---|
//! | read a model and run it on arrays | [`Model`] |
//! | see what could be cut, and what not and why | [`Model::inspect`] |
//! | bring images: arrays, batches, `.npy`, `.npz`, folders | [`Dataset`], [`Preprocess`] |
//! | say how much is to stay: MACs, a share, milliseconds | [`Target`] |
//! | name the processor that times belong to | [`Pruner::processor`], [`Processor`] |
//! | say how it is done | [`Options`] |
//! | prune, to one target or to several from one training | [`Pruner::run`], [`Pruner::run_each`] |
//! | watch | [`Pruner::run_with`], [`Events`] |
//! | read what was measured; run or write the result | [`Report`], [`Pruned`] |
//!
//! # Versions
//!
//! Releases follow semantic versioning: until 1.0 the interface may change with the minor version, from then on with the major one.
//! It is what this page lists; [`internals`] is not part of it. [`Options`] and [`Preprocess`] may get fields in any release: make them with
//! `..Default::default()`. [`ndarray`] and [`regex`] are part of the interface. The minimum supported Rust version is 1.91; a newer
//! one is asked for with a minor version only.
//!
//! # The house
//!
//! Values flow one way, and each stage's result is plain data:
//!
//! ```text
//! bytes ─onnx→ Graph ─coupling→ Groups ─gates→ scores ─plan→ Plan ─rewrite→ Graph ─recover→ Graph ─verify→ Pruned ─onnx→ bytes
//! ```
//!
//! | room | what it answers |
//! |---|---|
//! | `tensor` | constants in their own element type, arrays to compute with |
//! | `graph` | what a network is, its shapes and constants, and what every operator must answer (`trait Op`) |
//! | `kernels` | convolutions and products on slices; every `unsafe` |
//! | `ops` | the operators, one file each, tested by one set of laws |
//! | `onnx` | reading and writing files; the only room that knows protobuf |
//! | `coupling` | which channels live and die together, and why some cannot go |
//! | `cost` | multiply-accumulates, or predicted time, by soft or hard widths |
//! | `exec` | forward and backward pass over a network with gates, or with weights that are trained; losses |
//! | `data` | [`Dataset`]: images from arrays, archives, folders or nothing |
//! | `gates` | where gates stand, and their training |
//! | `plan` | from scores and a budget to what is kept |
//! | `rewrite` | the only writer: deletes what the plan drops |
//! | `recover` | closed-form fits of the layers that are left, training of their weights |
//! | `tract` | model files run and timed in tract; the only room that knows it |
//! | `verify` | measured differences, in our executor and in tract; the certificate |
//! | `pruner` | the whole way, for callers: [`Pruner`] |
//! | `report` | text, JSON and a page of what was measured |
//! | `support` | files that are replaced as a whole, hashes, memory, random numbers |
//!
//! Invariants: what no operator speaks for is frozen, with a reason; a result that was not verified is not given; the same
//! seed and data give the same bytes, whatever the number of threads.

// Every `unsafe` of the library stands in `kernels`, which says at its head what it is for. ndarray's `s!` expands to some:
// `index_axis` and `slice_axis` do not.
#[forbid(unsafe_code)]
mod cost;
#[forbid(unsafe_code)]
mod coupling;
#[forbid(unsafe_code)]
mod data;
#[forbid(unsafe_code)]
mod error;
#[forbid(unsafe_code)]
mod exec;
#[forbid(unsafe_code)]
mod gates;
#[forbid(unsafe_code)]
mod graph;
mod kernels;
#[forbid(unsafe_code)]
mod onnx;
#[forbid(unsafe_code)]
mod ops;
#[forbid(unsafe_code)]
mod plan;
#[forbid(unsafe_code)]
mod pruner;
#[forbid(unsafe_code)]
mod recover;
#[forbid(unsafe_code)]
mod report;
#[forbid(unsafe_code)]
mod rewrite;
#[forbid(unsafe_code)]
mod setting;
#[forbid(unsafe_code)]
mod support;
#[forbid(unsafe_code)]
mod tensor;
#[forbid(unsafe_code)]
mod tract;
#[forbid(unsafe_code)]
mod verify;

pub use cost::Convention;
pub use cost::latency::{Cpu, Speed};
pub use coupling::Residual;
pub use data::{Augment, Dataset, Layout, Preprocess, Resize, Samples};
pub use error::{Error, Result};
pub use exec::LossKind;
pub use gates::{Agreement, Checkpointing, Record};
pub use onnx::{InputShape, Written};
pub use plan::{Limits, Round};
pub use pruner::command::MeasureCommand;
pub use pruner::{CONFIDENCE, Comparison};
pub use pruner::{
    Compensation, Criterion, Events, Finetune, Model, Options, Port, Processor, Pruned, Pruner, Recover,
    Silent, Stage, Target,
};
pub use recover::{Epoch, Method, Update};
pub use report::{Inspection, Report};
pub use setting::Setting;

/// The rooms of the house, for the command, the tests and the benches of this project: semantic versioning does not cover them.
#[doc(hidden)]
pub mod internals {
    pub mod cost {
        pub use crate::cost::*;
    }
    pub mod coupling {
        pub use crate::coupling::*;
    }
    pub mod data {
        pub use crate::data::*;
    }
    pub mod exec {
        pub use crate::exec::*;
    }
    pub mod gates {
        pub use crate::gates::*;
    }
    pub mod graph {
        pub use crate::graph::*;
    }
    pub mod kernels {
        pub use crate::kernels::*;
    }
    pub mod onnx {
        pub use crate::onnx::*;
    }
    pub mod ops {
        pub use crate::ops::*;
    }
    pub mod plan {
        pub use crate::plan::*;
    }
    pub mod pruner {
        pub use crate::pruner::*;
    }
    pub mod recover {
        pub use crate::recover::*;
    }
    pub mod report {
        pub use crate::report::*;
    }
    pub mod rewrite {
        pub use crate::rewrite::*;
    }
    pub mod support {
        pub use crate::support::*;
    }
    pub mod tensor {
        pub use crate::tensor::*;
    }
    pub mod tract {
        pub use crate::tract::*;
    }
    pub mod verify {
        pub use crate::verify::*;
    }
}
