//! Forward and backward pass over a network in which gates are trained and all else is frozen, or weights are trained.
//!
//! Takes: a graph, its facts, and where gates stand or which constants are parameters. Gives: a [`Program`], a [`Workspace`] per
//! thread of a [`Pool`] to run it in, losses ([`Objective`]), the part of a network that can be run ([`Reach`], [`Opened`]), and a
//! [`ReferenceInterpreter`] to compare with. Never: decides on an update, shares state between threads, or sums in an order that
//! depends on their number.

mod backward;
mod batch;
mod bias_term;
mod channel_gather;
mod channel_map;
mod compile;
mod convolution;
mod forward;
mod gated;
mod gradients;
pub mod loss;
mod objective;
mod passes;
mod pool;
mod program;
mod reach;
mod reference;
#[cfg(test)]
mod testing;
mod workspace;

pub use batch::{LARGEST, batched};
pub use gated::{BiasTermSpec, GateSpec, GatedNetwork};
pub use objective::{Aims, LossKind, Objective, not_run, targets, unknown};
pub use pool::{MOST_THREADS, Pool};
pub use program::{Precision, Program};
pub use reach::{Opened, Reach};
pub use reference::ReferenceInterpreter;
pub use workspace::Workspace;
