//! autobot-onnx
pub mod error;
pub mod learn;
pub use error::{Error, Result};
