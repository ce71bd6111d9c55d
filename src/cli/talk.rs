//! Who hears what: results on stdout, everything else on stderr.
//!
//! Takes: text. Gives: the flags in place of the settings that it names; whether the results were heard. Never: fails because
//! nobody listens (a closed pipe must not stop a run); prints what a terminal would obey.

use super::flags::with_flags;
use autobot_onnx::internals::support::printable;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a result could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// True where a result could not be written though somebody listened.
pub fn lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Says things, or less if it is to be quiet.
#[derive(Debug, Clone, Copy)]
pub struct Talk {
    pub quiet: bool,
}

impl Talk {
    /// A result: always said.
    pub fn result(self, text: &str) {
        let mut out = std::io::stdout().lock();
        let written =
            out.write_all(with_flags(&printable::lines(text)).as_bytes()).and_then(|()| out.flush());
        if let Err(e) = written.or_else(closed)
            && !LOST.swap(true, Ordering::Relaxed)
        {
            self.warn(&format!("the results cannot be written to standard output: {e}"));
        }
    }

    /// A result that the quiet do without.
    pub fn facts(self, text: &str) {
        if !self.quiet {
            self.result(text);
        }
    }

    /// Something worth knowing.
    pub fn note(self, text: &str) {
        if !self.quiet {
            say(&format!("note: {}", printable::line(text)));
        }
    }

    /// Something that must be known.
    pub fn warn(self, text: &str) {
        say(&format!("warning: {}", printable::line(text)));
    }
}

/// A closed pipe is no failure.
pub fn closed(e: std::io::Error) -> std::io::Result<()> {
    if e.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(e) }
}

/// Lines on stderr.
pub fn say(lines: &str) {
    let _ = writeln!(std::io::stderr(), "{}", with_flags(&printable::lines(lines)));
}

/// Prints an error with everything that led to it. (Most of our errors already quote their cause.)
pub fn complain(e: &anyhow::Error) {
    let mut text = format!("error: {e}");
    for cause in e.chain().skip(1).map(ToString::to_string) {
        if !text.contains(printable::line(&cause).as_ref()) {
            text += &format!("\n  because: {cause}");
        }
    }
    say(&text);
}
