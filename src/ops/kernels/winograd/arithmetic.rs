//! What a vector of tiles goes through, for whatever vectors the CPU has.

use super::{Cpu, POINTS, TILE};
use pulp::{Arch, Scalar256b, Simd, WithSimd};

/// What can be done with any vectors.
pub(super) trait Work {
    /// Does it.
    fn work<S: Simd, const FUSED: bool>(self, v: Arithmetic<S, FUSED>);
}

/// Does it with the vectors of `cpu`.
pub(super) fn dispatch(cpu: Cpu, work: impl Work) {
    if cpu.portable {
        work.work(Arithmetic::<_, false>(Scalar256b));
    } else {
        Arch::new().dispatch(Fused(work));
    }
}

struct Fused<W>(W);

impl<W: Work> WithSimd for Fused<W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.work(Arithmetic::<S, true>(simd));
    }
}

/// Arithmetic on vectors, fused where the CPU has that.
#[derive(Clone, Copy)]
pub(super) struct Arithmetic<S: Simd, const FUSED: bool>(pub S);

impl<S: Simd, const FUSED: bool> Arithmetic<S, FUSED> {
    #[inline(always)]
    pub fn add(self, a: S::f32s, b: S::f32s) -> S::f32s {
        self.0.add_f32s(a, b)
    }

    #[inline(always)]
    pub fn sub(self, a: S::f32s, b: S::f32s) -> S::f32s {
        self.0.sub_f32s(a, b)
    }

    /// a + b·c
    #[inline(always)]
    pub fn times(self, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
        if FUSED { self.0.mul_add_f32s(b, c, a) } else { self.0.add_f32s(self.0.mul_f32s(b, c), a) }
    }

    /// a + k·b
    #[inline(always)]
    fn plus(self, a: S::f32s, k: f32, b: S::f32s) -> S::f32s {
        self.times(a, self.0.splat_f32s(k), b)
    }

    /// Bᵀ·d
    #[inline(always)]
    pub fn input(self, d: [S::f32s; POINTS]) -> [S::f32s; POINTS] {
        let (a, b) = (self.plus(d[4], -4.0, d[2]), self.plus(d[3], -4.0, d[1]));
        let (c, e) = (self.sub(d[4], d[2]), self.sub(d[3], d[1]));
        [
            self.plus(self.plus(d[4], -5.0, d[2]), 4.0, d[0]),
            self.add(a, b),
            self.sub(a, b),
            self.plus(c, 2.0, e),
            self.plus(c, -2.0, e),
            self.plus(self.plus(d[5], -5.0, d[3]), 4.0, d[1]),
        ]
    }

    /// Aᵀ·m
    #[inline(always)]
    pub fn output(self, m: [S::f32s; POINTS]) -> [S::f32s; TILE] {
        let (a, b) = (self.add(m[1], m[2]), self.sub(m[1], m[2]));
        let (c, d) = (self.add(m[3], m[4]), self.sub(m[3], m[4]));
        [
            self.add(self.add(m[0], a), c),
            self.plus(b, 2.0, d),
            self.plus(a, 4.0, c),
            self.add(self.plus(b, 8.0, d), m[5]),
        ]
    }

    /// A·y, the transpose of [`Arithmetic::output`].
    #[inline(always)]
    pub fn output_back(self, y: [S::f32s; TILE]) -> [S::f32s; POINTS] {
        let (a, b) = (self.add(y[0], y[2]), self.add(y[1], y[3]));
        let (c, d) = (self.plus(y[0], 4.0, y[2]), self.plus(y[1], 4.0, y[3]));
        [y[0], self.add(a, b), self.sub(a, b), self.plus(c, 2.0, d), self.plus(c, -2.0, d), y[3]]
    }

    /// B·m, the transpose of [`Arithmetic::input`].
    #[inline(always)]
    pub fn input_back(self, m: [S::f32s; POINTS]) -> [S::f32s; POINTS] {
        let zero = self.0.splat_f32s(0.0);
        let (a, b) = (self.add(m[1], m[2]), self.sub(m[1], m[2]));
        let (c, d) = (self.add(m[3], m[4]), self.sub(m[3], m[4]));
        [
            self.plus(zero, 4.0, m[0]),
            self.plus(zero, -2.0, self.plus(d, 2.0, self.sub(b, m[5]))),
            self.plus(self.plus(self.sub(zero, c), -4.0, a), -5.0, m[0]),
            self.plus(self.plus(b, 2.0, d), -5.0, m[5]),
            self.add(self.add(m[0], a), c),
            m[5],
        ]
    }

    /// Every fourth number from the first, the second, … on, in an order of lanes that [`Arithmetic::put_together`] knows.
    #[inline(always)]
    pub fn take_apart(self, line: &[f32]) -> [S::f32s; TILE] {
        let line = line[..TILE * S::F32_LANES].as_ptr();
        // SAFETY: within the slice.
        let at = |k: usize| unsafe { self.read(line.add(k * S::F32_LANES)) };
        self.0.deinterleave_shfl_f32s([at(0), at(1), at(2), at(3)])
    }

    /// Undoes [`Arithmetic::take_apart`].
    #[inline(always)]
    pub fn put_together(self, four: [S::f32s; TILE], line: &mut [f32]) {
        let line = line[..TILE * S::F32_LANES].as_mut_ptr();
        for (k, t) in self.0.interleave_shfl_f32s(four).into_iter().enumerate() {
            // SAFETY: within the slice.
            unsafe { self.write(line.add(k * S::F32_LANES), t) };
        }
    }

    /// The first numbers of a slice.
    #[inline(always)]
    pub fn load(self, from: &[f32]) -> S::f32s {
        // SAFETY: within the slice.
        unsafe { self.read(from[..S::F32_LANES].as_ptr()) }
    }

    /// Over the first numbers of a slice.
    #[inline(always)]
    pub fn store(self, v: S::f32s, to: &mut [f32]) {
        // SAFETY: within the slice.
        unsafe { self.write(to[..S::F32_LANES].as_mut_ptr(), v) };
    }

    /// # Safety
    /// There is a vector's worth of numbers.
    #[inline(always)]
    pub unsafe fn read(self, from: *const f32) -> S::f32s {
        // SAFETY: the caller's; any bits are numbers.
        unsafe { from.cast::<S::f32s>().read_unaligned() }
    }

    /// # Safety
    /// There is room for a vector.
    #[inline(always)]
    pub unsafe fn write(self, to: *mut f32, v: S::f32s) {
        // SAFETY: the caller's.
        unsafe { to.cast::<S::f32s>().write_unaligned(v) };
    }
}
