//! MaxPool: y = the largest x in a window. <https://onnx.ai/onnx/operators/onnx__MaxPool.html>

use super::pool::{Loops, Plane, Pool, Windowed};
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
    Ok(Box::new(Pool(op)))
}

impl Windowed for MaxPool {
    const DOES: &'static str = "takes maxima";
    fn window(&self) -> &Window {
        &self.window
    }
    fn ceil_mode(&self) -> Option<i64> {
        self.ceil_mode
    }
    fn attributes(&self, w: Writer) -> Writer {
        w.maybe("storage_order", self.storage_order)
    }
    fn forward<T: Real>(&self, loops: &Loops, _: &[T], x: &[T], y: &mut [T]) {
        y.fill(T::min_value());
        loops.gather(x, y, |y, x| *y = if x > *y { x } else { *y });
    }
    /// The gradient goes to the first of the largest.
    fn backward<T: Real>(&self, loops: &Loops, _: &[T], io: Plane<T>, dx: &mut [T]) {
        let mut left = io.dy.to_vec();
        loops.scatter(dx, |o, i, dx| {
            if io.x[i] == io.y[o] {
                *dx += left[o];
                left[o] = T::zero();
            }
        });
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
