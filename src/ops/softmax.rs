//! Softmax: y = eˣ / Σ eˣ along an axis. <https://onnx.ai/onnx/operators/onnx__Softmax.html>
//!
//! Until opset 12 the input counts as a matrix, and all axes from `axis` on are normalised together.

use super::family::reduce::{axis_of, sum, tie_others};
use super::family::steps::coordinate;
use crate::graph::*;
use crate::tensor::*;

/// Softmax, or its logarithm.
#[derive(Debug)]
pub struct Softmax {
    axis: Option<i64>,
    log: bool,
    matrix: bool,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    read_as(r, false)
}

/// Reads a Softmax, or with `log` a LogSoftmax.
pub fn read_as(r: &Reader, log: bool) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Softmax { axis: r.int("axis")?, log, matrix: r.opset < 13 }))
}

impl Softmax {
    /// First normalised axis, and one past the last.
    fn axes(&self, rank: usize) -> Result<(usize, usize), Refusal> {
        let axis = self.axis.unwrap_or(if self.matrix { 1 } else { -1 });
        if self.matrix && axis == rank as i64 {
            return Ok((rank, rank));
        }
        let first = axis_of(axis, rank)?;
        Ok((first, if self.matrix { rank } else { first + 1 }))
    }
}

impl Softmax {
    /// Of two classes each is a sigmoid of the difference.
    fn of_two(axis: usize, mut form: Form) -> Form {
        let axis = axis as i64;
        let [a, b] = [0, 1].map(|at| coordinate(&mut form, Term::Operand(0), axis, at));
        let each = [[a, b], [b, a]].map(|of| {
            let difference = form.plain("Sub", &of);
            form.plain("Sigmoid", &[difference])
        });
        form.step("Concat", Writer::default().put("axis", axis), &each);
        form
    }
}

impl Hints for Softmax {
    /// By its definition, over all lines at once: tract goes through lines that lie across memory element by element.
    fn form(&self, io: &Io, opset: i64) -> Option<Form> {
        let (shape, mut form) = (io.input(0)?, Form::new(opset));
        let (first, last) = self.axes(shape.len()).ok()?;
        if !self.log && volume(&shape[first..last]) == 2 {
            return (first..last).find(|&axis| shape[axis] == 2).map(|axis| Self::of_two(axis, form));
        }
        if volume(&shape[last..]) < 2 {
            return None;
        }
        let axes: Vec<i64> = (first..last).map(|axis| axis as i64).collect();
        let max = form.reduce("ReduceMax", 18, Term::Operand(0), axes.clone());
        let x = form.plain("Sub", &[Term::Operand(0), max]);
        let e = form.plain("Exp", &[x]);
        let sum = form.reduce("ReduceSum", 13, e, axes);
        if self.log {
            let sum = form.plain("Log", &[sum]);
            form.plain("Sub", &[x, sum]);
        } else {
            form.plain("Div", &[e, sum]);
        }
        Some(form)
    }
    fn logits(&self) -> Option<usize> {
        Some(0)
    }
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        let shape = io.output(0);
        let axis = match self.axis {
            Some(axis) if axis >= 0 => axis as usize,
            Some(axis) => (shape.len() as i64 + axis).max(0) as usize,
            None => shape.len().saturating_sub(1),
        };
        // Along the last axis that is more than one element wide it goes over rows, else it picks every element.
        let rows = shape.get(axis + 1..).is_none_or(|inner| volume(inner) <= 1);
        let (wide, narrow) = if rows { (9.0, 186.0) } else { (400.0, 430.0) };
        match self.log {
            true => Instructions::counted(11.0 + wide, 104.0 + narrow),
            false => Instructions::counted(wide, narrow),
        }
    }
    fn never_negative(&self, _: &Operands) -> bool {
        !self.log
    }
}

impl Op for Softmax {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axis", self.axis).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        self.axes(fact.shape.len())?;
        Ok(vec![fact.clone()])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let x = &need(io.x, 0)?.shape;
        let (first, last) = self.axes(x.len())?;
        let (length, inner) = (volume(&x[first..last]), volume(&x[last..]));
        Ok(Box::new(Bound { length, inner, log: self.log }))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let rank = io.output(0).len();
        let Ok((first, last)) = self.axes(rank) else { return };
        tie_others(io, |axis| (first..last).contains(&axis), "normalises over this axis", link);
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

/// Largest of each line of a block of lines side by side.
fn largest<T: Real>(x: &[T], max: &mut [T]) {
    max.fill(T::neg_infinity());
    for row in x.chunks_exact(max.len()) {
        max.iter_mut().zip(row).for_each(|(m, &x)| *m = if x > *m { x } else { *m });
    }
}

/// The operator over blocks of lines side by side. On slices: a line is most often alone in its block.
#[derive(Debug)]
struct Bound {
    /// Elements of a line.
    length: usize,
    /// Lines side by side.
    inner: usize,
    log: bool,
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let (block, inner) = ((self.length * self.inner).max(1), self.inner.max(1));
        let (mut max, mut total) = (vec![T::zero(); inner], vec![T::zero(); inner]);
        let blocks = present(x, 0).elements().chunks_exact(block);
        for (x, y) in blocks.zip(y[0].elements_mut().chunks_exact_mut(block)) {
            largest(x, &mut max);
            total.fill(T::zero());
            for (x, y) in x.chunks_exact(inner).zip(y.chunks_exact_mut(inner)) {
                for (((y, &x), &m), s) in y.iter_mut().zip(x).zip(&max).zip(&mut total) {
                    *y = (x - m).exp();
                    *s += *y;
                }
            }
            if self.log {
                total.iter_mut().zip(&max).for_each(|(s, &m)| *s = s.ln() + m);
                for (x, y) in x.chunks_exact(inner).zip(y.chunks_exact_mut(inner)) {
                    y.iter_mut().zip(x).zip(&total).for_each(|((y, &x), &s)| *y = x - s);
                }
            } else {
                total.iter_mut().for_each(|s| *s = s.recip());
                for y in y.chunks_exact_mut(inner) {
                    y.iter_mut().zip(&total).for_each(|(y, &s)| *y *= s);
                }
            }
        }
    }

    /// Softmax: `dx = y·(dy − Σ dy·y)`. LogSoftmax: `dx = dy − eʸ·Σ dy`.
    fn backward(&self, _: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let Some(dx) = wanted(dx, 0) else { return };
        let (block, inner) = ((self.length * self.inner).max(1), self.inner.max(1));
        let mut total = vec![T::zero(); inner];
        let results = y[0].elements().chunks_exact(block).zip(dy[0].elements().chunks_exact(block));
        for (dx, (y, dy)) in dx.elements_mut().chunks_exact_mut(block).zip(results) {
            total.fill(T::zero());
            if inner == 1 && self.log {
                total[0] = sum(dy, |dy| dy);
            } else {
                for (y, dy) in y.chunks_exact(inner).zip(dy.chunks_exact(inner)) {
                    for ((s, &y), &dy) in total.iter_mut().zip(y).zip(dy) {
                        *s += if self.log { dy } else { dy * y };
                    }
                }
            }
            let rows = y.chunks_exact(inner).zip(dy.chunks_exact(inner));
            for (dx, (y, dy)) in dx.chunks_exact_mut(inner).zip(rows) {
                for (((dx, &y), &dy), &s) in dx.iter_mut().zip(y).zip(dy).zip(&total) {
                    *dx += if self.log { dy - y.exp() * s } else { y * (dy - s) };
                }
            }
        }
    }
}

/// Cases of Softmax and LogSoftmax.
#[cfg(test)]
pub fn cases_of(op: &'static str) -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    let case = |name| Case::new(op).named(name);
    vec![
        case("last axis").inputs([data(&[2, 3, 4])]).free(5),
        case("channels").int("axis", 1).inputs([data(&[2, 3, 2, 2])]).free(6),
        case("negative").int("axis", -3).inputs([data(&[2, 3, 4])]).free(7),
        case("as a matrix").opset(11).inputs([data(&[2, 3, 4])]).free(2),
        case("as a matrix, axis 2").opset(9).int("axis", 2).inputs([data(&[2, 3, 2, 2])]).free(5),
        case("as a matrix, everything").opset(12).int("axis", 0).inputs([data(&[2, 3])]).free(0),
    ]
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    cases_of("Softmax")
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::{Case, counting};

    // Values: onnxruntime 1.31.
    #[test]
    fn opset_11_normalises_the_rest_of_the_axes_together() {
        let case = |opset| Case::new("Softmax").opset(opset).int("axis", 1).inputs([counting(&[1, 2, 3])]);
        case(11).gives(&[0.00427, 0.01161, 0.03155, 0.08576, 0.23312, 0.63369]);
        case(13).gives(&[0.04743, 0.04743, 0.04743, 0.95257, 0.95257, 0.95257]);
    }
}
