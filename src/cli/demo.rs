//! `autobot-onnx demo`
//!
//! Takes: the name of a built-in network. Gives: the real result of pruning it to half its cost, and its accuracy on
//! images that nothing was trained on. Never: needs a file or a network connection.

use super::answer::{Answer, announce};
use super::args::{DemoArgs, DemoName};
use super::console::Console;
use super::guard;
use super::job::Job;
use super::progress::Watch;
use autobot_onnx::internals::data::{BoundDataset, Preprocess};
use autobot_onnx::internals::exec::Pool;
use autobot_onnx::internals::graph::Network;
use autobot_onnx::internals::onnx;
use autobot_onnx::internals::pruner::Start;
use autobot_onnx::internals::report::text;
use autobot_onnx::internals::report::units::percent;
use autobot_onnx::internals::verify::pair;
use autobot_onnx::{Compensation, Error, Options, Pruned, Recover, Target};
use std::path::Path;

macro_rules! embedded {
    ($file:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/", $file))
    };
}

/// What is kept: a share of the multiply-accumulates.
const TARGET: Target = Target::Share(0.5);

/// Digits: images and labels, as `.npy` files.
struct Digits {
    images: &'static [u8],
    labels: &'static [u8],
}

const CALIBRATION: Digits =
    Digits { images: embedded!("digits_calib_images.npy"), labels: embedded!("digits_calib_labels.npy") };
const TEST: Digits =
    Digits { images: embedded!("digits_test_images.npy"), labels: embedded!("digits_test_labels.npy") };

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
    let console = Console { quiet: args.quiet };
    if let Some(path) = &args.output {
        guard::outputs(&[("OUT.onnx", path)], &[], console)?;
    }
    let (name, bytes) = args.network.file();
    let model = onnx::parse(bytes, Path::new(name), &[])?;
    let options =
        Options { compensation: Compensation::Learned, recover: Recover::Reconstruct, ..Options::default() };
    let job = Job::new(model, options, TARGET, false)?;
    job.announce(console);
    let aim = job.aim(TARGET)?;
    console.facts(&text::target(aim.amount(), aim.total(), false));
    let [calibration, test] = [unpack(&CALIBRATION, &job)?, unpack(&TEST, &job)?];
    let done = job.prepared.run(TARGET, &calibration, Start::default(), &mut Watch::new(console))?;
    console.result(&text::result(&job.report(&done)));
    let Ok(pruned) = done.proved() else { return Ok(Answer::No) };
    console.result(&tested(&job, &pruned, &test)?);
    finish(args, &pruned, console)
}

fn finish(args: &DemoArgs, pruned: &Pruned, console: Console) -> anyhow::Result<Answer> {
    match &args.output {
        Some(path) => {
            announce(path, &pruned.write(path)?, console);
        }
        None => {
            console.note("give a file name to keep the small network: autobot-onnx demo residual small.onnx")
        }
    }
    Ok(Answer::Yes)
}

/// Images and labels from memory.
fn unpack(digits: &Digits, job: &Job) -> autobot_onnx::Result<BoundDataset> {
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
    let (images, labels) = (save("images.npy", digits.images)?, save("labels.npy", digits.labels)?);
    let inputs = job.prepared.inputs()?;
    let pre = Preprocess { mean: vec![0.5], std: vec![0.5], ..Preprocess::default() };
    BoundDataset::load(&images, Some(&labels), &inputs, &pre, None, 1)
}

/// Accuracy of both networks on the test images.
fn tested(job: &Job, pruned: &Pruned, test: &BoundDataset) -> autobot_onnx::Result<String> {
    let pool = Pool::new(job.prepared.options().threads)?;
    let small = pruned.done().certificate.model();
    let facts = small.facts()?;
    let compared = pair::compare(job.prepared.network(), Network::new(&small.graph, &facts), test, &pool)?;
    let Some((before, after)) = compared.and_then(|c| c.accuracy) else { return Ok(String::new()) };
    let (before, after, n) = (percent(before), percent(after), test.len());
    Ok(format!("test      {before} before, {after} after, on {n} images that neither network has seen\n"))
}
