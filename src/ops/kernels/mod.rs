//! Number crunching without ONNX names: convolution and matrix products on slices.

pub mod conv;
pub mod direct;
pub mod fixed;
pub mod lines;
pub mod matmul;
pub mod winograd;
