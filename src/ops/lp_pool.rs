//! LpPool: y = (Σ |x|ᵖ)^(1/p) in a window. <https://onnx.ai/onnx/operators/onnx__LpPool.html>

use super::pool::{self, Loops};
use super::spatial::Window;
use crate::ir::*;

#[derive(Debug)]
struct LpPool {
    window: Window,
    ceil_mode: Option<i64>,
    p: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    if r.opset < 2 {
        return unsupported(format!("LpPool of opset {}", r.opset));
    }
    let op = LpPool { window: Window::read(r)?, ceil_mode: r.int("ceil_mode")?, p: r.int("p")? };
    if r.opset < 18 && (op.ceil_mode.is_some() || op.window.dilations.is_some()) {
        return unsupported(format!("ceil_mode or dilations at opset {}", r.opset));
    }
    power(op.p)?;
    Ok(Box::new(op))
}

/// The exponent.
pub fn power(p: Option<i64>) -> Result<i32, Refusal> {
    match p.unwrap_or(2) {
        p @ 1..=64 => Ok(p as i32),
        p => unsupported(format!("p is {p}")),
    }
}

/// `Σ|x|ᵖ → y`.
pub fn root<T: Real>(total: T, p: i32) -> T {
    match p {
        1 => total,
        2 => total.sqrt(),
        p => total.powf(T::of(1.0 / f64::from(p))),
    }
}

/// dy/dx for one x of a sum.
pub fn slope<T: Real>(x: T, y: T, p: i32) -> T {
    if x == T::zero() || y == T::zero() { T::zero() } else { x.signum() * (x.abs() / y).powi(p - 1) }
}

impl LpPool {
    fn ceil(&self) -> bool {
        self.ceil_mode.unwrap_or(0) != 0
    }

    fn loops(&self, x: &[usize]) -> Option<(Loops, i32)> {
        let r = pool::resolve(&self.window, self.ceil(), x).ok()?;
        Some((Loops::new(&r, x), power(self.p).ok()?))
    }
}

impl Op for LpPool {
    fn attributes(&self) -> Attributes {
        let w = Writer::default().maybe("ceil_mode", self.ceil_mode).maybe("p", self.p);
        self.window.write(w).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        pool::infer(&self.window, self.ceil(), x)
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn channels(&self, io: &Io, link: &mut dyn Link) {
        pool::channels(io, "takes norms along this axis", link);
    }
    fn macs(&self, _: &Io) -> Vec<Product> {
        Vec::new()
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::default())
    }
}

impl<T: Real> Diff<T> for LpPool {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let Some((x, (loops, p))) = x[0].and_then(|x| Some((x, self.loops(&x.shape)?))) else { return };
        let (pin, pout) = (loops.pixels_in().max(1), loops.pixels_out().max(1));
        y[0].data.fill(T::zero());
        for (x, y) in x.data.chunks_exact(pin).zip(y[0].data.chunks_exact_mut(pout)) {
            loops.gather(x, y, |y, x| *y += x.abs().powi(p));
            y.iter_mut().for_each(|y| *y = root(*y, p));
        }
    }

    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        y: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(x), Some(dx)) = (x[0], &mut dx[0]) else { return };
        let Some((loops, p)) = self.loops(&x.shape) else { return };
        let (pin, pout) = (loops.pixels_in().max(1), loops.pixels_out().max(1));
        let planes = x.data.chunks_exact(pin).zip(dx.data.chunks_exact_mut(pin));
        let results = y[0].data.chunks_exact(pout).zip(dy[0].data.chunks_exact(pout));
        for ((x, dx), (y, dy)) in planes.zip(results) {
            loops.scatter(dx, |o, i, dx| *dx += dy[o] * slope(x[i], y[o], p));
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name| Case::new("LpPool").named(name).ints("kernel_shape", &[2, 3]);
    vec![
        case("p = 2").ints("strides", &[2, 2]).inputs([data(&[2, 3, 4, 5])]).free(5),
        case("p = 3, padded").int("p", 3).ints("pads", &[1, 1, 0, 2]).inputs([data(&[1, 2, 3, 4])]).free(2),
        case("p = 1, rounded up")
            .opset(18)
            .int("p", 1)
            .int("ceil_mode", 1)
            .ints("strides", &[2, 2])
            .ints("dilations", &[2, 1])
            .inputs([data(&[1, 2, 6, 6])])
            .free(2),
    ]
}
