//! LpPool: y = (Σ |x|ᵖ)^(1/p) in a window. <https://onnx.ai/onnx/operators/onnx__LpPool.html>

use super::family::pool::{Loops, Plane, Pool, Windowed};
use super::family::spatial::Window;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
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
    Ok(Box::new(Pool(op)))
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
    /// The exponent, which was checked when the operator was read.
    fn p(&self) -> i32 {
        power(self.p).unwrap_or(2)
    }
}

impl Windowed for LpPool {
    const DOES: &'static str = "takes norms";
    const NEVER_NEGATIVE: bool = true;
    fn window(&self) -> &Window {
        &self.window
    }
    fn ceil_mode(&self) -> Option<i64> {
        self.ceil_mode
    }
    fn attributes(&self, w: Writer) -> Writer {
        w.maybe("p", self.p)
    }
    fn forward<T: Real>(&self, loops: &Loops, _: &[T], x: &[T], y: &mut [T]) {
        let p = self.p();
        y.fill(T::zero());
        loops.gather(x, y, |y, x| *y += x.abs().powi(p));
        y.iter_mut().for_each(|y| *y = root(*y, p));
    }
    fn backward<T: Real>(&self, loops: &Loops, _: &[T], io: Plane<T>, dx: &mut [T]) {
        let p = self.p();
        loops.scatter(dx, |o, i, dx| *dx += io.dy[o] * slope(io.x[i], io.y[o], p));
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
