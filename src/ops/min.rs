//! Min: y = min xₖ with broadcasting; where several are least, each has the gradient. <https://onnx.ai/onnx/operators/onnx__Min.html>

use super::family::variadic::{Variadic, VariadicFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Min;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Variadic(Min)))
}

impl VariadicFn for Min {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(0.0, 24.0);
    const ABSORBS: bool = false;
    fn neutral<T: Real>(&self) -> T {
        T::infinity()
    }
    fn never_negative(&self, mut x: impl Iterator<Item = bool>) -> bool {
        x.all(|x| x)
    }
    fn f<T: Real>(&self, a: T, b: T) -> T {
        a.min(b)
    }
    fn df<T: Real>(&self, x: T, y: T) -> T {
        if x == y { T::one() } else { T::zero() }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    vec![
        Case::new("Min").inputs([data(&[2, 3, 4]), data(&[2, 3, 1]), weight(&[3, 1])]).free(9),
        Case::new("Min").named("one").inputs([data(&[2, 3])]).free(5),
        Case::new("Min").named("scalar in front").inputs([weight(&[]), data(&[2, 3])]).free(5),
    ]
}
