//! Progress of a run on stderr: a bar on a terminal, a line now and then elsewhere; and its state in a file, if one was named.
//!
//! Takes: what happens in a run. Gives: whether everything could be kept. Never: writes to stdout, or anything but warnings to the
//! terminal when quiet; ends a run because something cannot be kept.

use super::answer::one_line;
use super::console::Console;
use autobot_onnx::internals::gates::{Record, Trained};
use autobot_onnx::internals::pruner::{
    self, Comparison, Events, Identity, Resume, Start, Timekeeper, checkpoint,
};
use autobot_onnx::internals::recover::{Epoch, State, Update};
use autobot_onnx::internals::report::text;
use autobot_onnx::internals::report::units::{count, milliseconds};
use autobot_onnx::internals::support::files;
use autobot_onnx::internals::tract;
use autobot_onnx::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two writings of the state.
const KEEP_EVERY: Duration = Duration::from_secs(20);

/// Nodes of a network for which tract takes so long that the wait is announced.
const MANY_NODES: usize = 200;

/// One stage of a run.
struct Stage {
    name: &'static str,
    bar: Option<ProgressBar>,
    started: Instant,
    /// Part after which it began: a run may go on in the middle.
    from: usize,
}

/// Where the run's state is kept.
struct Kept {
    path: PathBuf,
    belongs_to: Identity,
    last: Option<Instant>,
    /// Whether the last writing failed.
    failed: bool,
}

/// Where trained gates are saved.
struct Saved {
    path: PathBuf,
    belongs_to: Identity,
    /// Whether the last gates could be written; none before there are any.
    written: Option<bool>,
}

/// Shows a run while it goes on, and keeps its state and gates in files.
pub struct Watch {
    console: Console,
    /// Whether the budget is a time.
    pub timed: bool,
    stage: Option<Stage>,
    kept: Option<Kept>,
    saved: Option<Saved>,
    /// State that an earlier run left.
    found: Option<(Resume, State)>,
    /// Gates to be used instead of training.
    gates: Option<Trained>,
    /// The last gates that were trained.
    trained: Option<Trained>,
}

impl Watch {
    /// A watch that keeps nothing.
    pub fn new(console: Console) -> Self {
        Self {
            console,
            timed: false,
            stage: None,
            kept: None,
            saved: None,
            found: None,
            gates: None,
            trained: None,
        }
    }

    /// From now on the run's state is kept in a file. The run goes on from what is there of it already.
    pub fn keep_in(&mut self, path: &Path, belongs_to: Identity) -> Result<()> {
        let hint = "name another file, or remove this one to begin anew";
        let absent = std::fs::metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound);
        if !absent {
            let (run, before, state) = checkpoint::decode(&files::read(path, hint)?)
                .map_err(|e| Error::file(path, format!("is no checkpoint: {e}"), hint))?;
            if let Some(what) = run.difference(&belongs_to) {
                return Err(Error::file(path, format!("belongs to a run with {what}"), hint));
            }
            let (done, epochs) = (state.step, state.epochs.len() - 1);
            let from = path.display();
            self.console.note(&format!("going on from {from} after {done} updates ({epochs} whole epochs)"));
            self.found = Some((before, state));
        }
        self.kept = Some(Kept { path: path.to_owned(), belongs_to, last: None, failed: false });
        Ok(())
    }

    /// The gates of every training are saved in a file.
    pub fn save_gates_in(&mut self, path: &Path, belongs_to: Identity) {
        self.saved = Some(Saved { path: path.to_owned(), belongs_to, written: None });
    }

    /// The run uses the gates in the bytes of a file instead of training its own.
    pub fn take_gates(
        &mut self,
        path: &Path,
        bytes: &[u8],
        belongs_to: &Identity,
        classes: usize,
    ) -> Result<()> {
        let hint = "give the file that --save-gates wrote for this network and these images with the same --residual, \
                    --compensation, --exclude and --only";
        let (of, trained) = checkpoint::decode_gates(bytes)
            .map_err(|e| Error::file(path, format!("holds no trained gates: {e}"), hint))?;
        if let Some(what) = of.difference(belongs_to) {
            return Err(Error::file(path, format!("holds gates that were trained with {what}"), hint));
        }
        if trained.alpha.len() != classes {
            return Err(Error::file(path, "holds gates of another reading of the network", hint));
        }
        self.gates = Some(trained);
        Ok(())
    }

    /// True if something that was to be kept is not there.
    pub fn lacks(&self) -> bool {
        let unsaved = self.saved.as_ref().is_some_and(|s| s.written == Some(false));
        unsaved || self.kept.as_ref().is_some_and(|k| k.failed)
    }

    /// True if gates were to be saved and none were trained.
    pub fn saw_no_gates(&self) -> bool {
        self.saved.as_ref().is_some_and(|s| s.written.is_none())
    }

    /// Warns, above a bar if there is one.
    fn warn(&self, text: &str) {
        match self.stage.as_ref().and_then(|s| s.bar.as_ref()) {
            Some(bar) => bar.suspend(|| self.console.warn(text)),
            None => self.console.warn(text),
        }
    }

    /// What the run starts from.
    pub fn start<'a>(&mut self, clock: Option<Timekeeper<'a>>) -> Start<'a> {
        Start { resume: self.found.take(), gates: self.gates.take(), clock }
    }

    /// The next run uses the gates that this one trained.
    pub fn hand_on(&mut self, gates: Option<Trained>) {
        self.gates = gates;
    }

    /// Gates that were trained in this run and are in no file.
    pub fn unsaved(&self) -> Option<&Trained> {
        let is_saved = self.saved.as_ref().is_some_and(|s| s.written == Some(true));
        self.trained.as_ref().filter(|gates| !is_saved && !gates.history.is_empty())
    }

    /// The run is over: its state is of no more use.
    pub fn finish(&mut self) {
        if let Some(kept) = self.kept.take() {
            // Nothing is lost if it stays.
            let _ = std::fs::remove_file(kept.path);
        }
    }

    /// Shows that `done` of `of` parts of the stage `name` are done.
    fn show(&mut self, name: &'static str, done: usize, of: usize, message: String) {
        if self.stage.as_ref().is_none_or(|s| s.name != name) {
            self.close();
            let bar = (!self.console.quiet && std::io::stderr().is_terminal()).then(|| bar(name, of));
            self.stage = Some(Stage { name, bar, started: Instant::now(), from: done.saturating_sub(1) });
        }
        let Some(stage) = &self.stage else { return };
        match &stage.bar {
            Some(bar) => {
                bar.set_length(of as u64);
                bar.set_position(done as u64);
                bar.set_message(message);
            }
            None if is_due(done, of) || done == stage.from + 1 => {
                let each = stage.started.elapsed().as_secs_f64() / (done - stage.from).max(1) as f64;
                let left = each * (of - done.min(of)) as f64;
                self.console.progress(&format!("{name} {done}/{of}  {message}  ETA {left:.0}s"));
            }
            None => {}
        }
    }

    /// Ends the stage; gives the seconds that it took.
    fn close(&mut self) -> Option<u64> {
        let stage = self.stage.take()?;
        if let Some(bar) = stage.bar {
            bar.abandon();
        }
        Some(stage.started.elapsed().as_secs())
    }
}

fn bar(name: &str, of: usize) -> ProgressBar {
    let bar = ProgressBar::new(of as u64);
    let template = format!("{name} {{bar:20}} {{pos}}/{{len}}  ETA {{eta}}  {{wide_msg}}");
    ProgressStyle::with_template(&template).map_or(bar.clone(), |s| bar.with_style(s.progress_chars("=> ")))
}

impl Events for Watch {
    fn step(&mut self, r: &Record, of: usize) {
        let terms = format!(
            "task {:.3}  budget {:.3}  hardness {:.3}  reranked {:.4}  soft {}",
            r.task,
            r.budget,
            r.hardness,
            r.dissimilarity,
            if self.timed {
                milliseconds(r.soft_cost / 1e6)
            } else {
                format!("{} MACs", count(r.soft_cost as u64))
            }
        );
        self.show("training", r.step, of, terms);
    }

    fn done(&mut self) {
        let took = self.close().unwrap_or(0);
        self.console.progress(&format!(
            "trained in {took} s; now the network is rewritten, tried on held-out images and verified"
        ));
    }

    fn staged(&mut self, stage: &pruner::Stage, number: usize, of: usize) {
        self.console.progress(&text::stage(number, of, stage));
    }

    fn fitted(&mut self, done: usize, of: usize) {
        self.show("fitting", done, of, "nodes".into());
        if done == of {
            let took = self.close().unwrap_or(0);
            self.console.progress(&format!("fitted in {took} s"));
        }
    }

    fn tuned(&mut self, update: &Update, epochs: &[Epoch]) {
        let judged = epochs.last().map_or(0.0, |e| e.judged);
        let message = format!(
            "loss {:.4}  rate {:.4}  epoch {}  on held-out images {judged:.4}",
            update.loss,
            update.rate,
            epochs.len().saturating_sub(1)
        );
        self.show("finetuning", update.step, update.steps, message);
        if update.step == update.steps {
            let took = self.close().unwrap_or(0);
            self.console.progress(&format!("finetuned in {took} s"));
        }
    }

    fn trained(&mut self, gates: &Trained) {
        self.trained = Some(gates.clone());
        let Some(saved) = self.saved.as_mut() else { return };
        let path = &saved.path;
        let written = save_gates(path, &saved.belongs_to, gates);
        saved.written = Some(written.is_ok());
        if let Err(e) = written {
            self.warn(&format!("--save-gates: the run goes on without them: {}", one_line(&e)));
        }
    }

    fn measured(&mut self, comparison: &Comparison) {
        self.close();
        self.console.progress(&text::measured(comparison));
    }

    fn proving(&mut self, nodes: usize) {
        if nodes >= MANY_NODES {
            let how = match tract::proves_plain(nodes) {
                true => "node by node, without its optimisation, which takes longest",
                false => "which optimises each first",
            };
            self.console.progress(&format!(
                "now tract runs the original, the masked and the pruned network of {nodes} nodes, {how}"
            ));
        }
    }

    fn keep(&mut self, before: &Resume, state: &State) -> Result<()> {
        let Some(kept) = self.kept.as_mut().filter(|k| k.last.is_none_or(|l| l.elapsed() >= KEEP_EVERY))
        else {
            return Ok(());
        };
        kept.last = Some(Instant::now());
        let written = checkpoint::encode(&kept.belongs_to, before, state)
            .map_err(|e| Error::file(&kept.path, e, files::ROOM))
            .and_then(|bytes| files::replace(&kept.path, &bytes, files::ROOM));
        let first = !std::mem::replace(&mut kept.failed, written.is_err());
        if let Some(e) = written.err().filter(|_| first) {
            self.warn(&format!("--checkpoint: the run goes on, and could not be resumed: {}", one_line(&e)));
        }
        Ok(())
    }
}

/// Writes gates to a file that `--gates` reads.
pub fn save_gates(path: &Path, belongs_to: &Identity, gates: &Trained) -> Result<()> {
    let bytes = checkpoint::encode_gates(belongs_to, gates).map_err(|e| Error::file(path, e, files::ROOM))?;
    files::replace(path, &bytes, files::ROOM)
}

/// The first, the last, and ten in between.
fn is_due(step: usize, of: usize) -> bool {
    let every = of.div_ceil(10).max(1);
    step == 1 || step == of || step.is_multiple_of(every)
}
