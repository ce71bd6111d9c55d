//! HardSwish: y = x·max(0, min(1, x/6 + 1/2)). <https://onnx.ai/onnx/operators/onnx__HardSwish.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct HardSwish;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(HardSwish)))
}

impl PointwiseFn for HardSwish {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(0.0, 8.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn never_negative(&self, x: bool) -> bool {
        x
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

#[cfg(test)]
mod tests {
    use crate::ops::laws::*;

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let case = Case::new("HardSwish").inputs([floats(&[-4.0, -3.0, -1.0, 0.0, 2.0, 5.0])]);
        case.gives(&[0.0, 0.0, -0.3333333134, 0.0, 1.6666667461, 5.0]);
    }
}
