//! `autobot-onnx bench A B …`
//!
//! Takes: [`BenchArgs`]. Gives: measured times of model files in tract, side by side. Never: changes a file; compares times
//! that were taken one after the other.

use super::args::BenchArgs;
use super::prune::file_size;
use super::talk::Talk;
use super::{Answer, data, guard};
use autobot_onnx::bench::{self, Rounds, board::Board};
use autobot_onnx::channels::Groups;
use autobot_onnx::cost::{Convention, Cost};
use autobot_onnx::ir::Facts;
use autobot_onnx::learn::calib::Calibration;
use autobot_onnx::onnx::{self, Model};
use autobot_onnx::report::{gather, json, text};
use autobot_onnx::runtime::{Runtime, Sample};
use autobot_onnx::{Error, Result, pipeline};
use std::path::Path;

/// Measures.
pub fn run(args: &BenchArgs) -> anyhow::Result<Answer> {
    if let Some(path) = &args.json {
        let inputs: Vec<guard::Named> = args.files.iter().map(|p| ("FILE.onnx", p.as_path())).collect();
        guard::outputs(&[("--json", path)], &inputs)?;
    }
    let mut ready = Vec::new();
    let mut files = Vec::new();
    for path in &args.files {
        let model = onnx::read(path, &args.model.input_shape)?;
        let facts = model.facts()?;
        ready.push(load(&model, &facts, path)?);
        let macs = Cost::new(&model.graph, &facts, &Groups::default(), Convention::Macs).hard(&[]);
        files.push((path.display().to_string(), file_size(path)?, macs));
    }
    let talk = Talk { quiet: args.quiet };
    let before = Board::ask();
    talk.facts(&text::board(&before));
    let rounds = Rounds { warm_up: args.warm_up, least: args.runs, seconds: args.seconds };
    let (counted, timings) =
        bench::measure(&ready, rounds).map_err(|(m, why)| refused(&args.files[m], &why))?;
    let mut models = Vec::new();
    for (((path, bytes, macs), timing), (ready, file)) in
        files.into_iter().zip(timings).zip(ready.iter().zip(&args.files))
    {
        let layers = match args.layers {
            true => Some(bench::layers(ready, args.runs.min(100)).map_err(|why| refused(file, &why))?),
            false => None,
        };
        models.push(json::Benched { path, bytes, macs, timing, layers });
    }
    let after = Board::ask();
    let report = json::Benchmark {
        program: gather::program(),
        board: before,
        celsius_after: after.celsius,
        threads: 1,
        rounds: counted,
        models,
    };
    if let Some(path) = &args.json {
        json::write(path, &report)?;
    }
    talk.result(&text::benchmark(&report));
    Ok(Answer::Yes)
}

/// The model in tract, with an input to run it on.
fn load(model: &Model, facts: &Facts, path: &Path) -> Result<(Runtime, Sample)> {
    let graph = &model.graph;
    let inputs = facts.inputs(graph).unwrap_or_default();
    let data = Calibration::synthetic(&data::inputs(graph, facts)?, 1, 1);
    let sample = pipeline::samples(graph, facts, &data, &[0]).remove(0);
    let runtime = Runtime::load(&model.to_bytes()?, &inputs).map_err(|why| refused(path, &why))?;
    Ok((runtime, sample))
}

fn refused(path: &Path, why: &str) -> Error {
    Error::file(path, format!("tract cannot run it: {why}"), "times are taken in tract: leave this file out")
}
