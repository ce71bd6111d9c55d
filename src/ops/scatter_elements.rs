//! ScatterElements: y = x, except y[i, index[i, j, …], …] = updates[i, j, …].
//! <https://onnx.ai/onnx/operators/onnx__ScatterElements.html>

use super::family::indexing::{axis_in, integers};
use super::family::no_grad::{NoGrad, NoGradFn, Values};
use super::family::view::{Filling, Indexed, Movement, Moves, Part, Pattern, Places, Run, View, ViewFn};
use super::gather_elements::{ElementPlaces, check};
use crate::graph::*;
use crate::tensor::*;
use std::borrow::Cow;

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

/// Combination of an update with the element in its place.
#[derive(Debug, Clone, Copy)]
pub enum Reduction {
    Add,
    Mul,
    Max,
    Min,
}

impl Reduction {
    /// From the attribute's value; `None` overwrites.
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

/// A scatter: an operator that puts updates into places of its operand.
pub trait Scatter: ViewFn {
    /// Slices of the result, by the indices that operand 1 holds.
    type Places: Places + 'static;
    /// The slices at the shapes of one node.
    fn places(&self, io: &Io) -> Result<Self::Places, Refusal>;
}

/// A scatter that combines; known by value, without gradient.
#[derive(Debug)]
pub struct Reduced<S> {
    /// The scatter.
    pub op: S,
    /// Its combination of elements.
    pub how: Reduction,
}

impl<S: Scatter> NoGradFn for Reduced<S> {
    type Bound = Combined<S::Places>;

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
    fn bind(&self, io: &Io) -> Result<Self::Bound, Refusal> {
        [0, 1, 2].iter().try_for_each(|&slot| need(io.x, slot).map(drop))?;
        let places = self.op.places(io)?;
        let constant = io.value(1).map(|indices| places.offsets(&indices.to_ints()));
        Ok(Combined { how: self.how, places, constant })
    }
}

/// A scatter that combines, at the shapes of one node.
#[derive(Debug)]
pub struct Combined<P> {
    how: Reduction,
    places: P,
    /// Offsets of the slices, where the indices are constants.
    constant: Option<Vec<Option<usize>>>,
}

impl<P: Places + 'static> Values for Combined<P> {
    fn forward<T: Real>(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let (updates, y) = (present(x, 2).elements(), y[0].elements_mut());
        y.copy_from_slice(present(x, 0).elements());
        let offsets = match &self.constant {
            Some(offsets) => Cow::Borrowed(offsets),
            None => Cow::Owned(self.places.offsets(&integers(present(x, 1)))),
        };
        let len = self.places.slice();
        for (update, at) in updates.chunks(len.max(1)).zip(offsets.iter()) {
            let &Some(at) = at else { continue };
            y[at..at + len].iter_mut().zip(update).for_each(|(y, &u)| *y = self.how.of_two(*y, u));
        }
    }
}

/// Operand 0, except where a slice of operand 2 goes to a place that operand 1 names; of several for
/// one place the last counts.
#[derive(Debug)]
pub struct Overwritten<P> {
    /// The slices.
    pub places: P,
    /// Number of elements of the result.
    pub elements: usize,
}

impl<P: Places> Indexed for Overwritten<P> {
    fn moves(&self, indices: &[i64]) -> Moves {
        let len = self.places.slice();
        let mut from = vec![None; self.elements];
        for (k, at) in self.places.offsets(indices).into_iter().enumerate() {
            let Some(at) = at else { continue };
            from[at..at + len].iter_mut().enumerate().for_each(|(i, from)| *from = Some(k * len + i));
        }
        let source = |to: usize| from[to].map_or((0, to), |from| (2, from));
        let (mut kept, mut updated, mut to) = (Vec::new(), Vec::new(), 0);
        while to < self.elements {
            let (x, at) = source(to);
            let len = (0..self.elements - to).take_while(|&k| source(to + k) == (x, at + k)).count();
            let runs = if x == 0 { &mut kept } else { &mut updated };
            runs.push(Run { to, at, step: 1, len });
            to += len;
        }
        let part = |(x, runs)| Part {
            x,
            y: 0,
            blocks: Vec::new(),
            width: self.elements,
            pattern: Pattern::Runs(runs),
        };
        Moves { parts: [(0, kept), (2, updated)].map(part).into(), filling: Filling::Nothing }
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
    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let elements = volume(&need(io.x, 0)?.shape);
        need(io.x, 2)?;
        Movement::indexed(io, 1, Overwritten { places: self.places(io)?, elements })
    }
}

impl Scatter for ScatterElements {
    type Places = ElementPlaces;

    fn places(&self, io: &Io) -> Result<ElementPlaces, Refusal> {
        ElementPlaces::new(io, self.axis.unwrap_or(0))
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
