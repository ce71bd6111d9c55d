//! Gather: the coordinates of an axis that indices name. <https://onnx.ai/onnx/operators/onnx__Gather.html>
//!
//! A list of constant indices is renumbered when the axis loses coordinates; an index of its own keeps its coordinate; any
//! other form keeps the axis whole.

use super::family::indexing::{axis_in, index_in, restated};
use super::family::view::{Filling, Indexed, Movement, Moves, Part, Pattern, View, ViewFn};
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Gather {
    axis: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(View(Gather { axis: r.int("axis")? })))
}

impl Gather {
    fn axis(&self, rank: usize) -> Result<usize, Refusal> {
        axis_in(self.axis.unwrap_or(0), rank)
    }
}

impl ViewFn for Gather {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axis", self.axis).done()
    }

    fn rearranges(&self, slot: usize) -> bool {
        slot == 0
    }
    fn picks_channels(&self) -> bool {
        true
    }
    fn indexes(&self, io: &Io, slot: usize) -> Option<usize> {
        let x = io.input(0).filter(|_| slot == 1)?;
        Some(x[self.axis(x.len()).ok()?])
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (fact, indices) = (need(x, 0)?, need(x, 1)?);
        let axis = self.axis(fact.shape.len())?;
        let size = fact.shape[axis];
        let value = x[1].and_then(|o| o.value).map(Tensor::to_ints).unwrap_or_default();
        if let Some(i) = value.into_iter().find(|&i| index_in(i, size).is_none()) {
            return invalid(format!("index {i} in an axis of size {size}"));
        }
        let (front, back) = (&fact.shape[..axis], &fact.shape[axis + 1..]);
        Ok(vec![Fact::new(fact.dtype, [front, &indices.shape, back].concat())])
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(x), Some(indices)) = (io.input(0), io.input(1)) else { return };
        let Ok(axis) = self.axis(x.len()) else { return };
        for k in (0..x.len()).filter(|&k| k != axis) {
            link.tie_axes(input(0, k), output(0, if k < axis { k } else { k - 1 + indices.len() }));
        }
        let Some(value) = io.value(1).filter(|_| indices.len() < 2) else {
            return link.freeze(input(0, axis), "takes coordinates of this axis by computed indices");
        };
        let named: Option<Vec<usize>> = value.to_ints().into_iter().map(|i| index_in(i, x[axis])).collect();
        let Some(named) = named else { return };
        (0..x[axis]).filter(|i| !named.contains(i)).for_each(|i| link.free(input(0, axis), i));
        // The coordinate of a single index must stay.
        if indices.len() == 1 {
            for (j, i) in named.into_iter().enumerate() {
                link.tie(input(0, axis), i, output(0, axis), j);
                link.tie(input(1, 0), j, output(0, axis), j);
            }
        }
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let (Some(x), Some(value)) = (io.input(0), io.value(1)) else { return Ok(Resized::UNCHANGED) };
        let axis = self.axis(x.len())?;
        let Some(kept) = keep.kept(input(0, axis)) else { return Ok(Resized::UNCHANGED) };
        let old = value.to_ints();
        let stay = match io.input(1) {
            Some([_]) => keep.kept(output(0, axis)),
            _ => None,
        };
        let mut new = Vec::new();
        for j in stay.map_or_else(|| (0..old.len()).collect(), <[usize]>::to_vec) {
            let Some(at) = index_in(old[j], x[axis]).and_then(|i| kept.binary_search(&i).ok()) else {
                return unsupported("an index names a coordinate that is gone");
            };
            new.push(if old[j] < 0 { at as i64 - kept.len() as i64 } else { at as i64 });
        }
        if value.shape().is_empty() {
            return Ok(Resized::restating(vec![(1, value.with_ints(&[], &new))]));
        }
        Ok(Resized::restating(restated(io, 1, &new)))
    }

    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let x = &need(io.x, 0)?.shape;
        let (outer, size, inner) = sides(x, self.axis(x.len())?);
        Movement::indexed(io, 1, Coordinates { outer, size, inner })
    }
}

/// The axis that indices name coordinates of, with the axes on both sides of it taken together.
#[derive(Debug)]
struct Coordinates {
    outer: usize,
    size: usize,
    inner: usize,
}

impl Indexed for Coordinates {
    fn moves(&self, indices: &[i64]) -> Moves {
        let offset = |&i: &i64| index_in(i, self.size).map(|i| i * self.inner);
        let at: Vec<Option<usize>> = indices.iter().map(offset).collect();
        let filling = if at.contains(&None) { Filling::Number(0.0) } else { Filling::Nothing };
        let blocks = vec![(0..self.outer).map(|o| Some(o * self.size * self.inner)).collect()];
        let pattern = Pattern::Rows { at, len: self.inner };
        Moves {
            parts: vec![Part { x: 0, y: 0, blocks, width: indices.len() * self.inner, pattern }],
            filling,
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, data, ints};
    let of = |name, indices: Given| {
        Case::new("Gather").named(name).int("axis", 1).inputs([data(&[2, 4, 3]), indices])
    };
    let fixed = |shape: &[usize], values: &[i64]| Given::Fixed(Tensor::new(shape, values.to_vec()));
    vec![
        of("shuffle", ints(&[2, 0, 3, 1])).free(2 + 4 + 3),
        of("some", ints(&[3, 1, -1])).free(2 + 4 + 3),
        of("int32", Given::Fixed(Tensor::new(&[2], vec![-2i32, 0]))).free(2 + 4 + 3),
        of("one", fixed(&[], &[2])).free(2 + 3 + 3),
        of("last", fixed(&[], &[-1])).free(2 + 3 + 3),
        of("table", fixed(&[2, 2], &[0, 1, 2, 2])).free(2 + 3),
        Case::new("Gather").named("first axis").inputs([data(&[4]), ints(&[1, 2])]).free(4),
    ]
}
