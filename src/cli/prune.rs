//! `autobot-onnx IN OUT --target-flops …`
//!
//! Takes: [`PruneArgs`]. Gives: a small model file, printed results, a JSON report. Never: writes what was not verified.

use super::args::{ClosedArg, LearnArgs, PruneArgs, RecoverArg, RecoveryArgs, ScopeArgs};
use super::bench::{Stopwatch, speed};
use super::guard::{self, Named};
use super::job::{Done, Job};
use super::progress::Watch;
use super::talk::Talk;
use super::value::Processor;
use super::{Answer, data};
use autobot_onnx::Error;
use autobot_onnx::learn::calib::Calibration;
use autobot_onnx::pipeline::{Criterion, Finetune, Options, Recover, Target, checkpoint};
use autobot_onnx::plan::{Limits, Round};
use autobot_onnx::report::{files, gather, html, json, text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Prunes, to one target after the other.
pub fn run(args: &PruneArgs, typed: BTreeMap<String, serde_json::Value>) -> anyhow::Result<Answer> {
    let talk = Talk { quiet: args.quiet };
    let input = args.input.as_deref().unwrap_or(Path::new(""));
    let targets: Vec<Target> = args.target_flops.iter().chain(&args.target_latency).copied().collect();
    let places: Vec<Places> = match &targets[..] {
        [] | [_] => vec![Places::new(args, None)],
        _ => targets.iter().map(|&t| Places::new(args, Some(t))).collect(),
    };
    if let (Some(_), 2..) = (&args.recovery.checkpoint, places.len()) {
        let reason = "keeps the state of one run, and each target is a run";
        return Err(Error::argument("--checkpoint", reason, "give one target").into());
    }
    let count = args.learn.stages;
    if count > 1 && places.len() > 1 {
        let reason = "several runs in a row, each from what the one before it made";
        return Err(Error::argument("--stages", reason, "give one target").into());
    }
    let host = args.scope.cpu == Some(Processor::Host) && targets.iter().any(|t| t.is_time());
    if host && args.recovery.checkpoint.is_some() {
        let reason =
            "has to find the same plan again, and times measured on this machine differ from run to run";
        return Err(Error::argument(
            "--checkpoint",
            reason,
            "give --cpu a file that 'bench --calibrate' wrote, or no --checkpoint",
        )
        .into());
    }
    check_places(input, args, &places)?;
    let model = args.model.read(input)?;
    let mut options = options(targets.first().copied(), &args.scope, Some(&args.learn))?;
    options.trace = args.trace;
    options.speed = speed(args.scope.cpu.as_ref(), &model, talk)?;
    options.stages = args.learn.stages;
    options.recover = recover(&args.recovery, args.data.calib.is_some());
    if count > 1 && options.recover == Recover::None {
        let reason = "brings nothing without recovery in between";
        return Err(Error::argument("--stages", reason, "give --calib, and no --recover none").into());
    }
    let mut job = Job::new(model, file_size(input)?, options)?;
    job.drop_unused = args.drop_unused;
    job.announce(talk);
    let mut jobs = Vec::new();
    for (&target, places) in targets.iter().zip(places) {
        job.options.target = target;
        let amount = job.target()?;
        talk.facts(&text::target(amount, job.analysis.whole(), target.is_time()));
        jobs.push((amount, target, places));
    }
    job.check_open_sizes()?;
    if args.dry_run && args.data.calib.is_none() {
        return Ok(rehearsed(talk));
    }
    let data = load(args, &job, talk)?;
    if args.dry_run {
        return Ok(rehearsed(talk));
    }
    // From the most to the least: gates go on closing.
    jobs.sort_by_key(|(amount, ..)| std::cmp::Reverse(*amount));
    let mut watch = Watch::new(args.quiet);
    watch.timed = job.options.target.is_time();
    if host {
        watch.clock = Some(Stopwatch::new(&job.model)?);
    }
    // Takes a look at every weight: only where it is needed.
    let network = |job: &Job| checkpoint::fingerprint_of_gates(&job.model.graph, &job.options);
    if let Some(path) = &args.learn.gates {
        watch.take_gates(path, &network(&job), job.analysis.groups.classes.len())?;
    }
    for (_, target, places) in &jobs {
        job.options.target = *target;
        if let Some(path) = &args.recovery.checkpoint {
            let belongs = checkpoint::fingerprint(&job.model.graph, data.len(), &job.options);
            watch.keep_in(path, belongs, talk)?;
        }
        let done = job.run(&data, &mut watch)?;
        if let Some(path) = &args.learn.save_gates {
            save_gates(path, &network(&job), &done, talk)?;
        }
        let written = done.verdict.pass.then(|| places.model().display().to_string());
        let report = job.report(&done, gather::data(&data, args.data.source()), typed.clone(), written);
        let answer = finish(&done, &report, places, talk)?;
        watch.finish();
        if answer == Answer::No {
            return Ok(answer);
        }
        watch.hand_on(done.outcome.trained);
    }
    Ok(Answer::Yes)
}

/// Where the files of one target go.
struct Places {
    model: Option<PathBuf>,
    json: Option<PathBuf>,
    report: Option<PathBuf>,
}

impl Places {
    /// As they were typed, or with a target in every name.
    fn new(args: &PruneArgs, target: Option<Target>) -> Self {
        let named = |path: &PathBuf| {
            let Some(target) = target else { return path.clone() };
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let end = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
            path.with_file_name(format!("{stem}-{}{end}", target.word()))
        };
        let [model, json, report] = [&args.output, &args.json, &args.report].map(|p| p.as_ref().map(named));
        Self { model, json, report }
    }

    /// The small network's; only a dry run has none.
    fn model(&self) -> &Path {
        self.model.as_deref().unwrap_or(Path::new(""))
    }
}

/// What is to be done about lost accuracy.
fn recover(args: &RecoveryArgs, images: bool) -> Recover {
    match args.recover {
        RecoverArg::None => Recover::None,
        RecoverArg::Auto if !images => Recover::None,
        RecoverArg::Auto | RecoverArg::Reconstruct => Recover::Reconstruct,
        RecoverArg::Finetune => Recover::Finetune(Finetune {
            epochs: args.epochs,
            method: args.optimizer.into(),
            lr: args.lr,
            weight_decay: args.weight_decay,
            temperature: args.temperature,
            labels: args.label_share,
            augment: args.augment,
            ..Finetune::default()
        }),
    }
}

/// Writes the trained gates.
fn save_gates(path: &Path, network: &str, done: &Done, talk: Talk) -> autobot_onnx::Result<()> {
    let Some(trained) = &done.outcome.trained else {
        talk.warn("--save-gates: no gates were trained, so none are written");
        return Ok(());
    };
    let text = checkpoint::encode_gates(network, trained).map_err(|e| Error::file(path, e, files::ROOM))?;
    files::replace(path, text.as_bytes(), files::ROOM)
}

fn rehearsed(talk: Talk) -> Answer {
    talk.note("dry run: nothing was trained, nothing is written");
    Answer::Yes
}

/// Writes the small model and the report if the verdict allows it.
fn finish(done: &Done, report: &json::Run, places: &Places, talk: Talk) -> anyhow::Result<Answer> {
    if done.verdict.pass {
        done.small.write(places.model())?;
    }
    if let Some(json) = &places.json {
        json::write(json, report)?;
    }
    if let Some(page) = &places.report {
        files::replace(page, html::page(report).as_bytes(), files::ROOM)?;
    }
    talk.result(&text::result(report));
    if done.verdict.pass {
        talk.result(&format!("written   {}\n", places.model().display()));
        return Ok(Answer::Yes);
    }
    talk.warn(
        "the small network does not equal the masked one: nothing was written; please report this model",
    );
    Ok(Answer::No)
}

fn check_places(input: &Path, args: &PruneArgs, places: &[Places]) -> autobot_onnx::Result<()> {
    let mut inputs: Vec<Named> = vec![("IN.onnx", input)];
    inputs.extend(args.data.calib.as_deref().map(|p| ("--calib", p)));
    inputs.extend(args.data.labels.as_deref().map(|p| ("--labels", p)));
    inputs.extend(args.learn.gates.as_deref().map(|p| ("--gates", p)));
    let mut outputs: Vec<Named> = Vec::new();
    for Places { model, json, report } in places {
        outputs.extend(model.as_deref().map(|p| ("OUT.onnx", p)));
        outputs.extend(json.as_deref().map(|p| ("--json", p)));
        outputs.extend(report.as_deref().map(|p| ("--report", p)));
    }
    outputs.extend(args.learn.save_gates.as_deref().map(|p| ("--save-gates", p)));
    outputs.extend(args.recovery.checkpoint.as_deref().map(|p| ("--checkpoint", p)));
    guard::outputs(&outputs, &inputs)
}

/// Size of a file.
pub fn file_size(path: &Path) -> autobot_onnx::Result<u64> {
    std::fs::metadata(path).map(|m| m.len()).map_err(|e| Error::io(path, e, "give the path of an ONNX model"))
}

/// The options of the library.
pub fn options(
    target: Option<Target>,
    scope: &ScopeArgs,
    learn: Option<&LearnArgs>,
) -> autobot_onnx::Result<Options> {
    let mut o = Options::new(target.unwrap_or(Target::Share(1.0)));
    (o.residual, o.convention) = (scope.residual.into(), scope.flops_convention.into());
    (o.exclude, o.only) = (scope.exclude.clone(), scope.only.clone());
    // Of a measured processor the tiles are only guessed from times.
    let known = matches!(scope.cpu, Some(Processor::Known(_)));
    let round = if o.target.is_time() && known { Round::Edges } else { Round::To(1) };
    o.limits = Limits { min_channels: scope.min_channels, round: scope.round_to.unwrap_or(round) };
    if o.limits.round == Round::Edges && scope.cpu.is_none() {
        let reason = "'auto' rounds to what fills a processor's tiles, and none was named";
        return Err(Error::argument(
            "--round-to",
            reason,
            "say for which with --cpu, as in --cpu cortex-a53",
        ));
    }
    if let Some(l) = learn {
        (o.criterion, o.compensation, o.wish) = (l.criterion.into(), l.compensation.into(), l.loss.into());
        (o.choice, o.freeze) = (l.choice.into(), l.closed == ClosedArg::Freeze);
        (o.batches, o.batch_size) = (l.batches.0, l.batch_size);
        o.augment = l.gate_augment;
        (o.lr, o.beta, o.gamma) = (l.gate_lr, l.beta, l.gamma);
        (o.seed, o.threads) = (l.seed, l.threads);
    }
    Ok(o)
}

/// The calibration data: real, or synthetic with a word on what that means.
fn load(args: &PruneArgs, job: &Job, talk: Talk) -> autobot_onnx::Result<Calibration> {
    let (graph, facts, o) = (&job.model.graph, &job.facts, &job.options);
    let gates = o.criterion == Criterion::Gates;
    let synthetic = if gates { o.most_batches().saturating_mul(o.batch_size).min(10_000) } else { 256 };
    let data = args.data.load(graph, facts, synthetic, o.seed)?;
    if args.data.calib.is_some() {
        data::review(&data, graph, facts, talk)?;
    } else if gates {
        talk.warn(
            "no --calib: the gates learn on synthetic images and keep what those need, so the small network is less \
             accurate than it could be; a few hundred real images, without labels, do much better",
        );
    } else {
        talk.note("no --calib: the result is verified on synthetic images; agreement on them says little");
    }
    Ok(data)
}
