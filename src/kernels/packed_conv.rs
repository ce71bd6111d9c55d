//! A convolution with fixed weights, forward and back, by whichever kernel is to compute it.

use super::chwn::Chwn;
use super::conv::Geometry;
use super::direct::{Cpu, Direct, Start};
use super::winograd::Winograd;

/// A convolution whose weights change by [`PackedConv::repack`] only.
#[derive(Debug, Clone)]
pub struct PackedConv {
    /// The plain sums, which know the shapes; they hold weights where nothing faster is taken.
    plain: Direct,
    kernel: Kernel,
}

/// The kernel that computes, and which ways.
#[derive(Debug, Clone)]
enum Kernel {
    /// The plain sums, and the transposed ones, where these are wanted and apply.
    Plain { back: Option<Box<Direct>> },
    /// A kernel that goes both ways by one set of weights, and whether the way back is wanted.
    Fast { kernel: Box<Fast>, back: bool },
}

/// Kernels with fewer multiplications than the plain sum.
#[derive(Debug, Clone)]
enum Fast {
    Winograd(Winograd),
    Chwn(Chwn),
}

impl Fast {
    fn new(g: &Geometry, w: &[f32]) -> Option<Self> {
        Winograd::new(g, w).map(Self::Winograd).or_else(|| Chwn::new(g, w).map(Self::Chwn))
    }

    fn repack(&mut self, w: &[f32]) {
        match self {
            Self::Winograd(kernel) => kernel.repack(w),
            Self::Chwn(kernel) => kernel.repack(w),
        }
    }

    fn run(&self, row: impl FnMut(usize, usize, usize, &mut [f32]), bias: &[f32], relu: bool, y: &mut [f32]) {
        match self {
            Self::Winograd(kernel) => kernel.run(row, bias, relu, y),
            Self::Chwn(kernel) => kernel.run(row, bias, relu, y),
        }
    }

    fn run_back(&self, row: impl FnMut(usize, usize, usize, &mut [f32]), add: bool, dx: &mut [f32]) {
        match self {
            Self::Winograd(kernel) => kernel.run_back(row, add, dx),
            Self::Chwn(kernel) => kernel.run_back(row, add, dx),
        }
    }
}

impl PackedConv {
    /// Prepares `y = conv(x, w)`, as [`Direct::new`], and if `back` says so `dx = conv(dy, w)ᵀ`, as [`Direct::transposed`]; with
    /// fewer multiplications and more rounding where that is faster, if `fast` allows it.
    pub fn new(g: &Geometry, w: &[f32], back: bool, fast: bool) -> Option<Self> {
        let cpu = Cpu::detect();
        let plain = Direct::unweighted(cpu, g)?;
        let kernel = if fast { Fast::new(g, w).map(Box::new) } else { None };
        if let Some(kernel) = kernel {
            return Some(Self { plain, kernel: Kernel::Fast { kernel, back } });
        }
        let back = if back { Direct::unweighted_back(cpu, g).map(Box::new) } else { None };
        let mut made = Self { plain, kernel: Kernel::Plain { back } };
        made.repack(w);
        Some(made)
    }

    /// Replaces the weights, by others `[cout, cin, taps]`.
    pub fn repack(&mut self, w: &[f32]) {
        match &mut self.kernel {
            Kernel::Fast { kernel, .. } => kernel.repack(w),
            Kernel::Plain { back } => {
                self.plain.repack(w);
                if let Some(back) = back {
                    back.repack_transposed(w);
                }
            }
        }
    }

    /// True if [`PackedConv::run_back`] can be called.
    pub fn goes_back(&self) -> bool {
        matches!(self.kernel, Kernel::Plain { back: Some(_) } | Kernel::Fast { back: true, .. })
    }

    /// Runs the convolution with a number per output channel on top; `row` as for [`Direct::run`].
    pub fn run(
        &self,
        row: impl FnMut(usize, usize, usize, &mut [f32]),
        bias: &[f32],
        relu: bool,
        y: &mut [f32],
    ) {
        match &self.kernel {
            Kernel::Fast { kernel, .. } => kernel.run(row, bias, relu, y),
            Kernel::Plain { .. } => self.plain.run(row, Start::Bias(bias), relu, y),
        }
    }

    /// Takes the gradient `dy` back to `dx`, which it is added to if `add`; `false` where this cannot do it.
    pub fn run_back(&self, dy: &[f32], add: bool, dx: &mut [f32]) -> bool {
        match &self.kernel {
            Kernel::Fast { kernel, back: true } => kernel.run_back(self.plain.rows_back(dy), add, dx),
            Kernel::Plain { back: Some(back) } => {
                back.run(back.rows(dy), if add { Start::Add } else { Start::Bias(&[]) }, false, dx);
            }
            _ => return false,
        }
        true
    }

    /// Adds the weight gradient to `dw`, as [`Direct::gradient`].
    pub fn gradient(&self, row: impl FnMut(usize, usize, usize, &mut [f32]), dy: &mut [f32], dw: &mut [f32]) {
        self.plain.gradient(row, dy, dw);
    }
}
