//! Slice: every step-th coordinate of ranges along axes; ranges as attributes (until opset 9) or operands.
//! <https://onnx.ai/onnx/operators/onnx__Slice.html>
//!
//! The coordinates that a larger step skips belong to the coordinate that they follow: blocks go as a whole, so that the slice is
//! still every step-th coordinate.

use super::family::indexing::{axes_in, constant, count, required, restated, row_major};
use super::family::view::{Movement, View, ViewFn, along};
use crate::graph::*;
use crate::tensor::*;

/// The ranges as they are written.
#[derive(Debug, Clone)]
struct Ranges {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
}

#[derive(Debug)]
struct Slice {
    attributes: Option<Ranges>,
}

/// The coordinates `start, start + step, …` of one axis, `len` of them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    start: usize,
    step: i64,
    len: usize,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let attributes = if r.opset < 10 {
        let (Some(starts), Some(ends)) = (r.ints("starts")?, r.ints("ends")?) else {
            return invalid("attributes 'starts' and 'ends' are needed");
        };
        Some(Ranges { starts, ends, axes: r.ints("axes")?, steps: None })
    } else {
        None
    };
    Ok(Box::new(View(Slice { attributes })))
}

impl Ranges {
    fn axes(&self, rank: usize) -> Result<Vec<usize>, Refusal> {
        match &self.axes {
            Some(axes) => axes_in(axes, rank),
            None => axes_in(&(0..self.starts.len() as i64).collect::<Vec<_>>(), rank),
        }
    }

    /// The ranges of all axes of a value of shape `x`.
    fn resolve(&self, x: &[usize]) -> Result<Vec<Range>, Refusal> {
        let axes = self.axes(x.len())?;
        let lengths = [self.ends.len(), axes.len(), self.steps.as_ref().map_or(axes.len(), Vec::len)];
        if lengths.iter().any(|&n| n != self.starts.len()) {
            return invalid("starts, ends, axes and steps differ in length");
        }
        let mut ranges: Vec<Range> = x.iter().map(|&len| Range { start: 0, step: 1, len }).collect();
        for (k, axis) in axes.into_iter().enumerate() {
            let step = self.steps.as_ref().map_or(1, |s| s[k]);
            ranges[axis] = range(self.starts[k], self.ends[k], step, x[axis])?;
        }
        Ok(ranges)
    }
}

/// Range of an axis of size `size`, as the standard clamps it.
fn range(start: i64, end: i64, step: i64, size: usize) -> Result<Range, Refusal> {
    let n = size as i64;
    let from_front = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
    if step < 0 && (from_front(start) < 0 || end >= i64::from(i32::MAX)) {
        return unsupported(
            "a backward slice from before the axis or to beyond it, which runtimes read differently",
        );
    }
    let (start, end) = (from_front(start), from_front(end));
    let (start, distance) = match step {
        0 => return invalid("a step of 0"),
        1.. => {
            let start = start.clamp(0, n);
            (start, end.clamp(0, n) - start)
        }
        _ => {
            let start = start.min(n - 1);
            (start, start - end.clamp(-1, n - 1))
        }
    };
    let len = (distance.max(0) as u64).div_ceil(step.unsigned_abs()) as usize;
    Ok(Range { start: if len == 0 { 0 } else { start as usize }, step, len })
}

impl Range {
    /// Coordinate `i` of the result.
    fn at(&self, i: usize) -> usize {
        (self.start as i64 + i as i64 * self.step) as usize
    }

    /// Coordinates between the ones for `i` and `i + 1`, the first included, on an axis of size `size`.
    fn block(&self, i: usize, size: usize) -> impl Iterator<Item = usize> {
        let (at, direction) = (self.at(i) as i64, self.step.signum());
        let reach = self.step.unsigned_abs().min(size as u64) as i64;
        (0..reach)
            .map(move |r| at + direction * r)
            .filter(move |p| (0..size as i64).contains(p))
            .map(|p| p as usize)
    }

    /// The start and end that give this range exactly.
    fn written(&self, size: usize) -> (i64, i64) {
        let last = self.at(self.len.saturating_sub(1)) as i64;
        match last + self.step.signum() {
            -1 => (self.start as i64, -1 - size as i64),
            end => (self.start as i64, end),
        }
    }
}

impl Slice {
    fn ranges(&self, x: &Operands) -> Result<Ranges, Refusal> {
        if let Some(r) = &self.attributes {
            return Ok(r.clone());
        }
        Ok(Ranges {
            starts: required(x, 1, "starts")?,
            ends: required(x, 2, "ends")?,
            axes: constant(x, 3, "axes")?,
            steps: constant(x, 4, "steps")?,
        })
    }
}

impl ViewFn for Slice {
    fn attributes(&self) -> Attributes {
        let Some(r) = self.attributes.clone() else { return Attributes::new() };
        Writer::default().put("starts", r.starts).put("ends", r.ends).maybe("axes", r.axes).done()
    }

    fn rearranges(&self, slot: usize) -> bool {
        slot == 0
    }
    fn picks_channels(&self) -> bool {
        true
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        let ranges = self.ranges(x)?.resolve(&fact.shape)?;
        Ok(vec![Fact::new(fact.dtype, ranges.iter().map(|r| r.len).collect::<Shape>())])
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Some(x) = io.input(0) else { return };
        let Ok(ranges) = self.ranges(io.x).and_then(|r| r.resolve(x)) else { return };
        for (axis, (range, &size)) in ranges.iter().zip(x).enumerate().filter(|(_, (r, _))| r.len > 0) {
            (0..size).for_each(|i| link.free(input(0, axis), i));
            for i in 0..range.len {
                range.block(i, size).for_each(|at| link.tie(input(0, axis), at, output(0, axis), i));
            }
        }
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let Some(x) = io.input(0) else { return Ok(Resized::UNCHANGED) };
        let old = self.ranges(io.x)?;
        let ranges = old.resolve(x)?;
        let mut new = old.clone();
        for (k, axis) in old.axes(x.len())?.into_iter().enumerate() {
            let Some(kept) = keep.kept(input(0, axis)) else { continue };
            let (was, step) = (ranges[axis], ranges[axis].step);
            let left: Vec<usize> = (0..was.len).filter(|&i| kept.contains(&was.at(i))).collect();
            let Some(&first) = left.first() else { return unsupported("nothing is left of a slice") };
            let wanted = Range { start: count(Some(kept), 0, was.at(first)), step, len: left.len() };
            // A written bound stays where it is still right (negative, or beyond the end).
            let (start, end) = wanted.written(kept.len());
            let forms =
                [(old.starts[k], old.ends[k]), (start, old.ends[k]), (old.starts[k], end), (start, end)];
            let right = |&(s, e): &(i64, i64)| range(s, e, step, kept.len()).is_ok_and(|r| r == wanted);
            let Some((s, e)) = forms.into_iter().find(right) else {
                return unsupported(format!("what is left of axis {axis} is not a slice"));
            };
            (new.starts[k], new.ends[k]) = (s, e);
        }
        if self.attributes.is_some() {
            return Ok(Resized::of(Box::new(View(Slice { attributes: Some(new) }))));
        }
        let inputs = [restated(io, 1, &new.starts), restated(io, 2, &new.ends)].concat();
        Ok(Resized::restating(inputs))
    }

    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let x = &need(io.x, 0)?.shape;
        let ranges = self.ranges(io.x)?.resolve(x)?;
        let table = |(range, step): (&Range, usize)| (0..range.len).map(|i| range.at(i) * step).collect();
        Ok(along(ranges.iter().zip(row_major(x)).map(table).collect()))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, absent, data, ints};
    let case = |name, size: usize, starts: Given, ends: Given, axes: Given, steps: Given| {
        Case::new("Slice").named(name).inputs([data(&[2, size, 3]), starts, ends, axes, steps])
    };
    let one = |name, size, start: i64, end: i64, step: i64| {
        case(name, size, ints(&[start]), ints(&[end]), ints(&[1]), ints(&[step]))
    };
    let other = 2 + 3;
    vec![
        one("middle", 6, 1, 4, 1).free(6 + other),
        one("all", 6, 0, i64::MAX, 1).free(6 + other),
        one("negative", 6, -4, -1, 1).free(6 + other),
        one("reversed", 5, -1, i64::MIN, -1).free(5 + other),
        one("reversed inside", 6, 4, 1, -1).free(6 + other),
        one("every second", 6, 0, i64::MAX, 2).free(3 + other),
        one("every second, odd", 5, 0, 5, 2).free(3 + other),
        one("every third from 1 on", 9, 1, 7, 3).free(2 + 3 + other),
        one("every second backwards", 6, -1, -100, -2).free(3 + other),
        one("huge step", 4, 1, 4, i64::MAX).free(1 + other),
        one("one", 4, 2, 3, 1).free(3 + other),
        case("two axes", 4, ints(&[1, 0]), ints(&[3, 2]), absent(), absent()).free(1 + 4 + 3),
        case("two axes, named", 4, ints(&[0, 1]), ints(&[9, -1]), ints(&[-1, 1]), absent()).free(4 + other),
        Case::new("Slice")
            .named("attributes")
            .opset(9)
            .ints("starts", &[1])
            .ints("ends", &[2147483647])
            .ints("axes", &[1])
            .inputs([data(&[2, 4, 3])])
            .free(4 + other),
        Case::new("Slice")
            .named("attributes without axes")
            .opset(1)
            .ints("starts", &[0, -3])
            .ints("ends", &[2, -1])
            .inputs([data(&[2, 4, 3])])
            .free(4 + other),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::*;

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let of = |start: i64, end: i64, step: i64, y: &[f64]| {
            let x = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
            let range = [ints(&[start]), ints(&[end]), ints(&[-1]), ints(&[step])];
            Case::new("Slice").inputs([x].into_iter().chain(range)).gives(y);
        };
        of(-1, -100, -3, &[7.0, 4.0, 1.0]);
        of(1, i64::MAX, 3, &[1.0, 4.0, 7.0]);
        of(100, 2, -2, &[7.0, 5.0, 3.0]);
    }
}
