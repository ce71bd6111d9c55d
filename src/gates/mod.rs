//! Learning the gates: calibration data, gates, losses, optimiser, training loop.
//!
//! Takes: a network, its groups and cost, calibration data. Gives: a score per class. Never: changes a weight.

mod closed;
pub mod compensate;
pub mod gate;
mod inputs;
mod optim;
mod preview;
mod ranking;
mod session;
mod settled;
mod train;

pub use closed::{Left, Smaller};
pub use inputs::inputs;
pub use preview::{Doubt, Example, Preview, preview};
pub use session::{Agreement, Chunk, Exam, Session};
pub use train::{Choice, Record, Settings, Traced, Trained, Watching, hard, loses, settle, train};
