//! Number crunching without ONNX names: convolution and matrix products on slices.

mod arithmetic;
pub mod chwn;
pub mod conv;
pub mod direct;
pub mod fixed;
pub mod lines;
pub mod matmul;
mod products;
pub mod winograd;
