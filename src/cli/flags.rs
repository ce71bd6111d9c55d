//! Settings → flags.
//!
//! Takes: the library's texts, which name settings; a word of the command line that makes no sense. Gives: text that names
//! flags. Never: touches what is no setting's name in backticks.

use autobot_onnx::Setting;
use autobot_onnx::internals::support::printable::line;

/// An argument of the command line, as it is typed, that makes no sense here.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}\n  way out: {}", line(argument), line(reason), line(hint))]
pub struct Misuse {
    argument: String,
    reason: String,
    hint: String,
}

impl Misuse {
    /// An argument, why it makes no sense, and the way out.
    pub fn new(argument: impl Into<String>, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { argument: argument.into(), reason: reason.into(), hint: hint.into() }
    }
}

/// The flag of a setting.
fn flag(setting: Setting) -> String {
    format!("--{}", setting.name().replace('_', "-"))
}

/// A text of the library with the flag in place of every setting's name in backticks. A flag is as wide as such a name, so that
/// columns stay in line.
pub fn with_flags(text: &str) -> String {
    Setting::ALL.iter().fold(text.to_owned(), |text, &s| text.replace(&s.to_string(), &flag(s)))
}

#[cfg(test)]
mod tests {
    use super::super::args::Cli;
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_setting_is_a_flag() {
        let command = Cli::command();
        let all = std::iter::once(&command).chain(command.get_subcommands());
        let known: Vec<String> = all
            .flat_map(clap::Command::get_arguments)
            .filter_map(|a| a.get_long().map(|long| format!("--{long}")))
            .collect();
        for &setting in Setting::ALL {
            assert!(known.contains(&flag(setting)), "{setting}");
            assert_eq!(flag(setting).len(), setting.to_string().len());
        }
    }

    #[test]
    fn settings_are_shown_as_flags_and_nothing_else_is() {
        let text = format!("{} tie, not `residue`, residual or 'residual'", Setting::Residual);
        assert_eq!(with_flags(&text), "--residual tie, not `residue`, residual or 'residual'");
        assert_eq!(
            with_flags(&format!("{}: {}", Setting::InputShape, Setting::FixSizes)),
            "--input-shape: --fix-sizes"
        );
    }
}
