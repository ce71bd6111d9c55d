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

/// The norm, by its exponent.
#[derive(Debug)]
struct Norm(i32);

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    if r.opset < 2 {
        return unsupported(format!("GlobalLpPool of opset {}", r.opset));
    }
    let p = r.int("p")?;
    power(p)?;
    Ok(Box::new(GlobalLpPool { p }))
}

impl Hints for GlobalLpPool {
    fn never_negative(&self, _: &Operands) -> bool {
        true
    }
}

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
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        pool::infer_global(io.x)?;
        Ok(Box::new(Norm(power(self.p)?)))
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
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Norm {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let Self(p) = *self;
        for (y, x) in y[0].elements_mut().iter_mut().zip(pool::planes(present(x, 0))) {
            *y = root(sum(x, |x| x.abs().powi(p)), p);
        }
    }

    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        if let Some(dx) = wanted(dx, 0) {
            let planes = pool::planes(present(x, 0)).zip(pool::planes_mut(dx));
            let results = y[0].elements().iter().zip(dy[0].elements());
            for ((x, dx), (&y, &dy)) in planes.zip(results) {
                dx.iter_mut().zip(x).for_each(|(dx, &x)| *dx += dy * slope(x, y, self.0));
            }
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
