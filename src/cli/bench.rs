//! `autobot-onnx bench A B …`
//!
//! Takes: [`BenchArgs`]. Gives: measured times of model files in tract, side by side. Never: changes a file; compares times
//! that were taken one after the other.

use super::args::BenchArgs;
use super::prune::file_size;
use super::talk::Talk;
use super::value::Processor;
use super::{Answer, data, guard};
use autobot_onnx::bench::calibrate::{self, Measured};
use autobot_onnx::bench::{self, Rounds, board::Board};
use autobot_onnx::channels::Groups;
use autobot_onnx::cost::latency::Speed;
use autobot_onnx::cost::{Convention, Cost};
use autobot_onnx::ir::Facts;
use autobot_onnx::learn::calib::Calibration;
use autobot_onnx::onnx::{self, Model};
use autobot_onnx::report::{gather, json, text};
use autobot_onnx::runtime::{Runtime, Sample};
use autobot_onnx::{Error, Result, pipeline};
use std::path::Path;

/// So many of the first output's numbers are reported: two machines' can be compared.
const OUTPUTS: usize = 16;

/// Runs of a network from which the host's speed is fitted.
const HOST_RUNS: usize = 50;

/// Measures.
pub fn run(args: &BenchArgs) -> anyhow::Result<Answer> {
    let inputs: Vec<guard::Named> = args.files.iter().map(|p| ("FILE.onnx", p.as_path())).collect();
    let outputs = [("--json", args.json.as_deref()), ("--calibrate", args.calibrate.as_deref())];
    let outputs: Vec<guard::Named> = outputs.into_iter().filter_map(|(flag, p)| Some((flag, p?))).collect();
    guard::outputs(&outputs, &inputs)?;
    let mut ready = Vec::new();
    let mut files = Vec::new();
    let mut networks = Vec::new();
    for path in &args.files {
        let model = onnx::read(path, &args.model.input_shape)?;
        let facts = model.facts()?;
        ready.push(load(&model, &facts)?);
        let macs = Cost::new(&model.graph, &facts, &Groups::default(), Convention::Macs).hard(&[]);
        files.push((path.display().to_string(), file_size(path)?, macs));
        networks.push((model.graph, facts));
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
        let layers = match args.layers || args.calibrate.is_some() {
            true => Some(bench::layers(ready, args.runs.min(100)).map_err(|why| refused(file, &why))?),
            false => None,
        };
        let outputs = ready.0.run(&ready.1).map_err(|why| refused(file, &why))?;
        let outputs = outputs.first().map(|y| y[..y.len().min(OUTPUTS)].to_vec()).unwrap_or_default();
        models.push(json::Benched { path, bytes, macs, timing, layers, outputs });
    }
    if let Some(path) = &args.calibrate {
        let name = before.cpu.clone().unwrap_or_else(|| before.architecture.to_owned());
        let layers = models.iter().map(|m| m.layers.as_deref().unwrap_or_default());
        let networks: Vec<Measured> = networks
            .iter()
            .zip(layers)
            .map(|((graph, facts), layers)| Measured { graph, facts, layers })
            .collect();
        let (speed, error) = calibrate::speed(&name, &networks);
        json::write(path, &speed)?;
        talk.facts(&text::calibrated(&path.display().to_string(), error));
        if !args.layers {
            models.iter_mut().for_each(|m| m.layers = None);
        }
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

/// What a processor takes for the parts of an inference: as it is known, as it was measured before, or as it is measured now
/// on the network itself.
pub fn speed(cpu: Option<&Processor>, model: &Model, talk: Talk) -> Result<Option<Speed>> {
    match cpu {
        None => Ok(None),
        Some(Processor::Known(cpu)) => Ok(Some(cpu.speed())),
        Some(Processor::File(path)) => {
            let hint = "give a file that 'autobot-onnx bench --calibrate' wrote";
            let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e, hint))?;
            let speed: Speed = serde_json::from_str(&text)
                .map_err(|e| Error::file(path, format!("tells no processor's speed: {e}"), hint))?;
            speed.check().map_err(|why| Error::file(path, why, hint))?;
            Ok(Some(speed))
        }
        Some(Processor::Host) => {
            let facts = model.facts()?;
            let refused = |why: String| refused(model.path(), &why);
            let layers = bench::layers(&load(model, &facts)?, HOST_RUNS).map_err(refused)?;
            let name = Board::ask().cpu.unwrap_or_else(|| "this machine".to_owned());
            let network = Measured { graph: &model.graph, facts: &facts, layers: &layers };
            let (speed, error) = calibrate::speed(&name, &[network]);
            talk.facts(&text::calibrated(&name, error));
            Ok(Some(speed))
        }
    }
}

/// The model in tract, with an input to run it on.
fn load(model: &Model, facts: &Facts) -> Result<(Runtime, Sample)> {
    let graph = &model.graph;
    let inputs = facts.inputs(graph).unwrap_or_default();
    let data = Calibration::synthetic(&data::inputs(graph, facts)?, 1, 1);
    let sample = pipeline::samples(graph, facts, &data, &[0]).remove(0);
    let runtime = Runtime::load(&model.to_bytes()?, &inputs).map_err(|why| refused(model.path(), &why))?;
    Ok((runtime, sample))
}

fn refused(path: &Path, why: &str) -> Error {
    Error::file(path, format!("tract cannot run it: {why}"), "times are taken in tract: leave this file out")
}
