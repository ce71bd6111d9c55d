//! What was typed, flag by flag.
//!
//! Takes: what clap matched. Gives: the flags with their values, for the report; a refusal of flags that nothing would read.
//! Never: reads a value; that is for [`super::value`].

use super::args::{Cli, RecoverArg, RecoveryArgs};
use super::flags::Misuse;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory};
use serde_json::Value;
use std::collections::BTreeMap;

/// Values by flag, defaults included.
pub type Flags = BTreeMap<String, Value>;

/// Every flag with the value it had, for the report.
pub fn flags(matches: &ArgMatches) -> Flags {
    let command = Cli::command();
    let value = |id: &str| {
        let raw = matches.try_get_raw(id).ok().flatten()?;
        let mut all: Vec<Value> = raw.map(|v| word(&v.to_string_lossy())).collect();
        Some(if all.len() == 1 { all.remove(0) } else { all.into() })
    };
    let ids = command.get_arguments().map(|a| a.get_id().as_str());
    ids.filter_map(|id| Some((id.replace('_', "-"), value(id)?))).collect()
}

/// Numbers and truth values as such, everything else as text.
fn word(text: &str) -> Value {
    let parsed = serde_json::from_str(text).ok();
    parsed.filter(|v: &Value| v.is_number() || v.is_boolean()).unwrap_or_else(|| text.into())
}

/// Refuses flags of finetuning where nothing is finetuned.
pub fn refuse_idle_flags(recovery: &RecoveryArgs, matches: &ArgMatches) -> Result<(), Misuse> {
    if recovery.recover == RecoverArg::Finetune {
        return Ok(());
    }
    let flags = RecoveryArgs::augment_args(clap::Command::new(""));
    let is_typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let mut names =
        flags.get_arguments().filter(|a| is_typed(a.get_id().as_str())).flat_map(|a| a.get_long());
    match names.find(|&name| name != "recover") {
        Some(name) => Err(Misuse::new(
            format!("--{name}"),
            "shapes finetuning, and none is asked for",
            "add --recover finetune, or leave it out",
        )),
        None => Ok(()),
    }
}
