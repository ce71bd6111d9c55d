//! `autobot-onnx inspect IN`
//!
//! Takes: [`InspectArgs`]. Gives: what a network costs, what can be cut, what cannot and why. Never: needs data.

use super::args::InspectArgs;
use super::bench::speed;
use super::job::Job;
use super::prune::{file_size, options};
use super::talk::Talk;
use super::{Answer, guard};
use autobot_onnx::report::{gather, json, text};

/// Inspects.
pub fn run(args: &InspectArgs) -> anyhow::Result<Answer> {
    if let Some(path) = &args.json {
        guard::outputs(&[("--json", path)], &[("IN.onnx", &args.input)])?;
    }
    let model = args.model.read(&args.input)?;
    let mut options = options(None, &args.scope, None)?;
    options.speed = speed(args.scope.cpu.as_ref(), &model, Talk { quiet: false })?;
    let job = Job::new(model, file_size(&args.input)?, options)?;
    let inspection = inspection(job);
    if let Some(path) = &args.json {
        json::write(path, &inspection)?;
    }
    Talk { quiet: false }.result(&text::inspection(&inspection));
    Ok(Answer::Yes)
}

fn inspection(job: Job) -> json::Inspection {
    let a = &job.analysis;
    let layers = gather::layers(&job.model.graph, &job.facts, a, &a.least);
    let predicted = job.predicted(None);
    json::Inspection {
        program: gather::program(),
        model: job.known,
        channels: job.channels,
        predicted,
        layers,
    }
}
