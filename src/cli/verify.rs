//! `autobot-onnx verify BIG SMALL`
//!
//! Takes: [`VerifyArgs`]. Gives: measured differences and a yes or no. Never: changes a file.

use super::args::VerifyArgs;
use super::talk::Talk;
use super::{Answer, data};
use autobot_onnx::grad::Pool;
use autobot_onnx::ir::Facts;
use autobot_onnx::learn::calib::Calibration;
use autobot_onnx::onnx::{self, Kind, Model};
use autobot_onnx::report::json::Recipe;
use autobot_onnx::report::units::{percent, plural, small};
use autobot_onnx::verify::pair::{self, Compared};
use autobot_onnx::{Error, Result, pipeline, rewrite, verify};

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
    let data = args.data.load(&big.graph, &facts, SYNTHETIC, args.seed)?;
    data::review(&data, &big.graph, &facts, talk)?;
    let pool = Pool::new(args.threads)?;
    let compared = pair::compare((&big.graph, &facts), (&little.graph, &small_facts), &data, &pool)?;
    let tract = tract(&big, &facts, &little, &data, &pool)?;
    if let (None, Err(why)) = (&compared, &tract) {
        let reason = format!("neither our executor nor tract can run it; tract says: {why}");
        let hint = big.kind().map_or("cut the model behind what is not known", Kind::advice);
        return Err(Error::file(&args.big, reason, hint).into());
    }
    let (yes, text) = judge(args, data.len(), compared.as_ref(), &tract);
    talk.result(&text);
    Ok(if yes { Answer::Yes } else { Answer::No })
}

fn tract(
    big: &Model,
    facts: &Facts,
    little: &Model,
    data: &Calibration,
    pool: &Pool,
) -> Result<Result<f64, String>> {
    let inputs = facts.inputs(&big.graph).unwrap_or_default();
    let first: Vec<usize> = (0..data.len().min(4)).collect();
    let samples = pipeline::samples(&big.graph, facts, data, &first);
    verify::compare_tract(&big.to_bytes()?, &little.to_bytes()?, &inputs, &samples, pool)
}

fn judge(
    args: &VerifyArgs,
    images: usize,
    c: Option<&Compared>,
    tract: &Result<f64, String>,
) -> (bool, String) {
    let other = if args.report.is_some() { "masked" } else { "big" };
    let images = plural(c.map_or(images, |c| c.images), "image");
    let kind = if args.data.calib.is_some() { "" } else { "synthetic " };
    let mut out = format!("compared  on {}\n", images.replacen(' ', &format!(" {kind}"), 1));
    let share = |x: f64| format!("{} of the output's range", small(x));
    let before =
        c.and_then(|c| c.before.as_ref()).map(|node| format!(" (as far as it runs: before '{node}')"));
    out += &match c {
        Some(c) => {
            let before = before.as_deref().unwrap_or_default();
            format!("executor  max |{other} − small| is {}{before}\n", share(c.difference.relative))
        }
        None => "executor  cannot run the big one\n".into(),
    };
    out += &match tract {
        Ok(d) => format!("tract     max |{other} − small| is {}\n", share(*d)),
        Err(why) => format!("tract     cannot run the big one: {why}\n"),
    };
    if let Some(same) = c.and_then(|c| c.same_class) {
        out += &format!("agreement {} have the same top class\n", percent(same));
    }
    if let Some((a, b)) = c.and_then(|c| c.accuracy) {
        out += &format!("accuracy  {} {other}, {} small\n", percent(a), percent(b));
    }
    let worst = c.map_or(0.0, |c| c.difference.relative).max(*tract.as_ref().unwrap_or(&0.0));
    let close = worst <= args.tolerance;
    let enough =
        args.min_agreement.zip(c.and_then(|c| c.same_class)).map(|(least, same)| (same >= least, least));
    let (yes, why) = match (close, enough) {
        (true, _) => {
            let what =
                if tract.is_err() && before.is_some() { "what can be run is" } else { "the outputs are" };
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
