//! AveragePool: y = the mean of x in a window. <https://onnx.ai/onnx/operators/onnx__AveragePool.html>

use super::family::pool::{Loops, Plane, Pool, Windowed};
use super::family::spatial::Window;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
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
    Ok(Box::new(Pool(AveragePool { window, ceil_mode, count_include_pad })))
}

impl Windowed for AveragePool {
    const DOES: &'static str = "averages";
    const AVERAGES: bool = true;
    /// A depthwise convolution, where every mean is of as many elements and none is of a whole plane.
    fn form(&self, io: &Io, opset: i64) -> Option<Form> {
        let shape = io.input(0).filter(|x| x.len() == 4)?;
        let kernel = self.window.kernel().ok()??;
        let counted = self.count_include_pad.unwrap_or(0) != 0;
        let padded = self.window.has_pads() || self.window.auto_pad.starts_with("SAME");
        let whole = volume(&io.output(0)[2..]) == 1;
        if self.ceil_mode.unwrap_or(0) != 0 || padded && !counted || whole {
            return None;
        }
        let (taps, mut form) = (volume(&kernel), Form::new(opset));
        let weight = vec![(1.0 / taps as f64) as f32; shape[1] * taps];
        let weight = form.constant(Tensor::floats(&[&[shape[1], 1], &kernel[..]].concat(), weight));
        let depthwise = Writer::default().put("group", shape[1] as i64);
        form.step("Conv", self.window.write(depthwise), &[Term::Operand(0), weight]);
        Some(form)
    }
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        let taps = self.window.taps();
        Instructions::per_output(25.0 + 5.0 * taps, 30.0 + 6.5 * taps, io)
    }
    fn window(&self) -> &Window {
        &self.window
    }
    fn ceil_mode(&self) -> Option<i64> {
        self.ceil_mode
    }
    fn attributes(&self, w: Writer) -> Writer {
        w.maybe("count_include_pad", self.count_include_pad)
    }
    /// One over the number of inputs of each output.
    fn factors(&self, loops: &Loops) -> Vec<f64> {
        loops.inverse_counts(self.count_include_pad.unwrap_or(0) != 0)
    }
    fn forward<T: Real>(&self, loops: &Loops, factors: &[T], x: &[T], y: &mut [T]) {
        y.fill(T::zero());
        loops.gather(x, y, |y, x| *y += x);
        y.iter_mut().zip(factors).for_each(|(y, &f)| *y *= f);
    }
    fn backward<T: Real>(&self, loops: &Loops, factors: &[T], io: Plane<T>, dx: &mut [T]) {
        let share: Vec<T> = io.dy.iter().zip(factors).map(|(&dy, &f)| dy * f).collect();
        loops.scatter(dx, |o, _, dx| *dx += share[o]);
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
