//! Loops over slices of numbers, compiled for the vectors of this CPU.

use pulp::{Arch, Simd, WithSimd};

/// An operation on slices. It is compiled for the CPU's vectors as far as it is inlined.
pub trait SimdOp {
    /// Runs it.
    fn run(self);
}

struct Run<O>(O);

impl<O: SimdOp> WithSimd for Run<O> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.0.run();
    }
}

/// Runs an operation with the vectors of this CPU.
pub fn vectorised(op: impl SimdOp) {
    Arch::new().dispatch(Run(op));
}

/// to += from
pub struct Add<'a> {
    pub to: &'a mut [f32],
    pub from: &'a [f32],
}

impl SimdOp for Add<'_> {
    #[inline(always)]
    fn run(self) {
        self.to.iter_mut().zip(self.from).for_each(|(to, from)| *to += from);
    }
}

/// dy = dy where y > 0, else 0: the gradient of a ReLU's result `y`, taken to its operand in place.
pub struct ReluBackward<'a> {
    pub y: &'a [f32],
    pub dy: &'a mut [f32],
}

impl SimdOp for ReluBackward<'_> {
    #[inline(always)]
    fn run(self) {
        self.dy.iter_mut().zip(self.y).for_each(|(d, y)| *d = if *y > 0.0 { *d } else { 0.0 });
    }
}

/// `to.copy_from_slice(from)` for short lines, where the usual lengths take less than a call.
#[inline(always)]
pub fn copy(to: &mut [f32], from: &[f32]) {
    #[inline(always)]
    fn whole<const N: usize>(to: &mut [f32], from: &[f32]) -> bool {
        match (<&mut [f32; N]>::try_from(to), <&[f32; N]>::try_from(from)) {
            (Ok(to), Ok(from)) => {
                *to = *from;
                true
            }
            _ => false,
        }
    }
    let usual = match to.len() {
        8 => whole::<8>(to, from),
        16 => whole::<16>(to, from),
        32 => whole::<32>(to, from),
        _ => false,
    };
    if !usual {
        to.copy_from_slice(from);
    }
}

/// Partial sums of [`dot`].
const SUMS: usize = 16;

/// Σ a·b in interleaved partial sums: the order is fixed and the compiler can vectorise it.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; SUMS];
    let (a_chunks, b_chunks) = (a.chunks_exact(SUMS), b.chunks_exact(SUMS));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for k in 0..SUMS {
            sums[k] += a[k] * b[k];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// to += by·from, or to = by·from.
#[inline(always)]
pub fn scale(to: &mut [f32], by: f32, from: &[f32], add: bool) {
    let pairs = to.iter_mut().zip(from);
    match add {
        true => pairs.for_each(|(to, from)| *to += by * from),
        false => pairs.for_each(|(to, from)| *to = by * from),
    }
}

/// [`scale`] of `b`, and Σ a·b as [`dot`] sums it, in one pass.
#[inline(always)]
pub fn scale_and_dot(to: &mut [f32], by: f32, b: &[f32], add: bool, a: &[f32]) -> f32 {
    #[inline(always)]
    fn both<const ADD: bool>(to: &mut [f32], by: f32, b: &[f32], a: &[f32]) -> f32 {
        let mut sums = [0.0f32; SUMS];
        let whole = to.len() / SUMS * SUMS;
        let (to, to_rest) = to.split_at_mut(whole);
        let chunks = to.chunks_exact_mut(SUMS).zip(a.chunks_exact(SUMS)).zip(b.chunks_exact(SUMS));
        for ((to, a), b) in chunks {
            for k in 0..SUMS {
                sums[k] += a[k] * b[k];
                to[k] = if ADD { to[k] + by * b[k] } else { by * b[k] };
            }
        }
        scale(to_rest, by, &b[whole..], ADD);
        let rest: f32 = a[whole..].iter().zip(&b[whole..]).map(|(a, b)| a * b).sum();
        sums.iter().sum::<f32>() + rest
    }
    if add { both::<true>(to, by, b, a) } else { both::<false>(to, by, b, a) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pass_gives_what_two_give() {
        for n in [0, 5, 16, 33, 64] {
            let [a, b, c] = [1.0, 2.0, 3.0].map(|k| (0..n).map(|i| (k * i as f32).sin()).collect::<Vec<_>>());
            for add in [false, true] {
                let (mut one, mut two) = (c.clone(), c.clone());
                let sum = scale_and_dot(&mut one, 0.7, &b, add, &a);
                scale(&mut two, 0.7, &b, add);
                assert_eq!((one, sum), (two, dot(&a, &b)), "{n} numbers");
            }
            let mut copied = vec![0.0; n];
            copy(&mut copied, &a);
            assert_eq!(copied, a);
        }
    }
}
