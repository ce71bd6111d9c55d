//! MaxPool: y = the largest x in a window. <https://onnx.ai/onnx/operators/onnx__MaxPool.html>
//!
//! The second result, where there is one, counts elements across channels, so these stay whole.

use super::family::pool::{Bound, Loops, Plane, Pool, Windowed};
use super::family::spatial::Window;
use crate::graph::*;
use crate::kernels::simd::{SimdOp, vectorised};
use crate::tensor::*;

#[derive(Debug, Clone)]
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
    match r.outputs {
        ..2 => Ok(Box::new(Pool(op))),
        _ => Ok(Box::new(WithIndices(Pool(op)))),
    }
}

/// With the result Indices.
#[derive(Debug)]
struct WithIndices(Pool<MaxPool>);

/// With the result Indices, over operands of one shape.
#[derive(Debug)]
struct Indexed {
    pool: Bound<MaxPool>,
    /// The first spatial axis is the innermost.
    column_major: bool,
}

impl Indexed {
    /// Position in the whole operand, of shape `shape`, of element `i` of plane `plane`.
    fn index(&self, shape: &[usize], plane: usize, i: usize) -> usize {
        let base = plane * volume(&shape[2..]);
        if !self.column_major {
            return base + i;
        }
        let (mut at, mut step, mut rest) = (0, volume(&shape[2..]), i);
        for &size in shape[2..].iter().rev() {
            step /= size;
            at += rest % size * step;
            rest /= size;
        }
        base + at
    }
}

impl Hints for WithIndices {
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        self.0.instructions(io)
    }
}

impl Op for WithIndices {
    fn attributes(&self) -> Attributes {
        Op::attributes(&self.0)
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let y = self.0.infer(x)?;
        let indices = Fact::new(DType::I64, y[0].shape.clone());
        Ok([y, vec![indices]].concat())
    }
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let column_major = self.0.0.storage_order.unwrap_or(0) != 0;
        Ok(Box::new(Indexed { pool: self.0.bound(io.x)?, column_major }))
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        for axis in 0..io.output(0).len() {
            link.freeze(input(0, axis), "counts positions across this axis");
            link.freeze(output(0, axis), "counts positions across this axis");
        }
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Indexed {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        self.pool.forward(x, y);
        let (x, loops) = (present(x, 0), &self.pool.loops);
        let (pin, pout, stride) = (loops.pixels_in().max(1), loops.pixels_out().max(1), loops.stride());
        let (y, indices) = y.split_at_mut(1);
        let results =
            y[0].elements().chunks_exact(pout).zip(indices[0].elements_mut().chunks_exact_mut(pout));
        for (plane, (values, (y, at))) in x.elements().chunks_exact(pin).zip(results).enumerate() {
            let mut first = vec![usize::MAX; pout];
            loops.rows(|o, i, n| {
                for (o, i) in (0..n).map(|k| (o + k, i + k * stride)).filter(|&(o, i)| values[i] == y[o]) {
                    first[o] = first[o].min(i);
                }
            });
            // A window of NaN, or of nothing, has no largest.
            for (at, i) in at.iter_mut().zip(first).filter(|(_, i)| *i != usize::MAX) {
                *at = T::of(self.index(x.shape(), plane, i) as f64);
            }
        }
    }
    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        self.pool.backward(x, y, dy, dx);
    }
}

/// Taps from which a window that moves by single steps is taken axis by axis.
const FEW_TAPS: usize = 9;

impl Windowed for MaxPool {
    const DOES: &'static str = "takes maxima";
    /// One axis after the other: first those with the largest steps, of these the outermost.
    fn form(&self, io: &Io, opset: i64) -> Option<Form> {
        // Over three axes tract steps through each window alike.
        let axes = io.input(0).filter(|x| x.len() == 4)?.len() - 2;
        let kernel = self.window.kernel().ok()??;
        let mut wide: Vec<usize> = (0..axes).filter(|&a| kernel.get(a).is_some_and(|&k| k > 1)).collect();
        let few = kernel.iter().product::<usize>() < FEW_TAPS && !self.window.is_strided();
        if wide.len() < 2 || few {
            return None;
        }
        let stride =
            |axis: usize| self.window.strides.as_ref().and_then(|s| s.get(axis).copied()).unwrap_or(1);
        wide.sort_by_key(|&axis| std::cmp::Reverse(stride(axis)));
        let (mut form, mut x) = (Form::new(opset), Term::Operand(0));
        for (k, &axis) in wide.iter().enumerate() {
            // Steps along axes over which the window does not reach are made at once.
            let here = |a: usize| a == axis || k == 0 && !wide.contains(&a);
            let w = Writer::default().maybe("ceil_mode", self.ceil_mode);
            x = form.step("MaxPool", self.window.along(axes, here).write(w), &[x]);
        }
        Some(form)
    }
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        // A window along one axis is stepped through as by single steps.
        let wide = self.window.kernel_shape.iter().flatten().filter(|&&k| k > 1).count();
        if self.window.is_strided() && wide > 1 {
            return Instructions::per_output(111.0, 160.0, io);
        }
        let taps = self.window.taps();
        Instructions::per_output(7.0 + 3.1 * taps, 15.0 + 7.9 * taps, io)
    }
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
        vectorised(Maxima { loops, x, y });
    }
    /// The gradient goes to the first of the largest.
    fn backward<T: Real>(&self, loops: &Loops, _: &[T], io: Plane<T>, dx: &mut [T]) {
        vectorised(ToMaxima { loops, io, dx });
    }
}

/// The largest of each window of a plane.
struct Maxima<'a, T> {
    loops: &'a Loops,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> SimdOp for Maxima<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { loops, x, y } = self;
        let mut split = vec![T::zero(); loops.split_pixels()];
        loops.split(x, &mut split);
        y.fill(T::min_value());
        loops.split_rows(|out, from, n| {
            let x = &split[from..from + n];
            y[out..out + n].iter_mut().zip(x).for_each(|(y, x)| *y = if *x > *y { *x } else { *y });
        });
    }
}

/// The gradient of a plane, to the first of the largest of each window.
struct ToMaxima<'a, T> {
    loops: &'a Loops,
    io: Plane<'a, T>,
    dx: &'a mut [T],
}

impl<T: Real> SimdOp for ToMaxima<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Self { loops, io, dx } = self;
        let mut left = io.dy.to_vec();
        let mut x = vec![T::zero(); loops.split_pixels()];
        let mut to = x.clone();
        loops.split(io.x, &mut x);
        loops.split(dx, &mut to);
        loops.split_rows(|out, from, n| {
            let inputs = to[from..from + n].iter_mut().zip(&x[from..from + n]);
            let outputs = left[out..out + n].iter_mut().zip(&io.y[out..out + n]);
            // Without a branch: which input is the largest cannot be foretold.
            for ((dx, x), (left, y)) in inputs.zip(outputs) {
                let (taken, rest) = if x == y { (*left, T::zero()) } else { (T::zero(), *left) };
                *dx += taken;
                *left = rest;
            }
        });
        loops.join(&to, dx);
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
        case("with indices", &[2, 2]).outputs(2).inputs([data(&[1, 2, 3, 4])]),
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
