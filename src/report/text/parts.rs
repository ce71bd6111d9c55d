//! Lines and cells that several texts share.

use crate::pruner::{CONFIDENCE, Comparison};
use crate::report::json::Predicted;
use crate::report::units::{milliseconds, percent, plural};
use crate::support::printable::line;

/// Predicted times, and what they are made from.
pub(super) fn predicted(p: &Predicted, after: &str, command: Option<&str>) -> String {
    let rewritten = p.milliseconds_rewritten.map(|ms| format!(", {} rewritten", milliseconds(ms)));
    let whose = match command {
        Some(command) => format!("by a model of what '{}' measures", line(command)),
        None => format!("in tract on one core of {} ({})", line(&p.cpu), line(&p.origin)),
    };
    format!(
        "predicted {} {after}{}, {} before, {whose}\n",
        milliseconds(p.milliseconds_after),
        rewritten.unwrap_or_default(),
        milliseconds(p.milliseconds_before),
    )
}

/// A comparison, and how sure it is.
pub fn measured(c: &Comparison) -> String {
    format!(
        "measured  {} of the time before ({} to {} with {:.0} % confidence, {}): {}, {} before",
        percent(c.share),
        percent(c.low),
        percent(c.high),
        100.0 * CONFIDENCE,
        plural(c.rounds, "round"),
        milliseconds(c.milliseconds_after),
        milliseconds(c.milliseconds_before),
    )
}

/// Sizes of inputs, as in `1x3x224x224, 1x10`.
pub fn all_sizes(shapes: &[Vec<usize>]) -> String {
    let one = |s: &Vec<usize>| s.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    shapes.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// That tract and our executor compute something else on a network.
pub fn apart_on(network: &str, apart: f64) -> String {
    format!(
        "warning   tract and our executor are {} of the output's range apart on {network}: one of them computes something else;\n          compare with the runtime that you use\n",
        percent(apart)
    )
}

/// Cells of a row of a table.
pub(super) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}
