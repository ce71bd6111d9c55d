//! Least squares for one layer, with a ridge around the weights that it has.
//!
//! With columns x (a one appended for the bias), targets t and the weights W₀ at hand, the fit moves by D = (B − W₀G)(G + R)⁻¹,
//! where G = Σ x·xᵀ, B = Σ t·xᵀ and R is the ridge. Sums go over the positions of the images and, with a weight of their own, over
//! the means of x and t in each image. They are taken in single precision over some chunks of images and in double between them,
//! in the order of the chunks. For any weights, Σ|t − Wx|² over held-out images follows from the sums over these.
//!
//! Where a rectifier follows, targets that it does not let through need not be met. From the least squares on, the targets are
//! taken anew from the outputs of the weights ([`NormalEquations::wanted_of`]) and the fit is repeated: each repetition lowers
//! a bound of the rectified error (Zhang et al., "Accelerating very deep convolutional networks", arXiv 1505.06798, section
//! 3.2, solve this problem by other steps).

use super::layer::{Layer, Target, Weights};
use super::normal_equations::NormalEquations;
use super::track::Tracks;
use super::{Fitted, HELD_OUT};
use crate::exec::Pool;
use crate::graph::*;
use crate::kernels::cholesky::Cholesky;
use faer::{Mat, MatRef};

/// Strengths of the ridge to try, relative to the mean square of the inputs.
const RIDGES: [f64; 5] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0];

/// Number of strengths that are tried side by side.
const AT_A_TIME: usize = 2;

/// Error, relative to the outputs' squares, up to which it is rounding and nothing to be mended.
const NEGLIGIBLE: f64 = 1e-6;

/// Positions to fit on, per unknown of an output.
const PER_UNKNOWN: usize = 40;

/// Least number of positions to fit on, however few the unknowns.
const POSITIONS: usize = 1 << 15;

/// Least number of positions per unknown; where images give fewer, more images are taken.
const LEAST_PER_UNKNOWN: usize = 16;

/// Positions whose sums are taken in single precision, where chunks of images have fewer.
const TOGETHER: usize = 1024;

/// Largest size of the equations that are kept from pass to pass, in bytes.
const KEPT_BYTES: usize = 256 << 20;

/// Largest number of fits with targets as a rectifier lets them be seen.
const ROUNDS: usize = 3;

/// Least relative decrease of the error by such a fit for another one to follow.
const WORTH: f64 = 0.01;

/// Sums over images.
#[derive(Clone)]
struct Sums {
    /// Σ x·xᵀ, `[rows, rows]`.
    g: Vec<f64>,
    /// Σ t·xᵀ, `[outputs, rows]`.
    b: Vec<f64>,
    /// Σ t², by output.
    t: Vec<f64>,
}

/// Sums over some chunks.
struct Part {
    g: Vec<f32>,
    b: Vec<f32>,
    t: Vec<f64>,
}

impl Sums {
    fn zero(rows: usize, outputs: usize) -> Self {
        Self { g: vec![0.0; rows * rows], b: vec![0.0; outputs * rows], t: vec![0.0; outputs] }
    }

    fn add(&mut self, part: &Part) {
        add(&mut self.g, &part.g);
        add(&mut self.b, &part.b);
        self.t.iter_mut().zip(&part.t).for_each(|(s, p)| *s += p);
    }

    /// Fills what lies above the diagonal of G from below it.
    fn mirror(&mut self) {
        let rows = self.g.len().isqrt();
        for r in 0..rows {
            (r + 1..rows).for_each(|c| self.g[r * rows + c] = self.g[c * rows + r]);
        }
    }

    /// Σ|t − Wx|²
    fn error(&self, w: &Mat<f64>) -> f64 {
        let (outputs, rows) = (w.nrows(), w.ncols());
        let wg = w * self.gram();
        let mut sum = 0.0;
        for o in 0..outputs {
            let square: f64 = (0..rows).map(|r| w[(o, r)] * (wg[(o, r)] - 2.0 * self.b[o * rows + r])).sum();
            sum += square + self.t[o];
        }
        sum.max(0.0)
    }

    /// G
    fn gram(&self) -> MatRef<'_, f64> {
        let rows = self.g.len().isqrt();
        MatRef::from_row_major_slice(&self.g, rows, rows)
    }

    /// Σ|t|²
    fn energy(&self) -> f64 {
        self.t.iter().sum()
    }

    /// The weight of all positions together.
    fn weight(&self) -> f64 {
        self.g.last().copied().unwrap_or_default()
    }

    /// Σ|t − mean t|²
    fn spread(&self) -> f64 {
        let rows = self.g.len().isqrt().max(1);
        let sums = self.b.chunks_exact(rows).map(|row| row[rows - 1]);
        sums.zip(&self.t).map(|(s, q)| q - s * s / self.weight().max(1.0)).sum()
    }
}

fn add(sum: &mut [f64], part: &[f32]) {
    sum.iter_mut().zip(part).for_each(|(s, p)| *s += f64::from(*p));
}

/// The result of a layer's fit, and new weights if they are to be changed. `None` where a value that it needs could not be
/// computed.
pub(super) fn fit(
    layer: &Layer,
    target: &Target,
    tracks: Tracks,
    pool: &Pool,
) -> Option<(Fitted, Option<Weights>)> {
    let (groups, rows, outputs) = layer.sizes();
    let stored = |v: ValueId| tracks.pruned.facts.constant[v].as_ref().map(|t| t.to_real::<f64>());
    let matrix = layer.matrix(&stored(layer.weight)?);
    let bias = match layer.bias {
        Some(s) => Some(stored(s.value)?.into_iter().map(|b| s.factor * b).collect::<Vec<f64>>()),
        None => None,
    };
    let (mut before, mut after, mut spread) = (0.0, 0.0, 0.0);
    let mut ridge = None;
    let (mut new, mut new_bias) = (matrix.clone(), bias.clone());
    for group in 0..groups {
        let at = |o: usize| group * outputs + o;
        let constant = |o: usize| bias.as_ref().map_or(0.0, |b| b[at(o)]);
        let old = |o: usize, r: usize| if r < rows { matrix[at(o) * rows + r] } else { constant(o) };
        let old = Mat::from_fn(outputs, rows + 1, old);
        let view = View::new(layer, target, group, tracks, pool)?;
        let found = view.fit(&old, bias.is_some())?;
        before += found.before;
        spread += found.spread;
        let Some(Candidate { error, strength, weights: w }) = found.best else {
            after += found.before;
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
    let factor = layer.bias.map_or(1.0, |b| b.factor);
    let bias = new_bias.map(|b| b.into_iter().map(|b| b / factor).collect());
    let weights = Weights { weight: layer.stored(new), bias };
    Some((fitted, ridge.map(|_| weights)))
}

/// The fit of a group of a layer.
struct Found {
    /// Squared error on the held-out images, with the weights at hand.
    before: f64,
    /// Σ|t − mean t|² over them.
    spread: f64,
    /// Better weights, if there are any.
    best: Option<Candidate>,
}

/// Weights of a group, fitted with one strength of the ridge.
struct Candidate {
    /// Squared error on the held-out images.
    error: f64,
    /// Strength of the ridge.
    strength: f64,
    weights: Mat<f64>,
}

/// One group of a layer, and the images.
struct View<'a> {
    layer: &'a Layer,
    target: &'a Target,
    group: usize,
    tracks: Tracks<'a>,
    pool: &'a Pool,
    /// Distance from one position that is taken to the next.
    step: usize,
    /// Chunks of a part.
    together: usize,
    /// Number of parts.
    parts: usize,
    /// The equations by part, where they are small enough to be kept.
    kept: Option<Vec<NormalEquations>>,
}

impl<'a> View<'a> {
    /// `None` where a value that is needed could not be computed.
    fn new(
        layer: &'a Layer,
        target: &'a Target,
        group: usize,
        tracks: Tracks<'a>,
        pool: &'a Pool,
    ) -> Option<Self> {
        let (_, rows, outputs) = layer.sizes();
        let chunks = tracks.pruned.chunks.len();
        let wanted = (PER_UNKNOWN * (rows + 1)).max(POSITIONS);
        let step = (layer.positions * chunks / wanted).max(1);
        let positions = layer.positions * chunks / step;
        let together = (chunks / (positions / TOGETHER).max(2 * HELD_OUT)).max(1);
        let parts = chunks.div_ceil(together);
        let mut view = Self { layer, target, group, tracks, pool, step, together, parts, kept: None };
        if 4 * positions * (rows + 1 + 2 * outputs) <= KEPT_BYTES {
            let all: Vec<usize> = (0..parts).collect();
            view.kept = Some(pool.map(&all, |&k| view.equations(k)).into_iter().collect::<Option<_>>()?);
        }
        Some(view)
    }

    fn equations(&self, k: usize) -> Option<NormalEquations> {
        let chunks = k * self.together..((k + 1) * self.together).min(self.tracks.pruned.chunks.len());
        NormalEquations::new(self.layer, self.target, self.group, self.tracks, chunks, self.step)
    }

    fn fit(&self, old: &Mat<f64>, biased: bool) -> Option<Found> {
        let [train, held_out] = self.sums()?;
        let normal = Normal::new(&train, old, biased);
        let own = held_out.error(old);
        let one = |&strength: &f64| {
            let w = normal.solve(&normal.factor(strength)?, &train.b)?;
            Some(Candidate { error: held_out.error(&w), strength, weights: w })
        };
        // A few at a time: each takes a copy of the sums.
        let all = RIDGES.chunks(AT_A_TIME).flat_map(|some| self.pool.map(some, one));
        let best = all.flatten().min_by(|a, b| a.error.total_cmp(&b.error));
        let spread = held_out.spread();
        let negligible = own <= NEGLIGIBLE * held_out.energy();
        let Some(best) = best.filter(|_| !negligible) else {
            return Some(Found { before: own, spread, best: None });
        };
        if !self.target.rectified {
            return Some(Found { before: own, spread, best: Some(best).filter(|b| b.error < own) });
        }
        drop(held_out);
        let (before, best) = self.rectified(&normal, best)?;
        Some(Found { before, spread, best: best.filter(|b| b.error < before) })
    }

    /// The rectified error of the weights at hand on the held-out images, and the best weights found from the linear fit on.
    fn rectified(&self, normal: &Normal, linear: Candidate) -> Option<(f64, Option<Candidate>)> {
        let Candidate { strength, weights: mut w, .. } = linear;
        let before = self.error(normal.old)?;
        let factor = normal.factor(strength)?;
        let mut best: Option<Candidate> = None;
        for _ in 0..=ROUNDS {
            let (error, wanted) = self.round(&w)?;
            let bound = best.as_ref().map_or(f64::INFINITY, |b| b.error);
            if error < bound {
                best = Some(Candidate { error, strength, weights: w.clone() });
            }
            if error > (1.0 - WORTH) * bound {
                break;
            }
            let Some(next) = normal.solve(&factor, &wanted) else { break };
            w = next;
        }
        Some((before, best))
    }

    /// Sums over the images to fit on, and over the held-out ones.
    fn sums(&self) -> Option<[Sums; 2]> {
        let (_, rows, outputs) = self.layer.sizes();
        let mut out = [Sums::zero(rows + 1, outputs), Sums::zero(rows + 1, outputs)];
        let part = |equations: &NormalEquations, _| Part {
            g: equations.gram(),
            b: equations.wanted(),
            t: equations.squares(),
        };
        self.each(part, |held, part| out[usize::from(held)].add(&part))?;
        out.iter_mut().for_each(Sums::mirror);
        Some(out)
    }

    /// The rectified error of `w` on the held-out images.
    fn error(&self, w: &Mat<f64>) -> Option<f64> {
        let w = plain(w);
        let mut sum = 0.0;
        self.each(|equations, held| if held { equations.error(&w) } else { 0.0 }, |_, error| sum += error)?;
        Some(sum)
    }

    /// The rectified error of `w` on the held-out images, and Σ t′·xᵀ over the others.
    fn round(&self, w: &Mat<f64>) -> Option<(f64, Vec<f64>)> {
        let (mut error, mut wanted) = (0.0, vec![0.0; w.nrows() * w.ncols()]);
        let w = plain(w);
        let one = |equations: &NormalEquations, held| match held {
            true => (equations.error(&w), Vec::new()),
            false => (0.0, equations.wanted_of(&w)),
        };
        let sum = |_, (missed, part): (f64, Vec<f32>)| {
            error += missed;
            add(&mut wanted, &part);
        };
        self.each(one, sum)?;
        Some((error, wanted))
    }

    /// Runs `work` on every part, telling it whether the part is held out; `then` takes the results in their order.
    fn each<R: Send>(
        &self,
        work: impl Fn(&NormalEquations, bool) -> R + Sync + Send,
        mut then: impl FnMut(bool, R),
    ) -> Option<()> {
        let held = |k: usize| k % HELD_OUT == HELD_OUT - 1 || (self.parts < HELD_OUT && k + 1 == self.parts);
        let one = |&k: &usize| match &self.kept {
            Some(kept) => Some(work(&kept[k], held(k))),
            None => Some(work(&self.equations(k)?, held(k))),
        };
        // As many at a time as there are threads: the parts are as large as the sums.
        let all: Vec<usize> = (0..self.parts).collect();
        for some in all.chunks(self.pool.len()) {
            for (&k, result) in some.iter().zip(self.pool.map(some, one)) {
                then(held(k), result?);
            }
        }
        Some(())
    }
}

/// Positions without which a fit of this layer is poor.
pub(super) fn needed(layer: &Layer) -> usize {
    LEAST_PER_UNKNOWN * (layer.sizes().1 + 1)
}

/// Row by row, in single precision.
fn plain(w: &Mat<f64>) -> Vec<f32> {
    (0..w.nrows()).flat_map(|o| (0..w.ncols()).map(move |r| w[(o, r)] as f32)).collect()
}

/// The normal equations of a fit.
struct Normal<'a> {
    /// The weights at hand.
    old: &'a Mat<f64>,
    /// G
    gram: MatRef<'a, f64>,
    /// W₀G
    given: Mat<f64>,
    /// Mean square of the inputs.
    mean: f64,
    /// Ridge of the last column, the bias: next to nothing, or where the layer has no bias, enough to hold it at zero.
    last: f64,
}

impl<'a> Normal<'a> {
    fn new(train: &'a Sums, old: &'a Mat<f64>, biased: bool) -> Self {
        let gram = train.gram();
        let rows = old.ncols() - 1;
        let mean = (0..rows).map(|r| gram[(r, r)]).sum::<f64>() / rows.max(1) as f64;
        let weight = train.weight();
        let last = if biased { 1e-9 * weight } else { 1e12 * (weight + mean) };
        Self { given: old * gram, old, gram, mean, last }
    }

    /// G + R
    fn factor(&self, strength: f64) -> Option<Cholesky> {
        let mut ridged = self.gram.to_owned();
        let rows = ridged.nrows() - 1;
        (0..rows).for_each(|r| ridged[(r, r)] += strength * self.mean);
        ridged[(rows, rows)] += self.last;
        Cholesky::new(ridged)
    }

    /// W₀ + D for B, if it is finite.
    fn solve(&self, factor: &Cholesky, b: &[f64]) -> Option<Mat<f64>> {
        let (outputs, rows) = (self.old.nrows(), self.old.ncols());
        let missing = Mat::from_fn(outputs, rows, |o, r| b[o * rows + r]) - &self.given;
        let new = self.old + factor.solve(missing.transpose().to_owned()).transpose();
        let finite = (0..outputs).all(|o| (0..rows).all(|r| new[(o, r)].is_finite()));
        finite.then_some(new)
    }
}
