//! Reports as a page for a browser.
//!
//! Takes: the structs of [`json`](super::json). Gives: one page that needs nothing but itself: sizes before and after, plots of
//! the training, channels by layer. Never: a script, or a number that is not in the JSON.

use super::json::{Layer, Run, Training};
use super::plot::{self, Bar, COLOURS, Line, Plot};
use super::units::{bytes, count, milliseconds, percent, share, small};
use crate::gates::Agreement;
use crate::setting::Setting;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "
:root { color-scheme: light dark; --ground: #fbfbfa; --ink: #1d2126; --soft: #5d6672; --rule: #d9dde2; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #15181c; --ink: #e4e7eb; --soft: #98a2ae; --rule: #343a42; }
}
body { margin: 0 auto; max-width: 68rem; padding: 1.2rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.45rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p, figcaption { color: var(--soft); margin: .3rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem .25rem 0; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; color: var(--soft); }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1.2rem 2rem; }
figure { margin: 0; }
figure svg { width: 100%; height: auto; display: block; }
figcaption { font-size: .9rem; }
figcaption b { color: var(--ink); font-weight: 600; display: block; }
.key { white-space: nowrap; margin-left: .5em; }
.key span { display: inline-block; width: 1.1em; height: .25em; margin: 0 .3em .2em 0; border-radius: 2px; }
summary { cursor: pointer; color: var(--soft); }
";

/// The page of a run.
pub fn page(run: &Run) -> String {
    let kept = percent(share(run.macs_after, run.macs_before));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (run.model.path) ": " (kept) " of its MACs" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (run.model.path) }
                p {
                    @if let Some(target) = run.macs_target { (count(target)) " MACs asked, " }
                    (count(run.macs_after)) " of " (count(run.macs_before)) " MACs kept (" (kept) ")"
                    @if let Some(output) = &run.output { ", written to " (output) }
                }
                h2 { "Before and after" }
                div class="wide" { (sizes(run)) }
                p { (proof(run)) }
                @if let Some(training) = &run.training { (trained(run, training)) }
                @if let Some(epochs) = tuned(run) { (epochs) }
                h2 { "Channels" }
                (layers(&run.layers))
                p { (run.program) ", seed " (run.seed) }
            }
        }
    };
    page.into_string()
}

/// The table of sizes, and of agreement and accuracy.
fn sizes(run: &Run) -> Markup {
    let channels = |of: fn(&Layer) -> usize| run.layers.iter().map(of).sum::<usize>() as u64;
    let (all, left) = (channels(|l| l.channels_before), channels(|l| l.channels_after));
    let row = |name: &str, before: String, after: String, part: String| {
        html! { tr { td { (name) } td { (before) } td { (after) } td { (part) } } }
    };
    let counted = |name: &str, before: u64, after: u64| {
        row(name, count(before), count(after), percent(share(after, before)))
    };
    let part = percent(share(run.bytes_after, run.bytes_before));
    html! {
        table {
            tr { th { "" } th { "before" } th { "after" } th { "kept" } }
            (counted("MACs", run.macs_before, run.macs_after))
            @if let Some(p) = &run.predicted {
                (row(&format!("predicted on {}", p.cpu), milliseconds(p.milliseconds_before),
                    milliseconds(p.milliseconds_after), percent(p.milliseconds_after / p.milliseconds_before)))
            }
            (counted("parameters", run.parameters_before, run.parameters_after))
            (row("file size", bytes(run.bytes_before), bytes(run.bytes_after), part))
            (counted("channels", all, left))
            @if let Some(a) = &run.agreement { (agreement("pruned", a)) }
            @if let Some(r) = &run.recovery {
                (agreement("fitted", &r.fitted))
                @if r.tuning.is_some() { (agreement("finetuned", &r.agreement)) }
            }
        }
    }
}

/// A row of the table of sizes: agreement or accuracy on the images held out.
fn agreement(what: &str, a: &Agreement) -> Markup {
    let (name, before, after) = match (a.accuracy, a.accuracy_before, a.same_class) {
        (Some(after), Some(before), _) => ("accuracy", percent(before), percent(after)),
        (_, _, Some(same)) => ("same top class", String::new(), percent(same)),
        _ => ("relative error", String::new(), small(a.relative_error)),
    };
    html! {
        tr { td { (name) ", " (what) } td { (before) } td { (after) } td {} }
        @if let Some(correlation) = a.correlation {
            tr { td { "correlation of outputs, " (what) } td {} td { (format!("{correlation:.4}")) } td {} }
        }
        @if let Some(psnr) = a.psnr {
            tr { td { "PSNR against the original, " (what) } td {} td { (format!("{psnr:.1} dB")) } td {} }
        }
        @if let (Some(again), Some(boxes)) = (a.found_again, a.boxes) {
            tr { td { "boxes found again at IoU 0.5, " (what) } td { (boxes) } td { (percent(again)) } td {} }
        }
    }
}

fn proof(run: &Run) -> String {
    let v = &run.verification;
    let verdict = if v.pass { "Verified" } else { "Not verified" };
    format!(
        "{verdict}: the pruned network and the original with the same channels at zero differ by {} of the output's range at most.",
        small(v.relative)
    )
}

/// A plot with a title, a caption and the keys of its lines.
fn figure(title: &str, says: &str, keys: &[&str], svg: String) -> Markup {
    html! {
        @if !svg.is_empty() {
            figure {
                figcaption {
                    b { (title) }
                    (says)
                    @for (k, key) in keys.iter().enumerate() {
                        " "
                        span class="key" { span style={ "background:" (COLOURS[k]) } {} (key) }
                    }
                }
                (PreEscaped(svg))
            }
        }
    }
}

fn short(y: f64) -> String {
    match y.abs() {
        0.0 | 0.01.. => format!("{y:.2}"),
        0.0005.. => format!("{y:.3}"),
        _ => format!("{y:.0e}"),
    }
}

/// Plots of the training of the gates.
fn trained(run: &Run, t: &Training) -> Markup {
    let of = |colour: usize, y: &dyn Fn(usize) -> f64| Line {
        points: (0..t.history.len()).map(|k| (t.history[k].step as f64, y(k))).collect(),
        colour,
        faint: false,
    };
    let update =
        |log: bool, y, lines: Vec<Line>, mark| plot::lines(&Plot { x: "update", log, y, lines, mark });
    let terms = vec![
        of(0, &|k| t.history[k].task),
        of(1, &|k| t.history[k].budget),
        of(2, &|k| t.history[k].hardness),
    ];
    let timed = run.macs_target.is_none();
    let target = run.predicted.as_ref().and_then(|p| p.milliseconds_target);
    let target = run.macs_target.map(|t| t as f64).or(target);
    let unit = if timed { 1e6 } else { 1.0 };
    let cost = vec![of(0, &|k| t.history[k].soft_cost / unit)];
    let groups = t.changes.first().map_or(0, Vec::len);
    let step = |k: usize| (k + 1) as f64;
    let changed = |g: usize| t.changes.iter().enumerate().map(|(k, c)| (step(k), f64::from(c[g]))).collect();
    let mut rankings: Vec<Line> =
        (0..groups).map(|g| Line { points: changed(g), colour: 0, faint: true }).collect();
    let updates = t.history.iter().take(t.changes.len());
    let mean = updates.map(|r| (r.step as f64, r.dissimilarity)).collect();
    rankings.push(Line { points: mean, colour: 1, faint: false });
    let traced: Vec<Line> = vec![Line {
        points: t.trace.iter().filter_map(|t| Some((t.step as f64, right(&t.agreement)?))).collect(),
        colour: 0,
        faint: false,
    }];
    let percents = |y: f64| format!("{:.0} %", 100.0 * y);
    let whole = |y: f64| count(y.max(0.0) as u64);
    let amount: &dyn Fn(f64) -> String = if timed { &short } else { &whole };
    html! {
        h2 { "Training of the gates" }
        div class="plots" {
            (figure("Loss", "The terms before their weights.", &["task", "budget", "hardness"],
                update(false, &short, terms, None)))
            (figure(if timed { "Predicted milliseconds" } else { "Multiply-accumulates" },
                "At the gates' widths; dashed: the target.", &[], update(false, amount, cost, target)))
            (figure("Changes of the ranking", "Normalised Kendall tau distance between updates.",
                &["each layer", "mean"], update(true, &short, rankings, None)))
            (figure("Right after pruning", "What the plan of the moment would give, on held-out images.", &[],
                update(false, &percents, traced, None)))
        }
        @if t.trace.is_empty() {
            p { "With " (Setting::Trace) " N a further plot shows what pruning would have given every N updates." }
        }
    }
}

/// Accuracy, or the share of images whose top class is the unpruned network's.
fn right(a: &Agreement) -> Option<f64> {
    a.accuracy.or(a.same_class)
}

/// The plot of the training of the weights.
fn tuned(run: &Run) -> Option<Markup> {
    let tuning = run.recovery.as_ref()?.tuning.as_ref()?;
    let points = |y: &dyn Fn(usize) -> Option<f64>| {
        (0..tuning.epochs.len()).filter_map(|k| Some((k as f64, y(k)?))).collect::<Vec<_>>()
    };
    let judged = Line { points: points(&|k| Some(tuning.epochs[k].judged)), colour: 0, faint: false };
    let learned = Line { points: points(&|k| tuning.epochs[k].loss), colour: 1, faint: false };
    let svg =
        plot::lines(&Plot { x: "epoch", log: false, y: &short, lines: vec![judged, learned], mark: None });
    let keys = ["images that judge", "images learned on"];
    Some(html! {
        h2 { "Finetuning" }
        div class="plots" { (figure("Loss", "By epoch.", &keys, svg)) }
    })
}

fn layers(layers: &[Layer]) -> Markup {
    let bar = |l: &Layer| Bar { before: l.channels_before as f64, after: l.channels_after as f64 };
    let bars: Vec<Bar> = layers.iter().map(bar).collect();
    html! {
        div class="plots" {
            (figure("Kept by layer", "In the order of the graph; pale: before.", &[], plot::bars(&bars, "layer")))
        }
        details {
            summary { "Every layer" }
            div class="wide" {
                table {
                    tr { th { "layer" } th { "operator" } th { "channels" } th { "kept" } th { "MACs" } th { "kept" } }
                    @for l in layers {
                        tr {
                            td { (l.name) } td { (l.operator) }
                            td { (l.channels_before) } td { (l.channels_after) }
                            td { (count(l.macs_before)) } td { (count(l.macs_after)) }
                        }
                    }
                }
            }
        }
    }
}
