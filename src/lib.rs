//! autobot-onnx: structured channel pruning of ONNX convolutional networks.

pub mod channels;
pub mod cost;
pub mod error;
pub mod grad;
pub mod ir;
pub mod learn;
pub mod onnx;
pub mod ops;
pub mod pipeline;
pub mod plan;
pub mod random;
pub mod report;
pub mod rewrite;
pub mod verify;

pub use error::{Error, Result};
