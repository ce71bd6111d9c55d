//! Pad: more coordinates at the begin and the end of an axis, or fewer. <https://onnx.ai/onnx/operators/onnx__Pad.html>
//!
//! Each coordinate that constant padding adds may go alone. Padding with the axis's own elements keeps the axis whole.

use super::family::indexing::{axes_in, constant, count, required, restated, row_major, shape_from};
use super::family::view::{Filling, Movement, View, ViewFn, along};
use super::identity::passing;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug, Clone)]
struct Pad {
    mode: Option<String>,
    /// Attributes until opset 10, operands since.
    pads: Option<Vec<i64>>,
    value: Option<f32>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let mode = r.string("mode")?;
    if !matches!(mode.as_deref(), None | Some("constant" | "reflect" | "edge" | "wrap")) {
        return invalid(format!("mode {mode:?} is not defined"));
    }
    if r.opset < 2 {
        return unsupported("the form of opset 1");
    }
    if r.opset >= 11 {
        return Ok(Box::new(View(Pad { mode, pads: None, value: None })));
    }
    let Some(pads) = r.ints("pads")? else { return invalid("attribute 'pads' is missing") };
    Ok(Box::new(View(Pad { mode, pads: Some(pads), value: r.float("value")? })))
}

impl Pad {
    fn mode(&self) -> &str {
        self.mode.as_deref().unwrap_or("constant")
    }

    fn written(&self, x: &Operands) -> Result<(Vec<i64>, Option<Vec<i64>>), Refusal> {
        match &self.pads {
            Some(pads) => Ok((pads.clone(), None)),
            None => Ok((required(x, 1, "pads")?, constant(x, 3, "axes")?)),
        }
    }

    /// True where elements of the axis itself are added to it.
    fn copies(&self, (begin, end): (i64, i64)) -> bool {
        self.mode() != "constant" && (begin > 0 || end > 0)
    }

    /// For each coordinate along an axis of the result, the operand's; none for the filling.
    fn table(&self, size: usize, (begin, end): (i64, i64)) -> Vec<Option<usize>> {
        let (low, high) = ((-begin).max(0), size as i64 - (-end).max(0));
        let n = high - low;
        let source = |i: i64| match self.mode() {
            _ if (0..n).contains(&i) => Some(i),
            "edge" => Some(i.clamp(0, n - 1)),
            "wrap" => Some(i.rem_euclid(n)),
            "reflect" => {
                let back = i.rem_euclid((2 * (n - 1)).max(1));
                Some(back.min(2 * (n - 1) - back))
            }
            _ => None,
        };
        (-begin.max(0)..n + end.max(0)).map(|i| source(i).map(|i| (i + low) as usize)).collect()
    }
}

/// Axis of each entry of `pads` that is a begin; the end of entry `k` is entry `k + axes.len()`.
fn entries(pads: &[i64], axes: Option<&[i64]>, rank: usize) -> Result<Vec<usize>, Refusal> {
    let axes = match axes {
        Some(axes) => axes_in(axes, rank)?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() || pads.iter().any(|p| p.unsigned_abs() > 1 << 32) {
        return invalid(format!("pads {pads:?} do not fit {} axes", axes.len()));
    }
    Ok(axes)
}

/// Begin and end for every axis.
fn resolve(pads: &[i64], axes: Option<&[i64]>, rank: usize) -> Result<Vec<(i64, i64)>, Refusal> {
    let at = entries(pads, axes, rank)?;
    let mut all = vec![(0, 0); rank];
    at.iter().enumerate().for_each(|(k, &axis)| all[axis] = (pads[k], pads[k + at.len()]));
    Ok(all)
}

impl ViewFn for Pad {
    fn attributes(&self) -> Attributes {
        Writer::default()
            .maybe("mode", self.mode.clone())
            .maybe("pads", self.pads.clone())
            .maybe("value", self.value)
            .done()
    }

    /// Runtimes differ on a reflection that reaches into a part of the axis that is cut off at the other end.
    fn caution(&self, io: &Io) -> Option<String> {
        let pads = self.pads.clone().or_else(|| io.value(1).map(Tensor::to_ints))?;
        let (x, axes) = (io.input(0)?, io.value(3).map(Tensor::to_ints));
        let resolved = resolve(&pads, axes.as_deref(), x.len()).ok().filter(|_| self.mode() == "reflect")?;
        let disputed = x.iter().zip(resolved).find(|&(&size, (begin, end))| {
            let left = size as i64 + begin.min(0) + end.min(0);
            begin.min(end) < 0 && begin.max(end) > left - 1
        });
        let (size, (begin, end)) = disputed?;
        Some(format!(
            "reflects an axis of {size} with pads {begin} and {end}, further than what is left of it: here what is negative is cut \
             off first; OpenVINO and PyTorch reflect first, onnxruntime refuses it"
        ))
    }

    fn picks_channels(&self) -> bool {
        true
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        let (pads, axes) = self.written(x)?;
        let mut y = Vec::new();
        for (&size, pad) in fact.shape.iter().zip(resolve(&pads, axes.as_deref(), fact.shape.len())?) {
            let kept = size as i64 + pad.0.min(0) + pad.1.min(0);
            if kept < 0 || (kept == 0 && self.copies(pad)) {
                return invalid(format!("pads {pad:?} leave nothing of an axis of size {size}"));
            }
            if self.mode() == "reflect" && pad.0.min(pad.1) < 0 && pad.0.max(pad.1) >= kept {
                return unsupported(format!(
                    "pads {pad:?} of an axis of size {size}: some runtimes reflect before they crop, others after"
                ));
            }
            y.push(size as i64 + pad.0 + pad.1);
        }
        Ok(vec![Fact::new(fact.dtype, shape_from(&y)?)])
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(x), Ok((pads, axes))) = (io.input(0), self.written(io.x)) else { return };
        let Ok(pads) = resolve(&pads, axes.as_deref(), x.len()) else { return };
        for (axis, (&size, pad)) in x.iter().zip(pads).enumerate() {
            if self.copies(pad) {
                link.freeze(input(0, axis), "pads this axis with its own elements");
                link.freeze(output(0, axis), "pads this axis with its own elements");
                continue;
            }
            (0..size).for_each(|i| link.free(input(0, axis), i));
            for (j, i) in self.table(size, pad).into_iter().enumerate() {
                link.free(output(0, axis), j);
                if let Some(i) = i {
                    link.tie(input(0, axis), i, output(0, axis), j);
                }
            }
        }
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let Some(x) = io.input(0) else { return Ok(Resized::UNCHANGED) };
        let (mut pads, axes) = self.written(io.x)?;
        let at = entries(&pads, axes.as_deref(), x.len())?;
        let mut changed = false;
        for (k, &axis) in at.iter().enumerate() {
            let (before, after) = (keep.kept(input(0, axis)), keep.kept(output(0, axis)));
            changed |= before.is_some() || after.is_some();
            let (begin, end, size, wide) = (pads[k], pads[k + at.len()], x[axis], io.output(0)[axis]);
            let left = |pad: i64, in_result: [usize; 2], in_operand: [usize; 2]| match pad {
                0.. => count(after, in_result[0], in_result[1]) as i64,
                _ => -(count(before, in_operand[0], in_operand[1]) as i64),
            };
            let (b, e) = (begin.unsigned_abs() as usize, end.unsigned_abs() as usize);
            pads[k] = left(begin, [0, b], [0, b.min(size)]);
            pads[k + at.len()] = left(end, [wide.saturating_sub(e), wide], [size.saturating_sub(e), size]);
        }
        if !changed {
            return Ok(Resized::UNCHANGED);
        }
        // onnxruntime 1.32 takes out a Pad of a constant by zeros, and refuses the rest.
        if pads.iter().all(|&pad| pad == 0) {
            return Ok(passing());
        }
        if self.pads.is_some() {
            let op = View(Pad { pads: Some(pads), ..self.clone() });
            return Ok(Resized::of(Box::new(op)));
        }
        Ok(Resized::restating(restated(io, 1, &pads)))
    }

    fn never_negative(&self, x: &Operands) -> bool {
        let filling = x.get(2).copied().flatten().is_none_or(|x| x.is_never_negative());
        filling && self.value.is_none_or(|v| v >= 0.0) && x[0].is_some_and(|x| x.is_never_negative())
    }
    fn bind(&self, io: &Io) -> Result<Movement, Refusal> {
        let x = &need(io.x, 0)?.shape;
        let (pads, axes) = self.written(io.x)?;
        let pads = resolve(&pads, axes.as_deref(), x.len())?.into_iter();
        let table = |(pad, (&size, step)): ((i64, i64), (&usize, usize))| -> Vec<Option<usize>> {
            self.table(size, pad).into_iter().map(|i| Some(i? * step)).collect()
        };
        let filling = match io.input(2) {
            Some(value) if volume(value) > 0 => Filling::Operand(2),
            _ => Filling::Number(self.value.unwrap_or(0.0).into()),
        };
        Ok(along(pads.zip(x.iter().zip(row_major(x))).map(table).collect()).filled(filling))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, absent, data, ints, scalar};
    let case = |name, pads: &[i64]| {
        Case::new("Pad").named(name).inputs([data(&[1, 3, 4, 2]), ints(pads), scalar(1.5)])
    };
    let mode = |mode| {
        Case::new("Pad")
            .named(mode)
            .opset(19)
            .string("mode", mode)
            .inputs([data(&[1, 3, 4]), ints(&[0, 0, 2, 0, 0, 3])])
    };
    vec![
        case("channels", &[0, 2, 0, 0, 0, 1, 0, 0]).free(6 + 4 + 2),
        case("border", &[0, 0, 1, 1, 0, 0, 1, 1]).free(3 + 6 + 4),
        case("crop and pad", &[0, -1, 1, 0, 0, 2, -2, 0]).free(5 + 5 + 2),
        mode("reflect").free(3),
        mode("edge").free(3),
        mode("wrap").free(3),
        mode("constant").free(3 + 9),
        Case::new("Pad")
            .named("axes")
            .opset(18)
            .inputs([data(&[2, 3, 4]), ints(&[1, 0]), absent(), ints(&[-2])])
            .free(2 + 4 + 4),
        Case::new("Pad")
            .named("attributes")
            .opset(10)
            .ints("pads", &[0, 1, 0, 0, 0, -1])
            .float("value", 2.0)
            .inputs([data(&[2, 3, 4])])
            .free(2 + 4 + 4),
    ]
}

#[cfg(test)]
mod tests {
    use super::{Pad, View};
    use crate::graph::*;
    use crate::ops::laws::*;
    use crate::tensor::*;

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let of = |mode: &str, pads: &[i64], y: &[f64]| {
            let x = floats(&[0.0, 1.0, 2.0, 3.0]);
            Case::new("Pad").opset(19).string("mode", mode).inputs([x, ints(pads), scalar(9.0)]).gives(y);
        };
        of("constant", &[3, 2], &[9.0, 9.0, 9.0, 0.0, 1.0, 2.0, 3.0, 9.0, 9.0]);
        of("reflect", &[3, 2], &[3.0, 2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
        of("edge", &[3, 2], &[0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 3.0, 3.0]);
        of("wrap", &[3, 2], &[1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 0.0, 1.0]);
        of("constant", &[-1, 2], &[1.0, 2.0, 3.0, 9.0, 9.0]);
        of("reflect", &[-1, 2], &[1.0, 2.0, 3.0, 2.0, 1.0]);
        of("edge", &[-1, 2], &[1.0, 2.0, 3.0, 3.0, 3.0]);
        of("wrap", &[-1, 2], &[1.0, 2.0, 3.0, 1.0, 2.0]);
    }

    #[test]
    fn a_reflection_into_what_is_cut_off_is_disputed() {
        let of = |mode: &str, size: usize, pads: [i64; 2]| {
            let pad = View(Pad { mode: Some(mode.to_owned()), pads: Some(pads.to_vec()), value: None });
            let (dtype, shape) = (DType::F32, vec![size]);
            let fact = Fact { dtype, shape };
            let x = [Some(Operand::new(&fact, None))];
            pad.caution(&Io { x: &x, y: &[] }).is_some()
        };
        assert!(of("reflect", 4, [3, -3]) && of("reflect", 8, [5, -3]) && of("reflect", 8, [-3, 5]));
        // onnxruntime 1.32 and this program agree on these.
        assert!(!of("reflect", 8, [3, -3]) && !of("reflect", 8, [-3, 4]) && !of("reflect", 6, [-2, -1]));
        assert!(!of("edge", 4, [3, -3]) && !of("reflect", 4, [3, 2]));
    }
}
