//! Tables of layers.

use super::parts::row;
use crate::report::json::Layer;
use crate::report::table::{Side, table};
use crate::report::units::count;

/// Columns of a table of layers: two names, and numbers after them.
const LAYER: [Side; 8] = {
    let mut sides = [Side::Right; 8];
    (sides[0], sides[1]) = (Side::Left, Side::Left);
    sides
};

/// Adds a column of predicted times, where there are any.
fn timed(rows: &mut [Vec<String>], all: &[Layer], head: &str, of: impl Fn(&Layer) -> Option<f64>) {
    if all.iter().all(|l| of(l).is_none()) {
        return;
    }
    for (k, row) in rows.iter_mut().enumerate() {
        let cell = k.checked_sub(1).map(|k| of(&all[k]).map_or_else(String::new, |ms| format!("{ms:.3}")));
        row.push(cell.unwrap_or_else(|| head.to_owned()));
    }
}

/// What each layer costs.
pub(super) fn every_layer(all: &[Layer]) -> String {
    let mut rows = vec![row(["layer", "operator", "channels", "at least", "MACs", "parameters"])];
    rows.extend(all.iter().map(|l| {
        let (channels, least) = (l.channels_before.to_string(), l.channels_after.to_string());
        row([&l.name, &l.operator, &channels, &least, &count(l.macs_before), &count(l.parameters)])
    }));
    timed(&mut rows, all, "predicted ms", |l| l.milliseconds_before);
    table(&LAYER[..rows[0].len()], &rows)
}

/// What each layer lost.
pub(super) fn layers(all: &[Layer]) -> String {
    let mut rows = vec![row(["layer", "operator", "channels", "kept", "MACs", "kept"])];
    rows.extend(all.iter().map(|l| {
        let (channels, kept) = (l.channels_before.to_string(), l.channels_after.to_string());
        row([&l.name, &l.operator, &channels, &kept, &count(l.macs_before), &count(l.macs_after)])
    }));
    timed(&mut rows, all, "predicted ms", |l| l.milliseconds_before);
    timed(&mut rows, all, "after", |l| l.milliseconds_after);
    table(&LAYER[..rows[0].len()], &rows)
}
