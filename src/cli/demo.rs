//! `autobot-onnx demo`
//!
//! Takes: the name of a built-in network. Gives: the real result of pruning it to half its cost, and its accuracy on
//! images that nothing was trained on. Never: needs a file or a network connection.

use super::Answer;
use super::args::{DemoArgs, DemoName};
use super::guard;
use super::job::Job;
use super::progress::Watch;
use super::prune::announce;
use super::talk::Talk;
use autobot_onnx::Error;
use autobot_onnx::data::{Calibration, Preprocess};
use autobot_onnx::exec::Pool;
use autobot_onnx::onnx;
use autobot_onnx::pruner::{Compensation, Done, Options, Recover, Target};
use autobot_onnx::report::units::percent;
use autobot_onnx::report::{gather, text};
use autobot_onnx::verify::pair;
use std::collections::BTreeMap;
use std::path::Path;

macro_rules! embedded {
    ($file:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/", $file))
    };
}

const CALIBRATION: [&[u8]; 2] = [embedded!("digits_calib_images.npy"), embedded!("digits_calib_labels.npy")];
const TEST: [&[u8]; 2] = [embedded!("digits_test_images.npy"), embedded!("digits_test_labels.npy")];

impl DemoName {
    fn file(self) -> (&'static str, &'static [u8]) {
        match self {
            Self::Chain => ("digits_chain.onnx", embedded!("digits_chain.onnx")),
            Self::Residual => ("digits_residual.onnx", embedded!("digits_residual.onnx")),
            Self::Concat => ("digits_concat.onnx", embedded!("digits_concat.onnx")),
            Self::Depthwise => ("digits_depthwise.onnx", embedded!("digits_depthwise.onnx")),
        }
    }
}

/// Prunes a built-in network.
pub fn run(args: &DemoArgs) -> anyhow::Result<Answer> {
    let talk = Talk { quiet: args.quiet };
    if let Some(path) = &args.output {
        guard::outputs(&[("OUT.onnx", path)], &[], talk)?;
    }
    let (name, bytes) = args.network.file();
    let model = onnx::parse(bytes, Path::new(name), &[])?;
    let options = Options {
        compensation: Compensation::Learned,
        recover: Recover::Reconstruct,
        ..Options::new(Target::Share(0.5))
    };
    let mut job = Job::new(model, bytes.len() as u64, options)?;
    job.announce(talk);
    let amount = job.aim(Target::Share(0.5))?;
    talk.facts(&text::target(amount, job.pruner.analysis().budget_total(), false));
    let [calibration, test] = [unpack(CALIBRATION, &job)?, unpack(TEST, &job)?];
    let done = job.pruner.run(&calibration, &mut Watch::new(talk))?;
    let written = args.output.as_ref().filter(|_| done.pruned.is_some()).map(|p| p.display().to_string());
    let source = Some("1000 built-in images".to_owned());
    let report = job.report(&done, gather::data(&calibration, source), BTreeMap::new(), written);
    talk.result(&text::result(&report));
    talk.result(&tested(&job, &done, &test)?);
    finish(args, &done, talk)
}

fn finish(args: &DemoArgs, done: &Done, talk: Talk) -> anyhow::Result<Answer> {
    let Some(pruned) = &done.pruned else { return Ok(Answer::No) };
    match &args.output {
        Some(path) => {
            announce(path, &pruned.write(path)?, talk);
        }
        None => {
            talk.note("give a file name to keep the small network: autobot-onnx demo residual small.onnx")
        }
    }
    Ok(Answer::Yes)
}

/// Images and labels from memory.
fn unpack([images, labels]: [&[u8]; 2], job: &Job) -> autobot_onnx::Result<Calibration> {
    let folder = tempfile::tempdir().map_err(|e| {
        Error::io(
            std::env::temp_dir(),
            e,
            "the built-in images are unpacked there: set TMPDIR to another folder",
        )
    })?;
    let save = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)
            .map(|()| path.clone())
            .map_err(|e| Error::io(&path, e, "free some space"))
    };
    let (images, labels) = (save("images.npy", images)?, save("labels.npy", labels)?);
    let inputs = job.pruner.inputs()?;
    let pre = Preprocess { mean: vec![0.5], std: vec![0.5], ..Preprocess::default() };
    Calibration::load(&images, Some(&labels), &inputs, &pre, None, 1)
}

/// Accuracy of both networks on the test images.
fn tested(job: &Job, done: &Done, test: &Calibration) -> autobot_onnx::Result<String> {
    let Some(pruned) = &done.pruned else { return Ok(String::new()) };
    let pool = Pool::new(job.pruner.options().threads)?;
    let facts = pruned.model().facts()?;
    let big = (&job.pruner.model().graph, job.pruner.facts());
    let compared = pair::compare(big, (&pruned.model().graph, &facts), test, &pool)?;
    let Some((before, after)) = compared.and_then(|c| c.accuracy) else { return Ok(String::new()) };
    let (before, after, n) = (percent(before), percent(after), test.len());
    Ok(format!("test      {before} before, {after} after, on {n} images that neither network has seen\n"))
}
