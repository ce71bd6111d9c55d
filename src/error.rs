//! The one error type. Every variant names the file or the node, the reason, and the way out.

use std::path::{Path, PathBuf};

/// What can go wrong, with everything a person needs to put it right.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be opened, read, created or renamed.
    #[error("{}: {source}\n  way out: {hint}", path.display())]
    Io { path: PathBuf, source: std::io::Error, hint: String },

    /// A file was read but does not hold what it should (model, images, labels, gates).
    #[error("{}: {reason}\n  way out: {hint}", path.display())]
    File { path: PathBuf, reason: String, hint: String },

    /// One node of the graph is wrong or cannot be handled.
    #[error("node '{node}' ({op}): {reason}\n  way out: {hint}")]
    Node { node: String, op: String, reason: String, hint: String },

    /// The graph as a whole is wrong: a cycle, a name defined twice, nothing that can be pruned.
    #[error("{reason}\n  way out: {hint}")]
    Graph { reason: String, hint: String },

    /// Operators that the job needs and that are not implemented: all of them at once.
    #[error("operators that are not supported stand in the way:\n{}  way out: {hint}", bullets(nodes))]
    Unsupported { nodes: Vec<String>, hint: String },

    /// A command-line argument or setting that makes no sense here.
    #[error("{argument}: {reason}\n  way out: {hint}")]
    Argument { argument: String, reason: String, hint: String },

    /// A check of our own work failed; nothing was written.
    #[error("verification failed: {reason}\n  way out: {hint}")]
    Verification { reason: String, hint: String },
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An operating-system error on `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error, hint: impl Into<String>) -> Self {
        Self::Io { path: path.as_ref().into(), source, hint: hint.into() }
    }

    /// A file whose content is not what it should be.
    pub fn file(path: impl AsRef<Path>, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().into(), reason: reason.into(), hint: hint.into() }
    }

    /// A node that is wrong or cannot be handled.
    pub fn node(
        node: impl Into<String>,
        op: impl Into<String>,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Node { node: node.into(), op: op.into(), reason: reason.into(), hint: hint.into() }
    }

    /// A graph that is wrong as a whole.
    pub fn graph(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Graph { reason: reason.into(), hint: hint.into() }
    }

    /// An argument that makes no sense here.
    pub fn argument(argument: impl Into<String>, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Argument { argument: argument.into(), reason: reason.into(), hint: hint.into() }
    }
}

fn bullets(nodes: &[String]) -> String {
    nodes.iter().map(|n| format!("    - {n}\n")).collect()
}
