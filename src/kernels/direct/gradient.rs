//! The weight gradient, on the planes and vectors of the forward pass: dw[o, c, t] = Σ over pixels of dy[o]·x[c, shifted by t].
//!
//! A block of output channels times a few (input channel, tap) pairs stays in registers while the pixels go by; the sums over
//! lanes are taken at the end of every run of vectors.

#![allow(clippy::needless_range_loop, reason = "one index runs over several arrays of fixed size")]

use super::{Direct, Vector};
use pulp::{Arch, Scalar256b, Simd, WithSimd};

/// Vectors of pixels per run: a block's gradients and the inputs of two pairs then fit the first cache.
const RUN: usize = 128;

/// All weight gradients of a convolution.
pub(super) struct Gather<'a> {
    pub direct: &'a Direct,
    /// The input as `direct` wants it laid out.
    pub planes: &'a [f32],
    /// The gradient of the output, laid out as the vectors say.
    pub dy: &'a [f32],
    /// `[cout, cin, taps]`, to be added to.
    pub dw: &'a mut [f32],
}

impl Gather<'_> {
    /// Runs on the vectors that `direct` was prepared for.
    ///
    /// # Safety
    /// The vectors and taps of `direct` stay within `planes` (with a vector of slack) and `dy`.
    pub unsafe fn run(self) {
        if self.direct.cpu.portable {
            self.gather::<_, 6, 2, false>(Scalar256b);
        } else {
            Arch::new().dispatch(self);
        }
    }
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 {
            self.gather::<S, 8, 3, true>(simd)
        } else {
            self.gather::<S, 6, 2, true>(simd)
        }
    }
}

impl Gather<'_> {
    #[inline(always)]
    fn gather<S: Simd, const BLOCK: usize, const PAIRS: usize, const FUSED: bool>(self, simd: S) {
        let Direct { blocks, vectors, cpu, .. } = self.direct;
        assert!(cpu.block == BLOCK && cpu.lanes == S::F32_LANES, "prepared for other vectors");
        let mut packed = vec![0.0f32; RUN.min(vectors.len()) * BLOCK * S::F32_LANES];
        let Self { direct, planes, dy, dw } = self;
        for run in vectors.chunks(RUN) {
            for block in blocks {
                let part = Part { direct, planes, run, from: block.start };
                // SAFETY: the caller of `run` vouches for vectors and taps.
                unsafe {
                    match block.len() {
                        1 => part.block::<S, 1, PAIRS, FUSED>(simd, dy, &mut packed, dw),
                        2 => part.block::<S, 2, PAIRS, FUSED>(simd, dy, &mut packed, dw),
                        3 => part.block::<S, 3, PAIRS, FUSED>(simd, dy, &mut packed, dw),
                        4 => part.block::<S, 4, PAIRS, FUSED>(simd, dy, &mut packed, dw),
                        5 => part.block::<S, 5, PAIRS, FUSED>(simd, dy, &mut packed, dw),
                        6 => part.block::<S, 6, PAIRS, FUSED>(simd, dy, &mut packed, dw),
                        7 if BLOCK == 8 => part.block::<S, 7, PAIRS, FUSED>(simd, dy, &mut packed, dw),
                        8 if BLOCK == 8 => part.block::<S, 8, PAIRS, FUSED>(simd, dy, &mut packed, dw),
                        n => unreachable!("a block of {n} channels"),
                    }
                }
            }
        }
    }
}

/// A run of vectors for a block of output channels that begins at `from`.
struct Part<'a> {
    direct: &'a Direct,
    planes: &'a [f32],
    run: &'a [Vector],
    from: usize,
}

impl Part<'_> {
    #[inline(always)]
    unsafe fn block<S: Simd, const ROWS: usize, const PAIRS: usize, const FUSED: bool>(
        &self,
        simd: S,
        dy: &[f32],
        packed: &mut [f32],
        dw: &mut [f32],
    ) {
        self.pack(dy, ROWS, S::F32_LANES, packed);
        let pairs = self.direct.g.cin * self.direct.taps.len();
        let mut first = 0;
        while first < pairs {
            // SAFETY: as for the caller.
            unsafe {
                if first + PAIRS <= pairs {
                    let sums = self.tile::<S, ROWS, PAIRS, FUSED>(simd, first, packed);
                    self.add(&sums, first, dw);
                    first += PAIRS;
                } else {
                    let sums = self.tile::<S, ROWS, 1, FUSED>(simd, first, packed);
                    self.add(&sums, first, dw);
                    first += 1;
                }
            }
        }
    }

    /// The gradients by vector and channel of the block; lanes that are no pixels are zero.
    fn pack(&self, dy: &[f32], block: usize, lanes: usize, packed: &mut [f32]) {
        for (v, out) in self.run.iter().zip(packed.chunks_exact_mut(block * lanes)) {
            for (j, out) in out.chunks_exact_mut(lanes).enumerate() {
                let at = v.to + (self.from + j) * self.direct.stride;
                out[..v.valid].copy_from_slice(&dy[at..at + v.valid]);
                out[v.valid..].fill(0.0);
            }
        }
    }

    /// Sums over the run for N pairs of input channel and tap, from pair `first` on.
    #[inline(always)]
    unsafe fn tile<S: Simd, const ROWS: usize, const N: usize, const FUSED: bool>(
        &self,
        simd: S,
        first: usize,
        packed: &[f32],
    ) -> [[f32; N]; ROWS] {
        let taps = &self.direct.taps;
        let offset =
            |k: usize| (first + k) / taps.len() * self.direct.channel + taps[(first + k) % taps.len()];
        let planes: [*const f32; N] = std::array::from_fn(|k| self.planes.as_ptr().wrapping_add(offset(k)));
        let mut dy = packed.as_ptr().cast::<S::f32s>();
        let mut acc = [[simd.splat_f32s(0.0); N]; ROWS];
        for v in self.run {
            let mut x = [simd.splat_f32s(0.0); N];
            for k in 0..N {
                // SAFETY (here and below): the caller vouches for the planes; the run was packed.
                x[k] = unsafe { planes[k].add(v.from).cast::<S::f32s>().read_unaligned() };
            }
            for j in 0..ROWS {
                let d = unsafe { dy.add(j).read_unaligned() };
                for k in 0..N {
                    acc[j][k] = if FUSED {
                        simd.mul_add_f32s(d, x[k], acc[j][k])
                    } else {
                        simd.add_f32s(simd.mul_f32s(d, x[k]), acc[j][k])
                    };
                }
            }
            dy = unsafe { dy.add(ROWS) };
        }
        let mut sums = [[0.0; N]; ROWS];
        for j in 0..ROWS {
            for k in 0..N {
                sums[j][k] = simd.reduce_sum_f32s(acc[j][k]);
            }
        }
        sums
    }

    fn add<const N: usize, const ROWS: usize>(&self, sums: &[[f32; N]; ROWS], first: usize, dw: &mut [f32]) {
        let pairs = self.direct.g.cin * self.direct.taps.len();
        for (j, row) in sums.iter().enumerate() {
            let at = (self.from + j) * pairs + first;
            dw[at..at + N].iter_mut().zip(row).for_each(|(d, s)| *d += s);
        }
    }
}
