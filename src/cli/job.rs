//! A model that is analysed, as `prune`, `inspect` and `demo` meet it.
//!
//! Takes: a model, options. Gives: a [`Prepared`] model and what is reported of it and of its runs. Never: writes a file.

use super::args::ModelArgs;
use super::console::Console;
use autobot_onnx::internals::onnx::{self, Model};
use autobot_onnx::internals::pruner::{self, Aim, Done, Prepared};
use autobot_onnx::internals::report::gather::{self, Known};
use autobot_onnx::internals::report::units::plural;
use autobot_onnx::internals::report::{json, text};
use autobot_onnx::{Error, Options, Result, Setting, Target};
use std::path::Path;
use std::sync::Arc;

impl ModelArgs {
    /// Reads a model, with open sizes fixed where that is wanted.
    pub fn read(&self, path: &Path) -> Result<Model> {
        let model = onnx::read(path, &self.input_shape)?;
        if self.fix_sizes { model.with_fixed_sizes() } else { Ok(model) }
    }
}

/// A model that was read, with what is known about it.
pub struct Job {
    /// The model, analysed.
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

    /// The model that was given: the one that is cut, or one that is equal to it.
    pub fn given(&self) -> &Model {
        self.prepared.adapted().map_or(self.prepared.model(), |adapted| &adapted.given)
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
    pub fn announce(&self, console: Console) {
        console.facts(&text::facts(&self.known.model, &self.known.channels));
    }

    /// Warns of a choice of layers that chooses none.
    pub fn review_scope(&self, console: Console) {
        let options = self.prepared.options();
        let chosen = [(Setting::Exclude, &options.exclude), (Setting::Only, &options.only)];
        for (setting, pattern) in chosen.into_iter().filter_map(|(setting, p)| Some((setting, p.as_ref()?))) {
            let groups = &self.prepared.analysis().groups;
            let is_excluded = groups.frozen.iter().any(|f| f.why == pruner::excluded());
            let chooses = match setting {
                Setting::Exclude => is_excluded,
                _ => !groups.groups.is_empty() || is_excluded,
            };
            let graph = &self.prepared.model().graph;
            let names = graph.nodes.iter().map(|n| &n.name).chain(graph.values.iter().map(|v| &v.name));
            if chooses {
                continue;
            }
            let matches = names.filter(|name| pattern.is_match(name)).count();
            let what = match matches {
                0 => "matches no layer and no tensor".to_owned(),
                n => format!("matches {}, and none with channels that could be cut", plural(n, "name")),
            };
            console.warn(&format!("{setting} '{pattern}' {what}; 'autobot-onnx inspect' lists the names"));
        }
    }

    /// Everything about the run, to be printed and written.
    pub fn report(&self, done: &Done) -> json::Run {
        gather::run(done, &self.known)
    }
}
