//! Progress of a run on stderr: a bar on a terminal, a line now and then elsewhere; and its state in a file, if one was named.
//!
//! Takes: what happens in a run. Gives: nothing. Never: writes to stdout, or anything at all to the terminal when quiet.

use super::bench::Stopwatch;
use super::talk::Talk;
use autobot_onnx::learn::{Record, Trained};
use autobot_onnx::pipeline::{self, Before, Clock, Observer, checkpoint};
use autobot_onnx::recover::{Epoch, State, Update};
use autobot_onnx::report::units::{count, milliseconds};
use autobot_onnx::report::{files, text};
use autobot_onnx::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The state is written when so much time has passed.
const KEEP_EVERY: Duration = Duration::from_secs(20);

/// One stage of a run.
struct Stage {
    name: &'static str,
    bar: Option<ProgressBar>,
    started: Instant,
    /// Where it began: a run may go on in the middle.
    from: usize,
}

/// Where the run's state is kept.
struct Kept {
    path: PathBuf,
    fingerprint: String,
    last: Option<Instant>,
}

/// An observer that shows what it sees.
pub struct Watch {
    quiet: bool,
    /// The budget is a time.
    pub timed: bool,
    stage: Option<Stage>,
    kept: Option<Kept>,
    /// What a run before this one left.
    found: Option<(Before, State)>,
    /// Gates to be used instead of training.
    gates: Option<Trained>,
    /// Measures where the target is a time on this machine.
    pub clock: Option<Stopwatch>,
}

impl Watch {
    pub fn new(quiet: bool) -> Self {
        Self { quiet, timed: false, stage: None, kept: None, found: None, gates: None, clock: None }
    }

    /// From now on the run's state is kept in a file. The run goes on from what is there of it already.
    pub fn keep_in(&mut self, path: &Path, fingerprint: String, talk: Talk) -> Result<()> {
        let hint = "name another file, or remove this one to begin anew";
        self.found = match std::fs::read(path) {
            Ok(bytes) => {
                let (run, before, state) = checkpoint::decode(&bytes)
                    .map_err(|e| Error::file(path, format!("is no checkpoint: {e}"), hint))?;
                if run != fingerprint {
                    let reason = "belongs to a run with another network, other images or other options";
                    return Err(Error::file(path, reason, hint));
                }
                let (done, epochs) = (state.step, state.epochs.len() - 1);
                talk.note(&format!(
                    "going on from {} after {done} updates ({epochs} whole epochs)",
                    path.display()
                ));
                Some((before, state))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io(path, e, hint)),
        };
        self.kept = Some(Kept { path: path.to_owned(), fingerprint, last: None });
        Ok(())
    }

    /// The run uses the gates of a file instead of training its own.
    pub fn take_gates(&mut self, path: &Path, network: &str, classes: usize) -> Result<()> {
        let hint = "give the file that --save-gates wrote for this network with the same --residual, --compensation, --exclude \
                    and --only";
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e, hint))?;
        let (belongs_to, trained) = checkpoint::decode_gates(&text)
            .map_err(|e| Error::file(path, format!("holds no trained gates: {e}"), hint))?;
        if belongs_to != network || trained.alpha.len() != classes {
            return Err(Error::file(path, "holds the gates of another network, or in another reading", hint));
        }
        self.gates = Some(trained);
        Ok(())
    }

    /// The next run uses the gates that this one trained.
    pub fn hand_on(&mut self, gates: Option<Trained>) {
        self.gates = gates;
    }

    /// The run is over: its state is of no more use.
    pub fn finish(&mut self) {
        if let Some(kept) = self.kept.take() {
            // Nothing is lost if it stays.
            let _ = std::fs::remove_file(kept.path);
        }
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    /// Shows that `done` of `of` parts of the stage `name` are done.
    fn show(&mut self, name: &'static str, done: usize, of: usize, message: String) {
        if self.stage.as_ref().is_none_or(|s| s.name != name) {
            self.close();
            let bar = (!self.quiet && std::io::stderr().is_terminal()).then(|| bar(name, of));
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
                self.say(&format!("{name} {done}/{of}  {message}  ETA {left:.0}s"));
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

impl Observer for Watch {
    fn resume(&mut self) -> Option<(Before, State)> {
        self.found.take()
    }

    fn gates(&mut self) -> Option<Trained> {
        self.gates.take()
    }

    fn clock(&mut self) -> Option<&mut dyn Clock> {
        self.clock.as_mut().map(|c| c as &mut dyn Clock)
    }

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
        self.say(&format!(
            "trained in {took} s; now the network is rewritten, tried on held-out images and verified"
        ));
    }

    fn staged(&mut self, stage: &pipeline::Stage, number: usize, of: usize) {
        self.say(&text::stage(number, of, stage));
    }

    fn fitted(&mut self, done: usize, of: usize) {
        self.show("fitting", done, of, "nodes".into());
        if done == of {
            let took = self.close().unwrap_or(0);
            self.say(&format!("fitted in {took} s"));
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
            self.say(&format!("finetuned in {took} s"));
        }
    }

    fn keep(&mut self, before: &Before, state: &State) -> Result<()> {
        let Some(kept) = self.kept.as_mut().filter(|k| k.last.is_none_or(|l| l.elapsed() >= KEEP_EVERY))
        else {
            return Ok(());
        };
        kept.last = Some(Instant::now());
        let hint = "free some space, name another file, or do without --checkpoint";
        let bytes = checkpoint::encode(&kept.fingerprint, before, state)
            .map_err(|e| Error::file(&kept.path, e, hint))?;
        files::replace(&kept.path, &bytes, hint)
    }
}

/// The first, the last, and ten in between.
fn is_due(step: usize, of: usize) -> bool {
    let every = of.div_ceil(10).max(1);
    step == 1 || step == of || step.is_multiple_of(every)
}
