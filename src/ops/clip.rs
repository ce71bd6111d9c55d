//! Clip: y = min(max(x, low), high), bounds as attributes (before opset 11) or operands.
//! <https://onnx.ai/onnx/operators/onnx__Clip.html>

use super::family::pointwise::tie_all;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct Clip {
    min: Option<f32>,
    max: Option<f32>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    if r.opset < 11 {
        return Ok(Box::new(Clip { min: r.float("min")?, max: r.float("max")? }));
    }
    Ok(Box::new(Clip { min: None, max: None }))
}

impl Clip {
    fn bounds<T: Real>(&self, x: &[Option<&Array<T>>]) -> (T, T) {
        let operand = |slot: usize| x.get(slot).copied().flatten().and_then(|b| b.data.first().copied());
        let attribute = |v: Option<f32>| v.map(|v| T::of(v.into()));
        let low = operand(1).or(attribute(self.min)).unwrap_or(T::neg_infinity());
        let high = operand(2).or(attribute(self.max)).unwrap_or(T::infinity());
        (low, high)
    }
}

impl Hints for Clip {
    fn limit(&self, x: &Operands) -> Option<Limit> {
        let low = match x.get(1).copied().flatten() {
            Some(bound) => bound.value.and_then(|t| t.to_real::<f64>().first().copied()),
            None => self.min.map(f64::from),
        };
        Some(Limit::Clip { low })
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(0.0, 23.0)
    }
}

impl Op for Clip {
    fn attributes(&self) -> Attributes {
        Writer::default().maybe("min", self.min).maybe("max", self.max).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        for bound in x.iter().skip(1).flatten() {
            if volume(&bound.fact.shape) != 1 {
                return invalid(format!("a bound of shape {:?}: it must be one number", bound.fact.shape));
            }
        }
        Ok(vec![need(x, 0)?.clone()])
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn never_negative(&self, x: &Operands) -> bool {
        let bound = |slot: usize, attribute: Option<f32>| match x.get(slot).copied().flatten() {
            Some(operand) => operand.is_never_negative(),
            None => attribute.is_some_and(|v| v >= 0.0),
        };
        let open = x.get(2).copied().flatten().is_none() && self.max.is_none();
        let above = x[0].is_some_and(|x| x.is_never_negative()) || bound(1, self.min);
        above && (open || bound(2, self.max))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        tie_all(io, link);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn linear(&self, _: &Io) -> Option<Linear> {
        None
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Clip {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (low, high) = self.bounds(x);
        let Some(x) = x[0] else { return };
        y[0].data.iter_mut().zip(&x.data).for_each(|(y, &x)| *y = x.max(low).min(high));
    }
    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        _: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (low, high) = self.bounds(x);
        let (Some(x), dy) = (x[0], &dy[0].data) else { return };
        if let Some(dx) = &mut dx[0] {
            for ((dx, &x), &dy) in dx.data.iter_mut().zip(&x.data).zip(dy) {
                *dx += if x >= low && x <= high { dy } else { T::zero() };
            }
        }
        // A bound has the gradient of the elements that it replaced.
        let replaced = |by: &dyn Fn(T) -> bool| -> T {
            x.data.iter().zip(dy).filter(|(x, _)| by(**x)).map(|(_, &dy)| dy).sum()
        };
        if let Some(Some(d)) = dx.get_mut(1) {
            d.data[0] += replaced(&|x| x < low && low <= high);
        }
        if let Some(Some(d)) = dx.get_mut(2) {
            d.data[0] += replaced(&|x| x.max(low) > high);
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, absent, data, scalar};
    vec![
        Case::new("Clip").inputs([data(&[2, 3, 4]), scalar(0.0), scalar(0.52)]).free(9),
        Case::new("Clip").named("open").inputs([data(&[2, 3]), absent(), scalar(0.5)]).free(5),
        Case::new("Clip").named("bare").inputs([data(&[2, 3])]).free(5),
        Case::new("Clip").named("computed bound").inputs([data(&[2, 3]), data(&[])]).free(5),
        Case::new("Clip")
            .named("attributes")
            .opset(6)
            .float("min", 0.0)
            .float("max", 6.0)
            .inputs([data(&[5])])
            .free(5),
    ]
}
