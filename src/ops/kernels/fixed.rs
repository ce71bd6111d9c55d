//! A convolution with fixed weights by whichever kernel is to compute it.

use super::conv::Geometry;
use super::direct::{Direct, Start};
use super::winograd::Winograd;

/// The plain sum, and in its place Winograd's where that was asked for and is faster.
#[derive(Debug, Clone)]
pub struct Fixed {
    plain: Direct,
    fast: Option<Winograd>,
    /// The convolution that takes a gradient back through the one whose weights it is given.
    transposed: bool,
}

impl Fixed {
    /// Prepares `y = conv(x, w)`, as [`Direct::new`].
    pub fn new(g: &Geometry, w: &[f32]) -> Option<Self> {
        Some(Self { plain: Direct::new(g, w)?, fast: None, transposed: false })
    }

    /// Prepares `dx = conv(dy, w)ᵀ`, as [`Direct::transposed`].
    pub fn transposed(g: &Geometry, w: &[f32]) -> Option<Self> {
        Some(Self { plain: Direct::transposed(g, w)?, fast: None, transposed: true })
    }

    /// Takes fewer multiplications and more rounding from here on, where that is faster; geometry and weights as given before.
    pub fn hasten(&mut self, g: &Geometry, w: &[f32]) {
        self.fast = if self.transposed { Winograd::transposed(g, w) } else { Winograd::new(g, w) };
        if self.fast.is_some() {
            self.plain.forget();
        }
    }

    /// Takes other weights of the same shape.
    pub fn repack(&mut self, w: &[f32]) {
        match (&mut self.fast, self.transposed) {
            (Some(fast), true) => fast.repack_transposed(w),
            (Some(fast), false) => fast.repack(w),
            (None, true) => self.plain.repack_transposed(w),
            (None, false) => self.plain.repack(w),
        }
    }

    /// Runs the convolution, as [`Direct::run`].
    pub fn run(
        &self,
        row: impl FnMut(usize, usize, usize, &mut [f32]),
        start: Start,
        relu: bool,
        y: &mut [f32],
    ) {
        match &self.fast {
            Some(fast) => fast.run(row, start, relu, y),
            None => self.plain.run(row, start, relu, y),
        }
    }

    /// The rows of an input as they are, as [`Direct::rows`].
    pub fn rows<'x>(&self, x: &'x [f32]) -> impl FnMut(usize, usize, usize, &mut [f32]) + 'x {
        self.plain.rows(x)
    }

    /// Adds the weight gradient to `dw`, as [`Direct::gradient`].
    pub fn gradient(&self, row: impl FnMut(usize, usize, usize, &mut [f32]), dy: &mut [f32], dw: &mut [f32]) {
        self.plain.gradient(row, dy, dw);
    }
}
