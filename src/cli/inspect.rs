//! `autobot-onnx inspect IN`
//!
//! Takes: [`InspectArgs`]. Gives: what a network costs, what can be cut, what cannot and why. Never: needs data.

use super::args::InspectArgs;
use super::bench::speed;
use super::job::Job;
use super::prune::{options, review_scope};
use super::talk::Talk;
use super::{Answer, beside, guard};
use autobot_onnx::Target;
use autobot_onnx::internals::report::{gather, json, text};

/// Inspects.
pub fn run(args: &InspectArgs) -> anyhow::Result<Answer> {
    let talk = Talk { quiet: false };
    let outputs: Vec<guard::Named> = args.json.iter().map(|p| ("--json", p.as_path())).collect();
    let mut inputs = vec![("IN.onnx", args.input.as_path())];
    inputs.extend(args.scope.file().map(|p| ("--cpu", p)));
    guard::outputs(&outputs, &inputs, talk)?;
    let model = args.model.read(&args.input)?;
    guard::weights(&outputs, &[&model], &[], None)?;
    let mut options = options(None, &args.scope, None)?;
    options.speed = speed(args.scope.cpu.as_ref(), &model, talk)?;
    let job = Job::new(model, options, Target::Share(1.0), false)?;
    review_scope(&job, talk);
    let inspection = gather::inspection(&job.prepared, job.known);
    talk.result(&text::inspection(&inspection));
    let written = args.json.as_ref().map_or(Ok(()), |path| json::write(path, &inspection));
    Ok(beside([written], talk))
}
