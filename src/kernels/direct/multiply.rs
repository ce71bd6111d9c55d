//! The inner loops of the direct convolution, for vectors of any width.

#![allow(clippy::needless_range_loop, reason = "one index runs over several arrays of fixed size")]

use super::super::is_portable;
use super::{Direct, Start, Vector};
use pulp::{Arch, Scalar256b, Simd, WithSimd};
use std::ops::Range;

/// Most lanes of a vector on any CPU.
const WIDEST: usize = 16;
/// Taps times input channels per pass: the inputs of three vectors then fit the first cache.
const CHUNK: usize = 144;

/// The vectors of this CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// Lanes of a vector.
    pub lanes: usize,
    /// Output channels per block: as many as its registers hold next to a group of vectors of pixels.
    pub block: usize,
    /// True with 32 registers for vectors, false with 16.
    pub(in super::super) many: bool,
    /// True where plain arrays stand in for the CPU's own vectors.
    pub(in super::super) portable: bool,
}

impl Cpu {
    /// Found at run time: AVX-512, AVX2 with FMA, NEON, or arrays of eight where there is none of them, or none is wanted.
    pub fn detect() -> Self {
        if is_portable() {
            return Self::portable();
        }
        let found = Arch::new().dispatch(Probe);
        if found.lanes < 4 { Self::portable() } else { found }
    }

    /// What every CPU has.
    pub fn portable() -> Self {
        Self { portable: true, ..Probe.with_simd(Scalar256b) }
    }
}

struct Probe;

impl WithSimd for Probe {
    type Output = Cpu;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Cpu {
        let many = S::REGISTER_COUNT >= 32;
        Cpu { lanes: S::F32_LANES, block: if many { 8 } else { 6 }, many, portable: false }
    }
}

/// A convolution at some of its vectors of output pixels.
pub(super) struct Multiply<'a> {
    pub direct: &'a Direct,
    /// The vectors to compute.
    pub vectors: &'a [Vector],
    /// The input as `direct` wants it laid out, from the first of the vectors' units on.
    pub planes: &'a [f32],
    /// Offset of `planes` in the planes of the whole input, in floats.
    pub base: usize,
    pub start: Start<'a>,
    pub relu: bool,
    pub y: &'a mut [f32],
}

impl Multiply<'_> {
    /// Runs on the vectors that `direct` was prepared for.
    ///
    /// # Safety
    /// The vectors and taps of `direct` stay within `planes` (with a vector of slack) and `y`.
    pub unsafe fn run(self) {
        if self.direct.cpu.portable {
            self.multiply::<_, 6, 2, false>(Scalar256b);
        } else {
            Arch::new().dispatch(self);
        }
    }
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 {
            self.multiply::<S, 8, 3, true>(simd)
        } else {
            self.multiply::<S, 6, 2, true>(simd)
        }
    }
}

/// A pass over some input channels.
struct Pass<'a> {
    direct: &'a Direct,
    planes: &'a [f32],
    base: usize,
    channels: Range<usize>,
    start: Start<'a>,
    relu: bool,
}

impl Multiply<'_> {
    #[inline(always)]
    fn multiply<S: Simd, const BLOCK: usize, const GROUP: usize, const FUSED: bool>(self, simd: S) {
        let (Direct { g, taps, cpu, blocks, .. }, vectors) = (self.direct, self.vectors);
        assert!(cpu.block == BLOCK && cpu.lanes == S::F32_LANES, "prepared for other vectors");
        let groups = vectors.len().div_ceil(GROUP);
        // Where there are more weights than pixels, those should come from memory once.
        let by_block = vectors.len() * cpu.lanes < g.cout;
        // Inputs of a few channels stay in the first cache while all blocks of output channels use them.
        let few = (CHUNK / taps.len()).max(8);
        for first in (0..g.cin).step_by(few) {
            let channels = first..(first + few).min(g.cin);
            let relu = self.relu && channels.end == g.cin;
            let start = if first == 0 { self.start } else { Start::Add };
            let Self { direct, planes, base, .. } = self;
            let pass = Pass { direct, planes, base, channels, start, relu };
            for k in 0..blocks.len() * groups {
                let (block, group) =
                    if by_block { (k / groups, k % groups) } else { (k % blocks.len(), k / blocks.len()) };
                let vectors = &vectors[group * GROUP..((group + 1) * GROUP).min(vectors.len())];
                // SAFETY: the caller of `run` vouches for vectors and taps.
                unsafe { pass.block::<S, BLOCK, FUSED>(simd, blocks[block].clone(), vectors, self.y) };
            }
        }
    }
}

impl Pass<'_> {
    /// As many rows of registers as the block has channels.
    #[inline(always)]
    unsafe fn block<S: Simd, const BLOCK: usize, const FUSED: bool>(
        &self,
        simd: S,
        block: Range<usize>,
        vectors: &[Vector],
        y: &mut [f32],
    ) {
        // SAFETY: as for the caller.
        unsafe {
            match block.len() {
                1 => self.group::<S, 1, FUSED>(simd, block.start, vectors, y),
                2 => self.group::<S, 2, FUSED>(simd, block.start, vectors, y),
                3 => self.group::<S, 3, FUSED>(simd, block.start, vectors, y),
                4 => self.group::<S, 4, FUSED>(simd, block.start, vectors, y),
                5 => self.group::<S, 5, FUSED>(simd, block.start, vectors, y),
                6 => self.group::<S, 6, FUSED>(simd, block.start, vectors, y),
                7 if BLOCK == 8 => self.group::<S, 7, FUSED>(simd, block.start, vectors, y),
                8 if BLOCK == 8 => self.group::<S, 8, FUSED>(simd, block.start, vectors, y),
                n => unreachable!("a block of {n} channels"),
            }
        }
    }

    #[inline(always)]
    unsafe fn group<S: Simd, const ROWS: usize, const FUSED: bool>(
        &self,
        simd: S,
        channel: usize,
        vectors: &[Vector],
        y: &mut [f32],
    ) {
        // SAFETY: as for the caller.
        unsafe {
            match *vectors {
                [a, b, c] => self.step::<S, ROWS, FUSED, 3>(simd, channel, [a, b, c], y),
                [a, b] => self.step::<S, ROWS, FUSED, 2>(simd, channel, [a, b], y),
                [a] => self.step::<S, ROWS, FUSED, 1>(simd, channel, [a], y),
                _ => {}
            }
        }
    }

    /// ROWS output channels from `channel` on, at N vectors of pixels: everything stays in registers.
    #[inline(always)]
    unsafe fn step<S: Simd, const ROWS: usize, const FUSED: bool, const N: usize>(
        &self,
        simd: S,
        channel: usize,
        vectors: [Vector; N],
        y: &mut [f32],
    ) {
        let Pass { direct, planes, base, ref channels, start, relu } = *self;
        let (g, taps) = (&direct.g, direct.taps.as_slice());
        // SAFETY (here and below): weights are packed by the same blocks; the caller vouches for the rest.
        let mut w =
            unsafe { direct.weights.as_ptr().add((channel * g.cin + channels.start * ROWS) * taps.len()) };
        let from = vectors.map(|v| unsafe { planes.as_ptr().add(v.from - base) });
        let mut acc = [[simd.splat_f32s(0.0); N]; ROWS];
        if let Start::Bias(bias) = start {
            for j in 0..ROWS {
                acc[j] = [simd.splat_f32s(bias.get(channel + j).copied().unwrap_or(0.0)); N];
            }
        }
        if taps.len() == 1 {
            // Without a loop of one turn.
            for c in channels.clone() {
                let plane = c * direct.channel + taps[0];
                let x = from.map(|from| unsafe { from.add(plane) });
                unsafe { add::<S, ROWS, FUSED, N>(simd, w, x, &mut acc) };
                w = unsafe { w.add(ROWS) };
            }
        } else {
            for c in channels.clone() {
                let plane = c * direct.channel;
                for &tap in taps {
                    let x = from.map(|from| unsafe { from.add(plane + tap) });
                    unsafe { add::<S, ROWS, FUSED, N>(simd, w, x, &mut acc) };
                    w = unsafe { w.add(ROWS) };
                }
            }
        }
        let place = |j: usize, v: Vector| v.to + (channel + j) * direct.stride;
        // No index into the accumulators may depend on data, or they would not stay in registers.
        if vectors.iter().all(|v| v.valid == S::F32_LANES) {
            let y = y.as_mut_ptr();
            let out = |j: usize, k: usize| unsafe { y.add(place(j, vectors[k])).cast::<S::f32s>() };
            if start == Start::Add {
                for j in 0..ROWS {
                    for k in 0..N {
                        acc[j][k] = simd.add_f32s(acc[j][k], unsafe { out(j, k).read_unaligned() });
                    }
                }
            }
            if relu {
                for j in 0..ROWS {
                    for k in 0..N {
                        acc[j][k] = simd.max_f32s(acc[j][k], simd.splat_f32s(0.0));
                    }
                }
            }
            for j in 0..ROWS {
                for k in 0..N {
                    unsafe { out(j, k).write_unaligned(acc[j][k]) };
                }
            }
            return;
        }
        let mut tile = [[[0.0f32; WIDEST]; N]; ROWS];
        for j in 0..ROWS {
            for k in 0..N {
                unsafe { tile[j][k].as_mut_ptr().cast::<S::f32s>().write_unaligned(acc[j][k]) };
            }
        }
        for (j, row) in tile.iter().enumerate() {
            for (v, values) in vectors.iter().zip(row) {
                for (y, value) in y[place(j, *v)..][..v.valid].iter_mut().zip(values) {
                    let sum = if start == Start::Add { *y + value } else { *value };
                    *y = if relu { sum.max(0.0) } else { sum };
                }
            }
        }
    }
}

/// acc += w·xᵀ
///
/// # Safety
/// There are ROWS weights, and a vector at each of the inputs.
#[inline(always)]
unsafe fn add<S: Simd, const ROWS: usize, const FUSED: bool, const N: usize>(
    simd: S,
    w: *const f32,
    from: [*const f32; N],
    acc: &mut [[S::f32s; N]; ROWS],
) {
    let mut x = [simd.splat_f32s(0.0); N];
    for k in 0..N {
        // SAFETY (here and below): the caller's.
        x[k] = unsafe { from[k].cast::<S::f32s>().read_unaligned() };
    }
    for j in 0..ROWS {
        let wj = simd.splat_f32s(unsafe { *w.add(j) });
        for k in 0..N {
            acc[j][k] = if FUSED {
                simd.mul_add_f32s(wj, x[k], acc[j][k])
            } else {
                simd.add_f32s(simd.mul_f32s(wj, x[k]), acc[j][k])
            };
        }
    }
}
