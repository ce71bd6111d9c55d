//! `autobot-onnx bench A B …`
//!
//! Takes: [`BenchArgs`]. Gives: measured times of model files in tract, side by side. Never: changes a file; compares times
//! that were taken one after the other.

use super::args::BenchArgs;
use super::prune::file_size;
use super::talk::Talk;
use super::value::Processor;
use super::{Answer, beside, guard};
use autobot_onnx::internals::cost::latency::Speed;
use autobot_onnx::internals::cost::{Convention, Cost};
use autobot_onnx::internals::coupling::Groups;
use autobot_onnx::internals::graph::Network;
use autobot_onnx::internals::onnx::{self, Model};
use autobot_onnx::internals::pruner::host::{self, load, observe, refused};
use autobot_onnx::internals::report::{gather, json, text};
use autobot_onnx::internals::support::files;
use autobot_onnx::internals::tract::board::Board;
use autobot_onnx::internals::tract::calibrate;
use autobot_onnx::internals::tract::timing::{self, Rounds};
use autobot_onnx::internals::tract::{Runtime, Sample};
use autobot_onnx::internals::verify;
use autobot_onnx::{Error, Result};

/// So many of the first output's numbers are reported: two machines' can be compared.
const OUTPUTS: usize = 16;

/// Measures.
pub fn run(args: &BenchArgs) -> anyhow::Result<Answer> {
    let inputs: Vec<guard::Named> = args.files.iter().map(|p| ("FILE.onnx", p.as_path())).collect();
    let outputs = [("--json", args.json.as_deref()), ("--calibrate", args.calibrate.as_deref())];
    let outputs: Vec<guard::Named> = outputs.into_iter().filter_map(|(flag, p)| Some((flag, p?))).collect();
    let talk = Talk { quiet: args.quiet };
    guard::outputs(&outputs, &inputs, talk)?;
    let mut ready = Vec::new();
    let mut files = Vec::new();
    let mut observed = Vec::new();
    let mut aparts = Vec::new();
    for path in &args.files {
        let model = onnx::read(path, &args.model.input_shape)?;
        guard::weights(&outputs, &[&model], &[], None)?;
        let facts = model.facts()?;
        ready.push(load(&model, &facts)?);
        let apart = ready.last().and_then(|ready| apart(Network::new(&model.graph, &facts), ready));
        aparts.push((apart, apart.is_some_and(|apart| verify::disagree(&facts, apart))));
        let macs =
            Cost::new(Network::new(&model.graph, &facts), &Groups::default(), Convention::Macs).hard(&[]);
        files.push((path.display().to_string(), file_size(path)?, macs));
        if args.calibrate.is_some() {
            observed.push(observe(&model, &facts)?);
        }
    }
    let before = Board::ask();
    talk.facts(&text::board(&before));
    let rounds = Rounds { warm_up: args.warm_up, least: args.runs, seconds: args.seconds };
    let (counted, timings) =
        timing::measure(&ready, rounds).map_err(|(m, why)| refused(&args.files[m], &why))?;
    let mut models = Vec::new();
    for (k, ((path, bytes, macs), timing)) in files.into_iter().zip(timings).enumerate() {
        let (ready, file) = (&ready[k], &args.files[k]);
        let layers = match observed.get(k).and_then(|nodes| nodes.first()) {
            _ if !args.layers => None,
            Some(whole) => Some(whole.layers.clone()),
            None => Some(timing::layers(ready, args.runs.min(100)).map_err(|why| refused(file, &why))?),
        };
        let outputs = ready.0.run(&ready.1).map_err(|why| refused(file, &why))?;
        let outputs = outputs.first().map(|y| y.iter().take(OUTPUTS).copied().collect()).unwrap_or_default();
        let (apart, disagree) = aparts[k];
        models.push(json::Benched { path, bytes, macs, timing, layers, outputs, apart, disagree });
    }
    let mut written = Vec::new();
    if let Some(path) = &args.calibrate {
        let name = before.cpu.clone().unwrap_or_else(|| before.architecture.to_owned());
        let (speed, error) = calibrate::speed(&name, &observed.into_iter().flatten().collect::<Vec<_>>());
        talk.facts(&text::calibrated(&path.display().to_string(), error));
        written.push(json::write(path, &speed));
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
    talk.result(&text::benchmark(&report));
    written.extend(args.json.as_ref().map(|path| json::write(path, &report)));
    Ok(beside(written, talk))
}

/// What a processor takes for the parts of an inference: as it is known, as it was measured before, or as it is measured now
/// on the network itself.
pub fn speed(cpu: Option<&Processor>, model: &Model, talk: Talk) -> Result<Option<Speed>> {
    match cpu {
        None => Ok(None),
        Some(Processor::Known(cpu)) => Ok(Some(cpu.speed())),
        Some(Processor::File(path)) => {
            let hint = "give a file that 'autobot-onnx bench --calibrate' wrote";
            let text = files::read_text(path, hint)?;
            let speed: Speed = serde_json::from_str(&text)
                .map_err(|e| Error::file(path, format!("tells no processor's speed: {e}"), hint))?;
            speed.check().map_err(|why| Error::file(path, why, hint))?;
            Ok(Some(speed))
        }
        Some(Processor::Host) => {
            let (speed, error) = host::speed(model)?;
            talk.facts(&text::calibrated(&speed.name, error));
            Ok(Some(speed))
        }
    }
}

/// How far tract and our executor are apart on the input that is timed; none where ours cannot run the network.
fn apart(network: Network, (runtime, sample): &(Runtime, Sample)) -> Option<f64> {
    let found = runtime.run(sample).ok()?;
    verify::apart(network, std::slice::from_ref(sample), &[found]).ok()?
}
