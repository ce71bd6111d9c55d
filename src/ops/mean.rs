//! Mean: y = Σ xₖ / n with broadcasting. <https://onnx.ai/onnx/operators/onnx__Mean.html>

use super::family::variadic::{Variadic, VariadicFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Mean;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Variadic(Mean)))
}

impl VariadicFn for Mean {
    const ABSORBS: bool = true;
    fn neutral<T: Real>(&self) -> T {
        T::zero()
    }
    fn never_negative(&self, mut x: impl Iterator<Item = bool>) -> bool {
        x.all(|x| x)
    }
    fn f<T: Real>(&self, a: T, b: T) -> T {
        a + b
    }
    fn scale<T: Real>(&self, n: usize) -> T {
        T::one() / T::of(n as f64)
    }
    fn df<T: Real>(&self, _: T, _: T) -> T {
        T::one()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    vec![
        Case::new("Mean").inputs([data(&[2, 3, 4]), data(&[2, 3, 1]), weight(&[3, 1])]).free(9),
        Case::new("Mean").named("one").inputs([data(&[2, 3])]).free(5),
        Case::new("Mean").named("scalar in front").inputs([weight(&[]), data(&[2, 3])]).free(5),
    ]
}
