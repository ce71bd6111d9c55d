//! What a model file is, and what is made of it on reading.

use super::parts::all_sizes;
use crate::cost::Convention;
use crate::report::json::{ModelFacts, Port};
use crate::report::units::{bytes, count, plural};
use crate::rewrite::Replaced;
use crate::setting::Setting;
use crate::support::printable::line;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Everything about a model file but its channels.
pub(super) fn head(m: &ModelFacts) -> String {
    let cautions: String = m.cautions.iter().map(|c| format!("note      {}\n", line(c))).collect();
    file(m)
        + &open_sizes(m)
        + &declared(m)
        + &operators(m)
        + &constants(m)
        + &cautions
        + &rewritten(&m.rewritten)
}

/// Nodes that were said in other operators, a line for each kind.
pub fn rewritten(all: &[Replaced]) -> String {
    let mut kinds: BTreeMap<(&str, String), usize> = BTreeMap::new();
    all.iter().for_each(|r| *kinds.entry((&r.operator, r.by.join(", "))).or_default() += 1);
    let one = |((operator, by), n): ((&str, String), usize)| format!("rewritten {n} {operator} as {by}\n");
    kinds.into_iter().map(one).collect()
}

/// The file, its inputs and outputs, and how large it is.
fn file(m: &ModelFacts) -> String {
    let by = if m.producer.is_empty() { String::new() } else { format!(", by {}", line(&m.producer)) };
    let mut out = format!("{}: opset {}, IR {}{by}\n", line(&m.path), m.opset, m.ir_version);
    m.inputs.iter().for_each(|p| out += &format!("input     {}\n", port(p)));
    m.outputs.iter().for_each(|p| out += &format!("output    {}\n", port(p)));
    let _ = writeln!(
        out,
        "size      {}, {} parameters, {}, {}",
        macs(m),
        count(m.parameters),
        bytes(m.bytes),
        plural(m.nodes, "node")
    );
    if let Some(advice) = &m.advice {
        let _ = writeln!(out, "kind      {advice}");
    }
    if !m.unread.is_empty() {
        let what = plural(m.unread.len(), "initializer");
        let _ = writeln!(
            out,
            "unread    {what} ({}) that nothing reads: carried along as stored ({} leaves such out)",
            bytes(m.unread_bytes),
            Setting::DropUnused
        );
    }
    if m.flops_convention == Convention::Paper {
        out += "counted   as MACs: also 2 per element of a BatchNormalization, and average pooling\n";
    }
    out
}

/// Declared shapes that do not hold.
fn declared(m: &ModelFacts) -> String {
    if m.false_declarations.is_empty() {
        return String::new();
    }
    let values = plural(m.false_declarations.len(), "value");
    let named = first_names(&m.false_declarations);
    format!("declared  shapes of {values} that do not hold ({named}): a written file states the real ones\n")
}

/// Operators that are left as they are.
fn operators(m: &ModelFacts) -> String {
    let mut out = String::new();
    let names = |operators: &BTreeMap<String, usize>| {
        let names: Vec<String> = operators.iter().map(|(op, n)| format!("{} ({n})", line(op))).collect();
        names.join(", ")
    };
    for (why, operators) in &m.whole_operators {
        let _ = writeln!(out, "whole     {}: each {why}, and is left as it is", names(operators));
    }
    if !m.unknown_operators.is_empty() {
        let behind = match m.nodes_without_shape {
            0 => String::new(),
            n => format!("; the shapes of {} behind them are not known, nor their MACs", plural(n, "node")),
        };
        let _ = writeln!(out, "unknown   {}: left as they are{behind}", names(&m.unknown_operators));
    }
    out
}

/// Values and branches that constants decide.
fn constants(m: &ModelFacts) -> String {
    let mut out = String::new();
    if !m.computed.is_empty() {
        let values = plural(m.computed.len(), "value");
        let named = first_names(&m.computed);
        let _ = writeln!(
            out,
            "computed  {values} from constants ({named}): taken as constants, and stored as such where channels go"
        );
    }
    if !m.decided.is_empty() {
        let named = first_names(&m.decided);
        let _ = writeln!(
            out,
            "decided   If on a constant condition ({named}): the branch that is taken stands for it"
        );
    }
    out
}

/// The first three names of a list.
fn first_names(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|name| format!("'{}'", line(name))).collect();
    shown.join(", ") + if names.len() > 3 { ", …" } else { "" }
}

/// Sizes that the file leaves open, and where else a small network is proved.
fn open_sizes(m: &ModelFacts) -> String {
    let open = m.inputs.iter().flat_map(|p| &p.open).any(Option::is_some);
    if !open {
        return String::new();
    }
    let at: Vec<String> = m.proved_at.iter().map(|shapes| all_sizes(shapes)).collect();
    match at.is_empty() {
        true => {
            "open      the file leaves sizes open, but the network runs at the analysed ones only\n".into()
        }
        false => {
            format!("open      sizes stay open: what is written is proved at {} too\n", at.join(" and at "))
        }
    }
}

/// Name and sizes of an input or output.
fn port(p: &Port) -> String {
    let Some(shape) = &p.shape else { return format!("{} (shape not known)", line(&p.name)) };
    let size = |(axis, n): (usize, &usize)| match p.open.get(axis) {
        Some(Some(name)) if axis > 0 => format!("{}={n}", line(name)),
        _ if axis == 0 && p.any_batch => "N".into(),
        _ => n.to_string(),
    };
    let sizes: Vec<String> = shape.iter().enumerate().map(size).collect();
    format!("{} [{}]", line(&p.name), sizes.join(", "))
}

/// Multiply-accumulates, as far as they are known.
fn macs(m: &ModelFacts) -> String {
    let nodes = plural(m.macs_unknown, "node");
    match (m.macs, m.macs_unknown) {
        (macs, 0) => format!("{} MACs", count(macs)),
        (0, _) => "MACs unknown".into(),
        (macs, _) => format!("{} MACs without {nodes} whose MACs are unknown", count(macs)),
    }
}
