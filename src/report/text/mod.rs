//! Reports as text for a terminal.
//!
//! Takes: the structs of [`json`](super::json). Gives: lines that end in a newline. Never: colours, or a number that is
//! not in the JSON.

mod bench;
mod channels;
mod inspection;
mod layers;
mod model;
mod parts;
mod result;

pub use bench::{benchmark, board, calibrated, calibrated_on_networks, widths};
pub use inspection::{facts, inspection, target};
pub use model::rewritten;
pub use parts::{all_sizes, apart_on, measured};
pub use result::{result, stage};
