//! Round: y = the nearest integer, of two the even one. <https://onnx.ai/onnx/operators/onnx__Round.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
pub struct Round;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Round)))
}

impl PointwiseFn for Round {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(6.0, 11.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
    }
    fn f<T: Real>(&self, x: T) -> T {
        let y = x.round();
        if (x - x.trunc()).abs() == T::of(0.5) { T::of(2.0) * (x / T::of(2.0)).round() } else { y }
    }
    fn df<T: Real>(&self, _: T, _: T) -> T {
        T::zero()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("Round").inputs([data(&[2, 3, 4])]).free(9)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_neighbour() {
        let y = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4, -2.6].map(|x: f32| Round.f(x));
        assert_eq!(y, [-2.0, -2.0, 0.0, 0.0, 2.0, 2.0, 2.0, -3.0]);
    }
}
