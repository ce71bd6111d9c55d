//! Times that were measured side by side.

use super::parts::apart_on;
use crate::report::json::{Benched, Benchmark};
use crate::report::table::{Side, table};
use crate::report::units::{bytes, count, percent, plural, share};
use crate::support::printable::line;
use crate::tract::board::Board;
use std::fmt::Write;

/// The machine that measures.
pub fn board(board: &Board) -> String {
    let Board { cpu, architecture, cores, governor, megahertz, celsius } = board;
    let mut parts = vec![cpu.as_ref().map_or("processor not told".into(), |c| line(c).into_owned())];
    parts.push(format!("{architecture}, {}", plural(*cores, "core")));
    parts.extend(governor.as_ref().map(|g| format!("governor {g}")));
    parts.extend(megahertz.map(|m| format!("{m:.0} MHz")));
    parts.extend(celsius.map(|c| format!("{c:.0} °C")));
    format!("machine   {}\n", parts.join("; "))
}

/// A fitted processor, with the median error of its predictions as a share of the measured times.
pub fn calibrated(name: &str, error: f64) -> String {
    format!("fitted    {}: half of the layers are predicted within {}\n", line(name), percent(error))
}

/// A processor that was fitted to times of whole networks, with the median error of its predictions as a share of these.
pub fn calibrated_on_networks(name: &str, error: f64) -> String {
    format!("fitted    '{}': half of the networks are predicted within {}\n", line(name), percent(error))
}

/// What multiples of some numbers of channels take, and the number that is taken.
pub fn widths(widths: &[(usize, f64)], best: usize) -> String {
    let one = |(number, each): &(usize, f64)| format!("{each:.2} in multiples of {number}");
    let all: Vec<String> = widths.iter().map(one).collect();
    let taken = match best {
        1 => "no width is punished".to_owned(),
        n => format!("kept in multiples of {n}"),
    };
    format!("widths    ns per 1000 MACs of cuts by chance: {}; {taken}\n", all.join(", "))
}

/// Times side by side.
pub fn benchmark(b: &Benchmark) -> String {
    let (rounds, threads) = (plural(b.rounds, "round"), plural(b.threads, "thread"));
    let mut out = format!("measured  {rounds} in tract, {threads}; median and the middle 80 %\n");
    if let (Some(before), Some(after)) = (b.board.celsius, b.celsius_after) {
        let _ = writeln!(out, "heat      {before:.0} °C before, {after:.0} °C after");
    }
    out.push('\n');
    let head = ["file", "MACs", "size", "ms", "10-90 %", "speed-up", "10-90 %", "per MAC"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(b.models.iter().map(|m| benched(m, &b.models[0])));
    let sides: Vec<Side> = (0..head.len()).map(|k| if k == 0 { Side::Left } else { Side::Right }).collect();
    out += &table(&sides, &rows);
    for m in &b.models {
        out += &nodes(m);
    }
    for m in b.models.iter().filter(|m| m.disagree) {
        out += &apart_on(&m.path, m.apart.unwrap_or(f64::INFINITY));
    }
    out
}

/// A model's row of the table of times.
fn benched(m: &Benched, first: &Benched) -> Vec<String> {
    let (ms, times) = (m.timing.milliseconds, m.timing.speedup);
    let macs = if m.macs == 0 { "unknown".into() } else { count(m.macs) };
    let mut row = vec![m.path.clone(), macs, bytes(m.bytes)];
    row.extend([format!("{:.3}", ms.median), format!("{:.3}-{:.3}", ms.low, ms.high)]);
    if !std::ptr::eq(m, first) {
        // How much of the saved work is saved time: 1 where time went down as the multiply-accumulates did.
        let per_mac = times.median * share(m.macs, first.macs);
        row.extend([format!("{:.2}x", times.median), format!("{:.2}-{:.2}", times.low, times.high)]);
        row.push(if m.macs.min(first.macs) == 0 { String::new() } else { format!("{per_mac:.2}") });
    }
    row
}

/// Table of a model's nodes and their times.
fn nodes(m: &Benched) -> String {
    let Some(layers) = &m.layers else { return String::new() };
    let all: f64 = layers.iter().map(|l| l.milliseconds).sum::<f64>().max(f64::MIN_POSITIVE);
    let mut rows = vec![["node", "in tract", "ms", "share"].map(str::to_owned).to_vec()];
    rows.extend(layers.iter().map(|l| {
        let (ms, part) = (format!("{:.4}", l.milliseconds), percent(l.milliseconds / all));
        vec![l.name.clone(), l.operator.clone(), ms, part]
    }));
    format!("\n{}\n{}", line(&m.path), table(&[Side::Left, Side::Left, Side::Right, Side::Right], &rows))
}
