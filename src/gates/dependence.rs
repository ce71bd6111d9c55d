//! Channels that the others stand for: what a layer reads of them is nearly a linear function of what else it reads.
//!
//! Gates are trained with a constant in a closed channel's place; the fits that follow put a linear function of the open ones
//! there. Gates alone are blind to that, and choose for the wrong end. So the last part of a cut is made by covariances: from a
//! plan that keeps somewhat more than is asked, channels go one after the other, each time the one whose part in its readers'
//! results is told best by all that is left, for what it costs (backward elimination; "LinDeps", arXiv 2507.21573, looks for such
//! channels by a pivoted QR factorisation). The error of a reader counts relative to the variance of its result: all layers
//! alike, which on SqueezeNet was better than weights by the loss's second derivatives.

use super::Session;
use super::compensate::tap_sums;
use crate::cost::Cost;
use crate::coupling::Groups;
use crate::exec::GateSpec;
use crate::graph::*;
use crate::kernels::cholesky::Cholesky;
use crate::kernels::matmul::{matmul, plain, transposed};
use crate::support::index::OptIndex;
use crate::tensor::*;
use faer::Mat;

/// Positions of a value to take, per coordinate.
const PER_COORDINATE: usize = 16;

/// Least number of positions to take, however few the coordinates.
const POSITIONS: usize = 1 << 15;

/// Largest number of coordinates of a gate: what is read in more cannot be told.
const COORDINATES: usize = 4096;

/// Largest size of all covariances together, in bytes: the first gates come first.
const BYTES: usize = 1 << 30;

/// Ridge of the covariances, relative to their mean on the diagonal.
const RIDGE: f64 = 1e-3;

/// Covariances of what passes through each gate, row-major `[c, c]`; none where they would be too large.
pub type Covariances = Vec<Option<Vec<f64>>>;

/// Covariances of every gate's coordinates in the unpruned network, over images and positions.
pub fn covariances(session: &Session, gates: &[GateSpec], list: &[usize]) -> Covariances {
    let mut room = BYTES;
    let mut sums: Vec<Option<Sums>> = gates.iter().map(|g| Sums::new(g.index.len(), &mut room)).collect();
    // A few images at a time: their columns are kept side by side.
    for (k, some) in list.chunks(session.batch * session.pool.len()).enumerate() {
        let before = k * session.batch * session.pool.len();
        let chunks = session.each(some, None, |chunk| {
            chunk.workspace.forward(chunk.program, None);
            let first = before + chunk.positions.start;
            let columns = |(gate, sums): (&GateSpec, &Option<Sums>)| {
                let value = sums.as_ref().and_then(|_| chunk.workspace.value(chunk.program, gate.value));
                let y = value.filter(|y| !y.is_empty())?;
                Some(columns(y, gate.axis, session.batch, first..first + chunk.positions.len(), list.len()))
            };
            gates.iter().zip(&sums).map(columns).collect::<Vec<_>>()
        });
        let mut by_gate: Vec<(&mut Option<Sums>, Vec<Vec<f32>>)> =
            sums.iter_mut().map(|s| (s, Vec::new())).collect();
        for chunk in chunks {
            by_gate.iter_mut().zip(chunk).for_each(|((_, all), columns)| all.extend(columns));
        }
        session.pool.each(&mut by_gate, |(sums, all)| {
            let Some(sums) = sums else { return };
            all.iter().for_each(|columns| sums.add(columns));
        });
    }
    sums.into_iter().map(|s| s.and_then(Sums::covariance)).collect()
}

/// Coordinates along `axis` at some positions of a chunk's `images` out of `all`, and a row of ones: `[c + 1, positions]`.
fn columns(
    y: &Array<f32>,
    axis: usize,
    batch: usize,
    images: std::ops::Range<usize>,
    all: usize,
) -> Vec<f32> {
    let (outer, size, inner) = sides(y.shape(), axis);
    let of_image = outer / batch.max(1) * inner;
    let wanted = (PER_COORDINATE * (size + 1)).max(POSITIONS);
    let step = (of_image * all / wanted).max(1);
    let taken: Vec<usize> = images
        .enumerate()
        .flat_map(|(k, image)| (image % step..of_image).step_by(step).map(move |p| k * of_image + p))
        .collect();
    let elements = y.elements();
    let mut out = Vec::with_capacity((size + 1) * taken.len());
    for c in 0..size {
        out.extend(taken.iter().map(|p| elements[(p / inner * size + c) * inner + p % inner]));
    }
    out.resize((size + 1) * taken.len(), 1.0);
    out
}

/// Σ x·xᵀ of a gate's coordinates and a one.
struct Sums {
    rows: usize,
    g: Vec<f64>,
}

impl Sums {
    fn new(coordinates: usize, room: &mut usize) -> Option<Self> {
        let rows = coordinates + 1;
        if coordinates > COORDINATES || 8 * rows * rows > *room {
            return None;
        }
        *room -= 8 * rows * rows;
        Some(Self { rows, g: vec![0.0; rows * rows] })
    }

    fn add(&mut self, columns: &[f32]) {
        let rows = self.rows;
        let mut part = vec![0.0; rows * rows];
        matmul(rows, columns.len() / rows, rows, plain(columns), transposed(columns), false, &mut part);
        self.g.iter_mut().zip(part).for_each(|(s, p)| *s += f64::from(p));
    }

    /// None where there was nothing.
    fn covariance(self) -> Option<Vec<f64>> {
        let Self { rows, g } = self;
        let (n, size) = (*g.last()?, rows - 1);
        let mean = |c: usize| g[size * rows + c] / n;
        let at = |i: usize| g[i / size * rows + i % size] / n - mean(i / size) * mean(i % size);
        (n > 1.0).then(|| (0..size * size).map(at).collect())
    }
}

/// A network's channels, and what is known of them.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The network.
    pub network: Network<'a>,
    /// Its groups.
    pub groups: &'a Groups,
    /// Its gates.
    pub gates: &'a [GateSpec],
    /// By gate, of the unpruned network.
    pub covariances: &'a Covariances,
}

/// The classes of a plan that go one after the other until the cost is at most `target`, first to last. Only classes that `may`
/// go do.
pub fn eliminate(around: Surroundings, cost: &Cost, kept: &[bool], may: &[bool], target: u64) -> Vec<usize> {
    let mut rest = Rest::new(around, kept);
    let mut running = cost.running(kept);
    let mut lambda: Vec<f64> = kept.iter().map(|&k| f64::from(u8::from(k))).collect();
    let mut gone = Vec::new();
    while running.total > target {
        let mut saved = vec![0.0; kept.len()];
        cost.gradient(&lambda, 1.0, &mut saved);
        let worth = |c: usize| {
            let (error, saves) = rest.with_branches(c).fold((0.0, 0.0), |(e, s), c| (e + rest.error(c), s + saved[c]));
            (saves > 0.0).then(|| (c, error / saves))
        };
        let open = (0..kept.len()).filter(|&c| may[c] && lambda[c] > 0.0 && rest.is_told(c));
        let Some((next, _)) = open.filter_map(worth).min_by(|a, b| a.1.total_cmp(&b.1)) else { break };
        let all: Vec<usize> = rest.with_branches(next).filter(|&c| lambda[c] > 0.0).collect();
        for c in all {
            rest.remove(c);
            running.set(c, false);
            lambda[c] = 0.0;
            gone.push(c);
        }
    }
    gone
}

/// What is left of the channels, gate by gate.
struct Rest {
    gates: Vec<Told>,
    /// By class: its gates and coordinates there.
    places: Vec<Vec<(usize, usize)>>,
    /// By class of a trunk: those of branches that go with it.
    branches: Vec<Vec<usize>>,
    /// By class: number of classes of its group that are left, and the group.
    group: Vec<usize>,
    left: Vec<usize>,
}

/// A gate's coordinates, and how well each is told by the others.
struct Told {
    /// Inverse covariance of the coordinates that are left, `[c, c]`.
    inverse: Vec<f64>,
    /// Coordinates that are left.
    open: Vec<bool>,
    /// Squared weight of each in its readers, relative to the variance of their results.
    weight: Vec<f64>,
}

impl Rest {
    fn new(around: Surroundings, kept: &[bool]) -> Self {
        let Surroundings { network, groups, gates, covariances } = around;
        let mut places = vec![Vec::new(); kept.len()];
        let mut told = Vec::new();
        for (gate, covariance) in gates.iter().zip(covariances) {
            let Some(of_gate) = covariance.as_ref().and_then(|c| Told::new(network, gate, c, kept)) else {
                continue;
            };
            for (k, c) in gate.index.iter().enumerate() {
                c.get().into_iter().filter(|&c| kept[c]).for_each(|c| places[c].push((told.len(), k)));
            }
            told.push(of_gate);
        }
        let mut branches = vec![Vec::new(); kept.len()];
        let both = groups.implied.iter().filter(|(t, b)| kept[*t] && kept[*b]);
        both.for_each(|&(t, b)| branches[t].push(b));
        let group: Vec<usize> = groups.classes.iter().map(|c| c.group).collect();
        let mut left = vec![0; groups.groups.len()];
        (0..kept.len()).filter(|&c| kept[c]).for_each(|c| left[group[c]] += 1);
        Self { gates: told, places, branches, group, left }
    }

    /// A class, and those of branches that go with it.
    fn with_branches(&self, class: usize) -> impl Iterator<Item = usize> {
        std::iter::once(class).chain(self.branches[class].iter().copied())
    }

    /// True if something is known of a class, and it is not the last of its group.
    fn is_told(&self, class: usize) -> bool {
        !self.places[class].is_empty() && self.left[self.group[class]] > 1
    }

    /// The part of a class in its readers' results that is not told by what is left, relative to their variance.
    fn error(&self, class: usize) -> f64 {
        let open = self.places[class].iter().filter(|(g, k)| self.gates[*g].open[*k]);
        open.map(|&(g, k)| self.gates[g].error(k)).sum()
    }

    fn remove(&mut self, class: usize) {
        self.left[self.group[class]] -= 1;
        for &(g, k) in &self.places[class] {
            self.gates[g].remove(k);
        }
    }
}

impl Told {
    /// None where nothing varies.
    fn new(network: Network, gate: &GateSpec, covariance: &[f64], kept: &[bool]) -> Option<Self> {
        let size = gate.index.len();
        let weight = weights(network, gate, covariance)?;
        let open: Vec<bool> = gate.index.iter().map(|c: &OptIndex| c.get().is_none_or(|c| kept[c])).collect();
        let there: Vec<usize> = (0..size).filter(|&k| open[k]).collect();
        let mean = (0..size).map(|k| covariance[k * size + k]).sum::<f64>() / size as f64;
        let ridged = |i: usize, j: usize| {
            covariance[there[i] * size + there[j]] + if i == j { RIDGE * mean } else { 0.0 }
        };
        let n = there.len();
        let factor = Cholesky::new(Mat::from_fn(n, n, ridged))?;
        let solved = factor.solve(Mat::identity(n, n));
        let mut inverse = vec![0.0; size * size];
        for (i, &k) in there.iter().enumerate() {
            there.iter().enumerate().for_each(|(j, &l)| inverse[k * size + l] = solved[(i, j)]);
        }
        Some(Self { inverse, open, weight })
    }

    fn error(&self, k: usize) -> f64 {
        self.weight[k] / self.inverse[k * self.open.len() + k]
    }

    /// The inverse without coordinate k: P − p·pᵀ/P_kk.
    fn remove(&mut self, k: usize) {
        let size = self.open.len();
        if !std::mem::replace(&mut self.open[k], false) {
            return;
        }
        let row = self.inverse[k * size..][..size].to_vec();
        for (i, line) in self.inverse.chunks_exact_mut(size).enumerate().filter(|(i, _)| self.open[*i]) {
            let factor = row[i] / row[k];
            line.iter_mut().zip(&row).for_each(|(p, r)| *p -= factor * r);
        }
    }
}

/// By coordinate of a gate, its squared weight in the results of its readers relative to their variance, sum over the readers;
/// a reader that is no layer takes all as they are. None where nothing varies.
fn weights(network: Network, gate: &GateSpec, covariance: &[f64]) -> Option<Vec<f64>> {
    let size = gate.index.len();
    let mut weight = vec![0.0; size];
    for &(n, slot) in &gate.readers {
        let sums = tap_sums(network, n, input(slot, gate.axis)).filter(|s| s.inputs == size);
        let matrix = sums.map_or_else(
            || (0..size * size).map(|i| f64::from(u8::from(i % (size + 1) == 0))).collect(),
            |s| s.matrix,
        );
        let outputs = matrix.len() / size.max(1);
        let mut product = vec![0.0; matrix.len()];
        matmul(outputs, size, size, plain(&matrix), plain(covariance), false, &mut product);
        let variance: f64 = product.iter().zip(&matrix).map(|(p, w)| p * w).sum();
        if variance > 0.0 {
            matrix.iter().enumerate().for_each(|(i, w)| weight[i % size] += w * w / variance);
        }
    }
    weight.iter().any(|w| *w > 0.0).then_some(weight)
}
