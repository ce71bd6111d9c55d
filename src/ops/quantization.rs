//! Family helper: scales and zero points, for a whole tensor or per coordinate of an axis.

use super::indexing::axis_in;
use crate::ir::*;

/// The axis that scales go along, if they do; checks that scale and zero point fit.
pub fn axis_of(axis: Option<i64>, x: &Operands) -> Result<Option<usize>, Refusal> {
    let (shape, scale) = (&need(x, 0)?.shape, &need(x, 1)?.shape);
    let zero = x.get(2).copied().flatten().map(|o| &o.fact.shape);
    if zero.is_some_and(|zero| volume(zero) != volume(scale)) {
        return invalid(format!("a scale of shape {scale:?} with a zero point of shape {zero:?}"));
    }
    if volume(scale) == 1 {
        return Ok(None);
    }
    let axis = axis_in(axis.unwrap_or(1), shape.len())?;
    match scale[..] {
        [n] if n == shape[axis] => Ok(Some(axis)),
        [_] => invalid(format!("scales {scale:?} along axis {axis} of {shape:?}")),
        _ => unsupported(format!("a scale of shape {scale:?}")),
    }
}

/// Ties operand and result axis by axis, and scale and zero point to their axis.
pub fn channels(axis: Option<i64>, io: &Io, link: &mut dyn Link) {
    super::pointwise::tie_all(io, link);
    if let Ok(Some(axis)) = axis_of(axis, io.x) {
        for slot in (1..io.inputs()).filter(|&slot| io.input(slot).is_some()) {
            link.same(input(slot, 0), output(0, axis));
        }
    }
}

/// Calls `f(y, x, scale, zero point)` for every element.
pub fn each<T: Real>(axis: Option<i64>, x: &[Option<&Array<T>>], y: &mut Array<T>, f: impl Fn(T, T, T) -> T) {
    let (Some(x), Some(scale), zero) = (x[0], x[1], x.get(2).copied().flatten()) else { return };
    let axis = axis_in(axis.unwrap_or(1), x.shape.len()).unwrap_or(0);
    let inner = match scale.data.len() {
        1 => x.data.len(),
        _ => volume(&x.shape[axis + 1..]),
    };
    let lines = x.data.chunks(inner.max(1)).zip(y.data.chunks_mut(inner.max(1)));
    for (k, (x, y)) in lines.enumerate() {
        let at = k % scale.data.len().max(1);
        let (scale, zero) = (scale.data[at], zero.map_or(T::zero(), |z| z.data[at]));
        x.iter().zip(y).for_each(|(&x, y)| *y = f(x, scale, zero));
    }
}
