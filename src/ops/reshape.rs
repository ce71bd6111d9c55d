//! Reshape: the elements in their order under another shape. <https://onnx.ai/onnx/operators/onnx__Reshape.html>
//!
//! Axes are matched from the front into blocks of equal volume. A block of one axis on each side passes through; one axis
//! against several is a product (flatten, channel shuffle, attention heads); [a·p, q, …] and [a, p·q·…] are groups of an axis (heads
//! that join a batch, the groups of a normalisation); anything else is frozen.

use super::family::indexing::restated;
use super::family::view::all;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Reshape {
    allowzero: i64,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let allowzero = if r.opset >= 14 { r.int_or("allowzero", 0)? } else { 0 };
    Ok(Box::new(Reshape { allowzero }))
}

impl Reshape {
    fn target(&self, x: &[usize], wish: &[i64]) -> Result<Shape, Refusal> {
        let mut y = Vec::with_capacity(wish.len());
        let mut open = None;
        for (axis, &w) in wish.iter().enumerate() {
            y.push(match w {
                -1 if open.is_none() => {
                    open = Some(axis);
                    1
                }
                0 if self.allowzero == 0 => match x.get(axis) {
                    Some(&size) => size,
                    None => {
                        return invalid(format!(
                            "shape {wish:?} copies axis {axis} of an input of shape {x:?}"
                        ));
                    }
                },
                w if w >= 0 => w as usize,
                _ => return invalid(format!("shape {wish:?} is not a shape")),
            });
        }
        if checked_volume(&y).is_none() {
            return invalid(too_large(&y));
        }
        if let Some(axis) = open {
            let known = volume(&y);
            if known == 0 || !volume(x).is_multiple_of(known) {
                return invalid(format!("shape {wish:?} does not divide input {x:?}"));
            }
            y[axis] = volume(x) / known;
        }
        if volume(&y) != volume(x) {
            return invalid(format!("shape {wish:?} does not hold the elements of input {x:?}"));
        }
        Ok(y)
    }
}

/// Splits two shapes of equal volume into the smallest runs of axes of equal volume: pairs of ranges.
pub fn blocks(x: &[usize], y: &[usize]) -> Vec<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < x.len() || j < y.len() {
        let (a, b) = (i, j);
        let (mut p, mut q) = (1, 1);
        if i < x.len() {
            p *= x[i];
            i += 1;
        }
        if j < y.len() {
            q *= y[j];
            j += 1;
        }
        while p != q {
            if p < q && i < x.len() {
                p *= x[i];
                i += 1;
            } else if j < y.len() {
                q *= y[j];
                j += 1;
            } else {
                break;
            }
        }
        out.push((a..i, b..j));
    }
    out
}

/// States the ties of any operator that keeps the elements in order under another shape.
pub fn link_blocks(x: &[usize], y: &[usize], link: &mut dyn Couplings) {
    // No elements have no order.
    if volume(x) == 0 {
        return;
    }
    for (a, b) in blocks(x, y) {
        let inputs: Vec<Axis> =
            a.clone().filter(|&k| x[k] != 1 || a.len() == 1).map(|k| input(0, k)).collect();
        let outputs: Vec<Axis> =
            b.clone().filter(|&k| y[k] != 1 || b.len() == 1).map(|k| output(0, k)).collect();
        match (inputs.as_slice(), outputs.as_slice()) {
            ([one], [other]) if x[one.axis] == y[other.axis] => link.tie_axes(*one, *other),
            ([one], many) if !many.is_empty() => link.product(*one, many),
            (many, [one]) if !many.is_empty() => link.product(*one, many),
            (inputs, outputs) => {
                let size = |axis: &Axis| match axis.port {
                    Port::In(_) => x[axis.axis],
                    Port::Out(_) => y[axis.axis],
                };
                for (fine, coarse) in [(inputs, outputs), (outputs, inputs)] {
                    if let [outer, inner] = *coarse
                        && fine.len() > 1
                        && regroups(fine.iter().map(size).collect(), [size(&outer), size(&inner)])
                    {
                        link.regroup(fine, [outer, inner]);
                    }
                }
            }
        }
    }
}

/// True for [a·p, …] and [a, p·…] with a and p larger than one.
fn regroups(fine: Shape, [a, inner]: [usize; 2]) -> bool {
    let p = fine[0] / a.max(1);
    a > 1 && p > 1 && fine[0] == a * p && volume(&fine[1..]) * p == inner
}

impl Hints for Reshape {
    fn rearranges(&self, slot: usize) -> bool {
        slot == 0
    }
    fn copies_sizes(&self, slot: usize) -> bool {
        slot == 1 && self.allowzero == 0
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        None
    }
    fn never_negative(&self, x: &Operands) -> bool {
        x[0].is_some_and(|x| x.is_never_negative())
    }
}

impl Op for Reshape {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("allowzero", (self.allowzero != 0).then_some(self.allowzero)).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        need(x, 1)?;
        let Some(wish) = x[1].and_then(|o| o.value) else {
            return unsupported("a shape that depends on the network's input values");
        };
        Ok(vec![Fact::new(fact.dtype, self.target(&fact.shape, &wish.to_ints())?)])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        Ok(Box::new(all(io)?))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Some(x) = io.input(0) else { return };
        link_blocks(x, io.output(0), link);
        if let Some(shape) = io.input(1) {
            (0..shape[0]).for_each(|i| link.free(input(1, 0), i));
        }
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let (Some(x), Some(wish)) = (io.input(0), io.value(1)) else { return Ok(Resized::UNCHANGED) };
        let y = io.output(0);
        let now = |port: fn(usize, usize) -> Axis, shape: &[usize]| -> Shape {
            (0..shape.len()).map(|a| keep.kept(port(0, a)).map_or(shape[a], <[usize]>::len)).collect()
        };
        let (x_now, y_now) = (now(input, x), now(output, y));
        let old = wish.to_ints();
        if self.target(&x_now, &old).is_ok_and(|t| t == y_now) {
            return Ok(Resized::UNCHANGED);
        }
        let mut new = old.clone();
        for (axis, w) in new.iter_mut().enumerate() {
            if *w > 0 && y_now[axis] != y[axis] {
                *w = y_now[axis] as i64;
            }
        }
        match self.target(&x_now, &new) {
            Ok(t) if t == y_now => Ok(Resized::restating(restated(io, 1, &new))),
            _ => unsupported(format!("shape {old:?} cannot be restated for {x_now:?} -> {y_now:?}")),
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, ints};
    let case =
        |name, x: &[usize], shape: &[i64]| Case::new("Reshape").named(name).inputs([data(x), ints(shape)]);
    vec![
        case("flatten", &[2, 3, 2, 2], &[0, -1]).free(2 + 3),
        case("flatten, fixed", &[1, 3, 2, 2], &[1, 12]).free(3),
        case("shuffle in", &[1, 6, 2, 2], &[1, 2, 3, 2, 2]).free(3 + 2 + 2),
        case("unit axes", &[1, 4, 1, 1], &[-1, 4]).free(4),
        case("heads join a batch", &[5, 2, 12], &[5, 6, 4]).free(5 + 4),
        case("heads leave a batch", &[5, 6, 4], &[5, 2, 12]).free(5 + 4),
    ]
}
