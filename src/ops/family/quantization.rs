//! Family helper: scales and zero points, for a whole tensor or per coordinate of an axis.

use super::indexing::axis_in;
use crate::graph::*;
use crate::tensor::*;

/// How scales are laid out: attributes of both operators.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Axis of the scales.
    pub axis: Option<i64>,
    /// Elements along that axis that share one; 0 or nothing where they go along no other axis.
    pub block: Option<i64>,
}

impl Layout {
    /// Reads the attributes.
    pub fn read(r: &Reader) -> Result<Self, Refusal> {
        let layout = Self { axis: r.int("axis")?, block: r.int("block_size")? };
        match layout.block {
            Some(b) if b < 0 => invalid(format!("blocks of {b} elements")),
            _ => Ok(layout),
        }
    }

    /// Writes them.
    pub fn write(&self, w: Writer) -> Writer {
        w.maybe("axis", self.axis).maybe("block_size", self.block)
    }

    fn block(&self) -> Option<usize> {
        self.block.filter(|&b| b > 0).map(|b| b as usize)
    }
}

/// The axis that scales go along, if they do; checks that scale and zero point fit.
pub fn axis_of(layout: Layout, x: &Operands) -> Result<Option<usize>, Refusal> {
    let (shape, scale) = (&need(x, 0)?.shape, &need(x, 1)?.shape);
    let zero = x.get(2).copied().flatten().map(|o| &o.fact.shape);
    if x.len() > 3 {
        return invalid(format!("{} operands, of which it takes 3", x.len()));
    }
    if zero.is_some_and(|zero| zero != scale && (volume(zero), volume(scale)) != (1, 1)) {
        return invalid(format!("a scale of shape {scale:?} with a zero point of shape {zero:?}"));
    }
    if let Some(block) = layout.block() {
        let axis = axis_in(layout.axis.unwrap_or(1), shape.len())?;
        let mut blocks = shape.clone();
        blocks[axis] = shape[axis].div_ceil(block);
        return match *scale == blocks {
            true => Ok(Some(axis)),
            false => invalid(format!("scales {scale:?} for blocks of {block} of {shape:?}")),
        };
    }
    if volume(scale) == 1 {
        return Ok(None);
    }
    let axis = axis_in(layout.axis.unwrap_or(1), shape.len())?;
    match scale[..] {
        [n] if n == shape[axis] => Ok(Some(axis)),
        [_] => invalid(format!("scales {scale:?} along axis {axis} of {shape:?}")),
        _ => unsupported(format!("a scale of shape {scale:?}")),
    }
}

/// Ties operand and result axis by axis, and scale and zero point to their axis.
pub fn channels(layout: Layout, io: &Io, link: &mut dyn Couplings) {
    let axis = axis_of(layout, io.x);
    if let (Ok(Some(axis)), Some(_)) = (&axis, layout.block()) {
        let slots = || (0..io.inputs()).filter(|&slot| io.input(slot).is_some());
        for (slot, k) in slots().flat_map(|slot| (0..io.output(0).len()).map(move |k| (slot, k))) {
            match k == *axis {
                true => link.freeze(input(slot, k), "shares scales along this axis"),
                false => link.tie_axes(input(slot, k), output(0, k)),
            }
        }
        return link.freeze(output(0, *axis), "shares scales along this axis");
    }
    super::pointwise::tie_all(io, link);
    if let Ok(Some(axis)) = axis {
        for slot in (1..io.inputs()).filter(|&slot| io.input(slot).is_some()) {
            link.tie_axes(input(slot, 0), output(0, axis));
        }
    }
}

/// Calls `f(y, x, scale, zero point)` for every element.
pub fn each<T: Real>(layout: Layout, x: &[Option<&Array<T>>], y: &mut Array<T>, f: impl Fn(T, T, T) -> T) {
    let (Some(x), Some(scale), zero) = (x[0], x[1], x.get(2).copied().flatten()) else { return };
    let axis = axis_in(layout.axis.unwrap_or(1), x.shape.len()).unwrap_or(0);
    if let Some(block) = layout.block() {
        let (size, inner) = (x.shape[axis], volume(&x.shape[axis + 1..]));
        for (i, (&x, y)) in x.data.iter().zip(&mut y.data).enumerate() {
            let (line, along) = (i / inner, i % inner);
            let at = (line / size * size.div_ceil(block) + line % size / block) * inner + along;
            *y = f(x, scale.data[at], zero.map_or(T::zero(), |z| z.data[at]));
        }
        return;
    }
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
