//! GlobalAveragePool: y = the mean of x over all spatial axes.
//! <https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html>

use super::pool;
use super::reduce::sum;
use crate::ir::*;

#[derive(Debug)]
struct GlobalAveragePool;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(GlobalAveragePool))
}

impl Op for GlobalAveragePool {
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
        pool::channels(io, "averages over this axis", link);
    }
    fn macs(&self, _: &Io) -> Vec<Product> {
        Vec::new()
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::default())
    }
}

impl<T: Real> Diff<T> for GlobalAveragePool {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let Some(x) = x[0] else { return };
        let pixels = volume(&x.shape[2..]).max(1);
        let share = T::of(1.0 / pixels as f64);
        for (y, x) in y[0].data.iter_mut().zip(x.data.chunks_exact(pixels)) {
            *y = sum(x, |x| x) * share;
        }
    }

    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        _: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(x), Some(dx)) = (x[0], &mut dx[0]) else { return };
        let pixels = volume(&x.shape[2..]).max(1);
        let share = T::of(1.0 / pixels as f64);
        for (dx, &dy) in dx.data.chunks_exact_mut(pixels).zip(&dy[0].data) {
            dx.iter_mut().for_each(|dx| *dx += dy * share);
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name| Case::new("GlobalAveragePool").named(name);
    vec![
        case("images").inputs([data(&[2, 3, 3, 4])]).free(5),
        case("1d").inputs([data(&[1, 3, 17])]).free(3),
        case("pixels").inputs([data(&[1, 3, 1, 1])]).free(3),
    ]
}
