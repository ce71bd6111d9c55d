//! GlobalLpPool: y = (Σ |x|ᵖ)^(1/p) over all spatial axes.
//! <https://onnx.ai/onnx/operators/onnx__GlobalLpPool.html>
//!
//! A zero adds nothing, so the spatial axes are read.

use super::family::pool;
use super::family::reduce::sum;
use super::lp_pool::{power, root, slope};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct GlobalLpPool {
    p: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    if r.opset < 2 {
        return unsupported(format!("GlobalLpPool of opset {}", r.opset));
    }
    let p = r.int("p")?;
    power(p)?;
    Ok(Box::new(GlobalLpPool { p }))
}

impl Hints for GlobalLpPool {}

impl Op for GlobalLpPool {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("p", self.p).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        pool::infer_global(x)
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn never_negative(&self, _: &Operands) -> bool {
        true
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Some(x) = io.input(0) else { return };
        (0..2).for_each(|axis| link.tie_axes(input(0, axis), output(0, axis)));
        for (axis, &size) in x.iter().enumerate().skip(2) {
            (0..size).for_each(|i| link.free(input(0, axis), i));
            link.contracts(input(0, axis));
        }
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn linear(&self, _: &Io) -> Option<Linear> {
        None
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for GlobalLpPool {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (Some(x), Ok(p)) = (x[0], power(self.p)) else { return };
        let pixels = volume(&x.shape[2..]).max(1);
        for (y, x) in y[0].data.iter_mut().zip(x.data.chunks_exact(pixels)) {
            *y = root(sum(x, |x| x.abs().powi(p)), p);
        }
    }

    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        y: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(x), Some(dx), Ok(p)) = (x[0], &mut dx[0], power(self.p)) else { return };
        let pixels = volume(&x.shape[2..]).max(1);
        let planes = x.data.chunks_exact(pixels).zip(dx.data.chunks_exact_mut(pixels));
        for ((x, dx), (&y, &dy)) in planes.zip(y[0].data.iter().zip(&dy[0].data)) {
            dx.iter_mut().zip(x).for_each(|(dx, &x)| *dx += dy * slope(x, y, p));
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("GlobalLpPool").inputs([data(&[2, 3, 3, 4])]).free(12),
        Case::new("GlobalLpPool").named("p = 3").int("p", 3).inputs([data(&[1, 3, 9])]).free(12),
    ]
}
