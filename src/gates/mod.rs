//! Learning the gates: calibration data, gates, losses, optimiser, training loop.
//!
//! Takes: a network, its groups and cost, calibration data. Gives: a score per class. Never: changes a weight.

mod agreement;
mod boxes;
pub mod compensate;
pub mod dependence;
mod early_stopping;
pub mod gate;
mod inputs;
mod optim;
mod preview;
mod ranking;
mod session;
mod shrinking;
mod train;

pub use agreement::{Agreement, HeldOut};
pub use inputs::{check_labels, inputs};
pub use preview::{Doubt, Example, Preview, preview};
pub use session::Session;
pub use shrinking::{Rebuild, Resumed};
pub use train::{
    Checkpointing, Distillation, Record, Settings, Traced, Trained, Watching, hard, loses, train,
    train_compensation,
};
