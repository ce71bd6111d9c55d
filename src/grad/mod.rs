//! Forward and backward pass over a frozen network in which only gates are trained.
//!
//! Takes: a graph, its facts, and where gates stand. Gives: a [`Program`] and, per thread, a [`Workspace`] that takes a few
//! images through it and back. Never: trains a weight, shares state between threads, or sums in an order that depends on
//! their number.

mod batch;
mod fold;
mod lower;
mod plain;
mod pool;
mod program;
mod run;

pub use batch::batched;
pub use plain::Plain;
pub use pool::Pool;
pub use program::{GateSpec, Program, ShiftSpec, UNGATED, targets};
pub use run::Workspace;
