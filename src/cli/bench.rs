//! `autobot-onnx bench A B …`
//!
//! Takes: [`BenchArgs`]. Gives: measured times of model files in tract, side by side. Never: changes a file; compares times
//! that were taken one after the other.

use super::answer::{Answer, beside};
use super::args::BenchArgs;
use super::console::Console;
use super::flags::Misuse;
use super::{guard, options};
use autobot_onnx::internals::cost::{Convention, Cost};
use autobot_onnx::internals::coupling::Groups;
use autobot_onnx::internals::graph::{Facts, Network};
use autobot_onnx::internals::onnx::{self, Model};
use autobot_onnx::internals::plan::{Limits, Round};
use autobot_onnx::internals::pruner::host::{load, observe, refused};
use autobot_onnx::internals::report::{gather, json, text};
use autobot_onnx::internals::support::printable::line;
use autobot_onnx::internals::tract::board::Board;
use autobot_onnx::internals::tract::calibrate::{self, Measured, Times};
use autobot_onnx::internals::tract::timing::{self, Loaded, Rounds, Timing};
use autobot_onnx::internals::verify;
use autobot_onnx::{Error, MeasureCommand, Result};
use std::io::Read;
use std::path::Path;

/// The word for standard input.
const PIPE: &str = "-";

/// Largest message that is read from standard input, in bytes: protobuf knows no larger ones.
const MESSAGE: u64 = 1 << 31;

/// Numbers of the first output that are reported, so that two machines can be compared.
const OUTPUTS: usize = 16;

/// Runs that the times of single nodes are taken from, at the most.
const NODE_RUNS: usize = 100;

/// Measures the files side by side.
pub fn run(args: &BenchArgs) -> anyhow::Result<Answer> {
    let piped = args.files.iter().any(|path| path == Path::new(PIPE));
    if piped && args.files.len() > 1 {
        let reason = "standard input holds one network, and nothing can stand beside it";
        return Err(Misuse::new("FILE.onnx", reason, "give '-' alone").into());
    }
    let inputs: Vec<guard::Named> = args.files.iter().map(|p| ("FILE.onnx", p.as_path())).collect();
    let outputs = [("--json", args.json.as_deref()), ("--calibrate", args.calibrate.as_deref())];
    let outputs: Vec<guard::Named> = outputs.into_iter().filter_map(|(flag, p)| Some((flag, p?))).collect();
    let console = Console { quiet: args.quiet || piped };
    guard::outputs(&outputs, &inputs, console)?;
    if let Some(command) = args.measure.command() {
        return calibrate_by(&command, args, &outputs, console);
    }
    let (mut ready, mut contenders) = (Vec::new(), Vec::new());
    for path in &args.files {
        let model = read(path, args, &outputs)?;
        let facts = model.facts()?;
        let loaded = load(&model, &facts)?;
        let mut contender = Contender::new(path, &model, &facts, &loaded)?;
        if args.calibrate.is_some() {
            contender.observed = observe(&model, &facts)?;
        }
        contenders.push(contender);
        ready.push(loaded);
    }
    let board = Board::ask();
    console.facts(&text::board(&board));
    let rounds = Rounds { warm_up: args.warm_up, least: args.runs, seconds: args.seconds };
    let (rounds, timings) =
        timing::measure(&ready, rounds).map_err(|(m, why)| refused(&args.files[m], &why))?;
    let mut models = Vec::new();
    for ((contender, ready), timing) in contenders.iter().zip(&ready).zip(timings) {
        models.push(contender.benched(ready, timing, args)?);
    }
    let mut written = Vec::new();
    if let Some(path) = &args.calibrate {
        let name = board.cpu.clone().unwrap_or_else(|| board.architecture.to_owned());
        let observed: Vec<Measured> = contenders.into_iter().flat_map(|c| c.observed).collect();
        let (speed, error) = calibrate::speed(&name, &observed, 1);
        console.facts(&text::calibrated(&path.display().to_string(), error));
        written.push(json::write(path, &speed));
    }
    let report = json::Benchmark {
        program: gather::program(),
        board,
        celsius_after: Board::ask().celsius,
        threads: 1,
        rounds,
        models,
    };
    match piped {
        true => console.result(&format!("{:.6}\n", report.models[0].timing.milliseconds.median)),
        false => console.result(&text::benchmark(&report)),
    }
    written.extend(args.json.as_ref().map(|path| json::write(path, &report)));
    Ok(beside(written, console))
}

/// Fits a processor to what a command says of the networks and of cuts of them.
fn calibrate_by(
    command: &MeasureCommand,
    args: &BenchArgs,
    outputs: &[guard::Named],
    console: Console,
) -> anyhow::Result<Answer> {
    let Some(path) = args.calibrate.as_ref().filter(|_| args.json.is_none() && !args.layers) else {
        let hint = "give --calibrate FILE, and neither --layers nor --json";
        return Err(Misuse::new("--measure", "serves --calibrate alone here", hint).into());
    };
    let (mut observed, mut width) = (Vec::new(), None);
    for file in &args.files {
        let model = read(file, args, outputs)?;
        let facts = model.facts()?;
        let round = match width {
            Some(round) => round,
            None => *width.insert(options::measured_width(command, &model, console)?),
        };
        console.progress(&format!("measuring cuts of {}", line(&file.display().to_string())));
        observed.extend(command.observe(&model, &facts, Limits { round, ..Limits::default() })?);
    }
    let rows = width.map_or(1, Round::multiple);
    let (speed, error) = calibrate::speed(command.line(), &observed, rows);
    console.facts(&text::calibrated_on_networks(&speed.name, error));
    json::write(path, &speed)?;
    console.result(&format!("written   {}\n", line(&path.display().to_string())));
    Ok(Answer::Yes)
}

/// A model, of which no output is a file of its weights.
fn read(path: &Path, args: &BenchArgs, outputs: &[guard::Named]) -> anyhow::Result<Model> {
    let model = match path == Path::new(PIPE) {
        true => from_pipe(args)?,
        false => onnx::read(path, &args.model.input_shape)?,
    };
    guard::weights(outputs, &[&model], &[], None)?;
    Ok(model)
}

/// The model on standard input.
fn from_pipe(args: &BenchArgs) -> Result<Model> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MESSAGE).read_to_end(&mut bytes);
    read.map_err(|e| Error::io(PIPE, e, "send an ONNX model"))?;
    onnx::parse(&bytes, Path::new("standard input"), &args.model.input_shape)
}

/// A file that is measured.
struct Contender<'a> {
    path: &'a Path,
    /// Its size.
    bytes: u64,
    /// Its multiply-accumulates.
    macs: u64,
    /// Distance between tract and our executor on the input that is timed; none where ours cannot run the network.
    apart: Option<f64>,
    /// True where that is more than rounding.
    disagree: bool,
    /// Times of its nodes, and of the nodes of cuts of it, where a processor is to be fitted.
    observed: Vec<Measured>,
}

impl<'a> Contender<'a> {
    fn new(path: &'a Path, model: &Model, facts: &Facts, loaded: &Loaded) -> Result<Self> {
        let apart = apart(model, facts, loaded);
        Ok(Self {
            path,
            macs: Cost::new(Network::new(&model.graph, facts), &Groups::default(), Convention::Macs)
                .hard(&[]),
            bytes: model.file_size(),
            apart,
            disagree: apart.is_some_and(|apart| verify::disagree(facts, apart)),
            observed: Vec::new(),
        })
    }

    /// What is reported of it.
    fn benched(&self, ready: &Loaded, timing: Timing, args: &BenchArgs) -> Result<json::Benched> {
        let layers = match self.observed.first().map(|whole| &whole.times) {
            _ if !args.layers => None,
            Some(Times::Layers(layers)) => Some(layers.clone()),
            _ => {
                let layers = timing::layers(ready, args.runs.min(NODE_RUNS));
                Some(layers.map_err(|why| refused(self.path, &why))?)
            }
        };
        let outputs = ready.runtime.run(&ready.sample).map_err(|why| refused(self.path, &why))?;
        Ok(json::Benched {
            path: self.path.display().to_string(),
            bytes: self.bytes,
            macs: self.macs,
            timing,
            layers,
            outputs: outputs.first().map(|y| y.iter().take(OUTPUTS).copied().collect()).unwrap_or_default(),
            apart: self.apart,
            disagree: self.disagree,
        })
    }
}

/// Distance between tract and our executor on the input that is timed; none where ours cannot run the network.
fn apart(model: &Model, facts: &Facts, Loaded { runtime, sample }: &Loaded) -> Option<f64> {
    let found = runtime.run(sample).ok()?;
    verify::apart(Network::new(&model.graph, facts), std::slice::from_ref(sample), &[found]).ok()?
}
