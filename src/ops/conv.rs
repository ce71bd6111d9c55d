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

/// The convolution at given sizes.
#[derive(Debug)]
struct Bound(Geometry);

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

    /// The sizes for a node's operands, whose bias is checked.
    fn sizes(&self, x: &Operands) -> Result<Geometry, Refusal> {
        let g = self.geometry(&need(x, 0)?.shape, &need(x, 1)?.shape)?;
        match x.get(2) {
            Some(Some(b)) if b.fact.shape != [g.cout] => {
                invalid(format!("bias {:?} for {} output channels", b.fact.shape, g.cout))
            }
            _ => Ok(g),
        }
    }
}

impl Conv {
    /// Its attributes.
    fn written(&self) -> Writer {
        self.window.write(Writer::default().maybe("group", (self.group != 1).then_some(self.group)))
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
    /// Of one tap and in larger steps: what it steps over goes first, as a pool of one element takes it.
    fn form(&self, io: &Io, opset: i64) -> Option<Form> {
        let axes = io.input(1)?.get(2..)?;
        if volume(axes) != 1 || !self.window.is_strided() || self.window.has_pads() {
            return None;
        }
        let picked = Writer::default().put("kernel_shape", vec![1i64; axes.len()]);
        let picked = picked.maybe("strides", self.window.strides.clone());
        let mut form = Form::new(opset);
        let mut operands = vec![form.step("MaxPool", picked, &[Term::Operand(0)])];
        let others = io.x.iter().enumerate().skip(1).filter(|(_, x)| x.is_some());
        operands.extend(others.map(|(slot, _)| Term::Operand(slot)));
        let whole = Self { group: self.group, window: Window { strides: None, ..self.window.clone() } };
        form.step("Conv", whole.written(), &operands);
        Some(form)
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
            geometry: self.sizes(io.x).ok(),
        })
    }
}

impl Op for Conv {
    fn attributes(&self) -> Attributes {
        self.written().done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (x0, g) = (need(x, 0)?, self.sizes(x)?);
        let mut shape = vec![g.batch, g.cout];
        shape.extend(&g.output[3 - (x0.shape.len() - 2)..]);
        Ok(vec![Fact::new(x0.dtype, shape)])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        Ok(Box::new(Bound(self.sizes(io.x)?)))
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

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let depthwise = self.group > 1 && io.input(1).is_some_and(|w| w[1] == 1);
        let Some(kept) = keep.kept(input(0, 1)).filter(|_| depthwise) else { return Ok(Resized::UNCHANGED) };
        let op = Conv { group: kept.len() as i64, window: self.window.clone() };
        Ok(Resized::of(Box::new(op)))
    }
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let bias = optional(x, 2).map(Elements::elements);
        conv::forward(&self.0, present(x, 0).elements(), present(x, 1).elements(), bias, y[0].elements_mut());
    }

    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let (g, dy) = (&self.0, dy[0].elements());
        if let Some(dx) = wanted(dx, 0) {
            conv::backward_input(g, dy, present(x, 1).elements(), dx.elements_mut());
        }
        if let Some(dw) = wanted(dx, 1) {
            conv::backward_weights(g, present(x, 0).elements(), dy, dw.elements_mut());
        }
        if let Some(db) = wanted(dx, 2) {
            conv::backward_bias(g.cout, g.pixels_out(), dy, db.elements_mut());
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
        case("1x1, strided")
            .ints("strides", &[2, 3])
            .inputs([data(&[1, 3, 5, 4]), weight(&[2, 3, 1, 1])])
            .free(5),
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
