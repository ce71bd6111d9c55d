//! What a fit sees of some chunks of images: the layer's inputs as columns, and what it should make of them.

use super::layer::{Layer, Others, Target};
use super::track::Track;
use crate::kernels::matmul::{matmul, plain, transposed};
use crate::tensor::*;
use std::borrow::Cow;
use std::ops::Range;

/// A layer whose normalisation multiplies by less can do nothing for what comes behind it.
const LEAST_FACTOR: f32 = 1e-3;

/// The positions of some chunks that are looked at.
pub(super) struct NormalEquations {
    pub positions: usize,
    /// Inputs and a row of ones, `[rows + 1, positions]`.
    x: Vec<f32>,
    /// What the layer should give, `[outputs, positions]`.
    t: Vec<f32>,
    /// Where the rectifier behind the layer bends.
    bend: Option<Bend>,
}

/// The outputs where a rectifier begins to let something through.
struct Bend {
    /// `[outputs, positions]`
    at: Vec<f32>,
    /// By output: it lets through what is above.
    rising: Vec<bool>,
}

impl NormalEquations {
    /// These chunks at every `step`-th position; `None` where a value could not be computed.
    pub fn new(
        layer: &Layer,
        target: &Target,
        group: usize,
        tracks: (&Track, &Track),
        chunks: Range<usize>,
        step: usize,
    ) -> Option<Self> {
        let one = |c: usize| Self::chunk(layer, target, group, tracks, c, (c % step, step));
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

    fn chunk(
        layer: &Layer,
        target: &Target,
        group: usize,
        (original, pruned): (&Track, &Track),
        c: usize,
        at: (usize, usize),
    ) -> Option<Self> {
        let (big, small) = (&original.chunks[c], &pruned.chunks[c]);
        let (_, rows, outputs) = layer.sizes();
        let mut x = layer.columns(small.get(&layer.input)?, group, at);
        let positions = x.len() / rows.max(1);
        x.extend(std::iter::repeat_n(1.0, positions));
        let y = &left_of(big.get(&layer.output)?, &target.others);
        let trunk = match &target.sum {
            Some(sum) => {
                Some((left_of(big.get(&sum.trunk)?, &sum.others), small.get(&sum.trunk)?, &sum.left))
            }
            None => None,
        };
        let mut t = Vec::with_capacity(outputs * positions);
        let mut bend = target.rectified.then(|| Bend { at: Vec::new(), rising: Vec::new() });
        let after = layer.shift.filter(|s| s.after);
        let centred = layer.normalised.is_some() && after.is_some();
        // Both are compared with what is added to them after the layer.
        let added = match after {
            Some(shift) => Some(shift.after_in(&original.graph, &original.facts)?),
            None => None,
        };
        for row in group * outputs..(group + 1) * outputs {
            let channel = target.channels[row];
            let from = t.len();
            let added = added.as_ref().map_or(0.0, |a| if a.len() == 1 { a[0] } else { a[channel] });
            t.extend(layer.outputs(y, channel, at).map(|v| v + added));
            // What comes behind the normalisation is what the layer gives times this, and this more.
            let (factor, shift) = layer.normalised.as_ref().map_or((1.0, 0.0), |n| n.line(row, centred));
            let reaches = factor.abs() > LEAST_FACTOR;
            let rest = match &trunk {
                Some((was, is, left)) => {
                    let was = layer.outputs(was, channel, at);
                    let is: Vec<f32> = match left.binary_search(&channel) {
                        Ok(place) => layer.outputs(is, place, at).collect(),
                        Err(_) => vec![0.0; positions],
                    };
                    if reaches {
                        let gone = was.zip(&is);
                        t[from..].iter_mut().zip(gone).for_each(|(t, (was, is))| *t += (was - is) / factor);
                    }
                    is
                }
                None => vec![0.0; positions],
            };
            if t.len() - from != positions || rest.len() != positions {
                return None;
            }
            if let Some(bend) = &mut bend {
                bend.rising.push(factor > 0.0 || !reaches);
                let at = |r: &f32| if reaches { -(shift + r) / factor } else { f32::NEG_INFINITY };
                bend.at.extend(rest.iter().map(at));
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

    /// Σ t′·xᵀ, where t′ asks no more of W·x than the rectifier lets be seen: where nothing should come through, whatever
    /// stays behind the bend is right.
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

    /// Σ of the squared differences between what W·x and what the wanted outputs let be seen.
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

    /// The squared distance to what is wanted of some weights bounds the error of any others from above.
    #[test]
    fn targets_taken_anew_bound_the_rectified_error() {
        let (rows, outputs, positions) = (3, 2, 40);
        let numbers = |n: usize, seed: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * 2_654_435_761 + seed * 97) % 1009) as f32 / 504.5 - 1.0).collect()
        };
        let bend = Bend { at: numbers(outputs * positions, 3), rising: vec![true, false] };
        let (x, t) = (numbers(rows * positions, 1), numbers(outputs * positions, 2));
        let look = NormalEquations { positions, x, t, bend: Some(bend) };
        let linear = NormalEquations { positions, x: look.x.clone(), t: look.t.clone(), bend: None };
        for seed in 4..20 {
            let (w, other) = (numbers(outputs * rows, seed), numbers(outputs * rows, seed + 100));
            let anew = NormalEquations { positions, x: look.x.clone(), t: look.targets(&w), bend: None };
            for v in [&w, &other] {
                assert!(look.error(v) <= anew.error(v) * 1.00001);
                assert!(look.error(v) <= linear.error(v) * 1.00001);
            }
            assert!(anew.error(&w) < linear.error(&w), "some of what stays behind the bend need not be met");
        }
    }
}
