//! The result of a run.

use super::layers::layers;
use super::parts::{all_sizes, apart_on, measured, predicted, row};
use crate::gates::Agreement;
use crate::pruner::Stage;
use crate::report::json::{Layer, Run, Verification};
use crate::report::table::{Side, table};
use crate::report::units::{bytes, count, milliseconds, percent, plural, share, small};
use crate::setting::Setting;
use crate::support::printable::line;
use crate::verify::sizes::AtSizes;
use std::fmt::Write;

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
        let command = run.options.get("measure").and_then(|command| command.as_str());
        out += &predicted(p, "after", command);
        if let Some(comparison) = &p.measured {
            let place = if command.is_some() { "" } else { ", in tract on this machine" };
            let _ = writeln!(out, "{}{place}", measured(comparison));
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

/// Where the gates come from: updates, stages, another target.
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
    let dependent = match run.dependent {
        0.0 => String::new(),
        share => format!("; {} of the cut by dependence", percent(share)),
    };
    format!("gates     {stages}{what}{dependent}\n")
}

/// Table of sizes before and after.
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

/// Accuracy and agreement right after pruning, and on which images.
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
        None => writeln!(out, "agreement {}, on {images}", values(a)),
    }
    .ok();
    out
}

/// Agreement of outputs that are no class scores.
fn values(a: &Agreement) -> String {
    let mut out = String::from("outputs ");
    if let Some(correlation) = a.correlation {
        let _ = write!(out, "correlate by {correlation:.4} and ");
    }
    let _ = write!(out, "differ by {} (rms)", percent(a.relative_error));
    if let Some(psnr) = a.psnr {
        let _ = write!(out, ", PSNR {psnr:.1} dB");
    }
    if let (Some(again), Some(boxes)) = (a.found_again, a.boxes) {
        let _ = write!(out, ", {} of {boxes} boxes found again at IoU 0.5", percent(again));
    }
    out
}

/// Agreement after every step of the recovery, on the images of the pruned network's agreement.
fn recovery(run: &Run) -> String {
    let Some(r) = &run.recovery else { return String::new() };
    let what = |a: &Agreement| match (a.accuracy, a.same_class) {
        (Some(accuracy), Some(same)) => {
            format!("{} accuracy, {} the same top class", percent(accuracy), percent(same))
        }
        (_, Some(same)) => format!("{} the same top class", percent(same)),
        _ => values(a),
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

/// The verdict, with the measured differences and their limits.
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
