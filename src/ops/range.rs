//! Range: start, start + delta, … up to a limit. <https://onnx.ai/onnx/operators/onnx__Range.html>

use super::family::no_grad::{NoGrad, NoGradFn, Values};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Range;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(NoGrad(Range)))
}

/// The number that a constant operand holds.
fn number(x: &Operands, slot: usize) -> Result<f64, Refusal> {
    need(x, slot)?;
    let value = x[slot].and_then(|o| o.value).map(|t| t.to_real::<f64>());
    match value.as_deref() {
        Some([v]) => Ok(*v),
        Some(_) => invalid("start, limit and delta must be one number each"),
        None => unsupported("a range that depends on the network's input values"),
    }
}

impl NoGradFn for Range {
    type Bound = Progression;

    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let dtype = need(x, 0)?.dtype;
        let (start, limit, delta) = (number(x, 0)?, number(x, 1)?, number(x, 2)?);
        let n = ((limit - start) / delta).ceil();
        if delta == 0.0 || n.is_nan() || n > (1u64 << 36) as f64 {
            return invalid(format!("a range from {start} to {limit} in steps of {delta}"));
        }
        Ok(vec![Fact::new(dtype, [n.max(0.0) as usize])])
    }
    fn channels(&self, _: &Io, _: &mut dyn Couplings) {}
    fn bind(&self, io: &Io) -> Result<Progression, Refusal> {
        Ok(Progression { start: number(io.x, 0)?, delta: number(io.x, 2)? })
    }
}

/// `start + i·delta`.
#[derive(Debug)]
struct Progression {
    start: f64,
    delta: f64,
}

impl Values for Progression {
    fn forward<T: Real>(&self, _: &Inputs<T>, y: &mut ResultsMut<T>) {
        let (start, delta) = (T::of(self.start), T::of(self.delta));
        let y = y[0].elements_mut().iter_mut().enumerate();
        y.for_each(|(i, y)| *y = start + T::of(i as f64) * delta);
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
