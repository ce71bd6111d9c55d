//! Proof that small = masked: the pruned file's outputs against the original with the deleted channels at zero.
//!
//! Takes: both graphs and their bytes. Gives: a [`Verdict`] with measured differences, in our executor and in tract.
//! Never: passes what it did not run.

use crate::error::{Error, Result};
use crate::grad::{GateSpec, Opened, Plain, Pool, Program, ShiftSpec, Sums, Workspace};
use crate::ir::*;
use crate::random::Draw;
use crate::runtime::{self, Sample};

pub mod pair;
pub mod sizes;

/// Largest |difference| allowed, relative to the range (max − min) of the output.
pub const TOLERANCE: f64 = 1e-4;

/// Measured differences.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Verdict {
    /// Inputs tried.
    pub samples: usize,
    /// Largest |masked − pruned| in our executor, absolute.
    pub absolute: f64,
    /// The same relative to the output's range.
    pub relative: f64,
    /// Where single precision rounds by more than the tolerance allows: by how much. Such samples count in double precision
    /// above.
    pub rounding: Option<f64>,
    /// Largest |masked − pruned| in tract relative to the output's range, or why tract could not tell.
    pub tract: Result<f64, String>,
    /// The same at other sizes of the axes that the file leaves open.
    pub elsewhere: Vec<sizes::AtSizes>,
    /// True if every difference measured is within [`TOLERANCE`].
    pub pass: bool,
}

/// Outputs that hardly vary are compared as if they varied by this much: differences of 1e-6 are single-precision noise.
const LEAST_RANGE: f64 = 1e-2;

/// Largest difference between two runs, per output relative to the range of the first.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Difference {
    /// max |a − b|
    pub absolute: f64,
    /// max over outputs of max |a − b| / (max a − min a)
    pub relative: f64,
}

/// The original with closed gates against the small network.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Proof {
    /// Differences in our executor; in double precision where single precision cannot tell.
    pub difference: Difference,
    /// The relative difference in single precision, where that cannot tell.
    pub rounding: Option<f64>,
}

impl Proof {
    /// What holds of two samples together.
    fn worse(self, other: Self) -> Self {
        let (a, b) = (self.difference, other.difference);
        let (absolute, relative) = (a.absolute.max(b.absolute), a.relative.max(b.relative));
        let rounding = [self.rounding, other.rounding].into_iter().flatten().reduce(f64::max);
        Self { difference: Difference { absolute, relative }, rounding }
    }
}

impl Difference {
    /// Takes one output of one sample in. Shapes that differ count as infinitely far apart.
    pub fn add<T: Real>(&mut self, a: &[T], b: &[T]) {
        let ends = (f64::INFINITY, f64::NEG_INFINITY);
        let finite = |v: &&T| v.is_finite();
        let (low, high) = a.iter().filter(finite).fold(ends, |(l, h), v| (l.min(v.wide()), h.max(v.wide())));
        let (low, high) = if low > high { (0.0, 0.0) } else { (low, high) };
        let pairs = || a.iter().zip(b).filter(|(a, b)| a.is_finite() && b.is_finite());
        let far = pairs().map(|(&a, &b)| (a - b).wide().abs()).fold(0.0, f64::max);
        let other =
            |(a, b): (&T, &T)| !(a.is_finite() && b.is_finite()) && a != b && !(a.is_nan() && b.is_nan());
        if a.len() != b.len() || a.iter().zip(b).any(other) {
            (self.absolute, self.relative) = (f64::INFINITY, f64::INFINITY);
            return;
        }
        // A constant output has no range of its own: its magnitude stands in, whole where the output is one number.
        let magnitude = high.abs().max(low.abs());
        let floor = if a.len() == 1 { magnitude } else { magnitude * 1e-3 };
        let range = (high - low).max(floor).max(LEAST_RANGE);
        self.absolute = self.absolute.max(far);
        self.relative = self.relative.max(far / range);
    }
}

/// The outputs of a program on one sample, by target.
pub fn outputs(program: &Program, sample: &Sample, lambda: Option<&[f32]>) -> Vec<Vec<f32>> {
    let mut workspace = Workspace::new(program);
    for (k, x) in sample.iter().enumerate() {
        workspace.input(program, k).copy_from_slice(&x.data);
    }
    workspace.evaluate(program, lambda);
    (0..program.target_values.len()).map(|t| workspace.target(program, t).data.clone()).collect()
}

/// Proves that the original with gates at `lambda` gives what the small graph gives, in our executor. An operator that cannot be
/// run is gone around: the same random numbers stand for what it gives on both sides, and what it reads must be equal.
pub fn prove(
    big: (&Graph, &Facts),
    gates: (&[GateSpec], &[ShiftSpec]),
    lambda: &[f32],
    small: &Graph,
    samples: &[Sample],
    pool: &Pool,
) -> Result<Proof> {
    let opened = Opened::new(big.0, big.1)?;
    let more = |(i, sample): (usize, &Sample)| {
        let drawn = opened.sources.iter().map(|(v, fact)| drawn(fact, Draw::new(*v as u64, i as u64)));
        sample.iter().cloned().chain(drawn).collect()
    };
    let samples: Vec<Sample> = samples.iter().enumerate().map(more).collect();
    let small = opened.like(small);
    compare((&opened.graph, &opened.facts), gates, lambda, &small, &opened.ends(), &samples, pool)
}

/// Random values of a type: normally distributed, or whole numbers that serve as indices, too.
fn drawn(fact: &Fact, mut draw: Draw) -> Array<f32> {
    let mut one = || if fact.dtype.is_float() { draw.bell() } else { draw.below(2) as f32 };
    Array::new(&fact.shape, (0..volume(&fact.shape)).map(|_| one()).collect())
}

/// Compares the original with gates at `lambda` against the small graph, in our executor. Where a network blows rounding up
/// beyond the tolerance, that sample is compared again in double precision.
pub fn compare(
    big: (&Graph, &Facts),
    (gates, shifts): (&[GateSpec], &[ShiftSpec]),
    lambda: &[f32],
    small: &Graph,
    targets: &[ValueId],
    samples: &[Sample],
    pool: &Pool,
) -> Result<Proof> {
    let facts = facts_like(big.0, big.1, small)?;
    let (masked, pruned) = pool.both(
        || Program::compile(big.0, big.1, Sums::Plain, gates, shifts, targets),
        || Program::compile(small, &facts, Sums::Plain, &[], &[], targets),
    );
    let (masked, pruned) = (masked?, pruned?);
    let wide: Vec<f64> = lambda.iter().map(|&l| l.into()).collect();
    let double = |sample: &Sample, graph, facts, gates, shifts| {
        let plain = Plain { graph, facts, gates, shifts, targets };
        let x: Vec<Array<f64>> =
            sample.iter().map(|x| Array::new(&x.shape, x.data.iter().map(|&x| x.into()).collect())).collect();
        plain.outputs(&x, &wide)
    };
    let one = |sample: &Sample| {
        let (mut d, mut rounding) = (Difference::default(), None);
        let a = outputs(&masked, sample, Some(lambda));
        let b = outputs(&pruned, sample, None);
        a.iter().zip(&b).for_each(|(a, b)| d.add(a, b));
        if d.relative > TOLERANCE
            && let Some(a) = double(sample, big.0, big.1, gates, shifts)
            && let Some(b) = double(sample, small, &facts, &[], &[])
        {
            rounding = Some(d.relative);
            d = Difference::default();
            a.iter().zip(&b).for_each(|(a, b)| d.add(&a.data, &b.data));
        }
        Proof { difference: d, rounding }
    };
    Ok(pool.map(samples, one).into_iter().fold(Proof::default(), Proof::worse))
}

/// Facts of the small graph at the input shapes of the big one.
pub fn facts_like(big: &Graph, facts: &Facts, small: &Graph) -> Result<Facts> {
    infer(small, facts.inputs(big).as_deref())
}

/// Largest difference between our executor and tract on one network. `Err` says why tract cannot run it.
pub fn compare_executors(
    (graph, facts): (&Graph, &Facts),
    bytes: &[u8],
    targets: &[ValueId],
    samples: &[Sample],
    pool: &Pool,
) -> Result<Result<f64, String>> {
    let inputs = facts.inputs(graph).unwrap_or_default();
    let ours = || -> Result<Vec<_>> {
        let program = Program::compile(graph, facts, Sums::Plain, &[], &[], targets)?;
        Ok(samples.iter().map(|sample| outputs(&program, sample, None)).collect())
    };
    let (tract, ours) = pool.both(|| runtime::run(bytes, &inputs, samples), ours);
    let tract = match tract {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    let mut d = Difference::default();
    for (own, found) in ours?.into_iter().zip(tract) {
        for (v, own) in targets.iter().zip(own) {
            if let Some(k) = graph.outputs.iter().position(|o| o == v) {
                d.add(&own, &found[k]);
            }
        }
    }
    Ok(Ok(d.relative))
}

/// Compares two files in tract. `Err` says why tract cannot run the big one; if it runs the big one only, that is a
/// failure of the small one and an error.
pub fn compare_tract(
    big: &[u8],
    small: &[u8],
    inputs: &[Fact],
    samples: &[Sample],
    pool: &Pool,
) -> Result<Result<f64, String>> {
    let run = |bytes| runtime::run(bytes, inputs, samples);
    let (whole, pruned) = pool.both(|| run(big), || run(small));
    let whole = match whole {
        Ok(outputs) => outputs,
        Err(why) => return Ok(Err(why)),
    };
    let pruned = pruned.map_err(|why| Error::Verification {
        reason: format!("tract runs the original but not the pruned network: {why}"),
        hint: "nothing was written; please report this model, and try --residual tie".into(),
    })?;
    let mut d = Difference::default();
    for (a, b) in whole.iter().zip(&pruned) {
        a.iter().zip(b).for_each(|(a, b)| d.add(a, b));
    }
    Ok(Ok(d.relative))
}
