//! autobot-onnx: structured channel pruning of ONNX convolutional networks.

pub mod channels;
pub mod error;
pub mod ir;
pub mod learn;
pub mod onnx;
pub mod ops;

pub use error::{Error, Result};
