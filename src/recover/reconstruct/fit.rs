//! Least squares for one layer, with a ridge around the weights that it has.
//!
//! With columns x (a one appended for the bias), targets t and the weights W₀ at hand, the fit moves by D = (B − W₀G)(G + R)⁻¹,
//! where G = Σ x·xᵀ, B = Σ t·xᵀ and R is the ridge. Sums are taken in single precision within a chunk of images and in double
//! between chunks, in the order of the chunks. Whatever weights are asked about, Σ|t − Wx|² over held-out images follows from
//! the same sums over those.

use super::layer::{Layer, Shift, Target, Weights};
use super::track::Track;
use super::{Fitted, HELD_OUT};
use crate::grad::Pool;
use crate::ir::*;
use crate::ops::kernels::matmul::{matmul, plain, transposed};
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

/// Strengths of the ridge that are tried, relative to the mean square of the inputs.
const RIDGES: [f64; 5] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0];

/// An error of so little of the outputs' squares is rounding, and nothing to be mended.
const NEGLIGIBLE: f64 = 1e-6;

/// Positions that are looked at: so many times the unknowns of an output, but at least [`POSITIONS`].
const PER_UNKNOWN: usize = 40;
const POSITIONS: usize = 1 << 16;

/// A layer whose normalisation multiplies by less can do nothing for a sum behind it.
const LEAST_FACTOR: f32 = 1e-3;

/// Sums over images.
#[derive(Clone)]
struct Sums {
    /// Positions.
    n: f64,
    /// Σ x·xᵀ, `[rows, rows]`.
    g: Vec<f64>,
    /// Σ t·xᵀ, `[outputs, rows]`.
    b: Vec<f64>,
    /// Σ t and Σ t², by output.
    t: Vec<[f64; 2]>,
}

impl Sums {
    fn zero(rows: usize, outputs: usize) -> Self {
        Self { n: 0.0, g: vec![0.0; rows * rows], b: vec![0.0; outputs * rows], t: vec![[0.0; 2]; outputs] }
    }

    fn add(&mut self, part: &Part) {
        self.n += part.positions as f64;
        self.g.iter_mut().zip(&part.g).for_each(|(s, p)| *s += f64::from(*p));
        self.b.iter_mut().zip(&part.b).for_each(|(s, p)| *s += f64::from(*p));
        self.t.iter_mut().flatten().zip(part.t.iter().flatten()).for_each(|(s, p)| *s += p);
    }

    /// Σ|t − Wx|², where `gram` is [`Sums::gram`].
    fn error(&self, w: &Mat<f64>, gram: &Mat<f64>) -> f64 {
        let (outputs, rows) = (w.nrows(), w.ncols());
        let wg = w * gram;
        let mut sum = 0.0;
        for o in 0..outputs {
            let square: f64 = (0..rows).map(|r| w[(o, r)] * (wg[(o, r)] - 2.0 * self.b[o * rows + r])).sum();
            sum += square + self.t[o][1];
        }
        sum.max(0.0)
    }

    fn gram(&self) -> Mat<f64> {
        let rows = self.g.len().isqrt();
        Mat::from_fn(rows, rows, |i, j| self.g[i * rows + j])
    }

    /// Σ|t|²
    fn energy(&self) -> f64 {
        self.t.iter().map(|[_, q]| q).sum()
    }

    /// Σ|t − mean t|²
    fn spread(&self) -> f64 {
        self.t.iter().map(|[s, q]| q - s * s / self.n.max(1.0)).sum()
    }
}

/// Sums over one chunk.
struct Part {
    positions: usize,
    g: Vec<f32>,
    b: Vec<f32>,
    t: Vec<[f64; 2]>,
}

/// Fits a layer: what came of it, and the weights if they are to be changed. `None` where a value that it needs could not be
/// computed.
pub(super) fn fit(
    layer: &Layer,
    target: &Target,
    original: &Track,
    pruned: &Track,
    pool: &Pool,
) -> Option<(Fitted, Option<Weights>)> {
    let (groups, rows, outputs) = layer.sizes();
    let stored = |v: ValueId| pruned.facts.constant[v].as_ref().map(|t| t.data.to_real::<f64>());
    let matrix = layer.matrix(&stored(layer.weight)?);
    let bias = match layer.shift.map(Shift::stored) {
        Some((v, sign)) => Some(stored(v)?.into_iter().map(|b| sign * b).collect::<Vec<f64>>()),
        None => None,
    };
    let (mut before, mut after, mut spread) = (0.0, 0.0, 0.0);
    let mut ridge = None;
    let (mut new, mut new_bias) = (matrix.clone(), bias.clone());
    for group in 0..groups {
        let [train, judge] = sums(layer, target, group, original, pruned, pool)?;
        let at = |o: usize| group * outputs + o;
        let constant = |o: usize| bias.as_ref().map_or(0.0, |b| b[at(o)]);
        let with_one = rows + 1;
        let old =
            Mat::from_fn(
                outputs,
                with_one,
                |o, r| if r < rows { matrix[at(o) * rows + r] } else { constant(o) },
            );
        let gram = judge.gram();
        let own = judge.error(&old, &gram);
        let best = candidates(&train, &old, bias.is_some())
            .into_iter()
            .map(|(strength, w)| (judge.error(&w, &gram), strength, w))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(error, _, _)| *error < own && own > NEGLIGIBLE * judge.energy());
        before += own;
        spread += judge.spread();
        let Some((error, strength, w)) = best else {
            after += own;
            continue;
        };
        after += error;
        ridge = Some(ridge.map_or(strength, |r: f64| r.max(strength)));
        for o in 0..outputs {
            (0..rows).for_each(|r| new[at(o) * rows + r] = w[(o, r)]);
            if let Some(bias) = &mut new_bias {
                bias[at(o)] = w[(o, rows)];
            }
        }
    }
    let spread = spread.max(f64::MIN_POSITIVE);
    let fitted = Fitted { layer: layer.name.clone(), before: before / spread, after: after / spread, ridge };
    let sign = layer.shift.map_or(1.0, |s| s.stored().1);
    let shift = new_bias.map(|b| b.into_iter().map(|b| sign * b).collect());
    let weights = Weights { weight: layer.stored(new), shift };
    Some((fitted, ridge.map(|_| weights)))
}

/// The fits at all strengths of the ridge.
fn candidates(train: &Sums, old: &Mat<f64>, biased: bool) -> Vec<(f64, Mat<f64>)> {
    let (outputs, rows) = (old.nrows(), old.ncols());
    let gram = train.gram();
    let mean = (0..rows - 1).map(|r| gram[(r, r)]).sum::<f64>() / (rows - 1).max(1) as f64;
    let missing = Mat::from_fn(outputs, rows, |o, r| train.b[o * rows + r]) - old * &gram;
    let one = |&strength: &f64| {
        let mut ridged = gram.clone();
        // The bias is free, or where the layer has none, held.
        (0..rows - 1).for_each(|r| ridged[(r, r)] += strength * mean);
        ridged[(rows - 1, rows - 1)] += if biased { 1e-9 * train.n } else { 1e12 * (train.n + mean) };
        let step = ridged.llt(Side::Lower).ok()?.solve(missing.transpose());
        let new = old + step.transpose();
        let finite = (0..outputs).all(|o| (0..rows).all(|r| new[(o, r)].is_finite()));
        finite.then_some((strength, new))
    };
    RIDGES.iter().filter_map(one).collect()
}

/// The sums over the images to fit on, and over those that judge.
fn sums(
    layer: &Layer,
    target: &Target,
    group: usize,
    original: &Track,
    pruned: &Track,
    pool: &Pool,
) -> Option<[Sums; 2]> {
    let (_, rows, outputs) = layer.sizes();
    let chunks = pruned.chunks.len();
    let positions = layer.positions(pruned.chunks[0].get(&layer.input)?);
    let wanted = (PER_UNKNOWN * (rows + 1)).max(POSITIONS);
    let step = (positions * chunks / wanted).max(1);
    let mut out = [Sums::zero(rows + 1, outputs), Sums::zero(rows + 1, outputs)];
    // As many chunks at a time as there are threads: the parts are as large as the sums.
    let all: Vec<usize> = (0..chunks).collect();
    for some in all.chunks(pool.len()) {
        let parts = pool.map(some, |&c| part(layer, target, group, (original, pruned), c, (c % step, step)));
        for (c, part) in some.iter().zip(parts) {
            let held = c % HELD_OUT == HELD_OUT - 1 || (chunks < HELD_OUT && *c == chunks - 1);
            out[usize::from(held)].add(&part?);
        }
    }
    Some(out)
}

fn part(
    layer: &Layer,
    target: &Target,
    group: usize,
    (original, pruned): (&Track, &Track),
    c: usize,
    at: (usize, usize),
) -> Option<Part> {
    let (big, small) = (&original.chunks[c], &pruned.chunks[c]);
    let (_, rows, outputs) = layer.sizes();
    let mut x = layer.columns(small.get(&layer.input)?, group, at);
    let positions = x.len() / rows.max(1);
    x.extend(std::iter::repeat_n(1.0, positions));
    let y = big.get(&layer.output)?;
    let mut t = Vec::with_capacity(outputs * positions);
    // Behind a normalisation both are compared with its mean taken off.
    let mean = match layer.shift {
        Some(Shift::Mean(v)) => original.facts.constant[v].as_ref().map(|t| t.data.to_real::<f32>()),
        _ => None,
    };
    for o in 0..outputs {
        let row = group * outputs + o;
        let channel = target.channels[row];
        let from = t.len();
        let mean = mean.as_ref().map_or(0.0, |m| m[channel]);
        t.extend(layer.outputs(y, channel, at).map(|v| v - mean));
        // A sum behind a normalisation sees what the layer gives times that factor.
        let factor = layer.normalised.as_ref().map_or(1.0, |(_, f)| f[row] as f32);
        let sum = target.sum.as_ref().filter(|_| factor.abs() > LEAST_FACTOR);
        if let Some(sum) = sum
            && let Ok(place) = sum.left.binary_search(&channel)
        {
            let (was, is) = (big.get(&sum.trunk)?, small.get(&sum.trunk)?);
            let gone = layer.outputs(was, channel, at).zip(layer.outputs(is, place, at));
            t[from..].iter_mut().zip(gone).for_each(|(t, (was, is))| *t += (was - is) / factor);
        }
    }
    let all = rows + 1;
    let (mut g, mut b) = (vec![0.0; all * all], vec![0.0; outputs * all]);
    matmul(all, positions, all, plain(&x), transposed(&x), false, &mut g);
    matmul(outputs, positions, all, plain(&t), transposed(&x), false, &mut b);
    let moments =
        |row: &[f32]| row.iter().map(|&v| f64::from(v)).fold([0.0; 2], |s, v| [s[0] + v, s[1] + v * v]);
    let t = t.chunks_exact(positions.max(1)).map(moments).collect();
    Some(Part { positions, g, b, t })
}
