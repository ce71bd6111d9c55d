//! HardSwish: y = x·max(0, min(1, x/6 + 1/2)). <https://onnx.ai/onnx/operators/onnx__HardSwish.html>

use super::pointwise::{Map, Pointwise};
use crate::ir::*;

#[derive(Debug)]
struct HardSwish;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Map(HardSwish)))
}

impl Pointwise for HardSwish {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn f<T: Real>(&self, x: T) -> T {
        x * (x / T::of(6.0) + T::of(0.5)).max(T::zero()).min(T::one())
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        let three = T::of(3.0);
        if x <= -three {
            T::zero()
        } else if x >= three {
            T::one()
        } else {
            x / three + T::of(0.5)
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![Case::new("HardSwish").inputs([data(&[2, 3, 4])]).free(9)]
}
