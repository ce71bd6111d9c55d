//! A layer on some chunks of images: its inputs as columns, its wanted outputs, and the sums of its normal equations.

use super::layer::{Layer, Others, Sampling, Target};
use super::track::Tracks;
use crate::kernels::matmul::{matmul, plain, transposed};
use crate::tensor::*;
use std::borrow::Cow;
use std::ops::Range;

/// Least factor of a normalisation through which the layer can make a difference.
const LEAST_FACTOR: f32 = 1e-3;

/// Inputs and wanted outputs of a group of a layer, at some positions of some chunks.
pub(super) struct NormalEquations {
    pub positions: usize,
    /// Inputs and a row of ones, `[rows + 1, positions]`.
    x: Vec<f32>,
    /// Wanted outputs, `[outputs, positions]`.
    t: Vec<f32>,
    /// The bend of the rectifier that reads the result, if one does.
    bend: Option<Bend>,
}

/// The outputs at which a rectifier begins to let something through.
struct Bend {
    /// `[outputs, positions]`
    at: Vec<f32>,
    /// By output: larger values are let through.
    rising: Vec<bool>,
}

impl NormalEquations {
    /// Some chunks at every `step`-th position; `None` where a value could not be computed.
    pub fn new(
        layer: &Layer,
        target: &Target,
        group: usize,
        tracks: Tracks,
        chunks: Range<usize>,
        step: usize,
    ) -> Option<Self> {
        let one = |c: usize| Self::chunk(layer, target, group, tracks, c, Sampling { first: c % step, step });
        let mut all = chunks.map(one).collect::<Option<Vec<_>>>()?;
        if all.len() == 1 {
            return all.pop();
        }
        let positions = all.iter().map(|l| l.positions).sum();
        let joined = |field: &dyn Fn(&Self) -> &[f32]| {
            let mut out = Vec::with_capacity(all.iter().map(|l| field(l).len()).sum());
            for row in 0..all.first().map_or(0, |l| field(l).len() / l.positions.max(1)) {
                all.iter().for_each(|l| out.extend_from_slice(&field(l)[row * l.positions..][..l.positions]));
            }
            out
        };
        let (x, t) = (joined(&|l| &l.x), joined(&|l| &l.t));
        let at = joined(&|l| l.bend.as_ref().map_or(&[], |b| &b.at));
        let bend = all.pop()?.bend.map(|b| Bend { at, ..b });
        Some(Self { positions, x, t, bend })
    }

    /// One chunk at the positions `at`.
    fn chunk(
        layer: &Layer,
        target: &Target,
        group: usize,
        tracks: Tracks,
        c: usize,
        at: Sampling,
    ) -> Option<Self> {
        let (_, rows, outputs) = layer.sizes();
        let mut x = layer.columns(tracks.pruned.chunks[c].get(&layer.input)?, group, at);
        let positions = x.len() / rows.max(1);
        x.extend(std::iter::repeat_n(1.0, positions));
        let wanted = Wanted::new(layer, target, tracks, c, at)?;
        let mut t = Vec::with_capacity(outputs * positions);
        let mut bend = target.rectified.then(|| Bend { at: Vec::new(), rising: Vec::new() });
        for row in group * outputs..(group + 1) * outputs {
            let (from, line) = (t.len(), wanted.line(row));
            let rest = wanted.row(row, line, positions, &mut t);
            if t.len() - from != positions || rest.len() != positions {
                return None;
            }
            if let Some(bend) = &mut bend {
                bend.push(line, &rest);
            }
        }
        Some(Self { positions, x, t, bend })
    }

    /// Rows of x.
    fn rows(&self) -> usize {
        self.x.len() / self.positions.max(1)
    }

    /// Σ x·xᵀ
    pub fn gram(&self) -> Vec<f32> {
        let rows = self.rows();
        let mut g = vec![0.0; rows * rows];
        matmul(rows, self.positions, rows, plain(&self.x), transposed(&self.x), false, &mut g);
        g
    }

    /// Σ t·xᵀ
    pub fn wanted(&self) -> Vec<f32> {
        self.against(&self.t)
    }

    fn against(&self, t: &[f32]) -> Vec<f32> {
        let (rows, outputs) = (self.rows(), t.len() / self.positions.max(1));
        let mut b = vec![0.0; outputs * rows];
        matmul(outputs, self.positions, rows, plain(t), transposed(&self.x), false, &mut b);
        b
    }

    /// Σ t and Σ t², by output.
    pub fn moments(&self) -> Vec<[f64; 2]> {
        let one =
            |row: &[f32]| row.iter().map(|&v| f64::from(v)).fold([0.0; 2], |s, v| [s[0] + v, s[1] + v * v]);
        self.t.chunks_exact(self.positions.max(1)).map(one).collect()
    }

    /// W·x
    fn given(&self, w: &[f32]) -> Vec<f32> {
        let (rows, n) = (self.rows(), self.positions);
        let mut y = vec![0.0; self.t.len()];
        matmul(self.t.len() / n.max(1), rows, n, plain(w), plain(&self.x), false, &mut y);
        y
    }

    /// Σ t′·xᵀ, where t′ asks no more of W·x than the rectifier lets be seen: where nothing should come through, any value
    /// below the bend is right.
    pub fn wanted_of(&self, w: &[f32]) -> Vec<f32> {
        self.against(&self.targets(w))
    }

    fn targets(&self, w: &[f32]) -> Vec<f32> {
        let Some(bend) = &self.bend else { return self.t.clone() };
        let mut t = self.given(w);
        let n = self.positions;
        for (i, y) in t.iter_mut().enumerate() {
            let (at, rising) = (bend.at[i], bend.rising[i / n]);
            *y = match passes(self.t[i], at, rising) {
                true => self.t[i],
                false if passes(*y, at, rising) => at,
                false => *y,
            };
        }
        t
    }

    /// Σ of the squared differences between W·x and the wanted outputs, both as the rectifier lets them be seen.
    pub fn error(&self, w: &[f32]) -> f64 {
        let y = self.given(w);
        let seen = |i: usize, v: f32| match &self.bend {
            Some(b) if !passes(v, b.at[i], b.rising[i / self.positions]) => b.at[i],
            _ => v,
        };
        let missed = |(i, (y, t)): (usize, (&f32, &f32))| f64::from(seen(i, *y) - seen(i, *t)).powi(2);
        y.iter().zip(&self.t).enumerate().map(missed).sum()
    }
}

/// A normalisation as a function of the layer's output y: factor · y + shift.
#[derive(Clone, Copy)]
struct Line {
    factor: f32,
    shift: f32,
}

impl Line {
    /// True if the layer's output makes a difference to the normalised one.
    fn reaches(self) -> bool {
        self.factor.abs() > LEAST_FACTOR
    }
}

impl Bend {
    /// Appends an output: `rest` is added to its normalisation, by position.
    fn push(&mut self, line: Line, rest: &[f32]) {
        let Line { factor, shift } = line;
        self.rising.push(factor > 0.0 || !line.reaches());
        let at = |r: &f32| if line.reaches() { -(shift + r) / factor } else { f32::NEG_INFINITY };
        self.at.extend(rest.iter().map(at));
    }
}

/// The other operand of the addition that follows a layer.
struct Trunk<'a> {
    /// In the original, at the coordinates that are left.
    was: Cow<'a, Array<f32>>,
    /// In the pruned network.
    is: &'a Array<f32>,
    /// The original's channels that are left.
    left: &'a [usize],
}

/// A layer's outputs in the original on one chunk.
struct Wanted<'a> {
    layer: &'a Layer,
    target: &'a Target,
    /// The output at the coordinates that are left.
    y: Cow<'a, Array<f32>>,
    /// The other operand of the addition that follows, if one does.
    trunk: Option<Trunk<'a>>,
    /// The constant that the original adds after the layer: one number, or one by channel.
    added: Option<Vec<f32>>,
    at: Sampling,
}

impl<'a> Wanted<'a> {
    fn new(layer: &'a Layer, target: &'a Target, tracks: Tracks<'a>, c: usize, at: Sampling) -> Option<Self> {
        let (original, pruned) = (&tracks.original.chunks[c], &tracks.pruned.chunks[c]);
        let y = left_of(original.get(&layer.output)?, &target.others);
        let trunk = match &target.sum {
            Some(sum) => Some(Trunk {
                was: left_of(original.get(&sum.trunk)?, &sum.others),
                is: pruned.get(&sum.trunk)?,
                left: &sum.left,
            }),
            None => None,
        };
        // Both are compared with what is added to them after the layer.
        let added = match layer.bias.filter(|b| b.after) {
            Some(bias) => Some(bias.after_in(tracks.original.network())?),
            None => None,
        };
        Some(Self { layer, target, y, trunk, added, at })
    }

    /// The normalisation of output `row`.
    fn line(&self, row: usize) -> Line {
        let Some(normalised) = &self.layer.normalised else { return Line { factor: 1.0, shift: 0.0 } };
        let (factor, shift) = normalised.line(row, self.added.is_some());
        Line { factor, shift }
    }

    /// Appends output `row` as it should be: with the trunk's loss, where the layer can make up for it. Gives the pruned
    /// network's trunk, zero where there is none.
    fn row(&self, row: usize, line: Line, positions: usize, t: &mut Vec<f32>) -> Vec<f32> {
        let (channel, from) = (self.target.channels[row], t.len());
        let added = self.added.as_ref().map_or(0.0, |a| if a.len() == 1 { a[0] } else { a[channel] });
        t.extend(self.layer.outputs(&self.y, channel, self.at).map(|v| v + added));
        let Some(Trunk { was, is, left }) = &self.trunk else { return vec![0.0; positions] };
        let was = self.layer.outputs(was, channel, self.at);
        let is: Vec<f32> = match left.binary_search(&channel) {
            Ok(place) => self.layer.outputs(is, place, self.at).collect(),
            Err(_) => vec![0.0; positions],
        };
        if line.reaches() {
            let gone = was.zip(&is);
            t[from..].iter_mut().zip(gone).for_each(|(t, (was, is))| *t += (was - is) / line.factor);
        }
        is
    }
}

/// A value of the original at the coordinates that are left of some axes.
fn left_of<'a>(y: &'a Array<f32>, others: &Others) -> Cow<'a, Array<f32>> {
    let mut y = Cow::Borrowed(y);
    for (axis, left) in others {
        y = Cow::Owned(select(y.view(), *axis, left));
    }
    y
}

fn passes(v: f32, bend: f32, rising: bool) -> bool {
    (v > bend) == rising
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The squared distance to the targets of some weights bounds the error of any others from above.
    #[test]
    fn targets_taken_anew_bound_the_rectified_error() {
        let (rows, outputs, positions) = (3, 2, 40);
        let numbers = |n: usize, seed: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * 2_654_435_761 + seed * 97) % 1009) as f32 / 504.5 - 1.0).collect()
        };
        let bend = Bend { at: numbers(outputs * positions, 3), rising: vec![true, false] };
        let (x, t) = (numbers(rows * positions, 1), numbers(outputs * positions, 2));
        let equations = NormalEquations { positions, x, t, bend: Some(bend) };
        let linear =
            NormalEquations { positions, x: equations.x.clone(), t: equations.t.clone(), bend: None };
        for seed in 4..20 {
            let (w, other) = (numbers(outputs * rows, seed), numbers(outputs * rows, seed + 100));
            let anew =
                NormalEquations { positions, x: equations.x.clone(), t: equations.targets(&w), bend: None };
            for v in [&w, &other] {
                assert!(equations.error(v) <= anew.error(v) * 1.00001);
                assert!(equations.error(v) <= linear.error(v) * 1.00001);
            }
            assert!(anew.error(&w) < linear.error(&w), "some of what stays behind the bend need not be met");
        }
    }
}
