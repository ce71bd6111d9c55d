//! Lines and cells that several texts share.

use crate::report::json::Predicted;
use crate::report::units::{milliseconds, percent};
use crate::support::printable::line;

/// Predicted times, and what they are made from.
pub(super) fn predicted(p: &Predicted, after: &str) -> String {
    let rewritten = p.milliseconds_rewritten.map(|ms| format!(", {} rewritten", milliseconds(ms)));
    format!(
        "predicted {} {after}{}, {} before, in tract on one core of {} ({})\n",
        milliseconds(p.milliseconds_after),
        rewritten.unwrap_or_default(),
        milliseconds(p.milliseconds_before),
        line(&p.cpu),
        line(&p.origin)
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
