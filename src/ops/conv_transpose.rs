//! ConvTranspose: the input gradient of a convolution as an operator. Weights are [in, out/group, kernel…].
//! <https://onnx.ai/onnx/operators/onnx__ConvTranspose.html>
//!
//! One to three spatial axes. With one input channel per group it reads nothing: its channels pass through. In any other
//! grouped form slot j of every group is one class.

use super::family::indexing::shape_from;
use super::family::spatial::{Window, three};
use crate::graph::*;
use crate::kernels::conv::{self, Geometry};
use crate::tensor::*;

#[derive(Debug, Clone)]
struct ConvTranspose {
    group: Option<i64>,
    output_padding: Option<Vec<i64>>,
    output_shape: Option<Vec<i64>>,
    window: Window,
}

/// The convolution whose input gradient this is.
#[derive(Debug)]
struct Bound(Geometry);

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let op = ConvTranspose {
        group: r.int("group")?,
        output_padding: r.ints("output_padding")?,
        output_shape: r.ints("output_shape")?,
        window: Window::read(r)?,
    };
    if !(1..=1 << 32).contains(&op.group.unwrap_or(1)) {
        return invalid(format!("group is {}", op.group.unwrap_or(1)));
    }
    Ok(Box::new(op))
}

impl ConvTranspose {
    fn group(&self) -> usize {
        self.group.unwrap_or(1) as usize
    }

    /// Padding at the begin of each spatial axis, and extent of the result along it.
    fn extents(&self, x: &[usize], kernel: &[usize]) -> Result<(Vec<isize>, Vec<usize>), Refusal> {
        let [kernel, stride, dilation] = self.window.steps(kernel)?;
        let axes = x.len();
        let pads = self.window.explicit_pads(axes)?;
        let list = |name: &str, v: &Option<Vec<i64>>, from: i64| match v {
            Some(v) if v.len() != axes || v.iter().any(|s| !(from..=1 << 24).contains(s)) => {
                invalid(format!("{name} {v:?} does not fit {axes} spatial axes"))
            }
            v => Ok(v.clone()),
        };
        let extra = list("output_padding", &self.output_padding, 0)?.unwrap_or_else(|| vec![0; axes]);
        let wish = list("output_shape", &self.output_shape, 1)?;
        let (mut begin, mut output) = (vec![], vec![]);
        for a in 0..axes {
            if x[a] == 0 {
                return unsupported("an empty spatial axis");
            }
            let reach = (kernel[a] - 1) * dilation[a] + 1;
            let full = (stride[a] * (x[a] - 1) + reach) as isize + extra[a] as isize;
            let auto = self.window.auto_pad.as_str();
            let wanted = match (&wish, auto) {
                (Some(w), _) => Some(w[a] as isize),
                (None, "SAME_UPPER" | "SAME_LOWER") => Some((x[a] * stride[a]) as isize),
                _ => None,
            };
            let (front, size) = match wanted {
                Some(size) => {
                    // Beyond the last element the requested extent is empty.
                    let total = (full - size).max(0);
                    (if auto == "SAME_UPPER" { total / 2 } else { total - total / 2 }, size)
                }
                None if auto == "VALID" => (0, full),
                None => (pads[a], full - pads[a] - pads[a + axes]),
            };
            if size < 1 {
                return invalid(format!("pads {pads:?} leave nothing of spatial axis {a}"));
            }
            begin.push(front);
            output.push(size as usize);
        }
        Ok((begin, output))
    }

    /// The convolution whose input gradient this is: its input is our result.
    fn geometry(&self, x: &[usize], w: &[usize]) -> Result<Geometry, Refusal> {
        if x.len() < 3 || x.len() > 5 {
            return unsupported(format!("a convolution over an input of rank {}", x.len()));
        }
        let group = self.group();
        if w.len() != x.len() || w[0] != x[1] || !w[0].is_multiple_of(group) {
            return invalid(format!("weight {w:?} does not fit input {x:?} with {group} groups"));
        }
        if self.window.kernel()?.is_some_and(|k| k != w[2..]) || w[2..].contains(&0) {
            return invalid(format!("kernel_shape {:?} contradicts weight {w:?}", self.window.kernel_shape));
        }
        let (begin, output) = self.extents(&x[2..], &w[2..])?;
        let [kernel, stride, dilation] = self.window.steps(&w[2..])?;
        Ok(Geometry {
            batch: x[0],
            cin: w[1] * group,
            cout: x[1],
            group,
            input: three(&output, 1),
            output: three(&x[2..], 1),
            kernel: three(&kernel, 1),
            stride: three(&stride, 1),
            dilation: three(&dilation, 1),
            pad: three(&begin, 0),
        })
    }

    /// The sizes for a node's operands, whose bias is checked.
    fn sizes(&self, x: &Operands) -> Result<Geometry, Refusal> {
        let g = self.geometry(&need(x, 0)?.shape, &need(x, 1)?.shape)?;
        match x.get(2) {
            Some(Some(b)) if b.fact.shape != [g.cin] => {
                invalid(format!("bias {:?} for {} output channels", b.fact.shape, g.cin))
            }
            _ => Ok(g),
        }
    }

    /// One input channel per group, more than one group.
    fn depthwise(&self, x: &[usize]) -> bool {
        self.group() > 1 && x[1] == self.group()
    }
}

impl Hints for ConvTranspose {
    fn parameters(&self) -> &'static [usize] {
        &[1, 2]
    }
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        // Every pixel of a window is added to those of its neighbours.
        Instructions::per_output(100.0, 110.0, io)
    }
}

impl Op for ConvTranspose {
    fn attributes(&self) -> Attributes {
        let w = Writer::default()
            .maybe("group", self.group)
            .maybe("output_padding", self.output_padding.clone())
            .maybe("output_shape", self.output_shape.clone());
        self.window.write(w).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (x0, g) = (need(x, 0)?, self.sizes(x)?);
        let mut shape = vec![g.batch, g.cin];
        shape.extend(&g.input[3 - (x0.shape.len() - 2)..]);
        let sizes: Vec<i64> = shape.into_iter().map(|size| size as i64).collect();
        Ok(vec![Fact::new(x0.dtype, shape_from(&sizes)?)])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        Ok(Box::new(Bound(self.sizes(io.x)?)))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(x), Some(w), y) = (io.input(0), io.input(1), io.output(0)) else { return };
        let (cin, cout) = (x[1] / self.group(), w[1]);
        link.tie_axes(input(0, 0), output(0, 0));
        link.tie_axes(input(0, 1), input(1, 0));
        if io.input(2).is_some() {
            link.tie_axes(input(2, 0), output(0, 1));
        }
        if self.depthwise(x) {
            for o in 0..y[1] {
                link.tie(input(0, 1), o / cout, output(0, 1), o);
            }
            return;
        }
        link.contracts(input(0, 1));
        for o in 0..y[1] {
            link.tie(input(1, 1), o % cout, output(0, 1), o);
        }
        for c in 0..x[1] {
            link.tie(input(0, 1), c % cin, input(0, 1), c);
        }
    }

    fn cost(&self, io: &Io) -> Work {
        let (Some(x), Some(w)) = (io.input(0), io.input(1)) else { return Work::Free };
        let plane = x[0] as f64 * real_volume(&x[2..]) * real_volume(&w[2..]);
        if self.depthwise(x) {
            return Work::Macs(vec![Product { coefficient: plane, widths: vec![output(0, 1)] }]);
        }
        let coefficient = plane / self.group() as f64;
        Work::Macs(vec![Product { coefficient, widths: vec![output(0, 1), input(0, 1)] }])
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let depthwise = io.input(0).is_some_and(|x| self.depthwise(x));
        let Some(kept) = keep.kept(input(0, 1)).filter(|_| depthwise) else { return Ok(Resized::UNCHANGED) };
        let op = ConvTranspose { group: Some(kept.len() as i64), ..self.clone() };
        Ok(Resized::of(Box::new(op)))
    }
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let (g, y) = (&self.0, y[0].elements_mut());
        match optional(x, 2) {
            Some(bias) => {
                for (row, &b) in y.chunks_exact_mut(g.pixels_in()).zip(bias.elements().iter().cycle()) {
                    row.fill(b);
                }
            }
            None => y.fill(T::zero()),
        }
        conv::backward_input(g, present(x, 0).elements(), present(x, 1).elements(), y);
    }

    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let (g, dy, a) = (&self.0, dy[0].elements(), present(x, 0).elements());
        if let Some(dx) = wanted(dx, 0) {
            let mut part = vec![T::zero(); a.len()];
            conv::forward(g, dy, present(x, 1).elements(), None, &mut part);
            dx.elements_mut().iter_mut().zip(part).for_each(|(dx, p)| *dx += p);
        }
        if let Some(dw) = wanted(dx, 1) {
            conv::backward_weights(g, dy, a, dw.elements_mut());
        }
        if let Some(db) = wanted(dx, 2) {
            conv::backward_bias(g.cin, g.pixels_in(), dy, db.elements_mut());
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    let case = |name| Case::new("ConvTranspose").named(name);
    vec![
        case("2x2, doubling")
            .ints("strides", &[2, 2])
            .inputs([data(&[2, 3, 2, 3]), weight(&[3, 4, 2, 2]), weight(&[4])])
            .free(9),
        case("padded, asymmetric")
            .ints("strides", &[2, 1])
            .ints("pads", &[1, 0, 0, 1])
            .ints("output_padding", &[1, 0])
            .ints("dilations", &[1, 2])
            .inputs([data(&[1, 2, 3, 3]), weight(&[2, 3, 3, 2])])
            .free(5),
        case("output shape, upper")
            .string("auto_pad", "SAME_UPPER")
            .ints("strides", &[3, 2])
            .ints("output_shape", &[8, 8])
            .inputs([data(&[1, 2, 3, 3]), weight(&[2, 2, 3, 5])])
            .free(4),
        case("output shape, larger")
            .ints("strides", &[3, 2])
            .ints("output_shape", &[10, 8])
            .inputs([data(&[1, 2, 3, 3]), weight(&[2, 2, 3, 3])])
            .free(4),
        case("same, lower")
            .string("auto_pad", "SAME_LOWER")
            .ints("strides", &[2, 2])
            .ints("kernel_shape", &[3, 3])
            .inputs([data(&[1, 2, 3, 3]), weight(&[2, 2, 3, 3])])
            .free(4),
        case("depthwise")
            .int("group", 3)
            .ints("strides", &[2, 2])
            .inputs([data(&[1, 3, 2, 2]), weight(&[3, 1, 4, 4]), weight(&[3])])
            .free(3),
        case("depthwise, multiplier 2")
            .int("group", 2)
            .inputs([data(&[1, 2, 3, 3]), weight(&[2, 2, 2, 2]), weight(&[4])])
            .free(2),
        case("grouped")
            .int("group", 2)
            .inputs([data(&[1, 6, 2, 2]), weight(&[6, 2, 2, 2]), weight(&[4])])
            .free(5),
        case("1x1").inputs([data(&[1, 2, 2, 2]), weight(&[2, 3, 1, 1])]).free(5),
        case("1d").string("auto_pad", "VALID").inputs([data(&[1, 2, 5]), weight(&[2, 3, 2])]).free(5),
        case("3d").inputs([data(&[1, 2, 2, 2, 2]), weight(&[2, 2, 2, 1, 2])]).free(4),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::{Case, counting};

    // Values: onnxruntime 1.31.
    #[test]
    fn output_padding_and_output_shape() {
        Case::new("ConvTranspose")
            .ints("strides", &[2, 2])
            .ints("pads", &[1, 1, 1, 1])
            .ints("output_padding", &[1, 1])
            .inputs([counting(&[1, 2, 2, 2]), counting(&[2, 1, 3, 3])])
            .gives(&[
                52.0, 119.0, 69.0, 75.0, 126.0, 282.0, 160.0, 176.0, 86.0, 187.0, 103.0, 113.0, 110.0, 241.0,
                133.0, 143.0,
            ]);
        let shaped = || {
            let x = [counting(&[1, 1, 3]), counting(&[1, 1, 4])];
            Case::new("ConvTranspose").ints("strides", &[2]).ints("output_shape", &[5]).inputs(x)
        };
        shaped().gives(&[0.0, 1.0, 2.0, 5.0, 4.0]);
        shaped().string("auto_pad", "SAME_LOWER").gives(&[0.0, 1.0, 2.0, 5.0, 4.0]);
        shaped().string("auto_pad", "SAME_UPPER").gives(&[0.0, 0.0, 1.0, 2.0, 5.0]);
    }
}
