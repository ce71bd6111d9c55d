//! ScatterElements: y = x, except y[i, index[i, j, …], …] = updates[i, j, …].
//! <https://onnx.ai/onnx/operators/onnx__ScatterElements.html>

use super::family::indexing::axis_in;
use super::family::no_grad::{NoGrad, NoGradFn};
use super::family::view::{Move, View, ViewFn};
use super::gather_elements::{check, named};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct ScatterElements {
    axis: Option<i64>,
    reduction: Option<String>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let (axis, reduction) = (r.int("axis")?, r.string("reduction")?);
    match Reduction::of(reduction.as_deref())? {
        None => Ok(Box::new(View(ScatterElements { axis, reduction }))),
        Some(how) => Ok(Box::new(NoGrad(Reduced { op: ScatterElements { axis, reduction }, how }))),
    }
}

/// How an update meets what is there.
#[derive(Debug, Clone, Copy)]
pub enum Reduction {
    Add,
    Mul,
    Max,
    Min,
}

impl Reduction {
    /// The attribute's value; `None` overwrites.
    pub fn of(name: Option<&str>) -> Result<Option<Self>, Refusal> {
        Ok(Some(match name {
            None | Some("none") => return Ok(None),
            Some("add") => Self::Add,
            Some("mul") => Self::Mul,
            Some("max") => Self::Max,
            Some("min") => Self::Min,
            Some(other) => return invalid(format!("reduction '{other}' is not defined")),
        }))
    }

    fn of_two<T: Real>(self, old: T, new: T) -> T {
        match self {
            Self::Add => old + new,
            Self::Mul => old * new,
            Self::Max => old.max(new),
            Self::Min => old.min(new),
        }
    }
}

/// Where a scatter puts its updates: slices of one length.
pub trait Scatter: ViewFn {
    /// The first element of each slice (`None` where the index is out of range), and the slices' length.
    fn places<T: Real>(&self, x: &Array<T>, indices: &Array<T>) -> Option<(Vec<Option<usize>>, usize)>;
}

/// A scatter that combines; known by value, without gradient.
#[derive(Debug)]
pub struct Reduced<S> {
    /// The scatter.
    pub op: S,
    /// How it combines.
    pub how: Reduction,
}

impl<S: Scatter> NoGradFn for Reduced<S> {
    fn attributes(&self) -> Attributes {
        self.op.attributes()
    }
    fn indexes(&self, io: &Io, slot: usize) -> Option<usize> {
        self.op.indexes(io, slot)
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        self.op.infer(x)
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        self.op.channels(io, link);
    }
    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        self.op.resize(io, keep)
    }
    fn forward<T: Real>(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (Some(x), Some(indices), Some(updates), y) = (x[0], x[1], x[2], &mut y[0]) else { return };
        y.data.copy_from_slice(&x.data);
        let Some((places, len)) = self.op.places(x, indices) else { return };
        for (update, place) in updates.data.chunks(len.max(1)).zip(places) {
            let Some(at) = place else { continue };
            y.data[at..at + len].iter_mut().zip(update).for_each(|(y, &u)| *y = self.how.of_two(*y, u));
        }
    }
}

/// Operand 0 moves to the result, except where slice `k` of operand 2, of `len` elements, goes to `places[k]`.
pub fn overwrite(elements: usize, places: &[Option<usize>], len: usize, f: &mut dyn FnMut(Move)) {
    // The last one that names a place wins.
    let mut from: Vec<Option<usize>> = vec![None; elements];
    for (k, place) in places.iter().enumerate() {
        if let Some(at) = place {
            (0..len).for_each(|i| from[at + i] = Some(k * len + i));
        }
    }
    let mut to = 0;
    while to < elements {
        let source = |i: usize| from[i].map_or((0, i), |at| (2, at));
        let (x, at) = source(to);
        let len = (0..elements - to).take_while(|&k| source(to + k) == (x, at + k)).count();
        f(Move { x, at, step: 1, y: 0, to, len });
        to += len;
    }
}

impl ViewFn for ScatterElements {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axis", self.axis).maybe("reduction", self.reduction.clone()).done()
    }
    fn indexes(&self, io: &Io, slot: usize) -> Option<usize> {
        let x = io.input(0).filter(|_| slot == 1)?;
        Some(x[axis_in(self.axis.unwrap_or(0), x.len()).ok()?])
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (fact, indices, updates) = (need(x, 0)?, need(x, 1)?, need(x, 2)?);
        check(&fact.shape, &indices.shape, axis_in(self.axis.unwrap_or(0), fact.shape.len())?)?;
        if updates.shape != indices.shape {
            return invalid(format!("indices {:?} for updates {:?}", indices.shape, updates.shape));
        }
        Ok(vec![fact.clone()])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(x), Some(indices)) = (io.input(0), io.input(1)) else { return };
        let Ok(axis) = axis_in(self.axis.unwrap_or(0), x.len()) else { return };
        for k in (0..x.len()).filter(|&k| k != axis && x[k] == indices[k]) {
            (0..3).for_each(|slot| link.tie_axes(input(slot, k), output(0, k)));
        }
    }
    fn moves<T: Real>(&self, x: &[Option<&Array<T>>], _: &[Shape], f: &mut dyn FnMut(Move)) {
        let (Some(x), Some(indices)) = (x[0], x[1]) else { return };
        let Some((places, len)) = self.places(x, indices) else { return };
        overwrite(x.data.len(), &places, len, f);
    }
}

impl Scatter for ScatterElements {
    fn places<T: Real>(&self, x: &Array<T>, indices: &Array<T>) -> Option<(Vec<Option<usize>>, usize)> {
        let axis = axis_in(self.axis.unwrap_or(0), x.shape.len()).ok()?;
        Some((named(&x.shape, indices, axis), 1))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, data};
    let indices = |shape: &[usize], v: &[i64]| Given::Fixed(Tensor::new(shape, v.to_vec()));
    let case = |name| Case::new("ScatterElements").named(name).opset(18).int("axis", 1);
    vec![
        case("rows").inputs([data(&[2, 3]), indices(&[2, 2], &[0, 2, -2, 2]), data(&[2, 2])]).free(2),
        case("added")
            .string("reduction", "add")
            .inputs([data(&[2, 3]), indices(&[2, 2], &[0, 2, -2, -2]), data(&[2, 2])])
            .free(2),
        case("twice the same").string("reduction", "none").inputs([
            data(&[2, 3]),
            indices(&[1, 2], &[1, 1]),
            data(&[1, 2]),
        ]),
    ]
}
