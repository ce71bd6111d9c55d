//! The answer of a subcommand, and what is said of the files that it writes.
//!
//! Takes: what writing came to. Gives: an [`Answer`], lines on the console. Never: writes a file; turns a failure beside the result
//! into an error.

use super::console::Console;
use autobot_onnx::internals::onnx::Written;
use autobot_onnx::internals::support::printable;
use autobot_onnx::{Error, Result};
use std::path::Path;

/// The answer of a subcommand that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done, and where something was to be verified, it holds.
    Yes,
    /// Done, but something beside the result could not be written: a warning said what.
    Partly,
    /// Verified, and it does not hold.
    No,
}

/// The answer where the result is there, after what was to be written beside it.
pub fn beside(written: impl IntoIterator<Item = Result<()>>, console: Console) -> Answer {
    let mut answer = Answer::Yes;
    for e in written.into_iter().filter_map(Result::err) {
        console.warn(&format!("not written: {}", one_line(&e)));
        answer = Answer::Partly;
    }
    answer
}

/// Says what a network was written to.
pub fn announce(model: &Path, written: &Written, console: Console) {
    let data = written.data.as_ref().map(|d| format!(", with its weights in {}", d.display()));
    let places = format!("{}{}", model.display(), data.unwrap_or_default());
    console.result(&format!("written   {}\n", printable::line(&places)));
    if let Some(left) = &written.left {
        let left = left.display();
        console.note(&format!("{left}, the weights of what was replaced, stays: another file may need it"));
    }
}

/// An error with its way out, in a line.
pub fn one_line(e: &Error) -> String {
    e.to_string().replace("\n  way out: ", "; way out: ")
}
