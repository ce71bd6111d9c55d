//! GlobalMaxPool: y = the largest x over all spatial axes.
//! <https://onnx.ai/onnx/operators/onnx__GlobalMaxPool.html>

use super::pool;
use crate::ir::*;

#[derive(Debug)]
struct GlobalMaxPool;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(GlobalMaxPool))
}

impl Op for GlobalMaxPool {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        pool::infer_global(x)
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn channels(&self, io: &Io, link: &mut dyn Link) {
        pool::channels(io, "takes the maximum over this axis", link);
    }
    fn macs(&self, _: &Io) -> Vec<Product> {
        Vec::new()
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::default())
    }
}

impl<T: Real> Diff<T> for GlobalMaxPool {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let Some(x) = x[0] else { return };
        let pixels = volume(&x.shape[2..]).max(1);
        for (y, x) in y[0].data.iter_mut().zip(x.data.chunks_exact(pixels)) {
            *y = x.iter().copied().fold(T::min_value(), T::max);
        }
    }

    /// The gradient goes to the first of the largest.
    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        y: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(x), Some(dx)) = (x[0], &mut dx[0]) else { return };
        let pixels = volume(&x.shape[2..]).max(1);
        for (c, (&y, &dy)) in y[0].data.iter().zip(&dy[0].data).enumerate() {
            let plane = c * pixels..(c + 1) * pixels;
            if let Some(k) = x.data[plane].iter().position(|&x| x == y) {
                dx.data[c * pixels + k] += dy;
            }
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("GlobalMaxPool").inputs([data(&[2, 3, 3, 4])]).free(5),
        Case::new("GlobalMaxPool").named("1d").inputs([data(&[1, 3, 5])]).free(3),
    ]
}
