//! Progress of the training on stderr: a bar on a terminal, a line now and then elsewhere.
//!
//! Takes: records of updates. Gives: nothing. Never: writes to stdout, or anything at all when quiet.

use autobot_onnx::learn::Record;
use autobot_onnx::pipeline::Observer;
use autobot_onnx::report::units::count;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// An observer that shows what it sees.
pub struct Progress {
    quiet: bool,
    bar: Option<ProgressBar>,
    batches: usize,
    started: Instant,
}

impl Progress {
    pub fn new(quiet: bool) -> Self {
        Self { quiet, bar: None, batches: 0, started: Instant::now() }
    }
}

impl Observer for Progress {
    fn start(&mut self, batches: usize) {
        (self.batches, self.started) = (batches, Instant::now());
        if !self.quiet && std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("training {bar:20} {pos}/{len}  ETA {eta}  {wide_msg}");
            let bar = ProgressBar::new(batches as u64);
            self.bar = Some(style.map_or(bar.clone(), |s| bar.with_style(s.progress_chars("=> "))));
        }
    }

    fn step(&mut self, r: &Record) {
        let terms = format!(
            "task {:.3}  budget {:.3}  hardness {:.3}  reranked {:.4}  soft {} MACs",
            r.task,
            r.budget,
            r.hardness,
            r.dissimilarity,
            count(r.soft_macs.max(0.0) as u64)
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(r.step as u64);
                bar.set_message(terms);
            }
            None if !self.quiet && is_due(r.step, self.batches) => {
                let left =
                    self.started.elapsed().as_secs_f64() / r.step as f64 * (self.batches - r.step) as f64;
                let _ = writeln!(
                    std::io::stderr(),
                    "training {}/{}  {terms}  ETA {left:.0}s",
                    r.step,
                    self.batches
                );
            }
            None => {}
        }
    }

    fn done(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.abandon();
        }
        if !self.quiet {
            let took = self.started.elapsed().as_secs();
            let _ = writeln!(
                std::io::stderr(),
                "trained in {took} s; now the network is rewritten, tried on held-out images and verified"
            );
        }
    }
}

/// The first, the last, and ten in between.
fn is_due(step: usize, batches: usize) -> bool {
    let every = batches.div_ceil(10).max(1);
    step == 1 || step == batches || step.is_multiple_of(every)
}
