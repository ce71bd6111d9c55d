//! AveragePool: y = the mean of x in a window. <https://onnx.ai/onnx/operators/onnx__AveragePool.html>

use super::pool::{self, Loops};
use super::spatial::Window;
use crate::ir::*;

#[derive(Debug)]
struct AveragePool {
    window: Window,
    ceil_mode: Option<i64>,
    count_include_pad: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let window = Window::read(r)?;
    if r.opset < 19 && window.dilations.is_some() {
        return unsupported(format!("dilations at opset {}", r.opset));
    }
    let (ceil_mode, count_include_pad) = (r.int("ceil_mode")?, r.int("count_include_pad")?);
    Ok(Box::new(AveragePool { window, ceil_mode, count_include_pad }))
}

impl AveragePool {
    fn ceil(&self) -> bool {
        self.ceil_mode.unwrap_or(0) != 0
    }

    fn loops<T: Real>(&self, x: &[usize]) -> Option<(Loops, Vec<T>)> {
        let loops = Loops::new(&pool::resolve(&self.window, self.ceil(), x).ok()?, x);
        let inverse = loops.inverse_counts(self.count_include_pad.unwrap_or(0) != 0);
        Some((loops, inverse))
    }
}

impl Op for AveragePool {
    fn attributes(&self) -> Attributes {
        let w = Writer::default()
            .maybe("ceil_mode", self.ceil_mode)
            .maybe("count_include_pad", self.count_include_pad);
        self.window.write(w).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        pool::infer(&self.window, self.ceil(), x)
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn channels(&self, io: &Io, link: &mut dyn Link) {
        pool::channels(io, "averages along this axis", link);
    }
    fn macs(&self, _: &Io) -> Vec<Product> {
        Vec::new()
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::default())
    }
}

impl<T: Real> Diff<T> for AveragePool {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let Some((x, (loops, inverse))) = x[0].and_then(|x| Some((x, self.loops(&x.shape)?))) else { return };
        let (pin, pout) = (loops.pixels_in().max(1), loops.pixels_out().max(1));
        y[0].data.fill(T::zero());
        for (x, y) in x.data.chunks_exact(pin).zip(y[0].data.chunks_exact_mut(pout)) {
            loops.gather(x, y, |y, x| *y += x);
            y.iter_mut().zip(&inverse).for_each(|(y, &i)| *y *= i);
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
        let Some((loops, inverse)) = self.loops::<T>(&x.shape) else { return };
        let (pin, pout) = (loops.pixels_in().max(1), loops.pixels_out().max(1));
        let mut share = vec![T::zero(); pout];
        for (dx, dy) in dx.data.chunks_exact_mut(pin).zip(dy[0].data.chunks_exact(pout)) {
            share.iter_mut().zip(dy).zip(&inverse).for_each(|((s, &dy), &i)| *s = dy * i);
            loops.scatter(dx, |o, _, dx| *dx += share[o]);
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name, kernel: &[i64]| Case::new("AveragePool").named(name).ints("kernel_shape", kernel);
    vec![
        case("2x2", &[2, 2]).ints("strides", &[2, 2]).inputs([data(&[2, 3, 4, 4])]).free(5),
        case("padding counts", &[3, 3])
            .ints("pads", &[1, 0, 2, 1])
            .int("count_include_pad", 1)
            .inputs([data(&[1, 2, 4, 4])])
            .free(2),
        case("rounded up", &[3, 2])
            .ints("strides", &[2, 3])
            .ints("pads", &[1, 1, 1, 0])
            .int("ceil_mode", 1)
            .int("count_include_pad", 1)
            .inputs([data(&[1, 2, 4, 6])])
            .free(2),
        case("same, upper", &[2, 3])
            .string("auto_pad", "SAME_UPPER")
            .ints("strides", &[1, 3])
            .inputs([data(&[1, 2, 4, 7])])
            .free(2),
        case("dilated", &[2, 2]).opset(19).ints("dilations", &[2, 3]).inputs([data(&[1, 2, 5, 6])]).free(2),
        case("1d", &[3]).inputs([data(&[1, 2, 5])]).free(2),
        case("3d", &[2, 1, 2]).ints("strides", &[1, 2, 1]).inputs([data(&[1, 2, 3, 3, 3])]).free(2),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::{Case, counting};

    // Values: onnxruntime 1.31.
    #[test]
    fn what_lies_beyond_the_padding_never_counts() {
        let case = || {
            Case::new("AveragePool")
                .opset(19)
                .ints("kernel_shape", &[3, 3])
                .ints("strides", &[2, 2])
                .ints("pads", &[1, 1, 1, 1])
                .int("ceil_mode", 1)
                .inputs([counting(&[1, 1, 4, 4])])
        };
        case().gives(&[2.5, 4.0, 5.0, 8.5, 10.0, 11.0, 12.5, 14.0, 15.0]);
        let padded = [1.11111, 2.66667, 1.66667, 5.66667, 10.0, 5.5, 4.16667, 7.0, 3.75];
        case().int("count_include_pad", 1).gives(&padded);
    }
}
