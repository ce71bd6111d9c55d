//! Networks measured beside the one that they were made of.
//!
//! Takes: times, two and two. Gives: [`Comparison`]s. The ratio is taken round by round, and its bounds are those of a median
//! without any assumption on how times are distributed. Looked at is after some rounds, twice and four times as many; each look
//! is so sure that all of them together are as sure as [`CONFIDENCE`] says. Never: runs a network.

use crate::error::Result;
use crate::graph::Graph;
use serde::Serialize;

/// Probability that the true ratio lies within the bounds, at every look of a comparison.
pub const CONFIDENCE: f64 = 0.95;

/// Width of the bounds, as a share of the ratio, at which more rounds would tell nothing.
const NARROW: f64 = 0.01;

/// Measured time of a network beside that of the original.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// Milliseconds of the original: the median.
    pub milliseconds_before: f64,
    /// Milliseconds of the network: the median.
    pub milliseconds_after: f64,
    /// Time of the network as a share of the original's: the median over the rounds.
    pub share: f64,
    /// Lower bound of the share.
    pub low: f64,
    /// Upper bound of the share.
    pub high: f64,
    /// Number of rounds, in each of which both ran.
    pub rounds: usize,
    /// The share that was wanted.
    pub wanted: f64,
}

impl Comparison {
    /// The network's part of an amount that the original takes.
    pub(super) fn of(&self, whole: u64) -> u64 {
        (whole as f64 * self.share) as u64
    }

    /// True if the network is as fast as was wanted.
    pub fn meets(&self) -> bool {
        self.share <= self.wanted
    }

    /// True if its bounds say so, too, or that it is not.
    pub fn is_sure(&self) -> bool {
        self.high <= self.wanted || self.low > self.wanted
    }
}

/// Compares networks with the one that they were made of.
pub trait Clock {
    /// Time of `graph` beside that of the original, of which `wanted` is the share that it may take.
    fn compare(&mut self, graph: &Graph, wanted: f64) -> Result<Comparison>;
}

/// A clock, and all that it measured in a run.
pub struct Timekeeper<'a> {
    clock: &'a mut dyn Clock,
    /// Its comparisons, in their order.
    pub comparisons: Vec<Comparison>,
}

impl<'a> Timekeeper<'a> {
    /// A clock that has not measured yet.
    pub fn new(clock: &'a mut dyn Clock) -> Self {
        Self { clock, comparisons: Vec::new() }
    }

    /// One with the clock that is given, if any.
    pub fn of(clock: &'a mut Option<Box<dyn Clock>>) -> Option<Self> {
        clock.as_mut().map(|clock| Self::new(clock.as_mut()))
    }

    /// Compares, and keeps it.
    pub(super) fn compare(&mut self, graph: &Graph, wanted: f64) -> Result<Comparison> {
        let found = self.clock.compare(graph, wanted)?;
        self.comparisons.push(found);
        Ok(found)
    }
}

/// Rounds after which a comparison is looked at, ascending; the last are all.
pub(super) struct Looks<'a>(pub &'a [usize]);

/// Runs rounds until it is sure whether the share is below `wanted`, or known well enough, or all rounds are over. A round gets
/// its number and gives the milliseconds of the original and of the network.
pub(super) fn compare(
    wanted: f64,
    Looks(looks): Looks,
    mut round: impl FnMut(usize) -> Result<[f64; 2]>,
) -> Result<Comparison> {
    let mut times = Vec::new();
    // Each look may be wrong by its part of what all may.
    let doubt = (1.0 - CONFIDENCE) / looks.len().max(1) as f64;
    for &rounds in looks {
        while times.len() < rounds {
            times.push(round(times.len())?);
        }
        let found = compared(&times, wanted, doubt);
        if found.is_sure() || found.high - found.low <= NARROW * found.share {
            return Ok(found);
        }
    }
    Ok(compared(&times, wanted, doubt))
}

/// Times of a round: in every other one the network comes first, so that neither has the better place.
pub(super) fn in_turn(
    round: usize,
    mut before: impl FnMut() -> Result<f64>,
    mut after: impl FnMut() -> Result<f64>,
) -> Result<[f64; 2]> {
    if round.is_multiple_of(2) {
        return Ok([before()?, after()?]);
    }
    let after = after()?;
    Ok([before()?, after])
}

fn compared(times: &[[f64; 2]], wanted: f64, doubt: f64) -> Comparison {
    let median = |of: &dyn Fn(&[f64; 2]) -> f64| middle(times.iter().map(of).collect(), 1.0).0;
    let (share, low, high) = middle(times.iter().map(|[before, after]| after / before).collect(), doubt);
    Comparison {
        milliseconds_before: median(&|t| t[0]),
        milliseconds_after: median(&|t| t[1]),
        share,
        low,
        high,
        rounds: times.len(),
        wanted,
    }
}

/// The median of some numbers, and bounds of the median of what they are drawn from, which are wrong with a probability of `doubt` at
/// the most: order statistics, since each number is below that median with probability ½ (the sign test). Of too few numbers the
/// bounds are the smallest and the largest.
pub(super) fn middle(mut numbers: Vec<f64>, doubt: f64) -> (f64, f64, f64) {
    numbers.sort_unstable_by(f64::total_cmp);
    let n = numbers.len();
    let (mut chance, mut below, mut out) = (libm::pow(0.5, n as f64), 0.0, 0);
    // The most that may be left out at each end.
    while 2.0 * (below + chance) <= doubt && out + 1 < n.div_ceil(2) {
        below += chance;
        out += 1;
        chance *= (n + 1 - out) as f64 / out as f64;
    }
    let first = out.saturating_sub(1);
    let median = 0.5 * (numbers[(n - 1) / 2] + numbers[n / 2]);
    (median, numbers[first], numbers[n - 1 - first])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::random::Draw;

    #[test]
    fn bounds_of_a_median_are_those_of_the_sign_test() {
        let numbers = |n: usize| (1..=n).rev().map(|k| k as f64).collect::<Vec<_>>();
        // P(all six on one side) = 2/64.
        assert_eq!(middle(numbers(6), 0.05), (3.5, 1.0, 6.0));
        // Tables of the sign test: for n = 20 the 6th and the 15th at 95 %, the 4th and the 17th at 99 %.
        assert_eq!(middle(numbers(20), 0.05), (10.5, 6.0, 15.0));
        assert_eq!(middle(numbers(20), 0.01), (10.5, 4.0, 17.0));
        assert_eq!(middle(vec![7.0], 0.05), (7.0, 7.0, 7.0));
        assert_eq!(middle(numbers(3), 0.05), (2.0, 1.0, 3.0));
    }

    #[test]
    fn a_clear_difference_takes_the_fewest_rounds() {
        let looks = [7, 14, 28];
        let found = compare(0.6, Looks(&looks), |_| Ok([10.0, 5.0])).unwrap();
        assert_eq!((found.rounds, found.share, found.milliseconds_after), (7, 0.5, 5.0));
        assert!(found.meets() && found.is_sure());
        let found = compare(0.4, Looks(&looks), |_| Ok([10.0, 5.0])).unwrap();
        assert!(!found.meets() && found.is_sure() && found.rounds == 7);
        // What is known to a hundredth needs no more, even at the limit itself.
        let near = |k: usize| Ok([10.0, 5.0 + 0.01 * (k % 2) as f64]);
        assert_eq!(compare(0.5005, Looks(&looks), near).unwrap().rounds, 7);
    }

    /// Of comparisons that are sure, no more are wrong than the confidence allows.
    #[test]
    fn noise_is_not_taken_for_speed() {
        let (mut wrong, mut unsure, runs) = (0, 0, 400);
        for run in 0..runs {
            let mut draw = Draw::new(1, run);
            let mut noisy = |x: f64| x * (1.0 + 0.3 * f64::from(draw.unit()));
            let found = compare(0.6, Looks(&[7, 14, 28]), |_| Ok([noisy(10.0), noisy(6.05)])).unwrap();
            wrong += usize::from(found.is_sure() && found.meets());
            unsure += usize::from(!found.is_sure());
        }
        assert!(wrong <= runs as usize / 20, "{wrong}");
        assert!(unsure < runs as usize, "{unsure}");
    }
}
