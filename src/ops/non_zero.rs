//! NonZero: the indices of the elements that are not zero; of constants only, since the result's shape depends on them.
//! <https://onnx.ai/onnx/operators/onnx__NonZero.html>

use super::family::indexing::row_major;
use super::family::no_grad::{NoGrad, NoGradFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct NonZero;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(NoGrad(NonZero)))
}

impl NoGradFn for NonZero {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        match x[0].and_then(|o| o.value) {
            Some(t) => {
                let found = t.to_real::<f64>().into_iter().filter(|&v| v != 0.0).count();
                Ok(vec![Fact::new(DType::I64, [fact.shape.len(), found])])
            }
            None => unsupported("a result whose shape depends on the network's input values"),
        }
    }
    fn channels(&self, _: &Io, _: &mut dyn Couplings) {}
    fn forward<T: Real>(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (Some(x), y) = (x[0], &mut y[0]) else { return };
        let found: Vec<usize> = (0..x.data.len()).filter(|&i| x.data[i] != T::zero()).collect();
        for (axis, step) in row_major(&x.shape).into_iter().enumerate() {
            for (k, &i) in found.iter().enumerate() {
                y.data[axis * found.len() + k] = T::of((i / step % x.shape[axis]) as f64);
            }
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given};
    vec![Case::new("NonZero").inputs([Given::Fixed(Tensor::floats(&[2, 2], vec![1.0, 0.0, 0.0, 2.0]))])]
}
