//! Forward and backward pass over a network in which gates are trained and all else is frozen, or weights are trained.
//!
//! Takes: a graph, its facts, and where gates stand or which constants are parameters. Gives: a [`Program`] and, per thread, a
//! [`Workspace`] that takes a few images through it and back. Never: decides on an update, shares state between threads, or
//! sums in an order that depends on their number.

mod batch;
mod fold;
mod lower;
mod plain;
mod pool;
mod program;
mod reach;
mod route;
mod run;
mod take;

pub use batch::{LARGEST, batched};
pub use plain::Plain;
pub use pool::{MOST_THREADS, Pool};
pub use program::{GateSpec, Program, ShiftSpec, Sums, UNGATED};
pub use reach::{Opened, Reach};
pub use run::Workspace;
