//! `autobot-onnx inspect IN`
//!
//! Takes: [`InspectArgs`]. Gives: what a network costs, what can be cut, what cannot and why. Never: needs data.

use super::answer::{Answer, beside};
use super::args::InspectArgs;
use super::console::Console;
use super::job::Job;
use super::{guard, options};
use autobot_onnx::Target;
use autobot_onnx::internals::report::{gather, json, text};

/// Inspects.
pub fn run(args: &InspectArgs) -> anyhow::Result<Answer> {
    let console = Console { quiet: false };
    let outputs: Vec<guard::Named> = args.json.iter().map(|p| ("--json", p.as_path())).collect();
    let mut inputs = vec![("IN.onnx", args.input.as_path())];
    inputs.extend(args.scope.file().map(|p| ("--cpu", p)));
    guard::outputs(&outputs, &inputs, console)?;
    let model = args.model.read(&args.input)?;
    guard::weights(&outputs, &[&model], &[], None)?;
    let mut options = options::scope(&args.scope, None, false)?;
    options.speed = options::speed(args.scope.cpu.as_ref(), None, &model, console)?;
    let job = Job::new(model, options, Target::Share(1.0), false)?;
    job.review_scope(console);
    let inspection = gather::inspection(&job.prepared, job.known);
    console.result(&text::inspection(&inspection));
    let written = args.json.as_ref().map_or(Ok(()), |path| json::write(path, &inspection));
    Ok(beside([written], console))
}
