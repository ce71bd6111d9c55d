//! Range: start, start + delta, … up to a limit. <https://onnx.ai/onnx/operators/onnx__Range.html>

use super::family::no_grad::{NoGrad, NoGradFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Range;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(NoGrad(Range)))
}

impl NoGradFn for Range {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let dtype = need(x, 0)?.dtype;
        let number = |slot: usize| -> Result<f64, Refusal> {
            need(x, slot)?;
            let value = x[slot].and_then(|o| o.value).map(|t| t.to_real::<f64>());
            match value.as_deref() {
                Some([v]) => Ok(*v),
                Some(_) => invalid("start, limit and delta must be one number each"),
                None => unsupported("a range that depends on the network's input values"),
            }
        };
        let (start, limit, delta) = (number(0)?, number(1)?, number(2)?);
        let n = ((limit - start) / delta).ceil();
        if delta == 0.0 || n.is_nan() || n > (1u64 << 36) as f64 {
            return invalid(format!("a range from {start} to {limit} in steps of {delta}"));
        }
        Ok(vec![Fact::new(dtype, [n.max(0.0) as usize])])
    }
    fn channels(&self, _: &Io, _: &mut dyn Couplings) {}
    fn forward<T: Real>(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let number = |slot: usize| x[slot].and_then(|v| v.data.first().copied());
        let (Some(start), Some(delta)) = (number(0), number(2)) else { return };
        y[0].data.iter_mut().enumerate().for_each(|(i, y)| *y = start + T::of(i as f64) * delta);
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, scalar};
    let case = |name, start, limit, delta| {
        Case::new("Range").named(name).inputs([scalar(start), scalar(limit), scalar(delta)])
    };
    vec![case("up", 1.0, 5.5, 2.0), case("down", 3.0, -1.0, -1.0), case("empty", 3.0, 1.0, 1.0)]
}
