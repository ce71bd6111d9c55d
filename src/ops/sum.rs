//! Sum: y = Σ xₖ with broadcasting. <https://onnx.ai/onnx/operators/onnx__Sum.html>

use super::family::variadic::{Variadic, VariadicFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Sum;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Variadic(Sum)))
}

impl VariadicFn for Sum {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(0.0, 16.0);
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
    fn df<T: Real>(&self, _: T, _: T) -> T {
        T::one()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    vec![
        Case::new("Sum").inputs([data(&[2, 3, 4]), data(&[2, 3, 1]), weight(&[3, 1])]).free(9),
        Case::new("Sum").named("one").inputs([data(&[2, 3])]).free(5),
        Case::new("Sum").named("scalar in front").inputs([weight(&[]), data(&[2, 3])]).free(5),
    ]
}
