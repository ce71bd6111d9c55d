//! A convolution with fixed weights, forward and back, by whichever kernel is to compute it.

use super::conv::Geometry;
use super::direct::{Direct, Start};
use super::winograd::Winograd;

/// The plain sums, and in their place Winograd's, which share their weights, where that was asked for and is faster.
#[derive(Debug, Clone)]
pub struct Fixed {
    forward: Direct,
    /// The convolution that takes a gradient back, where it is wanted and is one.
    back: Option<Direct>,
    fast: Option<Winograd>,
}

impl Fixed {
    /// Prepares `y = conv(x, w)`, as [`Direct::new`], and where that is wanted `dx = conv(dy, w)ᵀ`, as [`Direct::transposed`].
    pub fn new(g: &Geometry, w: &[f32], back: bool) -> Option<Self> {
        let forward = Direct::new(g, w)?;
        Some(Self { forward, back: if back { Direct::transposed(g, w) } else { None }, fast: None })
    }

    /// Takes fewer multiplications and more rounding from here on, where that is faster; geometry and weights as given before.
    pub fn hasten(&mut self, g: &Geometry, w: &[f32]) {
        self.fast = Winograd::new(g, w);
        if self.fast.is_some() {
            self.back.iter_mut().chain([&mut self.forward]).for_each(Direct::forget);
        }
    }

    /// Takes other weights of the same shape.
    pub fn repack(&mut self, w: &[f32]) {
        match &mut self.fast {
            Some(fast) => fast.repack(w),
            None => {
                self.forward.repack(w);
                self.back.iter_mut().for_each(|back| back.repack_transposed(w));
            }
        }
    }

    /// Whether [`Fixed::run_back`] can be called.
    pub fn goes_back(&self) -> bool {
        self.back.is_some()
    }

    /// Runs the convolution with a number per output channel on top; `row` as for [`Direct::run`].
    pub fn run(
        &self,
        row: impl FnMut(usize, usize, usize, &mut [f32]),
        bias: &[f32],
        relu: bool,
        y: &mut [f32],
    ) {
        match &self.fast {
            Some(fast) => fast.run(row, bias, relu, y),
            None => self.forward.run(row, Start::Bias(bias), relu, y),
        }
    }

    /// Takes the gradient `dy` back to `dx`, which it is added to if `add`; `false` where this cannot do it.
    pub fn run_back(&self, dy: &[f32], add: bool, dx: &mut [f32]) -> bool {
        let Some(back) = &self.back else { return false };
        match &self.fast {
            Some(fast) => fast.run_back(back.rows(dy), add, dx),
            None => back.run(back.rows(dy), if add { Start::Add } else { Start::Bias(&[]) }, false, dx),
        }
        true
    }

    /// Adds the weight gradient to `dw`, as [`Direct::gradient`].
    pub fn gradient(&self, row: impl FnMut(usize, usize, usize, &mut [f32]), dy: &mut [f32], dw: &mut [f32]) {
        self.forward.gradient(row, dy, dw);
    }
}
