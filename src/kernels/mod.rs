//! Number crunching: convolutions and matrix products.
//!
//! Takes: slices, and sizes ([`conv::Geometry`]). Gives: results in slices, by sums whose order depends on the sizes and on the
//! vectors of the CPU alone. Never: knows an ONNX name. The only room with `unsafe` code, for loads and stores without checks in
//! inner loops.

#![allow(unsafe_code, reason = "loops over raw memory, each with what makes it safe")]

mod arithmetic;
pub mod cholesky;
pub mod chwn;
pub mod conv;
pub mod direct;
pub mod matmul;
pub mod packed_conv;
mod products;
pub mod simd;
pub mod winograd;

use std::sync::OnceLock;

/// True where the environment variable `AUTOBOT_KERNELS` is `portable`: results are then equal on any CPU, bit for bit, and slow.
pub fn is_portable() -> bool {
    static PORTABLE: OnceLock<bool> = OnceLock::new();
    *PORTABLE.get_or_init(|| std::env::var_os("AUTOBOT_KERNELS").is_some_and(|v| v == "portable"))
}
