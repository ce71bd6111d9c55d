//! Arithmetic on vectors of floats, whatever their width on this CPU.

use super::direct::Cpu;
use pulp::{Arch, Scalar256b, Simd, WithSimd};

/// An operation on vectors of floats, of any width.
pub(super) trait SimdOp {
    /// Runs it with the arithmetic of one kind of vectors.
    fn run<S: Simd, const FUSED: bool>(self, v: Arithmetic<S, FUSED>);
}

/// Runs an operation with the vectors of `cpu`.
pub(super) fn dispatch(cpu: Cpu, op: impl SimdOp) {
    if cpu.portable {
        op.run(Arithmetic::<_, false>(Scalar256b));
    } else {
        Arch::new().dispatch(Fused(op));
    }
}

/// An operation with fused multiply-adds.
struct Fused<O>(O);

impl<O: SimdOp> WithSimd for Fused<O> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.run(Arithmetic::<S, true>(simd));
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
    pub fn plus(self, a: S::f32s, k: f32, b: S::f32s) -> S::f32s {
        self.times(a, self.0.splat_f32s(k), b)
    }

    /// The first numbers of a slice.
    #[inline(always)]
    pub fn load(self, from: &[f32]) -> S::f32s {
        // SAFETY: within the slice.
        unsafe { self.read(from[..S::F32_LANES].as_ptr()) }
    }

    /// Overwrites the first numbers of a slice.
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
