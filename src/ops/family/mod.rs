//! Families of operators: one implementation of `Op` for each, and helpers that several operators share.
//!
//! Never: knows an operator of its family by name.

pub mod activation;
pub mod arg;
pub mod binary;
pub mod broadcast;
pub mod carried;
pub mod indexing;
pub mod no_grad;
pub mod normalise;
pub mod pointwise;
pub mod pool;
pub mod quantization;
pub mod recurrent;
pub mod reduce;
pub mod resample;
pub mod spatial;
pub mod steps;
pub mod variadic;
pub mod view;
