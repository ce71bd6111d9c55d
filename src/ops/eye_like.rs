//! EyeLike: ones on a diagonal of a matrix. <https://onnx.ai/onnx/operators/onnx__EyeLike.html>

use super::family::no_grad::{NoGrad, NoGradFn};
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
    fn forward<T: Real>(&self, _: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (columns, k) = (y[0].shape[1], self.k.unwrap_or(0));
        for (at, y) in y[0].data.iter_mut().enumerate() {
            let (i, j) = ((at / columns) as i64, (at % columns) as i64);
            *y = if j.checked_sub(i) == Some(k) { T::one() } else { T::zero() };
        }
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
