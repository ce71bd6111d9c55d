//! `autobot-onnx IN OUT --target-flops …`
//!
//! Takes: [`PruneArgs`]. Gives: a small model file, printed results, a JSON report. Never: writes what was not verified.

use super::args::{ClosedArg, LearnArgs, PruneArgs, RecoverArg, RecoveryArgs, ScopeArgs};
use super::bench::speed;
use super::flags::with_flags;
use super::guard::{self, Named};
use super::job::Job;
use super::progress::Watch;
use super::talk::Talk;
use super::value::Processor;
use super::{Answer, beside, data};
use autobot_onnx::internals::data::BoundDataset;
use autobot_onnx::internals::onnx::Written;
use autobot_onnx::internals::plan::{Limits, Round};
use autobot_onnx::internals::pruner::host::Stopwatch;
use autobot_onnx::internals::pruner::{self, Clock, Criterion, Done, Finetune, Identity, Options, Recover};
use autobot_onnx::internals::report::units::plural;
use autobot_onnx::internals::report::{html, json, text};
use autobot_onnx::internals::support::{files, printable};
use autobot_onnx::{Error, Setting, Target};
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
        return Err(Error::argument(Setting::Checkpoint, reason, "give one target").into());
    }
    let count = args.learn.stages;
    if count > 1 && places.len() > 1 {
        let reason = "several runs in a row, each from what the one before it made";
        return Err(Error::argument(Setting::Stages, reason, "give one target").into());
    }
    let host = args.scope.cpu == Some(Processor::Host) && targets.iter().any(|t| t.is_time());
    if host && args.recovery.checkpoint.is_some() {
        let reason =
            "has to find the same plan again, and times measured on this machine differ from run to run";
        return Err(Error::argument(
            Setting::Checkpoint,
            reason,
            "give --cpu a file that 'bench --calibrate' wrote, or no --checkpoint",
        )
        .into());
    }
    let outputs = outputs(args, &places);
    guard::outputs(&outputs, &inputs(input, args), talk)?;
    let model = args.model.read(input)?;
    let models: Vec<&Path> = places.iter().filter_map(|p| p.model.as_deref()).collect();
    guard::weights(&outputs, &[&model], &models, Some(&model))?;
    let mut options = options(targets.first().copied(), &args.scope, Some(&args.learn))?;
    options.trace = args.trace;
    options.speed = speed(args.scope.cpu.as_ref(), &model, talk)?;
    options.stages = args.learn.stages;
    options.recover = recover(&args.recovery, args.data.calib.is_some());
    if count > 1 && options.recover == Recover::None {
        let reason = "brings nothing without recovery in between";
        return Err(Error::argument(Setting::Stages, reason, "give --calib, and no --recover none").into());
    }
    let first = targets.first().copied().unwrap_or(Target::Share(1.0));
    let job = Job::new(model, options, first, args.drop_unused)?;
    job.announce(talk);
    review_scope(&job, talk);
    let mut jobs = Vec::new();
    for (&target, places) in targets.iter().zip(&places) {
        let aim = job.aim(target)?;
        talk.facts(&text::target(aim.amount(), aim.total(), target.is_time()));
        jobs.push((aim.amount(), target, places));
    }
    job.prepared.check_open_sizes()?;
    if args.dry_run && args.data.calib.is_none() {
        return Ok(rehearsed(talk));
    }
    let data = load(args, &job, talk)?;
    if args.dry_run {
        return Ok(rehearsed(talk));
    }
    // From the most to the least: gates go on closing.
    jobs.sort_by_key(|(amount, ..)| std::cmp::Reverse(*amount));
    let mut watch = Watch::new(talk);
    watch.timed = first.is_time();
    let mut clock = if host { Some(Stopwatch::new(job.prepared.model())?) } else { None };
    let gates = keep_gates(args, &job, &data, &mut watch)?;
    let mut answer = Answer::Yes;
    for (_, target, places) in jobs {
        if let Some(path) = &args.recovery.checkpoint {
            let (model, options) = (job.prepared.model(), job.prepared.options());
            let run = Identity::of_run(&model.graph, model.opset(), &data, target, options, gates.as_deref());
            watch.keep_in(path, run)?;
        }
        let start = watch.start(clock.as_mut().map(|clock| clock as &mut dyn Clock));
        let done = job.prepared.run(target, &data, start, &mut watch)?;
        let trained = done.outcome.trained.clone();
        match finish(&job, done, places, (args, &typed), talk)? {
            Answer::Yes => {}
            Answer::Partly => answer = Answer::Partly,
            Answer::No => return Ok(Answer::No),
        }
        if watch.lacks() {
            answer = Answer::Partly;
        }
        watch.finish();
        watch.hand_on(trained);
    }
    if watch.saw_no_gates() {
        talk.warn("--save-gates: no gates were trained, so none are written");
    }
    Ok(answer)
}

/// Prepares the gates that are given, whose file's bytes are returned, and the place of those to be trained.
fn keep_gates(
    args: &PruneArgs,
    job: &Job,
    data: &BoundDataset,
    watch: &mut Watch,
) -> autobot_onnx::Result<Option<Vec<u8>>> {
    let LearnArgs { gates, save_gates, .. } = &args.learn;
    // Takes a look at every number: only where it is needed.
    let model = job.prepared.model();
    let belongs_to = || Identity::of_gates(&model.graph, model.opset(), data, job.prepared.options());
    if let Some(path) = save_gates {
        watch.save_gates_in(path, belongs_to());
    }
    let Some(path) = gates else { return Ok(None) };
    let bytes = files::read(path, "give the file that --save-gates wrote")?;
    watch.take_gates(path, &bytes, &belongs_to(), job.prepared.analysis().groups.classes.len())?;
    Ok(Some(bytes))
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

fn rehearsed(talk: Talk) -> Answer {
    talk.note("dry run: nothing was trained, nothing is written");
    Answer::Yes
}

/// Writes the small model if the verdict allows it, and then the reports: what was made is not lost for what is said about it.
fn finish(
    job: &Job,
    done: Done,
    places: &Places,
    (args, typed): (&PruneArgs, &BTreeMap<String, serde_json::Value>),
    talk: Talk,
) -> anyhow::Result<Answer> {
    let model = places.model();
    let (written, mut report) = match done.proved() {
        Ok(pruned) => (Some(pruned.write(model)), job.report(pruned.done())),
        Err(done) => (None, job.report(&done)),
    };
    report.output = matches!(written, Some(Ok(_))).then(|| model.display().to_string());
    (report.options, report.data.source) = (typed.clone(), args.data.source());
    talk.result(&text::result(&report));
    let answer = match written.transpose() {
        Ok(Some(written)) => {
            announce(model, &written, talk);
            Ok(Answer::Yes)
        }
        Ok(None) => {
            talk.warn("the small network does not equal the masked one: nothing was written; please report this model");
            Ok(Answer::No)
        }
        Err(e) => Err(e),
    };
    let page =
        |path: &PathBuf| files::replace(path, with_flags(&html::page(&report)).as_bytes(), files::ROOM);
    let json = places.json.iter().map(|path| json::write(path, &report));
    let others = beside(json.chain(places.report.iter().map(page)), talk);
    match answer? {
        Answer::Yes => Ok(others),
        other => Ok(other),
    }
}

/// Says what was written.
pub fn announce(model: &Path, written: &Written, talk: Talk) {
    let data = written.data.as_ref().map(|d| format!(", with its weights in {}", d.display()));
    let places = format!("{}{}", model.display(), data.unwrap_or_default());
    talk.result(&format!("written   {}\n", printable::line(&places)));
    if let Some(left) = &written.left {
        let left = left.display();
        talk.note(&format!("{left}, the weights of what was replaced, stays: another file may need it"));
    }
}

/// Everything that is read, by flag.
fn inputs<'a>(input: &'a Path, args: &'a PruneArgs) -> Vec<Named<'a>> {
    let mut inputs: Vec<Named> = vec![("IN.onnx", input)];
    inputs.extend(args.data.calib.as_deref().map(|p| ("--calib", p)));
    inputs.extend(args.data.labels.as_deref().map(|p| ("--labels", p)));
    inputs.extend(args.learn.gates.as_deref().map(|p| ("--gates", p)));
    inputs.extend(args.scope.file().map(|p| ("--cpu", p)));
    inputs
}

/// Everything that is written, by flag.
fn outputs<'a>(args: &'a PruneArgs, places: &'a [Places]) -> Vec<Named<'a>> {
    let mut outputs: Vec<Named> = Vec::new();
    for Places { model, json, report } in places {
        outputs.extend(model.as_deref().map(|p| ("OUT.onnx", p)));
        outputs.extend(json.as_deref().map(|p| ("--json", p)));
        outputs.extend(report.as_deref().map(|p| ("--report", p)));
    }
    outputs.extend(args.learn.save_gates.as_deref().map(|p| ("--save-gates", p)));
    outputs.extend(args.recovery.checkpoint.as_deref().map(|p| ("--checkpoint", p)));
    outputs
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
    let mut o = Options::default();
    (o.residual, o.convention) = (scope.residual.into(), scope.flops_convention.into());
    (o.exclude, o.only) = (scope.exclude.clone(), scope.only.clone());
    // Of a measured processor the tiles are only guessed from times.
    let known = matches!(scope.cpu, Some(Processor::Known(_)));
    let round = if target.is_some_and(Target::is_time) && known { Round::Edges } else { Round::To(1) };
    o.limits = Limits { min_channels: scope.min_channels, round: scope.round_to.unwrap_or(round) };
    if o.limits.round == Round::Edges && scope.cpu.is_none() {
        let reason = "'auto' rounds to what fills a processor's tiles, and none was named";
        return Err(Error::argument(
            Setting::RoundTo,
            reason,
            "say for which with --cpu, as in --cpu cortex-a53",
        ));
    }
    if let Some(l) = learn {
        (o.criterion, o.compensation, o.loss) = (l.criterion.into(), l.compensation.into(), l.loss.into());
        (o.choice, o.freeze) = (l.choice.into(), l.closed == ClosedArg::Freeze);
        (o.batches, o.batch_size) = (l.batches.0, l.batch_size);
        o.augment = l.gate_augment;
        (o.lr, o.beta, o.gamma) = (l.gate_lr, l.beta, l.gamma);
        (o.seed, o.threads) = (l.seed, l.threads);
    }
    Ok(o)
}

/// Warns of a choice of layers that chooses none.
pub fn review_scope(job: &Job, talk: Talk) {
    let options = job.prepared.options();
    let chosen = [(Setting::Exclude, &options.exclude), (Setting::Only, &options.only)];
    for (setting, pattern) in chosen.into_iter().filter_map(|(setting, p)| Some((setting, p.as_ref()?))) {
        let groups = &job.prepared.analysis().groups;
        let is_excluded = groups.frozen.iter().any(|f| f.why == pruner::excluded());
        let chooses = match setting {
            Setting::Exclude => is_excluded,
            _ => !groups.groups.is_empty() || is_excluded,
        };
        let graph = &job.prepared.model().graph;
        let names = graph.nodes.iter().map(|n| &n.name).chain(graph.values.iter().map(|v| &v.name));
        if chooses {
            continue;
        }
        let matches = names.filter(|name| pattern.is_match(name)).count();
        let what = match matches {
            0 => "matches no layer and no tensor".to_owned(),
            n => format!("matches {}, and none with channels that could be cut", plural(n, "name")),
        };
        talk.warn(&format!("{setting} '{pattern}' {what}; 'autobot-onnx inspect' lists the names"));
    }
}

/// The calibration data: real, or synthetic with a word on what that means.
fn load(args: &PruneArgs, job: &Job, talk: Talk) -> autobot_onnx::Result<BoundDataset> {
    let (network, o) = (job.prepared.network(), job.prepared.options());
    let gates = o.criterion == Criterion::Gates;
    let synthetic = if gates { o.most_batches().saturating_mul(o.batch_size).min(10_000) } else { 256 };
    let data = args.data.load(network, synthetic, o.seed)?;
    if args.data.calib.is_some() {
        data::review(&data, network, talk)?;
        data::preview(&data, job, talk)?;
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
