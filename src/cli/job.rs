//! One pruning run from model to verified model: what `prune` and `demo` share.
//!
//! Takes: a model, options. Gives: a [`Prepared`] model and what is reported of it and of its runs. Never: writes a file.

use super::talk::Talk;
use autobot_onnx::internals::onnx::Model;
use autobot_onnx::internals::pruner::{Aim, Done, Prepared};
use autobot_onnx::internals::report::gather::{self, Known};
use autobot_onnx::internals::report::{json, text};
use autobot_onnx::{Error, Options, Result, Target};
use std::sync::Arc;

/// A model that was read, with what is known about it.
pub struct Job {
    pub prepared: Arc<Prepared>,
    /// The model and its channels, as they are reported.
    pub known: Known,
}

impl Job {
    /// Analyses a model for targets such as `target`.
    pub fn new(model: Model, options: Options, target: Target, drop_unused: bool) -> Result<Self> {
        let prepared = Prepared::new(model, options, target.unit())?.dropping_unused(drop_unused);
        let known = Known::new(&prepared);
        Ok(Self { prepared: Arc::new(prepared), known })
    }

    /// Takes aim at a target, which is refused where it makes no sense.
    pub fn aim(&self, target: Target) -> Result<Aim<'_>> {
        let aimed = self.prepared.aim(target);
        let unlearned = !self.prepared.analysis().unlearned.is_empty();
        aimed.map_err(|e| match (e, &self.known.model.advice) {
            (Error::Argument { setting, reason, hint }, Some(advice)) if unlearned => {
                Error::Argument { setting, reason, hint: format!("{advice}; or {hint}") }
            }
            (e, _) => e,
        })
    }

    /// Prints what is known before the run.
    pub fn announce(&self, talk: Talk) {
        talk.facts(&text::facts(&self.known.model, &self.known.channels));
    }

    /// Everything about the run, to be printed and written.
    pub fn report(&self, done: &Done) -> json::Run {
        gather::run(done, &self.known)
    }
}
