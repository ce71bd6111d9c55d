//! Family helper: scales and zero points, for a whole tensor or per coordinate of an axis.

use super::indexing::axis_in;
use crate::graph::*;
use crate::tensor::*;
use ndarray::ArrayViewMutD;

/// Layout of scales: attributes of both operators.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Axis of the scales.
    pub axis: Option<i64>,
    /// Elements along that axis that share a scale; 0 or none where each coordinate has a scale of its own.
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

    /// Adds the attributes to a writer.
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

/// Positions of the scale and zero point of each element, at the shapes of one node.
#[derive(Debug, Clone, Copy)]
pub enum Scales {
    /// One scale for each line of `inner` elements, in turn: the first again after the last.
    Lines {
        /// Elements of a line.
        inner: usize,
    },
    /// One scale for each `block` elements along `axis`.
    Blocks {
        /// Axis of the operand.
        axis: usize,
        /// Elements along it that share a scale.
        block: usize,
    },
}

impl Scales {
    /// Scales of a node, which must fit its operand.
    pub fn new(layout: Layout, io: &Io) -> Result<Self, Refusal> {
        let x = &need(io.x, 0)?.shape;
        Ok(match (axis_of(layout, io.x)?, layout.block()) {
            (Some(axis), Some(block)) => Self::Blocks { axis, block },
            (Some(axis), None) => Self::Lines { inner: volume(&x[axis + 1..]).max(1) },
            (None, _) => Self::Lines { inner: volume(x).max(1) },
        })
    }

    /// `y = f(x, scale, zero point)`, element by element.
    pub fn each<T: Real>(&self, x: &Inputs<T>, y: &mut ArrayViewMutD<T>, f: impl Fn(T, T, T) -> T) {
        let (x, scale, zero) = (present(x, 0), present(x, 1), optional(x, 2));
        match *self {
            Self::Lines { inner } => {
                let (scale, zero) = (scale.elements(), zero.map(Elements::elements));
                let lines = x.elements().chunks(inner).zip(y.elements_mut().chunks_mut(inner));
                for (k, (x, y)) in lines.enumerate() {
                    let at = k % scale.len().max(1);
                    let (scale, zero) = (scale[at], zero.map_or(T::zero(), |zero| zero[at]));
                    x.iter().zip(y).for_each(|(&x, y)| *y = f(x, scale, zero));
                }
            }
            Self::Blocks { axis, block } => {
                let (x, scale, zero) = (around(x, axis), around(scale, axis), zero.map(|z| around(z, axis)));
                for ((o, i, j), y) in around_mut(y, axis).indexed_iter_mut() {
                    let at = (o, i / block, j);
                    *y = f(x[(o, i, j)], scale[at], zero.as_ref().map_or(T::zero(), |zero| zero[at]));
                }
            }
        }
    }
}
