//! `autobot-onnx verify BIG SMALL`
//!
//! Takes: [`VerifyArgs`]. Gives: measured differences and a yes or no. Never: changes a file.

use super::answer::Answer;
use super::args::VerifyArgs;
use super::console::Console;
use super::data;
use autobot_onnx::internals::data::BoundDataset;
use autobot_onnx::internals::exec::Pool;
use autobot_onnx::internals::graph::{Facts, Network};
use autobot_onnx::internals::onnx::{self, Kind, Model};
use autobot_onnx::internals::pruner::Adapted;
use autobot_onnx::internals::report::json::Recipe;
use autobot_onnx::internals::report::text;
use autobot_onnx::internals::report::units::{percent, plural, small};
use autobot_onnx::internals::support::printable::line;
use autobot_onnx::internals::verify::pair::{self, Compared};
use autobot_onnx::internals::verify::sizes;
use autobot_onnx::internals::{pruner, rewrite, verify};
use autobot_onnx::{Error, Result};
use std::path::Path;

/// Inputs that are tried where no data are given.
const SYNTHETIC: usize = 64;

/// Inputs that are tried in tract.
const SAMPLES: usize = 4;

/// Compares two files.
pub fn run(args: &VerifyArgs) -> anyhow::Result<Answer> {
    let console = Console { quiet: false };
    let mut big = onnx::read(&args.big, &args.model.input_shape)?;
    let little = onnx::read(&args.small, &args.model.input_shape)?;
    if let Some(path) = &args.report {
        let recipe = Recipe::read(path)?;
        if recipe.is_rewritten() {
            big = Adapted::new(big, args.threads, args.seed)?.model()?;
        }
        big = big.with_graph(rewrite::masked(&big.graph, &recipe.masks, &recipe.biases)?)?;
    }
    let (big, little) = (Side::new(&args.big, big)?, Side::new(&args.small, little)?);
    let data = args.data.load(big.network(), SYNTHETIC, args.seed)?;
    data::review(&data, big.network(), console)?;
    let pool = Pool::new(args.threads)?;
    let ours = pair::compare(big.network(), little.network(), &data, &pool)?;
    let tract = tract(&big, &little, args, &data, &pool)?;
    if let (None, Err(why)) = (&ours, &tract.difference) {
        let reason = format!("neither our executor nor tract can run it; tract says: {why}");
        let hint = big.model.kind().map_or("cut the model behind what is not known", Kind::advice);
        return Err(Error::file(&args.big, reason, hint).into());
    }
    let comparison = Comparison { args, images: data.len(), ours, tract };
    let verdict = comparison.verdict();
    console.result(&(comparison.text() + &verdict.text(args.report.is_some())));
    Ok(if verdict.pass { Answer::Yes } else { Answer::No })
}

/// One of the two files.
struct Side<'a> {
    path: &'a Path,
    model: Model,
    facts: Facts,
}

impl<'a> Side<'a> {
    fn new(path: &'a Path, model: Model) -> Result<Self> {
        Ok(Self { path, facts: model.facts()?, model })
    }

    /// Its graph with types and shapes.
    fn network(&self) -> Network<'_> {
        Network::new(&self.model.graph, &self.facts)
    }
}

/// Measured in tract.
struct Tract {
    /// Largest difference of the two networks, or why there is none.
    difference: Result<f64, String>,
    /// Largest difference that passes.
    allowed: f64,
    /// Rounding of tract on the first network, where that decides.
    rounding: Option<f64>,
    /// By network: distance between tract and our executor, where they compute something else.
    apart: Vec<(String, f64)>,
    /// By set of other sizes of the axes that the file leaves open: the difference there; of masked networks only.
    elsewhere: Vec<sizes::FilesAtSizes>,
}

impl Tract {
    /// Every difference that was measured.
    fn measured(&self) -> impl Iterator<Item = f64> {
        let elsewhere = self.elsewhere.iter().map(|(_, found)| found);
        std::iter::once(&self.difference).chain(elsewhere).flatten().copied()
    }
}

fn tract(big: &Side, little: &Side, args: &VerifyArgs, data: &BoundDataset, pool: &Pool) -> Result<Tract> {
    let inputs = big.facts.inputs(&big.model.graph).unwrap_or_default();
    let first: Vec<usize> = (0..data.len().min(SAMPLES)).collect();
    let samples = pruner::samples(big.network(), data, &first);
    let [whole, pruned] = [big.model.to_bytes()?, little.model.to_bytes()?];
    let difference = verify::compare_tract(&whole, &pruned, &inputs, &samples, pool)?;
    let elsewhere = match &args.report {
        Some(_) => sizes::files_elsewhere(big.network(), &whole, &pruned, &samples, pool)?,
        None => Vec::new(),
    };
    let mut tract =
        Tract { difference, allowed: args.tolerance, rounding: None, apart: Vec::new(), elsewhere };
    if tract.measured().any(|d| d > args.tolerance) {
        tract.rounding =
            verify::rounding_in_tract(big.network(), &whole, &little.model.graph, &samples, pool)?;
        tract.allowed = tract.allowed.max(verify::allowed(&big.facts, tract.rounding));
    }
    for (side, bytes) in [(big, &whole), (little, &pruned)] {
        let found = verify::compare_executors(side.network(), bytes, &samples, pool)?;
        let found = found.ok().filter(|d| verify::disagree(&side.facts, *d));
        tract.apart.extend(found.map(|d| (side.path.display().to_string(), d)));
    }
    Ok(tract)
}

/// Everything that was measured.
struct Comparison<'a> {
    args: &'a VerifyArgs,
    /// Number of images.
    images: usize,
    /// In our executor; none where it cannot run the first network.
    ours: Option<Compared>,
    tract: Tract,
}

/// Whether the two networks are equal, or near enough.
struct Verdict {
    pass: bool,
    why: String,
    /// Judged by the share of images with equal top classes.
    by_agreement: bool,
}

/// A difference of outputs.
fn of_range(x: f64) -> String {
    format!("{} of the output's range", small(x))
}

impl Comparison<'_> {
    /// The measured differences.
    fn text(&self) -> String {
        let other = if self.args.report.is_some() { "masked" } else { "big" };
        self.images_line() + &self.executor_line(other) + &self.tract_lines(other) + &self.class_lines(other)
    }

    fn images_line(&self) -> String {
        let images = plural(self.ours.as_ref().map_or(self.images, |c| c.images), "image");
        let kind = if self.args.data.calib.is_some() { "" } else { "synthetic " };
        format!("compared  on {}\n", images.replacen(' ', &format!(" {kind}"), 1))
    }

    fn executor_line(&self, other: &str) -> String {
        let Some(c) = &self.ours else { return "executor  cannot run the big one\n".into() };
        let before = match &c.before {
            Some(node) => format!(" (as far as it runs: before '{}')", line(node)),
            None => String::new(),
        };
        format!("executor  max |{other} − small| is {}{before}\n", of_range(c.difference.relative))
    }

    fn tract_lines(&self, other: &str) -> String {
        let tract = &self.tract;
        let mut out = match &tract.difference {
            Ok(d) => format!("tract     max |{other} − small| is {}\n", of_range(*d)),
            Err(why) => format!("tract     not measured: {}\n", line(why)),
        };
        for (shapes, found) in &tract.elsewhere {
            let found = found.as_ref().map_or_else(|why| format!("not measured: {why}"), |d| of_range(*d));
            out += &format!("          at {}: {found}\n", text::all_sizes(shapes));
        }
        if let Some(r) = tract.rounding {
            out += &format!(
                "          tract itself rounds by {} on the {other} one, which is equal in double precision: its limit is {}\n",
                small(r),
                small(tract.allowed)
            );
        }
        for (network, d) in &tract.apart {
            out += &text::apart_on(network, *d);
        }
        out
    }

    fn class_lines(&self, other: &str) -> String {
        let mut out = String::new();
        if let Some(same) = self.ours.as_ref().and_then(|c| c.same_class) {
            out += &format!("agreement {} have the same top class\n", percent(same));
        }
        if let Some((a, b)) = self.ours.as_ref().and_then(|c| c.accuracy) {
            out += &format!("accuracy  {} {other}, {} small\n", percent(a), percent(b));
        }
        out
    }

    /// Equal within the tolerance; else, where that is enough, of the wanted agreement.
    fn verdict(&self) -> Verdict {
        let (tolerance, ours) = (self.args.tolerance, self.ours.as_ref());
        let equal_in_tract = self.tract.measured().all(|d| d <= self.tract.allowed);
        let equal = ours.is_none_or(|c| c.difference.relative <= tolerance) && equal_in_tract;
        let agreement = self.args.min_agreement.zip(ours.and_then(|c| c.same_class));
        let (pass, why) = match (equal, agreement) {
            (true, _) => {
                let in_part = self.tract.difference.is_err() && ours.is_some_and(|c| c.before.is_some());
                let what = if in_part { "what can be run is" } else { "the outputs are" };
                (true, format!("{what} equal within {}", of_range(tolerance)))
            }
            (false, Some((least, same))) => {
                let word = if same >= least { "at least" } else { "less than" };
                (same >= least, format!("{word} {} have the same top class", percent(least)))
            }
            (false, None) => (false, format!("the outputs differ by more than {}", of_range(tolerance))),
        };
        Verdict { pass, why, by_agreement: agreement.is_some() }
    }
}

impl Verdict {
    fn text(&self, is_masked: bool) -> String {
        let mut out = format!("verdict   {}: {}\n", if self.pass { "pass" } else { "FAIL" }, self.why);
        if !self.pass && !is_masked && !self.by_agreement {
            out += "          A pruned network need not equal its original; with --report and what --json wrote when\n";
            out += "          it was made, it is compared with the masked original, which it must equal.\n";
        }
        out
    }
}
