//! Proof that small = masked: the pruned file's outputs against the original with the deleted channels at zero.
//!
//! Takes: both graphs and their bytes. Gives: a [`Verdict`] with measured differences, in our executor and in tract.
//! Never: passes what it did not run.

use crate::error::{Error, Result};
use crate::exec::{GatedNetwork, Opened, Pool, Precision, Program, Reach, ReferenceInterpreter, Workspace};
use crate::graph::*;
use crate::setting::Setting;
use crate::support::random::Draw;
use crate::tensor::*;
use crate::tract::{self, Refusal, Sample};

pub mod certify;
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
    /// Largest |masked − pruned| in our executor, as a share of the output's range.
    pub relative: f64,
    /// Relative difference in single precision, where rounding takes it beyond the tolerance. Such samples count in double
    /// precision above.
    pub rounding: Option<f64>,
    /// Largest |masked − pruned| in tract relative to the output's range, or why tract could not tell.
    pub tract: Result<f64, String>,
    /// Differences at other sizes of the axes that the file leaves open.
    pub elsewhere: Vec<sizes::AtSizes>,
    /// Difference between tract and double precision on the masked network; measured where `tract` is beyond the tolerance and
    /// both networks are equal in double precision.
    pub tract_rounding: Option<f64>,
    /// Largest |tract − our executor| on the original, relative to the output's range; none where one of them cannot run it.
    pub apart: Option<f64>,
    /// True if every difference measured is within [`TOLERANCE`], that in tract within [`allowed`].
    pub pass: bool,
}

/// Largest difference in tract, in units of its rounding, where rounding alone takes it beyond the tolerance.
const ROUNDINGS: f64 = 4.0;

/// Largest difference that rounding excuses in single precision, as a share of the output's range; [`APART_HALF`] in float16.
pub const MOST_ALLOWED: f64 = 1e-3;

/// Difference of tract and our executor, as a share of the output's range, above which they compute something else.
pub const APART: f64 = 1e-3;

/// That difference where values are float16: tract computes in it, our executor in single precision.
pub const APART_HALF: f64 = 2e-2;

/// Largest difference between tract and our executor that passes on a network, where they are `apart` on the one that it was made
/// of, and `rounding` is what single precision rounds by on it.
pub fn allowed_apart(apart: Option<f64>, rounding: f64) -> f64 {
    TOLERANCE.max(ROUNDINGS * apart.unwrap_or(0.0)).max((ROUNDINGS * rounding).min(MOST_ALLOWED))
}

/// True if tract and our executor may be `d` apart on a network: as they are `apart` on its original, or as rounding explains it.
pub fn near_enough(
    network: Network,
    d: f64,
    apart: Option<f64>,
    samples: &[Sample],
    pool: &Pool,
) -> Result<bool> {
    Ok(d <= allowed_apart(apart, 0.0) || d <= allowed_apart(apart, rounding(network, samples, pool)?))
}

/// Largest difference in tract that passes on a network with these facts, where tract was found to round by `rounding` on it: in
/// float16 that is more than in single precision.
pub fn allowed(facts: &Facts, rounding: Option<f64>) -> f64 {
    let most = if is_half(facts) { APART_HALF } else { MOST_ALLOWED };
    rounding.map_or(TOLERANCE, |r| (ROUNDINGS * r).clamp(TOLERANCE, most))
}

/// True if values are float16.
fn is_half(facts: &Facts) -> bool {
    facts.fact.iter().flatten().any(|f| f.dtype == DType::F16)
}

/// Number of inputs that a network with these facts is run at in tract, of `samples`.
pub fn tried_in_tract(facts: &Facts, samples: usize) -> usize {
    if is_half(facts) { samples.min(tract::HALF_SAMPLES) } else { samples }
}

/// True if tract and our executor, `apart` on a network with these facts, compute something else there.
pub fn disagree(facts: &Facts, apart: f64) -> bool {
    apart > if is_half(facts) { APART_HALF } else { APART }
}

/// Least range of an output: below it, differences of 1e-6 are single-precision noise.
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
    /// The larger differences of two samples.
    fn worse(self, other: Self) -> Self {
        let (a, b) = (self.difference, other.difference);
        let (absolute, relative) = (a.absolute.max(b.absolute), a.relative.max(b.relative));
        let rounding = [self.rounding, other.rounding].into_iter().flatten().reduce(f64::max);
        Self { difference: Difference { absolute, relative }, rounding }
    }
}

impl Difference {
    /// Counts one output of one sample in. Shapes that differ count as infinitely far apart.
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
pub fn outputs(program: &Program, sample: &Sample, lambda: Option<&[f32]>) -> Vec<Array<f32>> {
    let mut workspace = Workspace::new(program);
    for (k, x) in sample.iter().enumerate() {
        workspace.input(program, k).copy_from_slice(x.elements());
    }
    workspace.evaluate(program, lambda);
    (0..program.target_values.len()).map(|t| workspace.target(program, t).clone()).collect()
}

/// Proof that the original with gates at `lambda` gives what the small graph gives, in our executor. An operator that cannot be
/// run is gone around: random numbers, equal on both sides, stand for its results, and its operands must be equal.
pub fn prove(
    original: GatedNetwork,
    lambda: &[f32],
    small: &Graph,
    samples: &[Sample],
    pool: &Pool,
) -> Result<Proof> {
    let opened = Opened::new(original.network)?;
    let more = |(i, sample): (usize, &Sample)| {
        let drawn = opened.sources.iter().map(|(v, fact)| drawn(fact, Draw::new(*v as u64, i as u64)));
        sample.iter().cloned().chain(drawn).collect()
    };
    let samples: Vec<Sample> = samples.iter().enumerate().map(more).collect();
    let small = opened.like(small);
    let original = GatedNetwork { network: opened.network(), ..original };
    compare(original, lambda, &small, &opened.ends(), &samples, pool)
}

/// Random values of a type: normally distributed, or whole numbers that serve as indices, too.
fn drawn(fact: &Fact, mut draw: Draw) -> Array<f32> {
    let mut one = || if fact.dtype.is_float() { draw.bell() } else { draw.below(2) as f32 };
    array(&fact.shape, (0..volume(&fact.shape)).map(|_| one()).collect())
}

/// Differences of `targets` between the original with gates at `lambda` and the small graph, in our executor. Where a network
/// blows rounding up beyond the tolerance, that sample is compared again in double precision.
pub fn compare(
    original: GatedNetwork,
    lambda: &[f32],
    small: &Graph,
    targets: &[ValueId],
    samples: &[Sample],
    pool: &Pool,
) -> Result<Proof> {
    let facts = original.network.facts_of(small)?;
    let small = Network::new(small, &facts);
    let (masked, pruned) = pool.join(
        || Program::compile(original, Precision::Exact, targets),
        || Program::compile(small, Precision::Exact, targets),
    );
    let (masked, pruned) = (masked?, pruned?);
    let wide: Vec<f64> = lambda.iter().map(|&l| l.into()).collect();
    let double = |sample: &Sample, network: GatedNetwork| {
        ReferenceInterpreter { network, targets }.outputs(&in_double(sample), &wide)
    };
    let one = |sample: &Sample| {
        let (mut d, mut rounding) = (Difference::default(), None);
        let a = outputs(&masked, sample, Some(lambda));
        let b = outputs(&pruned, sample, None);
        a.iter().zip(&b).for_each(|(a, b)| d.add(a.elements(), b.elements()));
        if d.relative > TOLERANCE
            && let Some(a) = double(sample, original)
            && let Some(b) = double(sample, small.into())
        {
            rounding = Some(d.relative);
            d = Difference::default();
            a.iter().zip(&b).for_each(|(a, b)| d.add(a.elements(), b.elements()));
        }
        Proof { difference: d, rounding }
    };
    Ok(pool.map(samples, one).into_iter().fold(Proof::default(), Proof::worse))
}

/// The outputs of a network that our executor computes without a step in which rounding could become a jump, and their places
/// among all.
fn computed(network: Network) -> (Vec<ValueId>, Vec<usize>) {
    let Network { graph, facts } = network;
    let reach = Reach::learned(network);
    let real = |v: ValueId| facts.fact[v].as_ref().is_some_and(|f| f.dtype.is_float());
    let compares = |v: ValueId| reach.values[v] && facts.constant[v].is_none() && real(v);
    let places = (0..graph.outputs.len()).filter(|&k| compares(graph.outputs[k]));
    places.map(|k| (graph.outputs[k], k)).unzip()
}

/// Largest difference between our executor and tract on one network. `Err` says why one of them cannot run it.
pub fn compare_executors(
    network: Network,
    bytes: &[u8],
    samples: &[Sample],
    pool: &Pool,
) -> Result<Result<f64, String>> {
    let Network { graph, facts } = network;
    let inputs = facts.inputs(graph).unwrap_or_default();
    let ours = || own_outputs(network, samples);
    let (tract, ours) = pool.join(|| tract::run(bytes, &inputs, samples), ours);
    Ok(match (tract, ours?) {
        (Err(refusal), _) => Err(refusal.to_string()),
        (_, None) => Err("our executor computes none of its outputs".into()),
        (Ok(tract), Some(ours)) => Ok(distance(&ours, &tract)),
    })
}

/// Largest difference between our executor and what tract gave on one network; none where ours computes no output.
pub fn apart(network: Network, samples: &[Sample], tract: &[Vec<Array<f32>>]) -> Result<Option<f64>> {
    Ok(own_outputs(network, samples)?.map(|ours| distance(&ours, tract)))
}

/// By sample, the outputs that our executor computes, with their places among all; none where it computes none.
type Own = Vec<Vec<(usize, Array<f32>)>>;

fn own_outputs(network: Network, samples: &[Sample]) -> Result<Option<Own>> {
    let (targets, places) = computed(network);
    if targets.is_empty() {
        return Ok(None);
    }
    let program = Program::compile(network, Precision::Exact, &targets)?;
    let one = |s: &Sample| places.iter().copied().zip(outputs(&program, s, None)).collect();
    Ok(Some(samples.iter().map(one).collect()))
}

fn distance(ours: &Own, tract: &[Vec<Array<f32>>]) -> f64 {
    let mut d = Difference::default();
    for (own, found) in ours.iter().zip(tract) {
        own.iter().for_each(|(k, own)| d.add(own.elements(), found[*k].elements()));
    }
    d.relative
}

/// A network's targets in double precision, by sample; none where one cannot be computed.
fn double(
    network: Network,
    targets: &[ValueId],
    samples: &[Sample],
    pool: &Pool,
) -> Option<Vec<Vec<Array<f64>>>> {
    let reference = ReferenceInterpreter { network: network.into(), targets };
    pool.map(samples, |sample| reference.outputs(&in_double(sample), &[])).into_iter().collect()
}

/// Arrays in double precision.
fn in_double(arrays: &[Array<f32>]) -> Vec<Array<f64>> {
    arrays.iter().map(|x| x.mapv(f64::from)).collect()
}

/// Difference between single and double precision in our executor on a network, as a share of the output's range.
pub fn rounding(network: Network, samples: &[Sample], pool: &Pool) -> Result<f64> {
    let (targets, _) = computed(network);
    let mut d = Difference::default();
    let Some(exact) = double(network, &targets, samples, pool) else { return Ok(0.0) };
    let program = Program::compile(network, Precision::Exact, &targets)?;
    for (sample, exact) in samples.iter().zip(&exact) {
        for (exact, single) in exact.iter().zip(in_double(&outputs(&program, sample, None))) {
            d.add(exact.elements(), single.elements());
        }
    }
    Ok(d.relative)
}

/// Difference between tract and double precision on the masked network, whose file is `bytes`, as a share of the output's
/// range; none where it and the small one differ in double precision, or either cannot be run.
pub fn rounding_in_tract(
    masked: Network,
    bytes: &[u8],
    small: &Graph,
    samples: &[Sample],
    pool: &Pool,
) -> Result<Option<f64>> {
    let facts = masked.facts_of(small)?;
    let small = Network::new(small, &facts);
    let ((targets, places), (of_pruned, same)) = (computed(masked), computed(small));
    if places != same {
        return Ok(None);
    }
    let inputs = masked.inputs().unwrap_or_default();
    let in_double = |network, targets: &[ValueId]| double(network, targets, samples, pool);
    let (Some(expected), Some(pruned)) = (in_double(masked, &targets), in_double(small, &of_pruned)) else {
        return Ok(None);
    };
    let Ok(found) = tract::run(bytes, &inputs, samples) else { return Ok(None) };
    let (mut exact, mut rounded) = (Difference::default(), Difference::default());
    for ((expected, pruned), found) in expected.iter().zip(&pruned).zip(&found) {
        for ((expected, pruned), &k) in expected.iter().zip(pruned).zip(&places) {
            exact.add(expected.elements(), pruned.elements());
            rounded.add(expected.elements(), found[k].mapv(f64::from).elements());
        }
    }
    // An output that our executor cannot compute is not known to be equal.
    let all = places.len() == masked.graph.outputs.len();
    Ok((all && exact.relative <= TOLERANCE).then_some(rounded.relative))
}

/// Largest difference of two files in tract, as a share of the output's range. `Err` says why tract cannot run the original, or
/// that it panics on one of them; if it runs the original and refuses the small one, that is a failure of the small one and an
/// error.
pub fn compare_tract(
    original: &[u8],
    small: &[u8],
    inputs: &[Fact],
    samples: &[Sample],
    pool: &Pool,
) -> Result<Result<f64, String>> {
    let run = |bytes| tract::run(bytes, inputs, samples);
    let (original, pruned) = pool.join(|| run(original), || run(small));
    difference_of(original, pruned)
}

/// Outputs of a network in tract, by sample.
type Ran = std::result::Result<Vec<Vec<Array<f32>>>, Refusal>;

/// The difference of two networks' outputs in tract; see [`compare_tract`].
fn difference_of(original: Ran, pruned: Ran) -> Result<Result<f64, String>> {
    let (original, pruned) = match (original, pruned) {
        (Ok(original), Ok(pruned)) => (original, pruned),
        (Err(refusal), _) => return Ok(Err(refusal.to_string())),
        (_, Err(panic @ Refusal::Panicked(_))) => {
            return Ok(Err(format!("it runs the original, on the pruned network {panic}")));
        }
        (_, Err(Refusal::Refused(why))) => {
            return Err(Error::Verification {
                reason: format!("tract runs the original but not the pruned network: {why}"),
                hint: format!(
                    "nothing was written; tract's optimiser refuses some networks that are sound: ask for a little more or \
                     less, which gives other widths, or for {} tie",
                    Setting::Residual
                ),
            });
        }
    };
    let mut d = Difference::default();
    for (a, b) in original.iter().zip(&pruned) {
        a.iter().zip(b).for_each(|(a, b)| d.add(a.elements(), b.elements()));
    }
    Ok(Ok(d.relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_tract_is_no_verdict_and_a_refusal_of_the_small_network_alone_is_one() {
        let ran = |v: f32| Ok(vec![vec![array(&[2], vec![0.0, v])]]);
        assert_eq!(difference_of(ran(1.0), ran(1.0)).unwrap(), Ok(0.0));
        assert_eq!(difference_of(ran(1.0), ran(1.5)).unwrap(), Ok(0.5));
        let panic = || Err(Refusal::Panicked("overflow (tract-core/pool.rs:7)".into()));
        let refused = || Err(Refusal::Refused("no such operator".into()));
        let told = difference_of(panic(), panic()).unwrap().unwrap_err();
        assert_eq!(told, "it panicked: overflow (tract-core/pool.rs:7)");
        let told = difference_of(ran(1.0), panic()).unwrap().unwrap_err();
        assert!(told.contains("on the pruned network it panicked: overflow"), "{told}");
        assert_eq!(difference_of(refused(), refused()).unwrap(), Err("no such operator".into()));
        assert!(
            difference_of(ran(1.0), refused())
                .unwrap_err()
                .to_string()
                .contains("but not the pruned network")
        );
    }

    #[test]
    fn rounding_widens_the_tolerance_within_bounds() {
        let of = |dtype| Facts { fact: vec![Some(Fact::new(dtype, [1]))], ..Facts::default() };
        let (single, half) = (of(DType::F32), of(DType::F16));
        assert_eq!(allowed(&single, None), TOLERANCE);
        assert_eq!(allowed(&single, Some(1e-6)), TOLERANCE);
        assert_eq!(allowed(&single, Some(1e-4)), 4e-4);
        assert_eq!(allowed(&single, Some(0.3)), MOST_ALLOWED);
        assert_eq!((allowed(&half, None), allowed(&half, Some(0.3))), (TOLERANCE, APART_HALF));
    }
}
