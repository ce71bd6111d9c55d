//! Clip: y = min(max(x, low), high), bounds as attributes (until opset 10) or operands.
//! <https://onnx.ai/onnx/operators/onnx__Clip.html>

use super::family::pointwise::tie_all;
use crate::graph::*;
use crate::tensor::*;
use ndarray::Zip;

#[derive(Debug, Clone)]
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
    fn bounds<T: Real>(&self, x: &Inputs<T>) -> (T, T) {
        let operand = |slot: usize| optional(x, slot).map(|bound| bound.elements()[0]);
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
    fn never_negative(&self, x: &Operands) -> bool {
        let bound = |slot: usize, attribute: Option<f32>| match x.get(slot).copied().flatten() {
            Some(operand) => operand.is_never_negative(),
            None => attribute.is_some_and(|v| v >= 0.0),
        };
        let open = x.get(2).copied().flatten().is_none() && self.max.is_none();
        let above = x[0].is_some_and(|x| x.is_never_negative()) || bound(1, self.min);
        above && (open || bound(2, self.max))
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
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        need(io.x, 0)?;
        Ok(Box::new(self.clone()))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        tie_all(io, link);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Clip {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let (low, high) = self.bounds(x);
        Zip::from(&mut y[0]).and(present(x, 0)).for_each(|y, &x| *y = x.max(low).min(high));
    }
    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let (low, high): (T, T) = self.bounds(x);
        let (x, dy) = (present(x, 0), &dy[0]);
        if let Some(dx) = wanted(dx, 0) {
            let inside = |x: T| x >= low && x <= high;
            Zip::from(dx)
                .and(x)
                .and(dy)
                .for_each(|dx, &x, &dy| *dx += if inside(x) { dy } else { T::zero() });
        }
        // A bound has the gradient of the elements that it replaced.
        let elements = || x.elements().iter().zip(dy.elements());
        let replaced =
            |by: &dyn Fn(T) -> bool| -> T { elements().filter(|(x, _)| by(**x)).map(|(_, &dy)| dy).sum() };
        if let Some(low_gradient) = wanted(dx, 1) {
            low_gradient.elements_mut()[0] += replaced(&|x| x < low && low <= high);
        }
        if let Some(high_gradient) = wanted(dx, 2) {
            high_gradient.elements_mut()[0] += replaced(&|x| x.max(low) > high);
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
