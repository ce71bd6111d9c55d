//! What a run has to say, as data ([`json`]) and as text ([`text`]).
//!
//! Takes: models, analyses, outcomes. Gives: reports. Never: computes anything that decides what is pruned.

pub mod files;
pub mod gather;
pub mod json;
mod table;
pub mod text;
pub mod units;
