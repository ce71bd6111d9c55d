//! Faults in one part of a model. The part does not know its name; the caller adds it and the file's.

use crate::error::Error;
use std::path::Path;

/// A reason and a way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub hint: String,
}

/// The way out where a model contradicts itself.
pub const EXPORT_AGAIN: &str = "export the model again; onnx.checker.check_model shows what the exporter did";

impl Fault {
    /// A contradiction in the model.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: EXPORT_AGAIN.into() }
    }

    /// This fault with another way out.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The error about `part` of the file `path`.
    pub fn of(self, part: impl std::fmt::Display, path: &Path) -> Error {
        Error::file(path, format!("{part}: {}", self.reason), self.hint)
    }
}
