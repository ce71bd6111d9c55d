//! The products between the transforms: at each point a matrix of weights times a matrix of tiles.
//!
//! Kept beside the direct convolution's loops because it has no taps, and four rows of three vectors instead of six of two: that
//! was faster for few channels.

#![allow(clippy::needless_range_loop, reason = "one index runs over several arrays of fixed size")]

use super::super::direct::{Cpu, parts, spread};
use super::SQUARE;
use super::arithmetic::{Arithmetic, Work, dispatch};
use pulp::Simd;
use std::ops::Range;

/// Input channels per pass: three vectors' worth of their tiles then fit the first cache.
const CHUNK: usize = 192;
/// Vectors of tiles that are computed together.
const GROUP: usize = 3;
/// Floats of sums, on the way back, that stay in the first cache while all weights go by.
const KEPT: usize = 5 << 10;

/// The weights of all points, ready to multiply.
#[derive(Debug, Clone)]
pub(super) struct Products {
    pub cpu: Cpu,
    cin: usize,
    cout: usize,
    /// Tiles, a number of whole vectors.
    tiles: usize,
    /// Output channels that are computed together.
    blocks: Vec<Range<usize>>,
    /// [point][block][input channel][channel of the block]
    weights: Vec<f32>,
    /// Floats from one channel's tiles to the next's.
    pub pitch: usize,
    /// Floats from one point's tiles to the next's, before and behind the products.
    pub points: [usize; 2],
}

impl Products {
    /// For so many channels and tiles; without weights yet.
    pub fn new(cpu: Cpu, [cin, cout]: [usize; 2], tiles: usize) -> Self {
        // Odd numbers of cache lines: channels and points of a tile then fall into different sets.
        let pitch = spread(tiles);
        let points = [cin, cout].map(|channels| spread(channels * pitch));
        let blocks = parts(cout, if cpu.many { 8 } else { 4 });
        Self { cpu, cin, cout, tiles, blocks, weights: vec![0.0; SQUARE * cin * cout], pitch, points }
    }

    /// Takes the weight `w` of output channel `o` and input channel `c` at all points.
    pub fn set(&mut self, o: usize, c: usize, w: &[f32; SQUARE]) {
        let k = self.blocks.partition_point(|b| b.end <= o);
        let block = &self.blocks[k];
        let at = block.start * self.cin + c * block.len() + o - block.start;
        for (point, w) in self.weights.chunks_exact_mut(self.cin * self.cout).zip(w) {
            point[at] = *w;
        }
    }

    /// `[point][input channel][tile]` to `[point][output channel][tile]`.
    pub fn run(&self, x: &[f32], y: &mut [f32]) {
        assert!(x.len() >= SQUARE * self.points[0] && y.len() >= SQUARE * self.points[1]);
        dispatch(self.cpu, Multiply::<false> { of: self, from: x, to: y });
    }

    /// Back, by the same weights: `[point][output channel][tile]` to `[point][input channel][tile]`.
    pub fn run_back(&self, dy: &[f32], dx: &mut [f32]) {
        assert!(dx.len() >= SQUARE * self.points[0] && dy.len() >= SQUARE * self.points[1]);
        dispatch(self.cpu, Multiply::<true> { of: self, from: dy, to: dx });
    }
}

struct Multiply<'a, const BACK: bool> {
    of: &'a Products,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl<const BACK: bool> Work for Multiply<'_, BACK> {
    #[inline(always)]
    fn work<S: Simd, const FUSED: bool>(self, v: Arithmetic<S, FUSED>) {
        let Products { cin, cout, tiles, ref blocks, ref weights, pitch, points: [before, behind], .. } =
            *self.of;
        let (from_size, to_size) = if BACK { (behind, before) } else { (before, behind) };
        let vectors = tiles / S::F32_LANES;
        let groups = vectors.div_ceil(GROUP);
        let chunk = if BACK { (KEPT / tiles).clamp(1, CHUNK) } else { CHUNK };
        // Where there are more weights than tiles, or more than the first cache holds, those should come from memory once.
        let by_block = if BACK { chunk.min(cin) * cout > KEPT } else { tiles < cout };
        for point in 0..SQUARE {
            let weights = weights[point * cin * cout..][..cin * cout].as_ptr();
            let from = self.from[point * from_size..][..from_size].as_ptr();
            let to = self.to[point * to_size..][..to_size].as_mut_ptr();
            for first in (0..cin).step_by(chunk) {
                let count = chunk.min(cin - first);
                for k in 0..blocks.len() * groups {
                    let (block, group) = in_turn(k, blocks.len(), groups, by_block);
                    let (block, tile) = (&blocks[block], group * GROUP * S::F32_LANES);
                    let [x, y] = [first, block.start].map(|channel| channel * pitch + tile);
                    let (x, y, add) = if BACK { (y, x, block.start > 0) } else { (x, y, first > 0) };
                    // SAFETY: a point's weights, and rows of `pitch` floats or more, of which `tiles` are whole vectors.
                    unsafe {
                        let w = weights.add(block.start * cin + first * block.len());
                        let (step, vectors) =
                            (Step { v, count, pitch, add }, GROUP.min(vectors - group * GROUP));
                        step.block::<BACK>(block.len(), vectors, w, from.add(x), to.add(y));
                    }
                }
            }
        }
    }
}

/// Block and group of the `k`-th pair: all groups of a block, or all blocks of a group.
fn in_turn(k: usize, blocks: usize, groups: usize, by_block: bool) -> (usize, usize) {
    if by_block { (k / groups, k % groups) } else { (k % blocks, k / blocks) }
}

/// Some rows of registers over some input channels.
struct Step<S: Simd, const FUSED: bool> {
    v: Arithmetic<S, FUSED>,
    /// Input channels.
    count: usize,
    pitch: usize,
    /// To what is there.
    add: bool,
}

impl<S: Simd, const FUSED: bool> Step<S, FUSED> {
    #[inline(always)]
    unsafe fn block<const BACK: bool>(
        &self,
        rows: usize,
        vectors: usize,
        w: *const f32,
        x: *const f32,
        y: *mut f32,
    ) {
        // SAFETY: as for the caller.
        unsafe {
            match rows {
                1 => self.group::<1, BACK>(vectors, w, x, y),
                2 => self.group::<2, BACK>(vectors, w, x, y),
                3 => self.group::<3, BACK>(vectors, w, x, y),
                4 => self.group::<4, BACK>(vectors, w, x, y),
                5 if S::REGISTER_COUNT >= 32 => self.group::<5, BACK>(vectors, w, x, y),
                6 if S::REGISTER_COUNT >= 32 => self.group::<6, BACK>(vectors, w, x, y),
                7 if S::REGISTER_COUNT >= 32 => self.group::<7, BACK>(vectors, w, x, y),
                8 if S::REGISTER_COUNT >= 32 => self.group::<8, BACK>(vectors, w, x, y),
                n => unreachable!("a block of {n} channels"),
            }
        }
    }

    #[inline(always)]
    unsafe fn group<const ROWS: usize, const BACK: bool>(
        &self,
        vectors: usize,
        w: *const f32,
        x: *const f32,
        y: *mut f32,
    ) {
        // SAFETY: as for the caller.
        unsafe {
            match vectors {
                3 if BACK => self.multiply_back::<ROWS, 3>(w, x, y),
                2 if BACK => self.multiply_back::<ROWS, 2>(w, x, y),
                _ if BACK => self.multiply_back::<ROWS, 1>(w, x, y),
                3 => self.multiply::<ROWS, 3>(w, x, y),
                2 => self.multiply::<ROWS, 2>(w, x, y),
                _ => self.multiply::<ROWS, 1>(w, x, y),
            }
        }
    }

    /// Everything stays in registers.
    #[inline(always)]
    unsafe fn multiply<const ROWS: usize, const N: usize>(
        &self,
        mut w: *const f32,
        mut x: *const f32,
        y: *mut f32,
    ) {
        let v = self.v;
        let mut acc = [[v.0.splat_f32s(0.0); N]; ROWS];
        // SAFETY (here and below): the caller vouches for `count` rows of weights and tiles, and for ROWS of results.
        unsafe {
            for _ in 0..self.count / 2 {
                v.rank_one(&mut acc, w, x);
                v.rank_one(&mut acc, w.add(ROWS), x.add(self.pitch));
                (w, x) = (w.add(2 * ROWS), x.add(2 * self.pitch));
            }
            if !self.count.is_multiple_of(2) {
                v.rank_one(&mut acc, w, x);
            }
        }
        for j in 0..ROWS {
            for k in 0..N {
                unsafe {
                    let y = y.add(j * self.pitch + k * S::F32_LANES);
                    let sum = if self.add { v.add(acc[j][k], v.read(y)) } else { acc[j][k] };
                    v.write(y, sum);
                }
            }
        }
    }

    /// The tiles of a block of output channels stay in registers, the sums of the input channels go by: so weights are read in
    /// their order.
    #[inline(always)]
    unsafe fn multiply_back<const ROWS: usize, const N: usize>(
        &self,
        w: *const f32,
        dy: *const f32,
        dx: *mut f32,
    ) {
        let v = self.v;
        let mut tiles = [[v.0.splat_f32s(0.0); N]; ROWS];
        // SAFETY: the caller vouches for ROWS rows of tiles, `count` times ROWS weights and `count` rows of results.
        unsafe {
            for j in 0..ROWS {
                for k in 0..N {
                    tiles[j][k] = v.read(dy.add(j * self.pitch + k * S::F32_LANES));
                }
            }
            for c in 0..self.count {
                let (w, dx) = (w.add(c * ROWS), dx.add(c * self.pitch));
                let mut acc = [v.0.splat_f32s(0.0); N];
                if self.add {
                    for k in 0..N {
                        acc[k] = v.read(dx.add(k * S::F32_LANES));
                    }
                }
                for j in 0..ROWS {
                    let weight = v.0.splat_f32s(*w.add(j));
                    for k in 0..N {
                        acc[k] = v.times(acc[k], weight, tiles[j][k]);
                    }
                }
                for k in 0..N {
                    v.write(dx.add(k * S::F32_LANES), acc[k]);
                }
            }
        }
    }
}

impl<S: Simd, const FUSED: bool> Arithmetic<S, FUSED> {
    /// acc += w·xᵀ
    #[inline(always)]
    unsafe fn rank_one<const ROWS: usize, const N: usize>(
        self,
        acc: &mut [[S::f32s; N]; ROWS],
        w: *const f32,
        x: *const f32,
    ) {
        let mut tiles = [self.0.splat_f32s(0.0); N];
        for k in 0..N {
            // SAFETY: the caller vouches for N vectors.
            tiles[k] = unsafe { self.read(x.add(k * S::F32_LANES)) };
        }
        for j in 0..ROWS {
            // SAFETY: the caller vouches for ROWS weights.
            let weight = self.0.splat_f32s(unsafe { *w.add(j) });
            for k in 0..N {
                acc[j][k] = self.times(acc[j][k], weight, tiles[k]);
            }
        }
    }
}
