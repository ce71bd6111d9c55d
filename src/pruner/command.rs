//! Times measured by a command of the caller's: on a board, in another runtime, by whatever prints milliseconds.
//!
//! Takes: a command line, models. Gives: milliseconds, a [`Clock`], a [`Speed`] fitted to what the command says. Never: reads what it
//! prints but for the last line; runs it longer than its limit.

use super::clock::{self, Clock, Comparison, Looks, middle};
use super::host::Stopwatch;
use crate::cost::latency::Speed;
use crate::cost::{Convention, Cost};
use crate::coupling::Groups;
use crate::error::{Error, Result};
use crate::graph::{Facts, Graph, Network};
use crate::onnx::Model;
use crate::plan::{Limits, Round};
use crate::setting::Setting;
use crate::support::command::{self, Ended};
use crate::support::files;
use crate::tract::calibrate::{self, Measured, Times};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// What stands for the model file in a command line.
pub const MODEL: &str = "{model}";

/// Rounds of a comparison after which it is looked at.
const LOOKS: Looks = Looks(&[7, 14, 28]);

/// Runs of which the median is a network's time, where networks are not compared.
const RUNS: usize = 3;

/// Shares of the saveable cost that are left in the cuts by chance to which a speed is fitted.
const CUTS: [f64; 6] = [0.85, 0.7, 0.55, 0.4, 0.25, 0.1];

/// Numbers of channels whose multiples are compared.
const WIDTHS: [usize; 4] = [1, 4, 8, 16];

/// Share of the saveable cost that is left in the cuts that are compared.
const SHARE: f64 = 0.6;

/// Gain in time per multiply-accumulate below which coarser widths are not worth it.
const WORTH: f64 = 0.05;

/// Lines of a command's output that are shown where it fails.
const SHOWN: usize = 12;

/// A command line that measures how long an inference of a model file takes.
///
/// `{model}` stands for the file's path; where it does not occur, the file is the command's standard input. The last line of its
/// output is the time, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasureCommand {
    line: String,
    limit: Duration,
}

impl MeasureCommand {
    /// A command line for a shell, and the longest time that it may take.
    pub fn new(line: impl Into<String>, limit: Duration) -> Self {
        Self { line: line.into(), limit }
    }

    /// The line.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Milliseconds of a model file.
    ///
    /// # Errors
    /// A command that fails, takes too long, or prints no time: with what it printed.
    pub fn milliseconds(&self, file: &Path) -> Result<f64> {
        let hint = "give a file that can be read, in a folder whose name is text";
        let word = command::word(file).map_err(|e| Error::io(file, e, hint))?;
        let line = self.line.replace(MODEL, &word);
        let input = File::open(file).map_err(|e| Error::io(file, e, hint))?;
        let ended = command::run(&line, input, self.limit).map_err(|e| {
            let reason = format!("the command could not be run: {e}");
            Error::argument(Setting::Measure, reason, "give a command line for 'sh -c'")
        })?;
        time(&ended).map_err(|(reason, hint)| self.failed(reason, hint, &ended))
    }

    /// Model files for the command to measure.
    fn folder(&self) -> Result<TempDir> {
        let made = tempfile::Builder::new().prefix("autobot-onnx-").tempdir();
        made.map_err(|e| Error::io(std::env::temp_dir(), e, files::ROOM))
    }

    /// The speed of what the command measures on, fitted to its times of the network and of cuts of it by chance; and the median
    /// error of the fit, as a share of a time.
    pub fn speed(&self, model: &Model, limits: Limits) -> Result<(Speed, f64)> {
        let observed = self.observe(model, &model.facts()?, limits)?;
        let (speed, error) = calibrate::speed(&self.line, &observed, limits.round.multiple());
        // Shares are of the original's time.
        Ok((calibrate::scaled(&speed, &observed[0]), error))
    }

    /// Times of a network, and of cuts of it by chance within limits.
    pub fn observe(&self, model: &Model, facts: &Facts, limits: Limits) -> Result<Vec<Measured>> {
        let (folder, network) = (self.folder()?, Network::new(&model.graph, facts));
        let mut files = vec![write(&folder, "original", model)?];
        let mut graphs = vec![(model.graph.clone(), facts.clone())];
        for (share, seed) in CUTS.into_iter().zip(1..) {
            let cut = super::cut_at_random(network, share, limits, seed, model.opset())?;
            let Some(cut) = cut else { continue };
            let name = format!("cut-{}", 100.0 * share);
            files.push(write(&folder, &name, &model.with_graph(cut.clone())?)?);
            let facts = network.facts_of(&cut)?;
            graphs.push((cut, facts));
        }
        let times = self.in_turns(&files)?;
        let observed = graphs.into_iter().zip(times);
        let one = |((graph, facts), time)| Measured { graph, facts, times: Times::Whole(time) };
        Ok(observed.map(one).collect())
    }

    /// Median milliseconds by file. All are measured in turns: what slows the machine down for a while slows all of them.
    fn in_turns(&self, files: &[PathBuf]) -> Result<Vec<f64>> {
        let mut times = vec![Vec::new(); files.len()];
        for _ in 0..RUNS {
            for (file, times) in files.iter().zip(&mut times) {
                times.push(self.milliseconds(file)?);
            }
        }
        Ok(times.into_iter().map(|times| middle(times, 1.0).0).collect())
    }

    /// What the command says of cuts by chance in multiples of some numbers of channels: by number, nanoseconds per 1,000
    /// multiply-accumulates.
    pub fn widths(&self, model: &Model, facts: &Facts) -> Result<Vec<(usize, f64)>> {
        let (folder, network) = (self.folder()?, Network::new(&model.graph, facts));
        let (mut files, mut macs) = (Vec::new(), Vec::new());
        for number in WIDTHS {
            let limits = Limits { min_channels: 1, round: Round::To(number) };
            let Some(cut) = super::cut_at_random(network, SHARE, limits, 1, model.opset())? else {
                return Ok(Vec::new());
            };
            files.push(write(&folder, &format!("multiples-of-{number}"), &model.with_graph(cut.clone())?)?);
            let facts = network.facts_of(&cut)?;
            let cost = Cost::new(Network::new(&cut, &facts), &Groups::default(), Convention::Macs);
            macs.push(cost.hard(&[]).max(1));
        }
        let times = self.in_turns(&files)?;
        let each = times.iter().zip(macs).map(|(ms, macs)| 1e9 * ms / macs as f64);
        Ok(WIDTHS.into_iter().zip(each).collect())
    }

    /// `speed`, scaled so that it predicts of a network what the command measures.
    pub fn scaled(&self, speed: &Speed, model: &Model) -> Result<Speed> {
        let (folder, facts) = (self.folder()?, model.facts()?);
        let file = write(&folder, "original", model)?;
        let times = (0..RUNS).map(|_| self.milliseconds(&file)).collect::<Result<Vec<_>>>()?;
        let times = Times::Whole(middle(times, 1.0).0);
        Ok(calibrate::scaled(speed, &Measured { graph: model.graph.clone(), facts, times }))
    }

    fn failed(&self, reason: String, hint: String, ended: &Ended) -> Error {
        let ends = [("stdout", &ended.stdout), ("stderr", &ended.stderr)];
        let tail = |(name, text): (&str, &String)| {
            let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            let last = all[all.len().saturating_sub(SHOWN)..].iter();
            last.map(|line| format!("{name}: {line}")).collect::<Vec<_>>()
        };
        Error::Command {
            setting: Setting::Measure,
            command: self.line.clone(),
            reason,
            output: ends.into_iter().flat_map(tail).collect(),
            hint,
        }
    }
}

/// The time that a command printed; or why there is none, and the way out.
fn time(ended: &Ended) -> Result<f64, (String, String)> {
    let print =
        || "let it print the milliseconds of an inference as its last line, a number alone".to_owned();
    match ended.status {
        None => {
            let hint = format!("give more with {}", Setting::MeasureTimeout);
            return Err(("was stopped, as its time was over".into(), hint));
        }
        Some(status) if !status.success() => {
            return Err((format!("failed ({status})"), "mend it: 'sh -c' runs it by hand".into()));
        }
        Some(_) => {}
    }
    let Some(last) = ended.stdout.lines().map(str::trim).rfind(|line| !line.is_empty()) else {
        return Err(("printed nothing".into(), print()));
    };
    match last.parse::<f64>() {
        Err(_) => Err((format!("printed '{last}' at last, which is no number"), print())),
        Ok(ms) if !ms.is_finite() || ms <= 0.0 => Err((format!("printed {last}, which is no time"), print())),
        Ok(ms) => Ok(ms),
    }
}

fn write(folder: &TempDir, name: &str, model: &Model) -> Result<PathBuf> {
    let path = folder.path().join(format!("{name}.onnx"));
    std::fs::write(&path, model.to_bytes()?).map_err(|e| Error::io(&path, e, files::ROOM))?;
    Ok(path)
}

/// The number whose multiples a runtime takes least time for, of those that were compared: the smallest that is nearly as good as the
/// best. 1 where nothing is gained.
pub fn best_width(widths: &[(usize, f64)]) -> usize {
    let best = widths.iter().map(|(_, each)| *each).fold(f64::INFINITY, f64::min);
    let good = widths.iter().find(|(_, each)| *each <= best * (1.0 + WORTH));
    good.map_or(1, |(number, _)| *number)
}

/// What compares with `given` the networks that are cut of `model`, which is equal to it: a command, or this machine.
pub fn clock(command: Option<&MeasureCommand>, given: &Model, model: &Model) -> Result<Box<dyn Clock>> {
    Ok(match command {
        Some(command) => Box::new(CommandClock::new(command, given, model)?),
        None => Box::new(Stopwatch::new(given, model)?),
    })
}

/// Compares networks with the one that they were made of, by a command.
struct CommandClock {
    command: MeasureCommand,
    model: Model,
    folder: TempDir,
    original: PathBuf,
}

impl CommandClock {
    /// Compares with `given` what is cut of `model`, which is equal to it.
    fn new(command: &MeasureCommand, given: &Model, model: &Model) -> Result<Self> {
        let folder = command.folder()?;
        let original = write(&folder, "original", given)?;
        let clock = Self { command: command.clone(), model: model.clone(), folder, original };
        // The first run of a file may take longer.
        clock.command.milliseconds(&clock.original)?;
        Ok(clock)
    }
}

impl Clock for CommandClock {
    fn compare(&mut self, graph: &Graph, wanted: f64) -> Result<Comparison> {
        let small = write(&self.folder, "pruned", &self.model.with_graph(graph.clone())?)?;
        let time = |file: &Path| self.command.milliseconds(file);
        clock::compare(wanted, LOOKS, |k| clock::in_turn(k, || time(&self.original), || time(&small)))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn measured(line: &str, limit: f64) -> Result<f64> {
        let file = Path::new("models/digits_chain.onnx");
        MeasureCommand::new(line, Duration::from_secs_f64(limit)).milliseconds(file)
    }

    #[test]
    fn the_last_line_is_the_time() {
        assert_eq!(measured("echo loading; echo 12.5; echo", 60.0).unwrap(), 12.5);
        assert_eq!(measured("test -s {model} && echo 3e0", 60.0).unwrap(), 3.0);
        let bytes = std::fs::metadata("models/digits_chain.onnx").unwrap().len();
        assert_eq!(measured("wc -c", 60.0).unwrap(), bytes as f64);
    }

    #[test]
    fn widths_are_coarser_only_where_that_pays() {
        assert_eq!(best_width(&[(1, 5.0), (4, 4.9), (8, 3.6), (16, 3.5)]), 8);
        assert_eq!(best_width(&[(1, 5.0), (4, 5.1), (8, 4.9), (16, 5.2)]), 1);
        assert_eq!(best_width(&[]), 1);
    }

    #[test]
    fn a_command_that_measures_nothing_is_an_error_with_its_output() {
        let cases = [
            ("echo lost >&2; exit 7", "7"),
            ("true", "nothing"),
            ("echo 12 ms", "no number"),
            ("echo nan", "no time"),
            ("echo -3", "no time"),
            ("echo 0", "no time"),
            ("echo inf", "no time"),
        ];
        for (line, reason) in cases {
            let text = measured(line, 60.0).unwrap_err().to_string();
            assert!(text.contains(reason) && text.contains(line), "{line}: {text}");
        }
        let text = measured("echo lost >&2; exit 7", 60.0).unwrap_err().to_string();
        assert!(text.contains("stderr: lost"), "{text}");
        let text = measured("echo begun; sleep 1000", 0.3).unwrap_err().to_string();
        assert!(text.contains("time was over") && text.contains("stdout: begun"), "{text}");
    }
}
