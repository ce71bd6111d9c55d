//! Conv: y[o] = b[o] + Σ_c w[o, c] ⋆ x[c]. <https://onnx.ai/onnx/operators/onnx__Conv.html>
//!
//! One to three spatial axes, any group. A depthwise convolution (one input channel per group) reads nothing: its
//! channels pass through. In any other grouped convolution slot j of every group is one class.

use super::family::spatial::{Window, three};
use crate::graph::*;
use crate::kernels::conv::{self, Geometry};
use crate::tensor::*;

#[derive(Debug)]
struct Conv {
    group: i64,
    window: Window,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let group = r.int_or("group", 1)?;
    if group < 1 {
        return invalid(format!("group is {group}"));
    }
    Ok(Box::new(Conv { group, window: Window::read(r)? }))
}

/// The sizes of a convolution with these attributes over an input and a weight of these shapes.
pub fn geometry(attributes: &Attributes, x: &[usize], w: &[usize]) -> Option<Geometry> {
    // The attributes mean the same in every opset.
    let reader = Reader::new(attributes, 1, 2, 1);
    let conv = Conv { group: reader.int_or("group", 1).ok()?, window: Window::read(&reader).ok()? };
    conv.geometry(x, w).ok()
}

impl Conv {
    fn geometry(&self, x: &[usize], w: &[usize]) -> Result<Geometry, Refusal> {
        if x.len() < 3 || x.len() > 5 {
            return unsupported(format!("a convolution over an input of rank {}", x.len()));
        }
        let group = self.group as usize;
        if w.len() != x.len() || w[1].checked_mul(group) != Some(x[1]) || !w[0].is_multiple_of(group) {
            return invalid(format!("weight {w:?} does not fit input {x:?} with {group} groups"));
        }
        if self.window.kernel()?.is_some_and(|k| k != w[2..]) || w[2..].contains(&0) {
            return invalid(format!("kernel_shape {:?} contradicts weight {w:?}", self.window.kernel_shape));
        }
        let r = self.window.resolve(&x[2..], &w[2..], false)?;
        Ok(Geometry {
            batch: x[0],
            cin: x[1],
            cout: w[0],
            group,
            input: three(&x[2..], 1),
            output: three(&r.output, 1),
            kernel: three(&r.kernel, 1),
            stride: three(&r.stride, 1),
            dilation: three(&r.dilation, 1),
            pad: three(&r.begin, 0),
        })
    }
}

impl Hints for Conv {
    fn parameters(&self) -> &'static [usize] {
        &[1, 2]
    }
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        let one_tap = volume(io.input(1).and_then(|w| w.get(2..)).unwrap_or_default()) == 1;
        // The values that are left out are stepped over one by one.
        let steps = self.window.is_strided() && one_tap;
        if steps { Instructions::counted(9.0, 12.0) } else { Instructions::PASS }
    }
}

impl Op for Conv {
    fn attributes(&self) -> Attributes {
        self.window.write(Writer::default().maybe("group", (self.group != 1).then_some(self.group))).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (x0, w) = (need(x, 0)?, need(x, 1)?);
        let g = self.geometry(&x0.shape, &w.shape)?;
        if let Some(Some(b)) = x.get(2)
            && b.fact.shape != [g.cout]
        {
            return invalid(format!("bias {:?} for {} output channels", b.fact.shape, g.cout));
        }
        let mut shape = vec![g.batch, g.cout];
        shape.extend(&g.output[3 - (x0.shape.len() - 2)..]);
        Ok(vec![Fact::new(x0.dtype, shape)])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn never_negative(&self, _: &Operands) -> bool {
        false
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(x), Some(w)) = (io.input(0), io.input(1)) else { return };
        let group = self.group as usize;
        let (cin, cout) = (x[1] / group, w[0] / group);
        link.tie_axes(input(0, 0), output(0, 0));
        link.tie_axes(input(1, 0), output(0, 1));
        if io.input(2).is_some() {
            link.tie_axes(input(2, 0), output(0, 1));
        }
        if cin == 1 && group > 1 {
            link.free(input(1, 1), 0);
            for o in 0..w[0] {
                link.tie(input(0, 1), o / cout, output(0, 1), o);
            }
            return;
        }
        link.contracts(input(0, 1));
        for c in 0..x[1] {
            link.tie(input(0, 1), c, input(1, 1), c % cin);
        }
        if group > 1 {
            for o in 0..w[0] {
                link.tie(output(0, 1), o % cout, output(0, 1), o);
            }
        }
    }

    fn cost(&self, io: &Io) -> Work {
        let (Some(w), y) = (io.input(1), io.output(0)) else { return Work::Free };
        let plane = y[0] as f64 * real_volume(&y[2..]) * real_volume(&w[2..]);
        let mut widths = vec![output(0, 1)];
        if w[1] > 1 || self.group == 1 {
            widths.push(input(1, 1));
        }
        Work::Macs(vec![Product { coefficient: plane, widths }])
    }

    fn linear(&self, io: &Io) -> Option<Linear> {
        io.value(1).map(|_| Linear {
            input: input(0, 1),
            weight: 1,
            weight_axes: [1, 0],
            result: 1,
            groups: self.group as usize,
            window: true,
            factor: 1.0,
            bias: Some((2, 1.0)),
        })
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let depthwise = self.group > 1 && io.input(1).is_some_and(|w| w[1] == 1);
        let Some(kept) = keep.kept(input(0, 1)).filter(|_| depthwise) else { return Ok(Resized::UNCHANGED) };
        let op = Conv { group: kept.len() as i64, window: self.window.clone() };
        Ok(Resized::of(Box::new(op)))
    }
}

impl<T: Real> Compute<T> for Conv {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (Some(a), Some(w)) = (x[0], x[1]) else { return };
        let Ok(g) = self.geometry(&a.shape, &w.shape) else { return };
        let bias = x.get(2).copied().flatten().map(|b| b.data.as_slice());
        conv::forward(&g, &a.data, &w.data, bias, &mut y[0].data);
    }

    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        _: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(a), Some(w)) = (x[0], x[1]) else { return };
        let Ok(g) = self.geometry(&a.shape, &w.shape) else { return };
        let dy = &dy[0].data;
        if let Some(dx) = &mut dx[0] {
            conv::backward_input(&g, dy, &w.data, &mut dx.data);
        }
        if let Some(dw) = &mut dx[1] {
            conv::backward_weights(&g, &a.data, dy, &mut dw.data);
        }
        if let Some(Some(db)) = dx.get_mut(2) {
            conv::backward_bias(g.cout, g.pixels_out(), dy, &mut db.data);
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    let case = |name| Case::new("Conv").named(name);
    vec![
        case("3x3")
            .ints("pads", &[1, 1, 1, 1])
            .inputs([data(&[2, 3, 5, 4]), weight(&[4, 3, 3, 3]), weight(&[4])])
            .free(9),
        case("1x1").inputs([data(&[1, 3, 2, 2]), weight(&[2, 3, 1, 1])]).free(5),
        case("strided, asymmetric")
            .ints("strides", &[2, 1])
            .ints("pads", &[0, 1, 2, 0])
            .ints("dilations", &[1, 2])
            .inputs([data(&[1, 2, 6, 5]), weight(&[2, 2, 3, 2])])
            .free(4),
        case("depthwise")
            .int("group", 3)
            .inputs([data(&[1, 3, 4, 4]), weight(&[3, 1, 3, 3]), weight(&[3])])
            .free(3),
        case("depthwise, multiplier 2")
            .int("group", 2)
            .inputs([data(&[1, 2, 3, 3]), weight(&[4, 1, 2, 2])])
            .free(2),
        case("grouped")
            .int("group", 2)
            .inputs([data(&[1, 6, 3, 3]), weight(&[4, 3, 2, 2]), weight(&[4])])
            .free(5),
        case("1d, same")
            .string("auto_pad", "SAME_UPPER")
            .inputs([data(&[1, 2, 5]), weight(&[3, 2, 2])])
            .free(5),
        case("3d").inputs([data(&[1, 2, 3, 3, 2]), weight(&[2, 2, 2, 2, 2])]).free(4),
    ]
}
