//! How fast model files are in tract on this machine.
//!
//! Takes: models that are ready to run. Gives: measured times, in rounds in which every model runs once, so that whatever
//! slows the machine down slows all of them. Never: predicts.

use crate::tract::{Refusal, Runtime, Sample, Step};
use serde::Serialize;
use std::time::Instant;

/// Length of a measurement.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// Rounds that are not counted, at the beginning.
    pub warm_up: usize,
    /// Rounds that are counted, at least.
    pub least: usize,
    /// Shortest time that the counted rounds take together, in seconds.
    pub seconds: f64,
}

/// Distribution of a number of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// A tenth of the measurements is below.
    pub low: f64,
    /// A tenth of the measurements is above.
    pub high: f64,
}

impl Spread {
    /// Of at least one measurement.
    pub fn of(mut all: Vec<f64>) -> Self {
        all.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| all[((all.len() - 1) as f64 * share).round() as usize];
        Self { median: at(0.5), low: at(0.1), high: at(0.9) }
    }
}

/// One model's times.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timing {
    /// Milliseconds per inference.
    pub milliseconds: Spread,
    /// Ratio of the first model's time to this one's, round by round.
    pub speedup: Spread,
}

/// A model that is ready to run, and the inputs that it is timed on.
pub struct Loaded {
    /// The model.
    pub runtime: Runtime,
    /// Its inputs.
    pub sample: Sample,
}

/// Measures all models, one run of each per round: the number of rounds, and the times by model. The error names the model.
pub fn measure(models: &[Loaded], rounds: Rounds) -> Result<(usize, Vec<Timing>), (usize, Refusal)> {
    let round = |number: usize| -> Result<Vec<f64>, (usize, Refusal)> {
        let mut times = vec![0.0; models.len()];
        for k in 0..models.len() {
            // Each model has each place in the round equally often.
            let m = (k + number) % models.len();
            let Loaded { runtime, sample } = &models[m];
            times[m] = 1e3 * runtime.time(sample).map_err(|why| (m, why))?.as_secs_f64();
        }
        Ok(times)
    };
    (0..rounds.warm_up).try_for_each(|n| round(n).map(drop))?;
    let (start, mut all) = (Instant::now(), Vec::new());
    while all.len() < rounds.least.max(1) || start.elapsed().as_secs_f64() < rounds.seconds {
        all.push(round(all.len())?);
    }
    let column = |f: &dyn Fn(&Vec<f64>) -> f64| Spread::of(all.iter().map(f).collect());
    let timing = |m| Timing { milliseconds: column(&|t| t[m]), speedup: column(&|t| t[0] / t[m]) };
    Ok((all.len(), (0..models.len()).map(timing).collect()))
}

/// A node's share of an inference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// Its name in tract.
    pub name: String,
    /// tract's operator.
    pub operator: String,
    /// Median milliseconds.
    pub milliseconds: f64,
}

/// Median time of every node over some runs, in order of execution.
pub fn layers(Loaded { runtime, sample }: &Loaded, runs: usize) -> Result<Vec<Layer>, Refusal> {
    let mut last: Vec<Step> = Vec::new();
    let mut times: Vec<Vec<f64>> = Vec::new();
    for _ in 0..runs.max(1) {
        last = runtime.steps(sample)?;
        times.resize(last.len(), Vec::new());
        times.iter_mut().zip(&last).for_each(|(t, step)| t.push(1e3 * step.time.as_secs_f64()));
    }
    let one = |(s, t): (Step, Vec<f64>)| Layer {
        name: s.name,
        operator: s.operator,
        milliseconds: Spread::of(t).median,
    };
    Ok(last.into_iter().zip(times).map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_and_the_tenths() {
        let s = Spread::of((0..=10).rev().map(f64::from).collect());
        assert_eq!((s.low, s.median, s.high), (1.0, 5.0, 9.0));
        let one = Spread::of(vec![3.0]);
        assert_eq!((one.low, one.median, one.high), (3.0, 3.0, 3.0));
    }
}
