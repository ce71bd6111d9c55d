//! What is known of a network before anything is trained: for a run, and for `inspect`.

use super::channels::{free_line, frozen, groups, reach};
use super::layers::every_layer;
use super::model::head;
use super::parts::predicted;
use crate::report::json::{Channels, Inspection, ModelFacts};
use crate::report::units::{count, milliseconds, percent, share};

/// Number of reasons, and of layers for each, that are listed unless all are wanted.
const FEW: usize = 6;

/// The facts of a model, what can be pruned, what cannot and why.
pub fn facts(model: &ModelFacts, channels: &Channels) -> String {
    let mut out = head(model);
    out += &format!("prunable  {}\n", free_line(channels));
    out += &frozen(&channels.frozen, FEW);
    out += &reach(model, channels);
    out
}

/// The target, in MACs (or predicted time, in nanoseconds) and as a share.
pub fn target(target: u64, full: u64, timed: bool) -> String {
    let kept = percent(share(target, full));
    let amount = |n: u64| if timed { milliseconds(n as f64 / 1e6) } else { count(n) };
    let what = if timed { "predicted" } else { "MACs kept" };
    format!("target    {} of {} {what} ({kept})\n", amount(target), amount(full))
}

/// The text of `inspect`.
pub fn inspection(i: &Inspection) -> String {
    let mut out = head(&i.model);
    out += &reach(&i.model, &i.channels);
    if let Some(p) = &i.predicted {
        out += &predicted(p, "at the least", None);
    }
    out += "\nlayers\n";
    out += &every_layer(&i.layers);
    out += &format!("\nfree: {}\n", free_line(&i.channels));
    out += &groups(&i.channels.groups);
    out.push('\n');
    out += &frozen(&i.channels.frozen, usize::MAX);
    out
}
