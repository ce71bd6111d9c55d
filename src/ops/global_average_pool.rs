//! GlobalAveragePool: y = the mean of x over all spatial axes.
//! <https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html>

use super::family::pool::{Global, Whole};
use super::family::reduce::sum;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct GlobalAveragePool;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Global(GlobalAveragePool)))
}

impl Whole for GlobalAveragePool {
    const DOES: &'static str = "averages";
    const AVERAGES: bool = true;
    fn forward<T: Real>(&self, x: &[T]) -> T {
        sum(x, |x| x) * T::of(1.0 / x.len() as f64)
    }
    fn backward<T: Real>(&self, x: &[T], _: T, dy: T, dx: &mut [T]) {
        let share = dy * T::of(1.0 / x.len() as f64);
        dx.iter_mut().for_each(|dx| *dx += share);
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name| Case::new("GlobalAveragePool").named(name);
    vec![
        case("images").inputs([data(&[2, 3, 3, 4])]).free(5),
        case("1d").inputs([data(&[1, 3, 17])]).free(3),
        case("pixels").inputs([data(&[1, 3, 1, 1])]).free(3),
    ]
}
