//! A convolution with fixed weights, forward and back, by whichever kernel is to compute it.

use super::chwn::Chwn;
use super::conv::Geometry;
use super::direct::{Cpu, Direct, Start};
use super::winograd::Winograd;

/// The plain sums, and in their place, where that was asked for and is faster, a kernel that shares its weights both ways.
#[derive(Debug, Clone)]
pub struct Fixed {
    forward: Direct,
    back: Back,
    fast: Option<Fast>,
}

/// What takes a gradient back.
#[derive(Debug, Clone)]
enum Back {
    /// Nothing: it is not wanted, or that is no convolution.
    Nowhere,
    /// The plain sums.
    Plain(Box<Direct>),
    /// The fast kernel, by the weights of the way forward.
    Fast,
}

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

impl Fixed {
    /// Prepares `y = conv(x, w)`, as [`Direct::new`], and if `back` says so `dx = conv(dy, w)ᵀ`, as [`Direct::transposed`]; with
    /// fewer multiplications and more rounding where that is faster, if `fast` allows it.
    pub fn new(g: &Geometry, w: &[f32], back: bool, fast: bool) -> Option<Self> {
        let cpu = Cpu::detect();
        let forward = Direct::unweighted(cpu, g)?;
        let fast = if fast { Fast::new(g, w) } else { None };
        let back = match &fast {
            _ if !back => Back::Nowhere,
            Some(_) => Back::Fast,
            None => Direct::unweighted_back(cpu, g).map_or(Back::Nowhere, |back| Back::Plain(Box::new(back))),
        };
        let mut made = Self { forward, back, fast };
        if made.fast.is_none() {
            made.repack(w);
        }
        Some(made)
    }

    /// Takes other weights of the same shape.
    pub fn repack(&mut self, w: &[f32]) {
        match &mut self.fast {
            Some(fast) => fast.repack(w),
            None => {
                self.forward.repack(w);
                if let Back::Plain(back) = &mut self.back {
                    back.repack_transposed(w);
                }
            }
        }
    }

    /// Whether [`Fixed::run_back`] can be called.
    pub fn goes_back(&self) -> bool {
        !matches!(self.back, Back::Nowhere)
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
        match (&self.back, &self.fast) {
            (Back::Fast, Some(fast)) => fast.run_back(self.forward.rows_back(dy), add, dx),
            (Back::Plain(back), _) => {
                back.run(back.rows(dy), if add { Start::Add } else { Start::Bias(&[]) }, false, dx);
            }
            _ => return false,
        }
        true
    }

    /// Adds the weight gradient to `dw`, as [`Direct::gradient`].
    pub fn gradient(&self, row: impl FnMut(usize, usize, usize, &mut [f32]), dy: &mut [f32], dw: &mut [f32]) {
        self.forward.gradient(row, dy, dw);
    }
}
