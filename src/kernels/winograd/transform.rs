//! The transforms of the pass forward, from input to products and from products to output: a lane is a tile.

#![allow(clippy::needless_range_loop, reason = "one index runs over several places")]

use super::super::arithmetic::{Arithmetic, SimdOp};
use super::super::simd::copy;
use super::{Group, POINTS, SQUARE, TILE, Winograd};
use pulp::Simd;

/// From rows of the input to `[point][channel][tile]`.
pub(super) struct Inputs<'a, R> {
    pub of: &'a Winograd,
    pub group: &'a Group,
    pub row: &'a mut R,
    pub scratch: &'a mut [f32],
    pub into: &'a mut [f32],
}

/// From `[point][channel][tile]` to the output.
pub(super) struct Outputs<'a> {
    pub of: &'a Winograd,
    pub group: &'a Group,
    pub from: &'a [f32],
    pub bias: &'a [f32],
    pub relu: bool,
    pub scratch: &'a mut [f32],
    pub y: &'a mut [f32],
}

impl<R: FnMut(usize, usize, usize, &mut [f32])> SimdOp for Inputs<'_, R> {
    #[inline(always)]
    fn run<S: Simd, const FUSED: bool>(self, v: Arithmetic<S, FUSED>) {
        let Self { of, group, row, scratch, into } = self;
        let (g, lanes) = (&of.g, of.lanes);
        let (point, channel) = (of.points[0], of.products.pitch);
        assert!(into.len() >= SQUARE * point && of.height * lanes <= channel);
        // A line of input, padded; and for several images' lines side by side each tile's first four columns, then the four
        // behind those.
        let single = group.strips.len() == 1;
        let pitch = (if single { lanes + 1 } else { 2 * lanes }) * TILE;
        let (line, rest) = scratch.split_at_mut((lanes + 1) * TILE);
        let count = of.height * TILE + 2;
        let (lines, rows) = rest.split_at_mut(count * 2 * lanes * TILE);
        let (left, width) = (g.pad[2] as usize, of.across * TILE);
        line.fill(0.0);
        lines[..count * pitch].fill(0.0);
        for c in 0..g.cin {
            // All lines before any of them is read: loads that span recent stores would wait.
            for (k, lines) in lines.chunks_exact_mut(pitch).take(count).enumerate() {
                for (i, &[n, first]) in group.strips.iter().enumerate() {
                    let inside = (first * TILE + k).checked_sub(g.pad[1] as usize);
                    // What lies outside stays zero.
                    let Some(r) = inside.filter(|&r| r < g.input[1]) else { continue };
                    let padded = if single { &mut *lines } else { &mut *line };
                    row(n, c, r, &mut padded[left..left + g.input[2]]);
                    if !single {
                        copy(&mut lines[i * width..][..width], &line[..width]);
                        copy(&mut lines[pitch / 2 + i * width..][..width], &line[TILE..][..width]);
                    }
                }
            }
            let next = if single { TILE } else { pitch / 2 };
            for (k, out) in rows.chunks_exact_mut(POINTS * lanes).take(count).enumerate() {
                let line = &lines[k * pitch..][..pitch];
                for l in (0..lanes).step_by(S::F32_LANES) {
                    let [a, b, c, d] = v.take_apart(&line[l * TILE..]);
                    let [e, f, ..] = v.take_apart(&line[next + l * TILE..]);
                    let t = v.input([a, b, c, d, e, f]);
                    let out = out[l..][..(POINTS - 1) * lanes + S::F32_LANES].as_mut_ptr();
                    for j in 0..POINTS {
                        // SAFETY: within the slice.
                        unsafe { v.write(out.add(j * lanes), t[j]) };
                    }
                }
            }
            let (from, to) = (rows.as_ptr(), into[c * channel..].as_mut_ptr());
            for r in 0..of.height {
                for j in 0..POINTS {
                    for l in (0..lanes).step_by(S::F32_LANES) {
                        // SAFETY: six of `count` rows of points from 4·r on; the tile's place at six points, within `into`.
                        unsafe {
                            let from = from.add((r * TILE * POINTS + j) * lanes + l);
                            let to = to.add(j * point + r * lanes + l);
                            let d = |i: usize| v.read(from.add(i * POINTS * lanes));
                            let t = v.input([d(0), d(1), d(2), d(3), d(4), d(5)]);
                            for i in 0..POINTS {
                                v.write(to.add(i * POINTS * point), t[i]);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl SimdOp for Outputs<'_> {
    #[inline(always)]
    fn run<S: Simd, const FUSED: bool>(self, v: Arithmetic<S, FUSED>) {
        let Self { of, group, from, bias, relu, scratch, y } = self;
        let (g, lanes) = (&of.g, of.lanes);
        let (point, channel) = (of.points[1], of.products.pitch);
        assert!(from.len() >= SQUARE * point && of.height * lanes <= channel);
        let [oh, ow] = [g.output[1], g.output[2]];
        let lines = &mut scratch[..TILE * TILE * lanes];
        let least = if relu { 0.0 } else { f32::NEG_INFINITY };
        let above = |t: f32| if t < least { least } else { t };
        for o in 0..g.cout {
            let bias = v.0.splat_f32s(bias.get(o).copied().unwrap_or(0.0));
            let from = from[o * channel..].as_ptr();
            for r in 0..of.height {
                for l in (0..lanes).step_by(S::F32_LANES) {
                    let mut half = [[v.0.splat_f32s(0.0); POINTS]; TILE];
                    for j in 0..POINTS {
                        // SAFETY: the tile's place at six points, within `from`.
                        let t = unsafe {
                            let from = from.add(j * point + r * lanes + l);
                            let m = |i: usize| v.read(from.add(i * POINTS * point));
                            v.output([m(0), m(1), m(2), m(3), m(4), m(5)])
                        };
                        half.iter_mut().zip(t).for_each(|(row, t)| row[j] = t);
                    }
                    for (i, m) in half.into_iter().enumerate() {
                        let four = v.output(m).map(|t| v.add(t, bias));
                        v.put_together(four, &mut lines[(i * lanes + l) * TILE..]);
                    }
                }
                let rows = group.strips.iter().map(|[n, first]| [*n, first + r]).enumerate();
                for (k, [n, down]) in rows.filter(|(_, [_, down])| *down < group.end) {
                    for i in 0..TILE.min(oh - down * TILE) {
                        let out = &mut y[((n * g.cout + o) * oh + down * TILE + i) * ow..][..ow];
                        let line = &lines[(i * lanes + k * of.across) * TILE..][..ow];
                        out.iter_mut().zip(line).for_each(|(o, t)| *o = above(*t));
                    }
                }
            }
        }
    }
}
