//! Reports as data: what is written as JSON, and what text and page are made from.
//!
//! Takes: nothing. Gives: structs whose fields are the JSON's fields. Invariants: field names are stable, new ones may be
//! added; counts are exact (the text rounds them). Never: a number that was not measured in the run, except predicted times,
//! which are labelled so.

mod bench;
mod model;
mod recipe;
mod run;

pub use bench::{Benched, Benchmark};
pub use model::{Channels, Frozen, Group, Inspection, Layer, ModelFacts, Port, Predicted};
pub use recipe::Recipe;
pub use run::{DataFacts, Recovery, Run, Training, Tuning, Verification};

use crate::error::{Error, Result};
use crate::support::files;
use serde::Serialize;
use std::path::Path;

/// A report as text that ends in a newline; its fields have names that are text, so nothing can go wrong.
pub fn text(report: &impl Serialize) -> String {
    serde_json::to_string_pretty(report).map_or_else(|e| format!("{e}\n"), |text| text + "\n")
}

/// Writes a report: complete or not at all.
pub fn write(path: &Path, report: &impl Serialize) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(report).map_err(|e| Error::io(path, e.into(), files::ROOM))?;
    bytes.push(b'\n');
    files::replace(path, &bytes, files::ROOM)
}
