//! `autobot-onnx verify BIG SMALL`
//!
//! Takes: [`VerifyArgs`]. Gives: measured differences and a yes or no. Never: changes a file.

use super::args::VerifyArgs;
use super::talk::Talk;
use super::{Answer, data};
use autobot_onnx::internals::data::BoundDataset;
use autobot_onnx::internals::exec::Pool;
use autobot_onnx::internals::graph::{Facts, Network};
use autobot_onnx::internals::onnx::{self, Kind, Model};
use autobot_onnx::internals::report::json::Recipe;
use autobot_onnx::internals::report::text;
use autobot_onnx::internals::report::units::{percent, plural, small};
use autobot_onnx::internals::support::printable::line;
use autobot_onnx::internals::verify::pair::{self, Compared};
use autobot_onnx::internals::verify::sizes;
use autobot_onnx::internals::{pruner, rewrite, verify};
use autobot_onnx::{Error, Result};

/// Inputs that are tried where no data are given.
const SYNTHETIC: usize = 64;

/// Compares two files.
pub fn run(args: &VerifyArgs) -> anyhow::Result<Answer> {
    let talk = Talk { quiet: false };
    let mut big = onnx::read(&args.big, &args.model.input_shape)?;
    let little = onnx::read(&args.small, &args.model.input_shape)?;
    if let Some(path) = &args.report {
        let recipe = Recipe::read(path)?;
        big = big.with_graph(rewrite::masked(&big.graph, &recipe.masks, &recipe.biases)?)?;
    }
    let (facts, small_facts) = (big.facts()?, little.facts()?);
    let network = Network::new(&big.graph, &facts);
    let data = args.data.load(network, SYNTHETIC, args.seed)?;
    data::review(&data, network, talk)?;
    let pool = Pool::new(args.threads)?;
    let compared = pair::compare(network, Network::new(&little.graph, &small_facts), &data, &pool)?;
    let tract = tract((&big, &facts), (&little, &small_facts), args, &data, &pool)?;
    if let (None, Err(why)) = (&compared, &tract.difference) {
        let reason = format!("neither our executor nor tract can run it; tract says: {why}");
        let hint = big.kind().map_or("cut the model behind what is not known", Kind::advice);
        return Err(Error::file(&args.big, reason, hint).into());
    }
    let (yes, text) = judge(args, data.len(), compared.as_ref(), &tract);
    talk.result(&text);
    Ok(if yes { Answer::Yes } else { Answer::No })
}

/// What tract says.
struct Tract {
    /// Largest difference of the two networks in tract, or why it could not tell.
    difference: Result<f64, String>,
    /// Largest difference that passes there.
    allowed: f64,
    /// What tract rounds by, where that decides.
    rounding: Option<f64>,
    /// By network: how far tract and our executor are apart, where they compute something else.
    apart: Vec<(String, f64)>,
    /// The differences at other sizes of the axes that the file leaves open, with those sizes; of masked networks only.
    elsewhere: Vec<sizes::FilesAtSizes>,
}

fn tract(
    (big, facts): (&Model, &Facts),
    (little, small_facts): (&Model, &Facts),
    args: &VerifyArgs,
    data: &BoundDataset,
    pool: &Pool,
) -> Result<Tract> {
    let inputs = facts.inputs(&big.graph).unwrap_or_default();
    let first: Vec<usize> = (0..data.len().min(4)).collect();
    let network = Network::new(&big.graph, facts);
    let samples = pruner::samples(network, data, &first);
    let [whole, pruned] = [big.to_bytes()?, little.to_bytes()?];
    let difference = verify::compare_tract(&whole, &pruned, &inputs, &samples, pool)?;
    let (mut allowed, mut rounding) = (args.tolerance, None);
    let elsewhere = match &args.report {
        Some(_) => sizes::files_elsewhere(network, &whole, &pruned, &samples, pool)?,
        None => Vec::new(),
    };
    let measured = std::iter::once(&difference).chain(elsewhere.iter().map(|(_, found)| found));
    if measured.flatten().any(|d| *d > args.tolerance) {
        rounding = verify::rounding_in_tract(network, &whole, &little.graph, &samples, pool)?;
        allowed = allowed.max(verify::allowed(facts, rounding));
    }
    let mut apart = Vec::new();
    let both = [(&args.big, big, facts, &whole), (&args.small, little, small_facts, &pruned)];
    for (path, model, facts, bytes) in both {
        let found = verify::compare_executors(Network::new(&model.graph, facts), bytes, &samples, pool)?;
        apart.extend(
            found.ok().filter(|d| verify::disagree(facts, *d)).map(|d| (path.display().to_string(), d)),
        );
    }
    Ok(Tract { difference, allowed, rounding, apart, elsewhere })
}

fn judge(args: &VerifyArgs, images: usize, c: Option<&Compared>, tract: &Tract) -> (bool, String) {
    let other = if args.report.is_some() { "masked" } else { "big" };
    let images = plural(c.map_or(images, |c| c.images), "image");
    let kind = if args.data.calib.is_some() { "" } else { "synthetic " };
    let mut out = format!("compared  on {}\n", images.replacen(' ', &format!(" {kind}"), 1));
    let share = |x: f64| format!("{} of the output's range", small(x));
    let before = c
        .and_then(|c| c.before.as_ref())
        .map(|node| format!(" (as far as it runs: before '{}')", line(node)));
    out += &match c {
        Some(c) => {
            let before = before.as_deref().unwrap_or_default();
            format!("executor  max |{other} − small| is {}{before}\n", share(c.difference.relative))
        }
        None => "executor  cannot run the big one\n".into(),
    };
    out += &match &tract.difference {
        Ok(d) => format!("tract     max |{other} − small| is {}\n", share(*d)),
        Err(why) => format!("tract     not measured: {}\n", line(why)),
    };
    for (shapes, found) in &tract.elsewhere {
        let found = found.as_ref().map_or_else(|why| format!("not measured: {why}"), |d| share(*d));
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
    if let Some(same) = c.and_then(|c| c.same_class) {
        out += &format!("agreement {} have the same top class\n", percent(same));
    }
    if let Some((a, b)) = c.and_then(|c| c.accuracy) {
        out += &format!("accuracy  {} {other}, {} small\n", percent(a), percent(b));
    }
    let measured = std::iter::once(&tract.difference).chain(tract.elsewhere.iter().map(|(_, found)| found));
    let equal = measured.flatten().all(|d| *d <= tract.allowed);
    let close = c.is_none_or(|c| c.difference.relative <= args.tolerance) && equal;
    let enough =
        args.min_agreement.zip(c.and_then(|c| c.same_class)).map(|(least, same)| (same >= least, least));
    let (yes, why) = match (close, enough) {
        (true, _) => {
            let what = if tract.difference.is_err() && before.is_some() {
                "what can be run is"
            } else {
                "the outputs are"
            };
            (true, format!("{what} equal within {}", share(args.tolerance)))
        }
        (false, Some((yes, least))) => {
            let word = if yes { "at least" } else { "less than" };
            (yes, format!("{word} {} have the same top class", percent(least)))
        }
        (false, None) => (false, format!("the outputs differ by more than {}", share(args.tolerance))),
    };
    out += &format!("verdict   {}: {why}\n", if yes { "pass" } else { "FAIL" });
    if !yes && args.report.is_none() && enough.is_none() {
        out += "          A pruned network need not equal its original; with --report and what --json wrote when\n";
        out += "          it was made, it is compared with the masked original, which it must equal.\n";
    }
    (yes, out)
}
