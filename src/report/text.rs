//! Reports as text for a terminal.
//!
//! Takes: the structs of [`json`](super::json). Gives: lines that end in a newline. Never: colours, or a number that is
//! not in the JSON.

use super::json::{
    Benched, Benchmark, Channels, Frozen, Group, Inspection, Layer, ModelFacts, Port, Predicted, Run,
    Verification,
};
use super::table::{Side, table};
use super::units::{bytes, count, milliseconds, percent, plural, share, small};
use crate::cost::Convention;
use crate::gates::Agreement;
use crate::pruner::Stage;
use crate::setting::Setting;
use crate::support::printable::line;
use crate::tract::board::Board;
use crate::verify::sizes::AtSizes;
use std::collections::BTreeMap;
use std::fmt::Write;

/// So many lines of a list are shown unless all are wanted.
const FEW: usize = 6;

/// The facts of a model, what can be pruned, what cannot and why.
pub fn facts(model: &ModelFacts, channels: &Channels) -> String {
    let mut out = head(model);
    out += &free(channels);
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

/// Predicted times, and what they are made from.
fn predicted(p: &Predicted, after: &str) -> String {
    format!(
        "predicted {} {after}, {} before, in tract on one core of {} ({})\n",
        milliseconds(p.milliseconds_after),
        milliseconds(p.milliseconds_before),
        line(&p.cpu),
        line(&p.origin)
    )
}

/// The result of a run.
pub fn result(run: &Run) -> String {
    let mut out = String::from("\n");
    out += &layers(&run.layers);
    out.push('\n');
    out += &sizes(run);
    out.push('\n');
    if let Some(target) = run.macs_target {
        let asked = percent(share(target, run.macs_before));
        let got = percent(share(run.macs_after, run.macs_before));
        let _ = writeln!(
            out,
            "target    {} MACs ({asked}) asked, {} ({got}) kept",
            count(target),
            count(run.macs_after)
        );
    }
    if let Some(p) = &run.predicted {
        if let Some(target) = p.milliseconds_target {
            let asked = percent(target / p.milliseconds_before);
            let _ = writeln!(out, "target    {} ({asked}) asked", milliseconds(target));
        }
        out += &predicted(p, "after");
        if let Some(share) = p.measured {
            let _ =
                writeln!(out, "measured  {} of the time before, in tract on this machine", percent(share));
        }
    }
    out += &gates(run);
    out += &agreement(run);
    out += &verification(&run.verification);
    out += &recovery(run);
    out
}

/// A stage of a run in stages, which is over.
pub fn stage(k: usize, of: usize, stage: &Stage) -> String {
    let share = |a: &Agreement| match (a.accuracy, a.same_class) {
        (Some(accuracy), _) => format!(", {} accuracy", percent(accuracy)),
        (_, Some(same)) => format!(", {} the same top class", percent(same)),
        _ => format!(", outputs differ by {}", percent(a.relative_error)),
    };
    let agreement = stage.agreement.as_ref().map(share).unwrap_or_default();
    format!("stage {k} of {of}: {} MACs{agreement}", count(stage.macs))
}

/// How the gates came to be.
fn gates(run: &Run) -> String {
    let Some(t) = &run.training else { return String::new() };
    let timed = run.macs_target.is_none();
    let amount = |x: f64| if timed { milliseconds(x / 1e6) } else { format!("{} MACs", count(x as u64)) };
    let updates = plural(t.changes.len(), "update");
    let time = || run.predicted.as_ref().and_then(|p| p.milliseconds_target).map(|ms| ms * 1e6);
    let asked = run.macs_target.map(|macs| macs as f64).or_else(time);
    let waited = run.options.get("batches").is_some_and(|b| b == "auto");
    let what = match (t.target, t.before, t.settled) {
        (Some(other), ..) if asked.is_some_and(|asked| (other / asked - 1.0).abs() > 1e-9) => {
            format!("as trained for {}: nothing is lost by it", amount(other))
        }
        (_, Some(before), _) => {
            format!("those trained for {}, and {updates} more for this target", amount(before))
        }
        (_, None, Some(settled)) => format!("{updates}; the plan had settled after {settled}"),
        (_, None, None) if waited => format!("{updates}; the plan went on changing"),
        (_, None, None) => updates,
    };
    let stages = match run.stages.len() {
        0 => String::new(),
        n => format!("the last of {} stages: ", n + 1),
    };
    format!("gates     {stages}{what}\n")
}

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

/// What came of fitting a processor's speed.
pub fn calibrated(name: &str, error: f64) -> String {
    format!("fitted    {}: half of the layers are predicted within {}\n", line(name), percent(error))
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

/// Where a model's time goes.
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

/// Everything `inspect` shows.
pub fn inspection(i: &Inspection) -> String {
    let mut out = head(&i.model);
    out += &reach(&i.model, &i.channels);
    if let Some(p) = &i.predicted {
        out += &predicted(p, "at the least");
    }
    out += "\nlayers\n";
    out += &every_layer(&i.layers);
    out += &format!("\nfree: {}\n", free_line(&i.channels));
    out += &groups(&i.channels.groups);
    out.push('\n');
    out += &frozen(&i.channels.frozen, usize::MAX);
    out
}

fn head(m: &ModelFacts) -> String {
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
    out += &open_sizes(m);
    if !m.false_declarations.is_empty() {
        let values = plural(m.false_declarations.len(), "value");
        let named = some(&m.false_declarations);
        let _ = writeln!(
            out,
            "declared  shapes of {values} that do not hold ({named}): a written file states the real ones"
        );
    }
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
    if !m.computed.is_empty() {
        let values = plural(m.computed.len(), "value");
        let named = some(&m.computed);
        let _ = writeln!(
            out,
            "computed  {values} from constants ({named}): taken as constants, and stored as such where channels go"
        );
    }
    if !m.decided.is_empty() {
        let named = some(&m.decided);
        let _ = writeln!(
            out,
            "decided   If on a constant condition ({named}): the branch that is taken stands for it"
        );
    }
    for caution in &m.cautions {
        let _ = writeln!(out, "note      {}", line(caution));
    }
    out
}

/// The first of some names.
fn some(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|name| format!("'{}'", line(name))).collect();
    shown.join(", ") + if names.len() > 3 { ", …" } else { "" }
}

/// What holds of sizes that the file leaves open.
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

/// Sizes of inputs, as in `1x3x224x224, 1x10`.
pub fn all_sizes(shapes: &[Vec<usize>]) -> String {
    let one = |s: &Vec<usize>| s.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    shapes.iter().map(one).collect::<Vec<_>>().join(", ")
}

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

fn free_line(c: &Channels) -> String {
    let channels = c.groups.iter().map(|g| g.channels).sum();
    format!("{} in {}", plural(channels, "channel"), plural(c.groups.len(), "group"))
}

fn free(c: &Channels) -> String {
    format!("prunable  {}\n", free_line(c))
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

/// What can be deleted without any effect, what cannot be learned, and how far pruning gets.
fn reach(m: &ModelFacts, c: &Channels) -> String {
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
fn frozen(all: &[Frozen], most: usize) -> String {
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

fn groups(all: &[Group]) -> String {
    let mut rows = vec![row(["group", "channels", "together with"])];
    rows.extend(all.iter().map(|g| row([&g.layer, &g.channels.to_string(), &g.tied.join(", ")])));
    table(&[Side::Left, Side::Right, Side::Left], &rows)
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Two names and numbers, as many as there are.
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
fn every_layer(all: &[Layer]) -> String {
    let mut rows = vec![row(["layer", "operator", "channels", "at least", "MACs", "parameters"])];
    rows.extend(all.iter().map(|l| {
        let (channels, least) = (l.channels_before.to_string(), l.channels_after.to_string());
        row([&l.name, &l.operator, &channels, &least, &count(l.macs_before), &count(l.parameters)])
    }));
    timed(&mut rows, all, "predicted ms", |l| l.milliseconds_before);
    table(&LAYER[..rows[0].len()], &rows)
}

/// What each layer lost.
fn layers(all: &[Layer]) -> String {
    let mut rows = vec![row(["layer", "operator", "channels", "kept", "MACs", "kept"])];
    rows.extend(all.iter().map(|l| {
        let (channels, kept) = (l.channels_before.to_string(), l.channels_after.to_string());
        row([&l.name, &l.operator, &channels, &kept, &count(l.macs_before), &count(l.macs_after)])
    }));
    timed(&mut rows, all, "predicted ms", |l| l.milliseconds_before);
    timed(&mut rows, all, "after", |l| l.milliseconds_after);
    table(&LAYER[..rows[0].len()], &rows)
}

fn sizes(run: &Run) -> String {
    let line = |what: &str, before: u64, after: u64, show: fn(u64) -> String| {
        row([what, &show(before), &show(after), &percent(share(after, before))])
    };
    let channels = |f: fn(&Layer) -> usize| run.layers.iter().map(|l| f(l) as u64).sum::<u64>();
    let rows = [
        row(["", "before", "after", "kept"]),
        line("MACs", run.macs_before, run.macs_after, count),
        line("parameters", run.parameters_before, run.parameters_after, count),
        line("file size", run.bytes_before, run.bytes_after, bytes),
        line("channels", channels(|l| l.channels_before), channels(|l| l.channels_after), count),
    ];
    table(&[Side::Left, Side::Right, Side::Right, Side::Right], &rows)
}

fn agreement(run: &Run) -> String {
    let Some(a) = &run.agreement else { return String::new() };
    let images = match (&run.data.source, run.held_out) {
        (None, _) => format!("{} synthetic images, which say little about real ones", a.images),
        (Some(_), true) => format!("{} held-out images", a.images),
        (Some(_), false) => format!("all {} calibration images (too few to hold some out)", a.images),
    };
    let images = match &run.judged_before {
        Some(node) => {
            format!("{images}; compared in front of '{node}', behind which nothing can be run here")
        }
        None => images,
    };
    let mut out = String::new();
    if let (Some(after), Some(before)) = (a.accuracy, a.accuracy_before) {
        let _ = writeln!(out, "accuracy  {} before, {} after, on {images}", percent(before), percent(after));
    }
    match a.same_class {
        Some(same) => writeln!(out, "agreement {} have the same top class, of {images}", percent(same)),
        None => {
            writeln!(out, "agreement outputs differ by {} (rms) on {images}", percent(a.relative_error))
        }
    }
    .ok();
    out
}

/// What every step of the recovery brought, on the images on which the loss was measured.
fn recovery(run: &Run) -> String {
    let Some(r) = &run.recovery else { return String::new() };
    let what = |a: &Agreement| match (a.accuracy, a.same_class) {
        (Some(accuracy), Some(same)) => {
            format!("{} accuracy, {} the same top class", percent(accuracy), percent(same))
        }
        (_, Some(same)) => format!("{} the same top class", percent(same)),
        _ => format!("outputs differ by {} (rms)", percent(a.relative_error)),
    };
    let fitted = r.layers.iter().filter(|l| l.ridge.is_some()).count();
    let layers = plural(r.layers.len(), "layer");
    let mut out = format!("fitted    {}, with {fitted} of {layers} fitted\n", what(&r.fitted));
    if let Some(t) = &r.tuning {
        let epochs = plural(t.epochs.len() - 1, "epoch");
        let _ = writeln!(out, "tuned     {}, after {epochs} (the best: {})", what(&r.agreement), t.best);
        let _ = writeln!(out, "          at a rate of {}, with {} {}", t.lr, Setting::Augment, t.augment);
    }
    if let Some(d) = r.executors {
        let _ = writeln!(out, "executed  tract and our executor differ by {} of the range", small(d));
    }
    out
}

fn verification(v: &Verification) -> String {
    let tract = match (v.tract, &v.tract_says) {
        (Some(d), _) if v.tract_samples < v.samples => {
            format!("{} in tract (float16, at {})", small(d), plural(v.tract_samples, "input"))
        }
        (Some(d), _) => format!("{} in tract", small(d)),
        (None, Some(why)) => format!("not measured in tract ({})", line(why)),
        (None, None) => "not measured in tract".into(),
    };
    let precision = match v.rounding {
        Some(r) => format!(" (in double precision where single precision rounds by up to {})", small(r)),
        None => String::new(),
    };
    let (inputs, limit) = (plural(v.samples, "input"), small(v.tolerance));
    let mut out = format!(
        "verified  {}: max |masked − pruned| is {} in our executor{precision}, {tract}, of the output's range ({inputs}, limit {limit})\n",
        if v.pass { "pass" } else { "FAIL" },
        small(v.relative),
    );
    if let Some(r) = v.tract_rounding {
        let _ = writeln!(
            out,
            "          tract itself rounds by {} on the masked network, which is equal in double precision: its limit is {}",
            small(r),
            small(v.tract_allowed)
        );
    }
    v.elsewhere.iter().for_each(|at| out += &at_sizes(at));
    if let Some(apart) = v.apart.filter(|_| v.disagree) {
        out += &apart_on("the original", apart);
    }
    out
}

/// The proof at other sizes of what the file leaves open.
fn at_sizes(at: &AtSizes) -> String {
    let shapes: Vec<Vec<usize>> = at.inputs.iter().map(|(_, shape)| shape.clone()).collect();
    let tract = match &at.tract {
        Ok(d) => format!("{} in tract", small(*d)),
        Err(why) => format!("not measured in tract ({})", line(why)),
    };
    format!("          at {}: {} in our executor, {tract}\n", all_sizes(&shapes), small(at.relative))
}

/// That tract and our executor compute something else on a network.
pub fn apart_on(network: &str, apart: f64) -> String {
    format!(
        "warning   tract and our executor are {} of the output's range apart on {network}: one of them computes something else;\n          compare with the runtime that you use\n",
        percent(apart)
    )
}
