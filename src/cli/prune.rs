//! `autobot-onnx IN OUT --target-flops …`
//!
//! Takes: [`PruneArgs`]. Gives: a small model file, printed results, a JSON report. Never: writes what was not verified.

use super::answer::{Answer, announce, beside, one_line};
use super::args::{LearnArgs, MeasureArgs, PruneArgs};
use super::console::Console;
use super::flags::with_flags;
use super::job::Job;
use super::places::{self, Places};
use super::progress::{self, Watch};
use super::typed::Flags;
use super::value::Processor;
use super::{data, guard, options};
use autobot_onnx::internals::data::BoundDataset;
use autobot_onnx::internals::onnx::Model;
use autobot_onnx::internals::plan::Round;
use autobot_onnx::internals::pruner::command;
use autobot_onnx::internals::pruner::{Criterion, Done, Identity, Options, Recover, Timekeeper};
use autobot_onnx::internals::report::units::plural;
use autobot_onnx::internals::report::{html, json, text};
use autobot_onnx::internals::support::files;
use autobot_onnx::internals::support::printable::line;
use autobot_onnx::{Error, Result, Setting, Target};
use std::path::{Path, PathBuf};

/// Prunes, to one target after the other.
pub fn run(args: &PruneArgs, flags: &Flags) -> anyhow::Result<Answer> {
    let console = Console { quiet: args.quiet };
    let targets: Vec<Target> = args.target_flops.iter().chain(&args.target_latency).copied().collect();
    let places = Places::of(args, &targets);
    refuse_contradictions(args, &targets)?;
    let model = read(args, &places, console)?;
    let options = options(args, &targets, &model, console)?;
    let first = targets.first().copied().unwrap_or(Target::Share(1.0));
    let job = Job::new(model, options, first, args.drop_unused)?;
    job.announce(console);
    job.review_scope(console);
    let wanted = aim(&job, &targets, &places, console)?;
    job.prepared.check_open_sizes()?;
    if args.dry_run && args.data.calib.is_none() {
        return Ok(end_of_dry_run(console));
    }
    let data = load(args, &job, console)?;
    if args.dry_run {
        return Ok(end_of_dry_run(console));
    }
    Pruning { args, flags, job: &job, data: &data, console }.run(&wanted)
}

/// Refuses flags that exclude each other, before a file is opened.
fn refuse_contradictions(args: &PruneArgs, targets: &[Target]) -> Result<()> {
    let refuse = |setting, reason: &str, hint: &str| Err(Error::argument(setting, reason, hint));
    let timed = targets.iter().any(|t| t.is_time());
    let MeasureArgs { measure, .. } = &args.measure;
    if timed && args.scope.cpu.is_none() && measure.is_none() {
        let hint = format!(
            "name a processor with {} cortex-a53, or a command with {}",
            Setting::Cpu,
            Setting::Measure
        );
        return refuse(Setting::TargetLatency, "is a time, and nothing says where it is to be met", &hint);
    }
    if measure.is_some() && !timed {
        let hint = format!("give {} 50%, or leave it out", Setting::TargetLatency);
        return refuse(Setting::Measure, "measures times, and no time is the target", &hint);
    }
    let (keeps_state, several) = (args.recovery.checkpoint.is_some(), targets.len() > 1);
    if keeps_state && several {
        let reason = "keeps the state of one run, and each target is a run";
        return refuse(Setting::Checkpoint, reason, "give one target");
    }
    if args.learn.stages > 1 && several {
        let reason = "several runs in a row, each from what the one before it made";
        return refuse(Setting::Stages, reason, "give one target");
    }
    if keeps_state && measures(args, targets) {
        let reason = "has to find the same plan again, and measured times differ from run to run";
        let hint = "give --cpu a file that 'bench --calibrate' wrote and no --measure, or no --checkpoint";
        return refuse(Setting::Checkpoint, reason, hint);
    }
    Ok(())
}

/// Whether a time is the target, and is measured.
fn measures(args: &PruneArgs, targets: &[Target]) -> bool {
    let measured = args.measure.measure.is_some() || args.scope.cpu == Some(Processor::Host);
    measured && targets.iter().any(|t| t.is_time())
}

/// Reads the model, once it is known that everything that was named can be written.
fn read(args: &PruneArgs, places: &[Places], console: Console) -> anyhow::Result<Model> {
    let input = args.input.as_deref().unwrap_or(Path::new(""));
    let outputs = places::outputs(args, places);
    guard::outputs(&outputs, &places::inputs(input, args), console)?;
    let model = args.model.read(input)?;
    let models: Vec<&Path> = places.iter().filter_map(|p| p.model.as_deref()).collect();
    guard::weights(&outputs, &[&model], &models, Some(&model))?;
    Ok(model)
}

/// The options of the library.
fn options(args: &PruneArgs, targets: &[Target], model: &Model, console: Console) -> Result<Options> {
    let scope = options::scope(&args.scope, targets.first().copied(), args.measure.measure.is_some())?;
    let mut options = options::learning(&args.learn, scope);
    options.trace = args.trace;
    let command = args.measure.command();
    let asks = options.limits.round == Round::Edges && args.scope.cpu.is_none();
    if let Some(command) = command.as_ref().filter(|_| asks) {
        options.limits.round = options::measured_width(command, model, console)?;
    }
    let command = command.as_ref().map(|command| (command, options.limits));
    options.speed = options::speed(args.scope.cpu.as_ref(), command, model, console)?;
    options.recover = options::recovery(&args.recovery, args.data.calib.is_some());
    if options.stages > 1 && options.recover == Recover::None {
        let reason = "brings nothing without recovery in between";
        return Err(Error::argument(Setting::Stages, reason, "give --calib, and no --recover none"));
    }
    Ok(options)
}

/// A target that can be reached.
struct Wanted<'a> {
    target: Target,
    /// Largest cost, in the unit of the target.
    amount: u64,
    places: &'a Places,
}

/// Takes aim at every target, in the order of the runs.
fn aim<'a>(job: &Job, targets: &[Target], places: &'a [Places], console: Console) -> Result<Vec<Wanted<'a>>> {
    let mut wanted = Vec::new();
    for (&target, places) in targets.iter().zip(places) {
        let aim = job.aim(target)?;
        console.facts(&text::target(aim.amount(), aim.total(), target.is_time()));
        wanted.push(Wanted { target, amount: aim.amount(), places });
    }
    // From the most to the least: gates go on closing.
    wanted.sort_by_key(|w| std::cmp::Reverse(w.amount));
    Ok(wanted)
}

fn end_of_dry_run(console: Console) -> Answer {
    console.note("dry run: nothing was trained, nothing is written");
    Answer::Yes
}

/// Number of images below which accuracy falls fast, by the curve in README.md.
const FEW: usize = 256;

/// The calibration data: real, or synthetic with a word on what that means.
fn load(args: &PruneArgs, job: &Job, console: Console) -> Result<BoundDataset> {
    let (network, o) = (job.prepared.network(), job.prepared.options());
    let gates = o.criterion == Criterion::Gates;
    let synthetic =
        if gates { o.most_batches(usize::MAX).saturating_mul(o.batch_size).min(10_000) } else { 256 };
    let data = args.data.load(network, synthetic, o.seed)?;
    if args.data.calib.is_some() {
        data::review(&data, network, console)?;
        data::preview(&data, &job.prepared, console)?;
        if data.len() < FEW {
            console.note(&format!(
                "only {}: with {FEW} and more the small network is clearly more accurate (README.md has the curve)",
                plural(data.len(), "image")
            ));
        }
    } else if gates {
        console.warn(
            "no --calib: the gates learn on synthetic images and keep what those need, so the small network is less \
             accurate than it could be; a few hundred real images, without labels, do much better",
        );
    } else {
        console.note("no --calib: the result is verified on synthetic images; agreement on them says little");
    }
    Ok(data)
}

/// A model that is to be pruned, and all that its runs share.
struct Pruning<'a> {
    args: &'a PruneArgs,
    flags: &'a Flags,
    job: &'a Job,
    data: &'a BoundDataset,
    console: Console,
}

impl Pruning<'_> {
    /// One run after the other. Ends with the first that is not proved.
    fn run(&self, wanted: &[Wanted]) -> anyhow::Result<Answer> {
        let targets: Vec<Target> = wanted.iter().map(|w| w.target).collect();
        let mut watch = Watch::new(self.console);
        watch.timed = targets.iter().any(|t| t.is_time());
        let clock = || {
            let command = self.args.measure.command();
            command::clock(command.as_ref(), self.job.given(), self.job.prepared.model())
        };
        let mut clock = measures(self.args, &targets).then(clock).transpose()?;
        let gates = self.keep_gates(&mut watch)?;
        let mut answer = Answer::Yes;
        for wanted in wanted {
            if let Some(path) = &self.args.recovery.checkpoint {
                watch.keep_in(path, self.identity(wanted.target, gates.as_deref()))?;
            }
            let start = watch.start(Timekeeper::of(&mut clock));
            let run = self.job.prepared.run(wanted.target, self.data, start, &mut watch);
            let done = run.inspect_err(|_| self.rescue(&watch, wanted.places.model()))?;
            let trained = done.outcome.trained.clone();
            match self.finish(done, wanted.places)? {
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
            self.console.warn("--save-gates: no gates were trained, so none are written");
        }
        Ok(answer)
    }

    /// Saves gates that were trained before a run ended with an error, beside the network that it was to write.
    fn rescue(&self, watch: &Watch, model: &Path) {
        let Some(gates) = watch.unsaved() else { return };
        let prepared = &self.job.prepared;
        let path = model.with_extension("gates.json");
        let belongs_to = Identity::of_gates(
            &prepared.model().graph,
            prepared.model().opset(),
            self.data,
            prepared.options(),
        );
        let saved = match path.exists() {
            true => Err(Error::file(&path, "is there already", "give --save-gates")),
            false => progress::save_gates(&path, &belongs_to, gates),
        };
        match saved {
            Ok(()) => self.console.warn(&format!(
                "the gates that were trained are in {}: --gates {0} goes on from them",
                line(&path.display().to_string())
            )),
            Err(e) => self.console.warn(&format!("the gates that were trained are lost: {}", one_line(&e))),
        }
    }

    /// What a checkpoint of a run belongs to.
    fn identity(&self, target: Target, gates: Option<&[u8]>) -> Identity {
        let prepared = &self.job.prepared;
        let (model, options) = (prepared.model(), prepared.options());
        Identity::of_run(&model.graph, model.opset(), self.data, target, options, gates)
    }

    /// Prepares the gates that are given, whose file's bytes are returned, and the place of gates to be trained.
    fn keep_gates(&self, watch: &mut Watch) -> Result<Option<Vec<u8>>> {
        let LearnArgs { gates, save_gates, .. } = &self.args.learn;
        let prepared = &self.job.prepared;
        let model = prepared.model();
        // Reads every number of the network and the images: only where it is needed.
        let belongs_to = || Identity::of_gates(&model.graph, model.opset(), self.data, prepared.options());
        if let Some(path) = save_gates {
            watch.save_gates_in(path, belongs_to());
        }
        let Some(path) = gates else { return Ok(None) };
        let bytes = files::read(path, "give the file that --save-gates wrote")?;
        watch.take_gates(path, &bytes, &belongs_to(), prepared.analysis().groups.classes.len())?;
        Ok(Some(bytes))
    }

    /// Writes the small model if the verdict allows it, and then the reports: what was made is not lost for what is said about
    /// it.
    fn finish(&self, done: Done, places: &Places) -> anyhow::Result<Answer> {
        let (model, console) = (places.model(), self.console);
        let (written, mut report) = match done.proved() {
            Ok(pruned) => (Some(pruned.write(model)), self.job.report(pruned.done())),
            Err(done) => (None, self.job.report(&done)),
        };
        report.output = matches!(written, Some(Ok(_))).then(|| model.display().to_string());
        (report.options, report.data.source) = (self.flags.clone(), self.args.data.source());
        console.result(&text::result(&report));
        let answer = match written.transpose() {
            Ok(Some(written)) => {
                announce(model, &written, console);
                Ok(Answer::Yes)
            }
            Ok(None) => {
                console.warn("the small network does not equal the masked one: nothing was written; please report this model");
                Ok(Answer::No)
            }
            Err(e) => Err(e),
        };
        let page =
            |path: &PathBuf| files::replace(path, with_flags(&html::page(&report)).as_bytes(), files::ROOM);
        let json = places.json.iter().map(|path| json::write(path, &report));
        let others = beside(json.chain(places.report.iter().map(page)), console);
        match answer? {
            Answer::Yes => Ok(others),
            other => Ok(other),
        }
    }
}
