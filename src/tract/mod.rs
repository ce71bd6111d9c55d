//! tract: model files run, timed and explained there, and what is known about the machine that runs them.
//!
//! Takes: the bytes of a model file, samples. Gives: outputs, times, the steps of tract's plan. The only room that knows tract.

pub mod board;
pub mod calibrate;
mod runtime;
pub mod timing;

pub use runtime::*;
