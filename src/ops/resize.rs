//! Resize: y = x resampled along some axes. <https://onnx.ai/onnx/operators/onnx__Resize.html>
//!
//! An axis with scale 1 passes through; where `sizes` restates its width, the width is restated after deletion.

use super::family::reduce::{axis_of, tie_others};
use super::family::resample::{Mode, Place, Resampling, Rounding, Taps, Zoom};
use crate::graph::*;
use crate::tensor::*;

/// Resize, or one of its predecessors.
#[derive(Debug)]
pub struct Resize {
    given: Attributes,
    mode: Mode,
    place: String,
    extrapolation: f32,
    axes: Option<Vec<i64>>,
    antialias: bool,
    exclude: bool,
    /// Bound that `sizes` are where the axes keep their proportions.
    bound: Option<Bound>,
    /// Scales as an attribute (Upsample of opset 7).
    scales: Option<Vec<f32>>,
    /// Upsample, or Resize of opset 10: scales are input 1, there is nothing else.
    simple: bool,
}

/// Sizes of which one is met and the others follow its scale.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// None is exceeded.
    Largest,
    /// None is fallen short of.
    Smallest,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    if r.opset < 11 {
        return read_simple(r, None);
    }
    let mut given = Writer::default();
    let mut string = |name: &str, default: &str| -> Result<String, Refusal> {
        let value = r.string(name)?;
        given = std::mem::take(&mut given).maybe(name, value.clone());
        Ok(value.unwrap_or_else(|| default.to_owned()))
    };
    let mode = string("mode", "nearest")?;
    let place = string("coordinate_transformation_mode", "half_pixel")?;
    let nearest = string("nearest_mode", "round_prefer_floor")?;
    let policy =
        if r.opset >= 18 { string("keep_aspect_ratio_policy", "stretch")? } else { "stretch".into() };
    let (cubic, exclude) = (r.float("cubic_coeff_a")?, r.int("exclude_outside")?);
    let extrapolation = r.float("extrapolation_value")?;
    let antialias = if r.opset >= 18 { r.int("antialias")? } else { None };
    let axes = if r.opset >= 18 { r.ints("axes")? } else { None };
    let given = given
        .maybe("cubic_coeff_a", cubic)
        .maybe("exclude_outside", exclude)
        .maybe("extrapolation_value", extrapolation)
        .maybe("antialias", antialias)
        .maybe("axes", axes.clone());
    // Of two inputs around a place, leaving the outer one out and repeating the border give equal results.
    let filters = mode == "cubic" || (mode == "linear" && antialias.unwrap_or(0) != 0);
    let bound = match policy.as_str() {
        "stretch" => None,
        "not_larger" => Some(Bound::Largest),
        "not_smaller" => Some(Bound::Smallest),
        other => return invalid(format!("keep_aspect_ratio_policy '{other}' is not defined")),
    };
    let rounding = rounding(&nearest)?;
    let mode = match mode.as_str() {
        "nearest" => Mode::Nearest(rounding),
        "linear" => Mode::Linear,
        "cubic" => Mode::Cubic(f64::from(cubic.unwrap_or(-0.75))),
        other => return invalid(format!("mode '{other}' is not defined")),
    };
    let op = Resize {
        given: given.done(),
        mode,
        place,
        extrapolation: extrapolation.unwrap_or(0.0),
        axes,
        antialias: antialias.unwrap_or(0) != 0,
        exclude: filters && exclude.unwrap_or(0) != 0,
        bound,
        scales: None,
        simple: false,
    };
    op.place((0.0, 1.0))?;
    Ok(Box::new(op))
}

/// Rounding by its name in ONNX.
fn rounding(name: &str) -> Result<Rounding, Refusal> {
    Ok(match name {
        "round_prefer_floor" => Rounding::HalfDown,
        "round_prefer_ceil" => Rounding::HalfUp,
        "floor" => Rounding::Floor,
        "ceil" => Rounding::Ceil,
        other => return invalid(format!("nearest_mode '{other}' is not defined")),
    })
}

/// Reads an Upsample or a Resize of opset 10; `scales` where they are an attribute.
pub fn read_simple(r: &Reader, scales: Option<Vec<f32>>) -> Result<Box<dyn Op>, Refusal> {
    let mode = r.string("mode")?;
    let given = Writer::default().maybe("mode", mode.clone()).maybe("scales", scales.clone()).done();
    let mode = match mode.as_deref().unwrap_or("nearest") {
        "nearest" => Mode::Nearest(Rounding::Floor),
        "linear" | "bilinear" => Mode::Linear,
        other => return invalid(format!("mode '{other}' is not defined")),
    };
    let place = "asymmetric".to_owned();
    Ok(Box::new(Resize {
        given,
        mode,
        place,
        extrapolation: 0.0,
        axes: None,
        antialias: false,
        exclude: false,
        bound: None,
        scales,
        simple: true,
    }))
}

/// Values of the inputs `roi`, `scales` and `sizes`.
#[derive(Default)]
struct Requested {
    roi: Option<Vec<f32>>,
    scales: Option<Vec<f32>>,
    sizes: Option<Vec<i64>>,
}

impl Resize {
    fn place(&self, roi: (f32, f32)) -> Result<Place, Refusal> {
        Ok(match self.place.as_str() {
            "half_pixel" => Place::HalfPixel,
            "half_pixel_symmetric" => Place::HalfPixelSymmetric,
            "pytorch_half_pixel" => Place::PytorchHalfPixel,
            "align_corners" => Place::AlignCorners,
            "asymmetric" => Place::Asymmetric,
            "tf_half_pixel_for_nn" => Place::TfHalfPixelForNn,
            "tf_crop_and_resize" => Place::TfCrop(roi.0, roi.1),
            other => return invalid(format!("coordinate_transformation_mode '{other}' is not defined")),
        })
    }

    fn crops(&self) -> bool {
        self.place == "tf_crop_and_resize"
    }

    /// The request; `value(slot)` gives the elements of a present and not empty input.
    fn wish(&self, value: impl Fn(usize) -> Option<Vec<f64>>) -> Requested {
        let floats = |slot| value(slot).map(|v| v.iter().map(|&v| v as f32).collect());
        if self.simple {
            return Requested { scales: self.scales.clone().or_else(|| floats(1)), ..Requested::default() };
        }
        let sizes = value(3).map(|v| v.iter().map(|&v| v as i64).collect());
        Requested { roi: floats(1).filter(|_| self.crops()), scales: floats(2), sizes }
    }

    /// The axes that scales, sizes and roi speak of, in their order.
    fn axes(&self, rank: usize) -> Result<Vec<usize>, Refusal> {
        match &self.axes {
            Some(axes) => axes.iter().map(|&a| axis_of(a, rank)).collect(),
            None => Ok((0..rank).collect()),
        }
    }

    /// Refuses a request that does not fit the axes it speaks of.
    fn check(&self, axes: &[usize], wish: &Requested) -> Result<(), Refusal> {
        let fits = |what: &str, n: usize, wanted: usize| match n == wanted {
            true => Ok(()),
            false => invalid(format!("{n} {what} for {} axes", axes.len())),
        };
        match (&wish.scales, &wish.sizes) {
            (Some(s), None) => fits("scales", s.len(), axes.len())?,
            (None, Some(s)) => fits("sizes", s.len(), axes.len())?,
            (None, None) => return invalid("neither scales nor sizes are given"),
            (Some(_), Some(_)) => return invalid("both scales and sizes are given"),
        }
        if self.crops() {
            if wish.scales.is_some() {
                return unsupported("a region resized by scales (runtimes disagree on the size)");
            }
            fits("bounds of a region", wish.roi.as_ref().map_or(0, Vec::len), 2 * axes.len())?;
        }
        Ok(())
    }

    /// The taps of each axis; `None` where it passes through.
    fn plan(&self, x: &[usize], wish: &Requested) -> Result<Vec<Option<Taps>>, Refusal> {
        let axes = self.axes(x.len())?;
        self.check(&axes, wish)?;
        let ratio = |(k, &axis): (usize, &usize)| Some(wish.sizes.as_ref()?[k] as f32 / x[axis] as f32);
        let ratios = axes.iter().enumerate().filter_map(ratio);
        let common = match self.bound {
            None => None,
            Some(Bound::Largest) => ratios.reduce(f32::min),
            Some(Bound::Smallest) => ratios.reduce(f32::max),
        };
        let mut plan = vec![None; x.len()];
        for (k, &axis) in axes.iter().enumerate() {
            let input = x[axis];
            let roi = match &wish.roi {
                Some(roi) => (roi[k], roi[k + axes.len()]),
                None => (0.0, 1.0),
            };
            let (scale, output) = match (&wish.scales, common, &wish.sizes) {
                (Some(s), _, _) => (s[k], f64::from((input as f32 * s[k]).floor())),
                (_, Some(scale), _) => (scale, f64::from((input as f32 * scale + 0.5).floor())),
                (_, _, Some(s)) => (s[k] as f32 / input as f32, s[k] as f64),
                _ => continue,
            };
            if !(scale > 0.0 && (0.0..=f64::from(1 << 30)).contains(&output)) {
                return invalid(format!("axis {axis} of size {input} resized by {scale} to {output}"));
            }
            let output = output as usize;
            if input == output && scale == 1.0 && roi == (0.0, 1.0) {
                continue;
            }
            if input == 0 {
                return unsupported(format!("axis {axis} is empty"));
            }
            let zoom = Zoom { scale, antialias: self.antialias, exclude: self.exclude };
            if Taps::count(self.mode, zoom, output) > Taps::MOST {
                return unsupported(format!(
                    "axis {axis} of size {input} resized to {output}: more than 2^24 taps"
                ));
            }
            let taps = Taps::new(self.mode, self.place(roi)?, zoom, input, output);
            let downward = self.simple && scale < 1.0 && matches!(self.mode, Mode::Nearest(_));
            if downward && (0..output).any(|i| (i as f32 / scale).fract() != 0.0) {
                return unsupported("a nearest pixel that this opset does not define");
            }
            plan[axis] = Some(taps).filter(|t| !t.identity());
        }
        Ok(plan)
    }

    /// The taps of each axis of operand 0, from the constants among the operands.
    fn plan_at(&self, x: &Operands) -> Result<Vec<Option<Taps>>, Refusal> {
        let fact = need(x, 0)?;
        for o in x.iter().skip(1).flatten() {
            if o.value.is_none() && !o.fact.shape.contains(&0) {
                return unsupported("a size that depends on the network's input values");
            }
        }
        let value = |slot: usize| {
            let v = x.get(slot).copied().flatten()?.value?;
            (!v.is_empty()).then(|| v.to_real::<f64>())
        };
        self.plan(&fact.shape, &self.wish(value))
    }
}

impl Hints for Resize {
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        match self.mode {
            Mode::Linear => Instructions::per_output(107.0, 127.0, io),
            Mode::Cubic(_) => Instructions::per_output(165.0, 195.0, io),
            Mode::Nearest(_) => Instructions::PASS,
        }
    }
    fn never_negative(&self, x: &Operands) -> bool {
        let weighs = !matches!(self.mode, Mode::Cubic(_)) && self.extrapolation >= 0.0;
        weighs && x[0].is_some_and(|x| x.is_never_negative())
    }
}

impl Op for Resize {
    fn attributes(&self) -> Attributes {
        self.given.clone()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        let plan = self.plan_at(x)?;
        let sizes = fact.shape.iter().zip(plan).map(|(&size, taps)| taps.map_or(size, |t| t.output));
        Ok(vec![Fact::new(fact.dtype, sizes.collect::<Shape>())])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let x = &need(io.x, 0)?.shape;
        Ok(Box::new(Resampling::new(x, self.plan_at(io.x)?, f64::from(self.extrapolation))))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Ok(plan) = self.plan_at(io.x) else { return };
        tie_others(io, |axis| plan[axis].is_some(), "is resized along this axis", link);
        let sizes = if self.simple { None } else { io.input(3) };
        if let Some([n]) = sizes {
            (0..*n).for_each(|i| link.free(input(3, 0), i));
        }
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let sizes = if self.simple { None } else { io.value(3) };
        let (Some(sizes), Some(x)) = (sizes.filter(|s| !s.is_empty()), io.input(0)) else {
            return Ok(Resized::UNCHANGED);
        };
        let mut new = sizes.to_ints();
        for (size, axis) in new.iter_mut().zip(self.axes(x.len())?) {
            if let Some(kept) = keep.kept(output(0, axis)) {
                *size = kept.len() as i64;
            }
        }
        let new = sizes.with_ints(sizes.shape(), &new);
        Ok(Resized::restating(if new == *sizes { vec![] } else { vec![(3, new)] }))
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, absent, data, floats, ints};
    let case = |name| Case::new("Resize").named(name);
    let all = |mode: &'static str, place: &str| {
        case(mode)
            .string("mode", mode)
            .string("coordinate_transformation_mode", place)
            .inputs([data(&[1, 2, 3, 4]), absent(), floats(&[1.0, 1.0, 2.0, 1.6])])
            .free(2)
    };
    vec![
        case("doubling")
            .opset(11)
            .string("mode", "nearest")
            .string("coordinate_transformation_mode", "asymmetric")
            .string("nearest_mode", "floor")
            .inputs([data(&[2, 3, 2, 2]), floats(&[]), floats(&[1.0, 1.0, 2.0, 2.0])])
            .free(5),
        case("sizes")
            .string("mode", "linear")
            .inputs([data(&[1, 3, 2, 3]), absent(), absent(), ints(&[1, 3, 5, 3])])
            .free(6),
        case("sizes of some axes")
            .opset(18)
            .ints("axes", &[-2, 1])
            .inputs([data(&[2, 3, 4, 2]), absent(), absent(), ints(&[3, 3])])
            .free(7),
        case("opset 10, shrinking")
            .opset(10)
            .string("mode", "nearest")
            .inputs([data(&[1, 2, 4, 4]), floats(&[1.0, 1.0, 0.5, 2.0])])
            .free(2),
        case("opset 10, linear")
            .opset(10)
            .string("mode", "linear")
            .inputs([data(&[1, 2, 2, 3]), floats(&[1.0, 1.0, 1.5, 2.0])])
            .free(2),
        all("linear", "align_corners"),
        all("linear", "pytorch_half_pixel"),
        all("nearest", "half_pixel_symmetric").opset(19),
        all("nearest", "tf_half_pixel_for_nn").opset(11).string("nearest_mode", "round_prefer_ceil"),
        all("cubic", "half_pixel").float("cubic_coeff_a", -0.5),
        all("cubic", "asymmetric").int("exclude_outside", 1),
        all("linear", "half_pixel").opset(18).int("antialias", 1).inputs([
            data(&[1, 2, 5, 4]),
            absent(),
            floats(&[1.0, 1.0, 0.4, 0.5]),
        ]),
        all("cubic", "half_pixel").opset(18).int("antialias", 1).inputs([
            data(&[1, 2, 7, 4]),
            absent(),
            floats(&[1.0, 1.0, 0.5, 1.5]),
        ]),
        case("proportions")
            .opset(18)
            .string("keep_aspect_ratio_policy", "not_larger")
            .ints("axes", &[2, 3])
            .inputs([data(&[1, 2, 4, 2]), absent(), absent(), ints(&[6, 6])])
            .free(2),
        case("a region")
            .string("mode", "linear")
            .string("coordinate_transformation_mode", "tf_crop_and_resize")
            .float("extrapolation_value", 3.0)
            .inputs([
                data(&[1, 2, 4, 4]),
                floats(&[0.0, 0.0, 0.4, -0.2, 1.0, 1.0, 0.6, 1.2]),
                absent(),
                ints(&[1, 2, 3, 5]),
            ])
            .free(2),
    ]
}

#[cfg(test)]
mod tests;
