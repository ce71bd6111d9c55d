//! What is printed, and where: results on stdout, everything else on stderr.
//!
//! Takes: text. Gives: the flags in place of the settings that it names; whether the results were written. Never: fails because
//! nobody reads (a closed pipe must not stop a run); prints what a terminal would obey.

use super::flags::with_flags;
use autobot_onnx::internals::support::printable;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a result could not be written.
static RESULTS_LOST: AtomicBool = AtomicBool::new(false);

/// True where a result could not be written though somebody read.
pub fn results_lost() -> bool {
    RESULTS_LOST.load(Ordering::Relaxed)
}

/// The terminal, or what stands in its place.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    /// Results and warnings only.
    pub quiet: bool,
}

impl Console {
    /// A result, on stdout.
    pub fn result(self, text: &str) {
        let mut out = std::io::stdout().lock();
        let written =
            out.write_all(with_flags(&printable::lines(text)).as_bytes()).and_then(|()| out.flush());
        if let Err(e) = written.or_else(ignore_closed_pipe)
            && !RESULTS_LOST.swap(true, Ordering::Relaxed)
        {
            self.warn(&format!("the results cannot be written to standard output: {e}"));
        }
    }

    /// A result that is left out when quiet.
    pub fn facts(self, text: &str) {
        if !self.quiet {
            self.result(text);
        }
    }

    /// A line on stderr about a run that goes on; left out when quiet.
    pub fn progress(self, line: &str) {
        if !self.quiet {
            print_to_stderr(line);
        }
    }

    /// Something worth knowing, on stderr; left out when quiet.
    pub fn note(self, text: &str) {
        if !self.quiet {
            print_to_stderr(&format!("note: {}", printable::line(text)));
        }
    }

    /// Something that must be known, on stderr.
    pub fn warn(self, text: &str) {
        print_to_stderr(&format!("warning: {}", printable::line(text)));
    }
}

/// No failure where the reader of a pipe has gone.
pub fn ignore_closed_pipe(e: std::io::Error) -> std::io::Result<()> {
    if e.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(e) }
}

/// Prints an error with everything that led to it. (Most of our errors already quote their cause.)
pub fn print_error(e: &anyhow::Error) {
    let mut text = format!("error: {e}");
    for cause in e.chain().skip(1).map(ToString::to_string) {
        if !text.contains(printable::line(&cause).as_ref()) {
            text += &format!("\n  because: {cause}");
        }
    }
    print_to_stderr(&text);
}

fn print_to_stderr(lines: &str) {
    let _ = writeln!(std::io::stderr(), "{}", with_flags(&printable::lines(lines)));
}
