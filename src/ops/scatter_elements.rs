//! ScatterElements: y = x, except y[i, index[i, j, …], …] = updates[i, j, …].
//! <https://onnx.ai/onnx/operators/onnx__ScatterElements.html>

use super::gather_elements::{check, named};
use super::indexing::axis_in;
use super::movement::{Move, Moved, Movement};
use crate::ir::*;

#[derive(Debug)]
struct ScatterElements {
    axis: Option<i64>,
    reduction: Option<String>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let (axis, reduction) = (r.int("axis")?, r.string("reduction")?);
    match reduction.as_deref() {
        None | Some("none") => Ok(Box::new(Moved(ScatterElements { axis, reduction }))),
        Some(other) => unsupported(format!("reduction '{other}'")),
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

impl Movement for ScatterElements {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("axis", self.axis).maybe("reduction", self.reduction.clone()).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (fact, indices, updates) = (need(x, 0)?, need(x, 1)?, need(x, 2)?);
        check(&fact.shape, &indices.shape, axis_in(self.axis.unwrap_or(0), fact.shape.len())?)?;
        if updates.shape != indices.shape {
            return invalid(format!("indices {:?} for updates {:?}", indices.shape, updates.shape));
        }
        Ok(vec![fact.clone()])
    }
    fn channels(&self, io: &Io, link: &mut dyn Link) {
        let (Some(x), Some(indices)) = (io.input(0), io.input(1)) else { return };
        let Ok(axis) = axis_in(self.axis.unwrap_or(0), x.len()) else { return };
        for k in (0..x.len()).filter(|&k| k != axis && x[k] == indices[k]) {
            (0..3).for_each(|slot| link.same(input(slot, k), output(0, k)));
        }
    }
    fn moves<T: Real>(&self, x: &[Option<&Array<T>>], _: &[Shape], f: &mut dyn FnMut(Move)) {
        let (Some(x), Some(indices)) = (x[0], x[1]) else { return };
        let Ok(axis) = axis_in(self.axis.unwrap_or(0), x.shape.len()) else { return };
        overwrite(x.data.len(), &named(&x.shape, indices, axis), 1, f);
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, data};
    let indices = |shape: &[usize], v: &[i64]| {
        Given::Fixed(Tensor { shape: shape.to_vec(), data: Data::I64(v.to_vec()) })
    };
    let case = |name| Case::new("ScatterElements").named(name).opset(18).int("axis", 1);
    vec![
        case("rows").inputs([data(&[2, 3]), indices(&[2, 2], &[0, 2, -2, 2]), data(&[2, 2])]).free(2),
        case("twice the same").string("reduction", "none").inputs([
            data(&[2, 3]),
            indices(&[1, 2], &[1, 1]),
            data(&[1, 2]),
        ]),
    ]
}
