//! Products of several matrices of weights (output by input channels) with columns of floats, both ways by one set of weights.
//!
//! Kept beside the direct convolution's loops because it has no taps, and four rows of three vectors instead of six of two: that
//! was faster for few channels.

#![allow(clippy::needless_range_loop, reason = "one index runs over several arrays of fixed size")]

use super::arithmetic::{Arithmetic, SimdOp, dispatch};
use super::direct::{Cpu, fit, parts};
use pulp::Simd;
use std::cell::RefCell;
use std::ops::Range;

/// Input channels per pass: three vectors of each then fit the first cache.
const CHUNK: usize = 192;
/// Vectors that are computed together.
const GROUP: usize = 3;
/// Floats of sums, on the way back, that stay in the first cache while all weights go by.
const KEPT: usize = 5 << 10;

thread_local! {
    static BUFFERS: RefCell<[Vec<f32>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

/// Calls `f` with buffers of this thread, of `sizes` floats: for columns, for their products, and for what else a kernel needs.
pub(super) fn with_buffers(sizes: [usize; 3], f: impl FnOnce(&mut [f32], &mut [f32], &mut [f32])) {
    BUFFERS.with_borrow_mut(|buffers| {
        buffers.iter_mut().zip(sizes).for_each(|(buffer, size)| fit(buffer, size));
        let [x, y, more] = buffers;
        f(&mut x[..sizes[0]], &mut y[..sizes[1]], &mut more[..sizes[2]]);
    });
}

/// Columns that a matrix takes to others: whole vectors, side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Offset of the columns in input channel 0, in floats.
    pub x: usize,
    /// Offset of the products in output channel 0, in floats.
    pub y: usize,
    /// Length, in floats.
    pub floats: usize,
}

/// Matrices of weights, ready to multiply.
#[derive(Debug, Clone)]
pub(super) struct Products {
    pub cpu: Cpu,
    cin: usize,
    cout: usize,
    /// Output channels that are computed together.
    blocks: Vec<Range<usize>>,
    /// By [matrix][block][input channel][channel of the block]
    weights: Vec<f32>,
    /// Floats from one channel to the next.
    pub pitch: usize,
    /// By matrix: the columns that it is multiplied with, in runs of at most [`GROUP`] vectors.
    runs: Vec<Vec<Run>>,
    /// Most columns of one matrix, in floats.
    width: usize,
    /// Floats within reach: of the columns of all input channels, and of the products of all output channels.
    reach: [usize; 2],
}

impl Products {
    /// Matrices from `cin` to `cout` channels, which lie `pitch` floats apart, with the columns that each takes to others; without
    /// weights yet.
    pub fn new(cpu: Cpu, [cin, cout]: [usize; 2], pitch: usize, runs: &[Vec<Run>]) -> Self {
        let (mut width, mut reach) = (0, [0; 2]);
        for runs in runs {
            width = width.max(runs.iter().map(|run| run.floats).sum());
            for run in runs {
                assert!(run.floats.is_multiple_of(cpu.lanes), "whole vectors");
                let ends = [(run.x, cin), (run.y, cout)].map(|(at, n)| at + (n - 1) * pitch + run.floats);
                reach = [0, 1].map(|side| reach[side].max(ends[side]));
            }
        }
        let most = GROUP * cpu.lanes;
        let split = |run: &Run| {
            let Run { x, y, floats } = *run;
            let part = move |at: usize| Run { x: x + at, y: y + at, floats: most.min(floats - at) };
            (0..floats).step_by(most).map(part)
        };
        Self {
            cpu,
            cin,
            cout,
            blocks: parts(cout, if cpu.many { 8 } else { 4 }),
            weights: vec![0.0; runs.len() * cin * cout],
            pitch,
            runs: runs.iter().map(|runs| runs.iter().flat_map(split).collect()).collect(),
            width,
            reach,
        }
    }

    /// Takes the weights of output channel `o` and input channel `c`, one per matrix.
    pub fn set(&mut self, o: usize, c: usize, weights: &[f32]) {
        let k = self.blocks.partition_point(|b| b.end <= o);
        let block = &self.blocks[k];
        let at = block.start * self.cin + c * block.len() + o - block.start;
        for (matrix, w) in self.weights.chunks_exact_mut(self.cin * self.cout).zip(weights) {
            matrix[at] = *w;
        }
    }

    /// `[input channel][column]` to `[output channel][column]`, where the products go on top of what is there if `add`.
    pub fn run(&self, x: &[f32], add: bool, y: &mut [f32]) {
        assert!(x.len() >= self.reach[0] && y.len() >= self.reach[1]);
        dispatch(self.cpu, Multiply::<false> { of: self, from: x, add, to: y });
    }

    /// Runs the transposed matrices: `[output channel][column]` to `[input channel][column]`.
    pub fn run_back(&self, dy: &[f32], add: bool, dx: &mut [f32]) {
        assert!(dx.len() >= self.reach[0] && dy.len() >= self.reach[1]);
        dispatch(self.cpu, Multiply::<true> { of: self, from: dy, add, to: dx });
    }
}

struct Multiply<'a, const BACK: bool> {
    of: &'a Products,
    from: &'a [f32],
    add: bool,
    to: &'a mut [f32],
}

impl<const BACK: bool> SimdOp for Multiply<'_, BACK> {
    #[inline(always)]
    fn run<S: Simd, const FUSED: bool>(self, v: Arithmetic<S, FUSED>) {
        assert_eq!(self.of.cpu.lanes, S::F32_LANES, "prepared for other vectors");
        let Products { cin, cout, ref blocks, ref weights, pitch, ref runs, width, .. } = *self.of;
        let (from, to) = (self.from.as_ptr(), self.to.as_mut_ptr());
        let chunk = if BACK { (KEPT / width.max(1)).clamp(1, CHUNK) } else { CHUNK };
        // Where there are more weights than columns, or more than the first cache holds, those should come from memory once.
        let by_block = if BACK { chunk.min(cin) * cout > KEPT } else { width < cout };
        for (weights, runs) in weights.chunks_exact(cin * cout).zip(runs) {
            for first in (0..cin).step_by(chunk) {
                let count = chunk.min(cin - first);
                for k in 0..blocks.len() * runs.len() {
                    let (block, run) = in_turn(k, blocks.len(), runs.len(), by_block);
                    let (block, run) = (&blocks[block], runs[run]);
                    let (x, y) = (run.x + first * pitch, run.y + block.start * pitch);
                    let (x, y, add) = if BACK { (y, x, block.start > 0) } else { (x, y, first > 0) };
                    // SAFETY: a matrix's weights, and whole vectors of channels `pitch` floats apart within what is reached.
                    unsafe {
                        let w = weights.as_ptr().add(block.start * cin + first * block.len());
                        let step = Step { v, count, pitch, add: add || self.add };
                        let vectors = run.floats / S::F32_LANES;
                        step.block::<BACK>(block.len(), vectors, w, from.add(x), to.add(y));
                    }
                }
            }
        }
    }
}

/// Block and run of the `k`-th pair: all runs of a block, or all blocks of a run.
fn in_turn(k: usize, blocks: usize, runs: usize, by_block: bool) -> (usize, usize) {
    if by_block { (k / runs, k % runs) } else { (k % blocks, k / blocks) }
}

/// A block of output channels over some input channels, in registers.
struct Step<S: Simd, const FUSED: bool> {
    v: Arithmetic<S, FUSED>,
    /// Input channels.
    count: usize,
    pitch: usize,
    /// True where results go on top of what is there.
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
        // SAFETY (here and below): the caller vouches for `count` rows of weights and columns, and for ROWS of results.
        unsafe {
            for _ in 0..self.count / 2 {
                v.rank_one(&mut acc, w, x);
                v.rank_one(&mut acc, w.add(ROWS), x.add(self.pitch));
                // Behind the last pair this may lie beyond the columns.
                (w, x) = (w.add(2 * ROWS), x.wrapping_add(2 * self.pitch));
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

    /// The columns of a block of output channels stay in registers, the sums of the input channels go by: so weights are read in
    /// their order.
    #[inline(always)]
    unsafe fn multiply_back<const ROWS: usize, const N: usize>(
        &self,
        w: *const f32,
        dy: *const f32,
        dx: *mut f32,
    ) {
        let v = self.v;
        let mut columns = [[v.0.splat_f32s(0.0); N]; ROWS];
        // SAFETY: the caller vouches for ROWS rows of columns, `count` times ROWS weights and `count` rows of results.
        unsafe {
            for j in 0..ROWS {
                for k in 0..N {
                    columns[j][k] = v.read(dy.add(j * self.pitch + k * S::F32_LANES));
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
                        acc[k] = v.times(acc[k], weight, columns[j][k]);
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
        let mut columns = [self.0.splat_f32s(0.0); N];
        for k in 0..N {
            // SAFETY: the caller vouches for N vectors.
            columns[k] = unsafe { self.read(x.add(k * S::F32_LANES)) };
        }
        for j in 0..ROWS {
            // SAFETY: the caller vouches for ROWS weights.
            let weight = self.0.splat_f32s(unsafe { *w.add(j) });
            for k in 0..N {
                acc[j][k] = self.times(acc[j][k], weight, columns[k]);
            }
        }
    }
}
