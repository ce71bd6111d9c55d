//! A layer on some chunks of images: its inputs as columns, its wanted outputs, and the sums of its normal equations.

use super::layer::{Layer, Others, Sampling, Target};
use super::track::Tracks;
use crate::kernels::matmul::{gram, matmul, plain, transposed};
use crate::tensor::*;
use std::borrow::Cow;
use std::ops::Range;

/// Weight of an image's mean error beside the errors at its positions. Errors that an image's positions have in common add up in
/// what follows, others come out even.
const MEAN: f64 = 1.0;

/// The same where what follows takes nothing but means over all positions.
const AVERAGED: f64 = 5.0;

/// Least factor of a normalisation through which the layer can make a difference.
const LEAST_FACTOR: f32 = 1e-3;

/// Inputs and wanted outputs of a group of a layer, at some positions of some chunks.
pub(super) struct NormalEquations {
    columns: Columns,
    /// Inputs and a row of ones, `[rows + 1, columns]`.
    x: Vec<f32>,
    /// Wanted outputs, `[outputs, columns]`.
    t: Vec<f32>,
    /// The bend of the rectifier that reads the result, if one does.
    bend: Option<Bend>,
}

/// The columns of the equations: the positions of an image, then the mean over them, image after image.
struct Columns {
    /// Positions by image.
    images: Vec<usize>,
    /// Weight of an image's mean beside its positions; none where images have one position each.
    mean: Option<f64>,
}

impl Columns {
    /// Those of a chunk at the positions `at`.
    fn new(layer: &Layer, target: &Target, at: Sampling) -> Self {
        let of_image = layer.positions_of_image();
        let mut images = vec![0; layer.positions.div_ceil(of_image)];
        (at.first..layer.positions).step_by(at.step).for_each(|p| images[p / of_image] += 1);
        images.retain(|&n| n > 0);
        let mean = (of_image > 1).then_some(if target.averaged { AVERAGED } else { MEAN });
        Self { images, mean }
    }

    fn len(&self) -> usize {
        self.images.iter().sum::<usize>() + self.mean.map_or(0, |_| self.images.len())
    }

    /// Appends to `to` what stands at the positions, with room for the means.
    fn spread(&self, mut values: impl Iterator<Item = f32>, to: &mut Vec<f32>) {
        for &n in &self.images {
            to.extend(values.by_ref().take(n));
            to.extend(self.mean.map(|_| 0.0));
        }
    }

    /// Puts the means into rows, each times the root of its weight and of the number of positions.
    fn average(&self, rows: &mut [f32]) {
        let Some(weight) = self.mean else { return };
        for row in rows.chunks_exact_mut(self.len().max(1)) {
            let mut rest = row;
            for &n in &self.images {
                let (of_image, after) = rest.split_at_mut(n + 1);
                let sum: f32 = of_image[..n].iter().sum();
                of_image[n] = sum * (weight / n as f64).sqrt() as f32;
                rest = after;
            }
        }
    }
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
        let joined = |field: &dyn Fn(&Self) -> &[f32]| {
            let mut out = Vec::with_capacity(all.iter().map(|l| field(l).len()).sum());
            for row in 0..all.first().map_or(0, |l| field(l).len() / l.columns.len().max(1)) {
                for part in &all {
                    let n = part.columns.len();
                    out.extend_from_slice(&field(part)[row * n..][..n]);
                }
            }
            out
        };
        let (x, t) = (joined(&|l| &l.x), joined(&|l| &l.t));
        let at = joined(&|l| l.bend.as_ref().map_or(&[], |b| &b.at));
        let images = all.iter().flat_map(|l| l.columns.images.iter().copied()).collect();
        let last = all.pop()?;
        let bend = last.bend.map(|b| Bend { at, ..b });
        Some(Self { columns: Columns { images, ..last.columns }, x, t, bend })
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
        let inputs = layer.columns(tracks.pruned.chunks[c].get(&layer.input)?, group, at);
        let positions = inputs.len() / rows.max(1);
        let columns = Columns::new(layer, target, at);
        let mut x = Vec::with_capacity((rows + 1) * columns.len());
        inputs.chunks_exact(positions.max(1)).for_each(|row| columns.spread(row.iter().copied(), &mut x));
        columns.spread(std::iter::repeat(1.0), &mut x);
        columns.average(&mut x);
        let wanted = Wanted::new(layer, target, tracks, c, at)?;
        let mut t = Vec::with_capacity(outputs * columns.len());
        let mut bend = target.rectified.then(|| Bend { at: Vec::new(), rising: Vec::new() });
        for row in group * outputs..(group + 1) * outputs {
            let line = wanted.line(row);
            let (wanted, rest) = wanted.row(row, line, positions);
            if wanted.len() != positions || rest.len() != positions {
                return None;
            }
            columns.spread(wanted.into_iter(), &mut t);
            if let Some(bend) = &mut bend {
                bend.push(line, &rest, &columns);
            }
        }
        columns.average(&mut t);
        Some(Self { columns, x, t, bend })
    }

    /// Rows of x.
    fn rows(&self) -> usize {
        self.x.len() / self.columns.len().max(1)
    }

    /// Σ x·xᵀ on and below the diagonal, in rows of the whole length.
    pub fn gram(&self) -> Vec<f32> {
        gram(self.rows(), self.columns.len(), &self.x)
    }

    /// Σ t·xᵀ
    pub fn wanted(&self) -> Vec<f32> {
        self.against(&self.t)
    }

    fn against(&self, t: &[f32]) -> Vec<f32> {
        let (rows, columns) = (self.rows(), self.columns.len());
        let outputs = t.len() / columns.max(1);
        let mut b = vec![0.0; outputs * rows];
        matmul(outputs, columns, rows, plain(t), transposed(&self.x), false, &mut b);
        b
    }

    /// Σ t², by output.
    pub fn squares(&self) -> Vec<f64> {
        let one = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum();
        self.t.chunks_exact(self.columns.len().max(1)).map(one).collect()
    }

    /// W·x
    fn given(&self, w: &[f32]) -> Vec<f32> {
        let (rows, n) = (self.rows(), self.columns.len());
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
        let n = self.columns.len();
        for (i, y) in t.iter_mut().enumerate() {
            let (at, rising) = (bend.at[i], bend.rising[i / n]);
            *y = match passes(self.t[i], at, rising) {
                true => self.t[i],
                false if passes(*y, at, rising) => at,
                false => *y,
            };
        }
        self.columns.average(&mut t);
        t
    }

    /// Σ of the squared differences between W·x and the wanted outputs, both as the rectifier lets them be seen.
    pub fn error(&self, w: &[f32]) -> f64 {
        let n = self.columns.len();
        let seen = |i: usize, v: f32| match &self.bend {
            Some(b) if !passes(v, b.at[i], b.rising[i / n]) => b.at[i],
            _ => v,
        };
        let mut missed = self.given(w);
        missed.iter_mut().zip(&self.t).enumerate().for_each(|(i, (y, t))| *y = seen(i, *y) - seen(i, *t));
        self.columns.average(&mut missed);
        missed.iter().map(|&d| f64::from(d).powi(2)).sum()
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
    fn push(&mut self, line: Line, rest: &[f32], columns: &Columns) {
        let Line { factor, shift } = line;
        self.rising.push(factor > 0.0 || !line.reaches());
        let at = |r: &f32| if line.reaches() { -(shift + r) / factor } else { f32::NEG_INFINITY };
        columns.spread(rest.iter().map(at), &mut self.at);
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

    /// Output `row` as it should be, with the trunk's loss where the layer can make up for it, and the pruned network's trunk,
    /// zero where there is none.
    fn row(&self, row: usize, line: Line, positions: usize) -> (Vec<f32>, Vec<f32>) {
        let channel = self.target.channels[row];
        let added = self.added.as_ref().map_or(0.0, |a| if a.len() == 1 { a[0] } else { a[channel] });
        let mut t: Vec<f32> = self.layer.outputs(&self.y, channel, self.at).map(|v| v + added).collect();
        let Some(Trunk { was, is, left }) = &self.trunk else { return (t, vec![0.0; positions]) };
        let was = self.layer.outputs(was, channel, self.at);
        let is: Vec<f32> = match left.binary_search(&channel) {
            Ok(place) => self.layer.outputs(is, place, self.at).collect(),
            Err(_) => vec![0.0; positions],
        };
        if line.reaches() {
            let gone = was.zip(&is);
            t.iter_mut().zip(gone).for_each(|(t, (was, is))| *t += (was - is) / line.factor);
        }
        (t, is)
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

    /// The square of what it holds is the weight times the number of positions times the square of the mean.
    #[test]
    fn an_image_has_a_column_for_its_mean() {
        let columns = Columns { images: vec![3, 1], mean: Some(4.0) };
        let mut row = Vec::new();
        columns.spread([1.0, 2.0, 6.0, 5.0].into_iter(), &mut row);
        columns.average(&mut row);
        // 4 · 3 · 3² = 108, 4 · 1 · 5² = 100.
        let expected = [1.0, 2.0, 6.0, 108f32.sqrt(), 5.0, 10.0];
        assert_eq!(row.len(), columns.len());
        row.iter().zip(expected).for_each(|(r, e)| assert!((r - e).abs() < 1e-5, "{row:?}"));
    }

    /// The squared distance to the targets of some weights bounds the error of any others from above.
    #[test]
    fn targets_taken_anew_bound_the_rectified_error() {
        let (rows, outputs, positions) = (3, 2, 40);
        let numbers = |n: usize, seed: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * 2_654_435_761 + seed * 97) % 1009) as f32 / 504.5 - 1.0).collect()
        };
        let columns = || Columns { images: vec![15, 5, 20], mean: Some(AVERAGED) };
        let spread = |numbers: Vec<f32>| {
            let mut out = Vec::new();
            numbers.chunks(positions).for_each(|row| columns().spread(row.iter().copied(), &mut out));
            columns().average(&mut out);
            out
        };
        let bend = Bend { at: spread(numbers(outputs * positions, 3)), rising: vec![true, false] };
        let (x, t) = (spread(numbers(rows * positions, 1)), spread(numbers(outputs * positions, 2)));
        let equations = NormalEquations { columns: columns(), x, t, bend: Some(bend) };
        let given =
            |t: Vec<f32>| NormalEquations { columns: columns(), x: equations.x.clone(), t, bend: None };
        let linear = given(equations.t.clone());
        for seed in 4..20 {
            let (w, other) = (numbers(outputs * rows, seed), numbers(outputs * rows, seed + 100));
            let anew = given(equations.targets(&w));
            for v in [&w, &other] {
                assert!(equations.error(v) <= anew.error(v) * 1.00001);
                assert!(equations.error(v) <= linear.error(v) * 1.00001);
            }
            assert!(anew.error(&w) < linear.error(&w), "some of what stays behind the bend need not be met");
        }
    }
}
