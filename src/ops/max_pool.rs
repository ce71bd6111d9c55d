//! MaxPool: y = the largest x in a window. <https://onnx.ai/onnx/operators/onnx__MaxPool.html>

use super::pool::{self, Loops};
use super::spatial::Window;
use crate::ir::*;

#[derive(Debug)]
struct MaxPool {
    window: Window,
    ceil_mode: Option<i64>,
    storage_order: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let op = MaxPool {
        window: Window::read(r)?,
        ceil_mode: r.int("ceil_mode")?,
        storage_order: r.int("storage_order")?,
    };
    if r.outputs > 1 {
        return unsupported("the output Indices");
    }
    if op.storage_order.unwrap_or(0) != 0 {
        return unsupported("storage_order=1");
    }
    Ok(Box::new(op))
}

impl MaxPool {
    fn ceil(&self) -> bool {
        self.ceil_mode.unwrap_or(0) != 0
    }

    fn loops(&self, x: &[usize]) -> Option<Loops> {
        pool::resolve(&self.window, self.ceil(), x).ok().map(|r| Loops::new(&r, x))
    }
}

impl Op for MaxPool {
    fn attributes(&self) -> Attributes {
        let w =
            Writer::default().maybe("ceil_mode", self.ceil_mode).maybe("storage_order", self.storage_order);
        self.window.write(w).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        pool::infer(&self.window, self.ceil(), x)
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn channels(&self, io: &Io, link: &mut dyn Link) {
        pool::channels(io, "takes maxima along this axis", link);
    }
    fn macs(&self, _: &Io) -> Vec<Product> {
        Vec::new()
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::default())
    }
}

impl<T: Real> Diff<T> for MaxPool {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let Some((x, loops)) = x[0].and_then(|x| Some((x, self.loops(&x.shape)?))) else { return };
        let (pin, pout) = (loops.pixels_in().max(1), loops.pixels_out().max(1));
        y[0].data.fill(T::min_value());
        for (x, y) in x.data.chunks_exact(pin).zip(y[0].data.chunks_exact_mut(pout)) {
            loops.gather(x, y, |y, x| *y = if x > *y { x } else { *y });
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
        let Some(loops) = self.loops(&x.shape) else { return };
        let (pin, pout) = (loops.pixels_in().max(1), loops.pixels_out().max(1));
        let mut left = vec![T::zero(); pout];
        let planes = x.data.chunks_exact(pin).zip(dx.data.chunks_exact_mut(pin));
        let results = y[0].data.chunks_exact(pout).zip(dy[0].data.chunks_exact(pout));
        for ((x, dx), (y, dy)) in planes.zip(results) {
            left.copy_from_slice(dy);
            loops.scatter(dx, |o, i, dx| {
                if x[i] == y[o] {
                    *dx += left[o];
                    left[o] = T::zero();
                }
            });
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name, kernel: &[i64]| Case::new("MaxPool").named(name).ints("kernel_shape", kernel);
    vec![
        case("2x2", &[2, 2]).ints("strides", &[2, 2]).inputs([data(&[2, 3, 4, 4])]).free(5),
        case("3x3 padded", &[3, 3])
            .ints("strides", &[2, 2])
            .ints("pads", &[1, 1, 1, 1])
            .int("storage_order", 0)
            .inputs([data(&[1, 2, 5, 6])])
            .free(2),
        case("rounded up", &[3, 2])
            .ints("strides", &[3, 3])
            .ints("pads", &[0, 1, 1, 0])
            .int("ceil_mode", 1)
            .inputs([data(&[1, 2, 5, 6])])
            .free(2),
        case("dilated", &[2, 2])
            .ints("dilations", &[2, 3])
            .ints("pads", &[1, 0, 0, 2])
            .inputs([data(&[1, 2, 5, 6])])
            .free(2),
        case("same, lower", &[2, 3])
            .string("auto_pad", "SAME_LOWER")
            .ints("strides", &[1, 3])
            .inputs([data(&[1, 2, 4, 7])])
            .free(2),
        case("1d", &[3]).inputs([data(&[1, 2, 5])]).free(2),
        case("3d", &[2, 1, 2]).ints("strides", &[1, 2, 1]).inputs([data(&[1, 2, 3, 3, 3])]).free(2),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::{Case, counting};

    // Values: onnxruntime 1.31.
    #[test]
    fn the_last_window_may_reach_beyond_the_input() {
        Case::new("MaxPool")
            .ints("kernel_shape", &[3, 3])
            .ints("strides", &[2, 2])
            .int("ceil_mode", 1)
            .inputs([counting(&[1, 1, 4, 4])])
            .gives(&[10.0, 11.0, 14.0, 15.0]);
    }
}
