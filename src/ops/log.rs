//! Log: y = ln x. <https://onnx.ai/onnx/operators/onnx__Log.html>

use super::family::pointwise::{Pointwise, PointwiseFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Log;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Pointwise(Log)))
}

impl PointwiseFn for Log {
    const INSTRUCTIONS: Option<Instructions> = Instructions::counted(11.0, 104.0);
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn f<T: Real>(&self, x: T) -> T {
        x.ln()
    }
    fn df<T: Real>(&self, x: T, _: T) -> T {
        T::one() / x
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, positive};
    vec![Case::new("Log").inputs([positive(&[2, 3, 4])]).free(9)]
}
