//! Rewrites of a program before it runs. Each drops only what the targets cannot see.
//!
//! Takes: a program. Gives: the same program with fewer steps. Never: changes a target or an order of sums.

mod batch_normalization;
mod fuse;

pub(in crate::exec) use batch_normalization::fold_batch_norm;
pub(in crate::exec) use fuse::{lower, prepare_again};
