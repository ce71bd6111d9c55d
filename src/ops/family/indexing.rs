//! Helper: axes, sizes and indices that attributes and constant operands name.

use crate::graph::*;
use crate::tensor::*;

/// Axis `axis` of a value of `rank` axes, counted from the end where negative.
pub fn axis_in(axis: i64, rank: usize) -> Result<usize, Refusal> {
    index_in(axis, rank).map_or_else(|| invalid(format!("axis {axis} of a value of {rank} axes")), Ok)
}

/// Index `i` of an axis of size `size`, counted from the end where negative.
pub fn index_in(i: i64, size: usize) -> Option<usize> {
    let at = if i < 0 { i.saturating_add(size as i64) } else { i };
    (0..size as i64).contains(&at).then_some(at as usize)
}

/// The integers of an operand that the network computes.
pub fn integers<T: Real>(x: &ndarray::ArrayViewD<T>) -> Vec<i64> {
    x.elements().iter().map(|v| v.wide() as i64).collect()
}

/// Several axes in the given order, each once.
pub fn axes_in(axes: &[i64], rank: usize) -> Result<Vec<usize>, Refusal> {
    let mut found = Vec::with_capacity(axes.len());
    for &axis in axes {
        let at = axis_in(axis, rank)?;
        if found.contains(&at) {
            return invalid(format!("axes {axes:?} name an axis twice"));
        }
        found.push(at);
    }
    Ok(found)
}

/// The integers of operand `slot`, which must be a constant; `None` where it is absent.
pub fn constant(x: &Operands, slot: usize, what: &str) -> Result<Option<Vec<i64>>, Refusal> {
    match x.get(slot).copied().flatten() {
        None => Ok(None),
        Some(Operand { value: Some(v), .. }) => Ok(Some(v.to_ints())),
        Some(_) => unsupported(format!("{what} that depend on the network's input values")),
    }
}

/// The integers of a constant operand that must be present.
pub fn required(x: &Operands, slot: usize, what: &str) -> Result<Vec<i64>, Refusal> {
    need(x, slot)?;
    Ok(constant(x, slot, what)?.unwrap_or_default())
}

/// A shape from integers that a constant gives: not negative, and of a volume that can be held.
pub fn shape_from(sizes: &[i64]) -> Result<Shape, Refusal> {
    let shape: Option<Shape> = sizes.iter().map(|&s| usize::try_from(s).ok()).collect();
    match shape {
        None => invalid(format!("{sizes:?} is not a shape")),
        Some(shape) if checked_volume(&shape).is_none() => invalid(too_large(&shape)),
        Some(shape) => Ok(shape),
    }
}

/// Operand `slot` with other integers, in its own element type.
pub fn restated(io: &Io, slot: usize, values: &[i64]) -> Vec<(usize, Tensor)> {
    io.value(slot).map(|t| (slot, t.with_ints(&[values.len()], values))).into_iter().collect()
}

/// Number of coordinates that stay in the range `from..to` of an axis of which `kept` stay (`None`: all).
pub fn count(kept: Option<&[usize]>, from: usize, to: usize) -> usize {
    match kept {
        None => to - from,
        Some(kept) => kept.iter().filter(|&&k| (from..to).contains(&k)).count(),
    }
}

/// Steps in elements from one index to the next, by axis.
pub fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis] * shape[axis];
    }
    steps
}
