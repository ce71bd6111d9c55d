//! TopK: the k largest (or smallest) elements along an axis, and their indices.
//! <https://onnx.ai/onnx/operators/onnx__TopK.html>

use super::family::reduce::axis_of;
use crate::graph::*;
use crate::tensor::*;
use ndarray::{ArrayView1, Axis};
use std::cmp::Ordering;

#[derive(Debug)]
struct TopK {
    axis: Option<i64>,
    k: Option<i64>,
    largest: Option<i64>,
    sorted: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let op = TopK {
        axis: r.int("axis")?,
        k: if r.opset < 10 { r.int("k")? } else { None },
        largest: if r.opset < 11 { None } else { r.int("largest")? },
        sorted: if r.opset < 11 { None } else { r.int("sorted")? },
    };
    if r.opset < 10 && op.k.is_none() {
        return invalid("k is missing");
    }
    Ok(Box::new(op))
}

impl TopK {
    fn axis(&self, rank: usize) -> Result<usize, Refusal> {
        axis_of(self.axis.unwrap_or(-1), rank)
    }
}

impl Hints for TopK {
    fn never_negative(&self, x: &Operands) -> bool {
        x[0].is_some_and(|x| x.is_never_negative())
    }
}

impl Op for TopK {
    fn attributes(&self) -> Attributes {
        Writer::default()
            .maybe("axis", self.axis)
            .maybe("k", self.k)
            .maybe("largest", self.largest)
            .maybe("sorted", self.sorted)
            .done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        let k = match self.k {
            Some(k) => k,
            None => {
                need(x, 1)?;
                let Some(k) = x[1].and_then(|o| o.value) else {
                    return unsupported("a k that depends on the network's input values");
                };
                match k.to_ints()[..] {
                    [k] => k,
                    ref other => return invalid(format!("k is {other:?}")),
                }
            }
        };
        let mut shape = fact.shape.clone();
        let axis = self.axis(shape.len())?;
        match usize::try_from(k) {
            Ok(k) if k <= shape[axis] => shape[axis] = k,
            _ => return invalid(format!("the top {k} of {} elements", shape[axis])),
        }
        Ok(vec![Fact::new(fact.dtype, shape.clone()), Fact::new(DType::I64, shape)])
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let axis = self.axis(need(io.x, 0)?.shape.len())?;
        Ok(Box::new(Bound { axis, largest: self.largest.unwrap_or(1) != 0 }))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Some(x) = io.input(0) else { return };
        let Ok(whole) = self.axis(x.len()) else { return };
        if let Some([n]) = io.input(1) {
            (0..*n).for_each(|i| link.free(input(1, 0), i));
        }
        link.freeze(input(0, whole), "sorts along this axis");
        // A result that the node leaves out has no axes of its own.
        let results: Vec<usize> = (0..io.y.len()).filter(|&slot| io.output(slot).len() == x.len()).collect();
        for axis in (0..x.len()).filter(|&a| a != whole) {
            for &slot in results.iter().filter(|&&slot| io.output(slot)[axis] == x[axis]) {
                link.tie_axes(input(0, axis), output(slot, axis));
            }
        }
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

/// The order of lines along an axis.
#[derive(Debug)]
struct Bound {
    axis: usize,
    largest: bool,
}

impl Bound {
    /// Sorts the indices of a line by its elements; equal elements stay in the order of the line.
    fn sort<T: Real>(&self, line: ArrayView1<T>, order: &mut Vec<usize>) {
        order.clear();
        order.extend(0..line.len());
        order.sort_by(|&a, &b| {
            let (a, b) = if self.largest { (line[b], line[a]) } else { (line[a], line[b]) };
            a.partial_cmp(&b).unwrap_or(Ordering::Equal)
        });
    }
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        // A result that the node leaves out has no elements.
        let results = y.iter_mut().enumerate().filter(|(_, y)| !y.is_empty());
        let mut y: Vec<_> = results.map(|(slot, y)| (slot, around_mut(y, self.axis))).collect();
        let mut order = Vec::new();
        for (o, x) in around(present(x, 0), self.axis).outer_iter().enumerate() {
            for (i, x) in x.columns().into_iter().enumerate() {
                self.sort(x, &mut order);
                for (slot, y) in &mut y {
                    for (y, &from) in y.index_axis_mut(Axis(0), o).column_mut(i).iter_mut().zip(&order) {
                        *y = if *slot == 0 { x[from] } else { T::of(from as f64) };
                    }
                }
            }
        }
    }

    /// Nothing: the operator is not differentiable.
    fn backward(&self, _: &Inputs<T>, _: &Results<T>, _: &Results<T>, _: &mut InputGradients<T>) {}
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, ints};
    let case = |name| Case::new("TopK").named(name).outputs(2);
    vec![
        case("largest").inputs([data(&[2, 3, 5]), ints(&[2])]).free(5),
        case("smallest, channels")
            .int("axis", 1)
            .int("largest", 0)
            .int("sorted", 1)
            .inputs([data(&[2, 3, 4]), ints(&[3])])
            .free(6),
        case("values only").outputs(1).int("axis", -2).inputs([data(&[2, 3, 4]), ints(&[1])]).free(6),
        case("opset 1").opset(9).int("k", 2).inputs([data(&[2, 3])]).free(2),
    ]
}
