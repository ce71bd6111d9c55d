//! Who hears what: results on stdout, everything else on stderr.
//!
//! Takes: text. Gives: nothing. Never: fails because nobody listens (a closed pipe must not stop a run).

use std::io::Write;

/// Says things, or less if it is to be quiet.
#[derive(Debug, Clone, Copy)]
pub struct Talk {
    pub quiet: bool,
}

impl Talk {
    /// A result: always said.
    pub fn result(self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
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
            let _ = writeln!(std::io::stderr(), "note: {text}");
        }
    }

    /// Something that must be known.
    pub fn warn(self, text: &str) {
        let _ = writeln!(std::io::stderr(), "warning: {text}");
    }
}

/// Prints an error with everything that led to it. (Most of our errors already quote their cause.)
pub fn complain(e: &anyhow::Error) {
    let mut text = format!("error: {e}");
    for cause in e.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text += &format!("\n  because: {cause}");
        }
    }
    let _ = writeln!(std::io::stderr(), "{text}");
}
