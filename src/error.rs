//! The one error type. Every variant names the file, the node or the setting, the reason, and the way out; what it prints is
//! harmless to a terminal, whatever the names in it are.

use crate::setting::Setting;
use crate::support::printable::line;
use std::path::{Path, PathBuf};

/// What can go wrong, with everything a person needs to put it right.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be opened, read, created or renamed.
    #[error("{}: {}\n  way out: {}", file(path), line(&source.to_string()), line(hint))]
    Io { path: PathBuf, source: std::io::Error, hint: String },

    /// A file was read but does not hold what it should (model, images, labels, gates).
    #[error("{}: {}\n  way out: {}", file(path), line(reason), line(hint))]
    File { path: PathBuf, reason: String, hint: String },

    /// One node of the graph is wrong or cannot be handled.
    #[error("node '{}' ({}): {}\n  way out: {}", line(node), line(op), line(reason), line(hint))]
    Node { node: String, op: String, reason: String, hint: String },

    /// The graph as a whole is wrong: a cycle, a name defined twice, nothing that can be pruned.
    #[error("{}\n  way out: {}", line(reason), line(hint))]
    Graph { reason: String, hint: String },

    /// Operators that the job needs and that are not implemented: all of them at once.
    #[error(
        "operators that are not supported stand in the way:\n{}  way out: {}",
        bullets(nodes),
        line(hint)
    )]
    Unsupported { nodes: Vec<String>, hint: String },

    /// A setting that makes no sense here.
    #[error("{setting}: {}\n  way out: {}", line(reason), line(hint))]
    Argument { setting: Setting, reason: String, hint: String },

    /// A command that was to measure and did not; with what it printed.
    #[error("{setting}: '{}' {}\n{}  way out: {}", line(command), line(reason), printed(output), line(hint))]
    Command { setting: Setting, command: String, reason: String, output: Vec<String>, hint: String },

    /// Arrays in memory that do not fit the network.
    #[error("{}\n  way out: {}", line(reason), line(hint))]
    Arrays { reason: String, hint: String },

    /// A check of our own work failed; nothing was written.
    #[error("verification failed: {}\n  way out: {}", line(reason), line(hint))]
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

    /// A setting that makes no sense here.
    pub fn argument(setting: Setting, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Argument { setting, reason: reason.into(), hint: hint.into() }
    }

    /// Arrays in memory that do not fit the network.
    pub fn arrays(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Arrays { reason: reason.into(), hint: hint.into() }
    }
}

fn bullets(nodes: &[String]) -> String {
    nodes.iter().map(|n| format!("    - {}\n", line(n))).collect()
}

fn printed(output: &[String]) -> String {
    output.iter().map(|text| format!("    {}\n", line(text))).collect()
}

fn file(path: &Path) -> String {
    line(&path.display().to_string()).into_owned()
}
