//! Cast: numbers in another type; fractions are cut towards zero. <https://onnx.ai/onnx/operators/onnx__Cast.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Cast {
    to: DType,
    saturate: Option<i64>,
    round_mode: Option<String>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let Some(code) = r.int("to")? else { return invalid("attribute 'to' is missing") };
    let Some(to) = i32::try_from(code).ok().and_then(DType::from_onnx) else {
        return unsupported(format!("a cast to type number {code}"));
    };
    // Both concern eight-bit floats only, which we do not hold.
    let (saturate, round_mode) = (r.int("saturate")?, r.string("round_mode")?);
    Ok(Box::new(Pointwise(Cast { to, saturate, round_mode })))
}

impl PointwiseFn for Cast {
    const INSTRUCTIONS: Option<Instructions> = None;
    fn attributes(&self) -> Attributes {
        Writer::default()
            .put("to", i64::from(self.to.onnx()))
            .maybe("saturate", self.saturate)
            .maybe("round_mode", self.round_mode.clone())
            .done()
    }
    fn rearranges(&self, slot: usize) -> bool {
        slot == 0
    }
    fn dtype(&self, _: DType) -> DType {
        self.to
    }
    fn differentiable(&self) -> bool {
        self.to.is_float()
    }
    fn never_negative(&self, x: bool) -> bool {
        // What is too large for an integer may come out as anything.
        x && self.to.is_float() || self.to == DType::Bool
    }
    fn f<T: Real>(&self, x: T) -> T {
        match self.to {
            to if to.is_float() => x,
            DType::Bool if x == T::zero() => T::zero(),
            DType::Bool => T::one(),
            _ => x.trunc(),
        }
    }
    fn df<T: Real>(&self, _: T, _: T) -> T {
        T::one()
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name, to| Case::new("Cast").named(name).int("to", to).inputs([data(&[2, 3, 4])]).free(9);
    vec![case("double", 11), case("half", 10).opset(19).int("saturate", 1), case("int64", 7), case("bool", 9)]
}
