//! What a run has to say, as data ([`json`]), as text ([`text`]) and as a page ([`html`]).
//!
//! Takes: models, analyses, outcomes. Gives: reports. Never: computes anything that decides what is pruned.

pub mod gather;
pub mod html;
pub mod json;
mod plot;
mod table;
pub mod text;
pub mod units;
