//! The transforms of a vector of tiles along one axis.

use super::super::arithmetic::Arithmetic;
use super::{POINTS, TILE};
use pulp::Simd;

impl<S: Simd, const FUSED: bool> Arithmetic<S, FUSED> {
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
}
