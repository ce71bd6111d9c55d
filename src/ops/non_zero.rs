//! NonZero: the indices of the elements that are not zero; of constants only, since the result's shape depends on them.
//! <https://onnx.ai/onnx/operators/onnx__NonZero.html>

use super::family::indexing::row_major;
use super::family::no_grad::{Integers, NoGrad, NoGradFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct NonZero;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(NoGrad(NonZero)))
}

/// Positions of the elements of a constant that are not zero.
fn found(x: Option<&Tensor>) -> Result<Vec<usize>, Refusal> {
    let Some(x) = x else {
        return unsupported("a result whose shape depends on the network's input values");
    };
    let values = x.to_real::<f64>().into_iter().enumerate();
    Ok(values.filter(|&(_, v)| v != 0.0).map(|(i, _)| i).collect())
}

impl NoGradFn for NonZero {
    type Bound = Integers;

    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        let found = found(x[0].and_then(|o| o.value))?.len();
        Ok(vec![Fact::new(DType::I64, [fact.shape.len(), found])])
    }
    fn channels(&self, _: &Io, _: &mut dyn Couplings) {}
    fn bind(&self, io: &Io) -> Result<Integers, Refusal> {
        let shape = &need(io.x, 0)?.shape;
        let found = found(io.value(0))?;
        let axes = row_major(shape).into_iter().zip(shape);
        Ok(Integers(axes.flat_map(|(step, size)| found.iter().map(move |i| i / step % size)).collect()))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given};
    vec![Case::new("NonZero").inputs([Given::Fixed(Tensor::floats(&[2, 2], vec![1.0, 0.0, 0.0, 2.0]))])]
}
