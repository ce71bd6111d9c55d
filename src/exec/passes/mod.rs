//! Rewrites of a program that is to be run. Each drops only values that the targets cannot see.
//!
//! Takes: a program. Gives: a program with equal targets, up to rounding, and fewer steps. Never: makes an order of sums depend on
//! more than shapes and the requested precision.

mod batch_normalization;
mod fuse;
mod gather;
mod parameters;
#[cfg(test)]
mod tests;

pub(in crate::exec) use batch_normalization::fold_batch_norm;
pub(in crate::exec) use fuse::lower;
