//! EyeLike: ones on a diagonal of a matrix. <https://onnx.ai/onnx/operators/onnx__EyeLike.html>

use super::family::no_grad::{Integers, NoGrad, NoGradFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct EyeLike {
    dtype: Option<DType>,
    k: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let code = r.int("dtype")?;
    let dtype = code.map(|c| i32::try_from(c).ok().and_then(DType::from_onnx));
    if dtype == Some(None) {
        return unsupported(format!("elements of type number {code:?}"));
    }
    Ok(Box::new(NoGrad(EyeLike { dtype: dtype.flatten(), k: r.int("k")? })))
}

impl NoGradFn for EyeLike {
    type Bound = Integers;

    fn attributes(&self) -> Attributes {
        let dtype = self.dtype.map(|d| i64::from(d.onnx()));
        Writer::default().maybe("dtype", dtype).maybe("k", self.k).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let x = need(x, 0)?;
        if x.shape.len() != 2 {
            return invalid(format!("shape {:?} is not a matrix", x.shape));
        }
        Ok(vec![Fact::new(self.dtype.unwrap_or(x.dtype), x.shape.clone())])
    }
    fn channels(&self, _: &Io, _: &mut dyn Couplings) {}
    fn bind(&self, io: &Io) -> Result<Integers, Refusal> {
        let &[rows, columns] = io.output(0) else {
            return invalid(format!("shape {:?} is not a matrix", io.output(0)));
        };
        let k = self.k.unwrap_or(0);
        let on = |i: usize, j: usize| usize::from((j as i64).checked_sub(i as i64) == Some(k));
        Ok(Integers((0..rows).flat_map(|i| (0..columns).map(move |j| on(i, j))).collect()))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("EyeLike").inputs([data(&[3, 4])]),
        Case::new("EyeLike").named("below").int("k", -1).int("dtype", 7).inputs([data(&[3, 2])]),
    ]
}
