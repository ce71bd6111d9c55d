//! Which channels can be deleted, and which not and why.

use super::parts::row;
use crate::report::json::{Channels, Frozen, Group, ModelFacts};
use crate::report::table::{Side, table};
use crate::report::units::{count, percent, plural, share};
use crate::setting::Setting;
use crate::support::printable::line;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Number of channels that can be deleted, and of their groups.
pub(super) fn free_line(c: &Channels) -> String {
    let channels = c.groups.iter().map(|g| g.channels).sum();
    format!("{} in {}", plural(channels, "channel"), plural(c.groups.len(), "group"))
}

/// Channels that go without any effect, channels that gates cannot learn, and the smallest cost that can be reached.
pub(super) fn reach(m: &ModelFacts, c: &Channels) -> String {
    let mut out = String::new();
    if c.lossless > 0 {
        let _ = writeln!(
            out,
            "lossless  {} of these channels: zero for every input, or read by nobody; they go first, and nothing changes",
            count(c.lossless as u64)
        );
    }
    for u in &c.unlearned {
        let behind = match (&u.node, &u.operator) {
            (Some(node), Some(operator)) => {
                format!("'{}' ({}), which has no gradient", line(node), line(operator))
            }
            _ => "something that has no gradient".into(),
        };
        let channels = plural(u.channels, "channel");
        let _ = writeln!(
            out,
            "unlearned {channels} of '{}': gates cannot learn what is behind {behind}",
            line(&u.layer)
        );
    }
    let amount = |macs: u64| format!("{} MACs ({})", count(macs), percent(share(macs, m.macs)));
    let others = c.macs_smallest_unlearned.filter(|&macs| macs < c.macs_smallest);
    let others =
        others.map(|macs| format!("with {} l1 or random down to {}", Setting::Criterion, amount(macs)));
    let _ = match (c.macs_smallest < m.macs, others) {
        (true, None) => writeln!(out, "reach     down to {}", amount(c.macs_smallest)),
        (true, Some(others)) => writeln!(out, "reach     down to {}; {others}", amount(c.macs_smallest)),
        (false, Some(others)) => writeln!(out, "reach     nothing by gates; {others}"),
        (false, None) => writeln!(out, "reach     nothing can be saved"),
    };
    out
}

/// Frozen channels by reason, most channels first.
pub(super) fn frozen(all: &[Frozen], most: usize) -> String {
    let mut by_reason: BTreeMap<(Option<&str>, &str), Vec<&Frozen>> = BTreeMap::new();
    all.iter().for_each(|f| by_reason.entry((f.node.as_deref(), &f.why)).or_default().push(f));
    let channels = |list: &[&Frozen]| list.iter().map(|f| f.channels).sum::<usize>();
    let mut reasons: Vec<_> = by_reason.into_iter().collect();
    reasons.sort_by_key(|(_, list)| std::cmp::Reverse(channels(list)));
    let mut out = String::new();
    for ((node, why), list) in reasons.iter().take(most) {
        let why = node.map_or_else(|| line(why).into_owned(), |n| format!("'{}' {}", line(n), line(why)));
        let _ =
            writeln!(out, "frozen    {} of {}: {why}", plural(channels(list), "channel"), names(list, most));
    }
    if reasons.len() > most {
        let left: Vec<&Frozen> = reasons[most..].iter().flat_map(|(_, list)| list.iter().copied()).collect();
        let _ = writeln!(
            out,
            "frozen    {} for {} more reasons: see 'autobot-onnx inspect'",
            plural(channels(&left), "channel"),
            reasons.len() - most
        );
    }
    out
}

/// The layers of a list, the first few by name.
fn names(list: &[&Frozen], most: usize) -> String {
    let shown: Vec<String> =
        list.iter().take(most.min(list.len())).map(|f| format!("'{}'", line(&f.layer))).collect();
    match list.len() {
        n if n > 3 && most != usize::MAX => format!("{n} layers ({}, …)", shown[0]),
        _ => shown.join(", "),
    }
}

/// Table of groups.
pub(super) fn groups(all: &[Group]) -> String {
    let mut rows = vec![row(["group", "channels", "together with"])];
    rows.extend(all.iter().map(|g| row([&g.layer, &g.channels.to_string(), &g.tied.join(", ")])));
    table(&[Side::Left, Side::Right, Side::Left], &rows)
}
