//! Learning the gates: calibration data, gates, losses, optimiser, training loop.
//!
//! Takes: a network, its groups and cost, calibration data. Gives: a score per class. Never: changes a weight.

pub mod calib;
mod closed;
pub mod compensate;
pub mod gate;
mod inputs;
pub mod loss;
mod optim;
mod preview;
mod ranking;
mod session;
mod settled;
mod task;
mod train;

pub use closed::{Left, Smaller};
pub use inputs::inputs;
pub use preview::{Doubt, Example, Preview, preview};
pub use session::{Agreement, Chunk, Exam, Session};
pub use task::{Aims, Task, Wish, not_run, targets, unknown};
pub use train::{Choice, Record, Settings, Traced, Trained, Watching, hard, loses, settle, train};
