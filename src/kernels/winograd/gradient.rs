//! The transforms of the pass back, each the transpose of one of the pass forward: a lane is a tile.
//!
//! Tiles of the output's gradient lie side by side; those of the input's overlap, and are added up where they do.

use super::super::arithmetic::{Arithmetic, SimdOp};
use super::{Group, POINTS, SQUARE, TILE, Winograd};
use pulp::Simd;

/// From rows of the output's gradient to `[point][channel][tile]`.
pub(super) struct Outputs<'a, R> {
    pub of: &'a Winograd,
    pub group: &'a Group,
    pub row: &'a mut R,
    pub scratch: &'a mut [f32],
    pub into: &'a mut [f32],
}

/// From `[point][channel][tile]` to the input's gradient, which it is added to.
pub(super) struct Inputs<'a> {
    pub of: &'a Winograd,
    pub group: &'a Group,
    pub from: &'a [f32],
    pub scratch: &'a mut [f32],
    pub dx: &'a mut [f32],
}

impl<R: FnMut(usize, usize, usize, &mut [f32])> SimdOp for Outputs<'_, R> {
    #[inline(always)]
    fn run<S: Simd, const FUSED: bool>(self, v: Arithmetic<S, FUSED>) {
        let Self { of, group, row, scratch, into } = self;
        let (g, lanes) = (&of.g, of.lanes);
        let (point, channel) = (of.points[1], of.products.pitch);
        assert!(into.len() >= SQUARE * point && of.height * lanes <= channel);
        let (lines, rest) = scratch.split_at_mut(TILE * TILE * lanes);
        let rows = &mut rest[..TILE * POINTS * lanes];
        let (width, [oh, ow]) = (of.across * TILE, [g.output[1], g.output[2]]);
        lines.fill(0.0);
        for o in 0..g.cout {
            for r in 0..of.height {
                for (k, line) in lines.chunks_exact_mut(TILE * lanes).enumerate() {
                    for (i, &[n, first]) in group.strips.iter().enumerate() {
                        let (y, line) = ((first + r) * TILE + k, &mut line[i * width..][..ow]);
                        // What lies outside, or belongs to another group, is zero.
                        if first + r < group.end && y < oh { row(n, o, y, line) } else { line.fill(0.0) }
                    }
                }
                let pairs = lines.chunks_exact(TILE * lanes).zip(rows.chunks_exact_mut(POINTS * lanes));
                for (line, out) in pairs {
                    for l in (0..lanes).step_by(S::F32_LANES) {
                        let t = v.output_back(v.take_apart(&line[l * TILE..]));
                        for (out, t) in out[l..].chunks_mut(lanes).zip(t) {
                            v.store(t, out);
                        }
                    }
                }
                let (from, to) = (rows.as_ptr(), into[o * channel..].as_mut_ptr());
                for j in 0..POINTS {
                    for l in (0..lanes).step_by(S::F32_LANES) {
                        // SAFETY: four rows of points; the tile's place at six points, within `into`.
                        unsafe {
                            let from = from.add(j * lanes + l);
                            let to = to.add(j * point + r * lanes + l);
                            let d = |i: usize| v.read(from.add(i * POINTS * lanes));
                            let t = v.output_back([d(0), d(1), d(2), d(3)]);
                            for (i, t) in t.into_iter().enumerate() {
                                v.write(to.add(i * POINTS * point), t);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl SimdOp for Inputs<'_> {
    #[inline(always)]
    fn run<S: Simd, const FUSED: bool>(self, v: Arithmetic<S, FUSED>) {
        let Self { of, group, from, scratch, dx } = self;
        let (g, lanes) = (&of.g, of.lanes);
        let (point, channel) = (of.points[0], of.products.pitch);
        assert!(from.len() >= SQUARE * point && of.height * lanes <= channel);
        let count = of.height * TILE + 2;
        let (rows, rest) = scratch.split_at_mut(count * POINTS * lanes);
        // Each tile's first four columns, and behind them, a tile further on, the two that its neighbour has too.
        let (own, rest) = rest.split_at_mut(TILE * lanes);
        let shared = &mut rest[..TILE * (lanes + 1)];
        let (width, zero) = (of.across * TILE, v.0.splat_f32s(0.0));
        let (left, [ih, iw]) = (g.pad[2] as usize, [g.input[1], g.input[2]]);
        for c in 0..g.cin {
            let from = from[c * channel..].as_ptr();
            for r in 0..of.height {
                let rows = rows[r * TILE * POINTS * lanes..][..POINTS * POINTS * lanes].as_mut_ptr();
                for j in 0..POINTS {
                    for l in (0..lanes).step_by(S::F32_LANES) {
                        // SAFETY: the tile's place at six points, within `from`; six rows of points.
                        unsafe {
                            let from = from.add(j * point + r * lanes + l);
                            let m = |i: usize| v.read(from.add(i * POINTS * point));
                            let d = v.input_back([m(0), m(1), m(2), m(3), m(4), m(5)]);
                            for (i, d) in d.into_iter().enumerate() {
                                let to = rows.add((i * POINTS + j) * lanes + l);
                                // The tile above has the first two as well.
                                v.write(to, if i < 2 && r > 0 { v.add(v.read(to), d) } else { d });
                            }
                        }
                    }
                }
            }
            for (k, row) in rows.chunks_exact(POINTS * lanes).enumerate() {
                for l in (0..lanes).step_by(S::F32_LANES) {
                    let m = |j: usize| v.load(&row[j * lanes + l..]);
                    let [a, b, c, d, e, f] = v.input_back([m(0), m(1), m(2), m(3), m(4), m(5)]);
                    v.put_together([a, b, c, d], &mut own[l * TILE..]);
                    v.put_together([e, f, zero, zero], &mut shared[(l + 1) * TILE..]);
                }
                for (i, &[n, first]) in group.strips.iter().enumerate() {
                    let Some(y) = (first * TILE + k).checked_sub(g.pad[1] as usize).filter(|&y| y < ih)
                    else {
                        continue;
                    };
                    let out = &mut dx[((n * g.cin + c) * ih + y) * iw..][..iw];
                    // Column x of the input is column x + left of the strip, whose tiles have two more columns than `width`.
                    let (own, shared) = (&own[i * width..], &shared[i * width..]);
                    let [a, b, c, d] = [0, TILE, width, width + 2].map(|p| p.clamp(left, left + iw));
                    add(&mut out[a - left..b - left], &own[a..b]);
                    let pairs = own[b..c].iter().zip(&shared[b..c]);
                    out[b - left..c - left].iter_mut().zip(pairs).for_each(|(o, (x, y))| *o += x + y);
                    add(&mut out[c - left..d - left], &shared[c..d]);
                }
            }
        }
    }
}

#[inline(always)]
fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(o, t)| *o += t);
}
