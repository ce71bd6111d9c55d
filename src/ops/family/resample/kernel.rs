//! The kernel: one axis after another.

use super::Taps;
use crate::graph::*;
use crate::tensor::*;

/// Interpolation along some axes of a value.
#[derive(Debug)]
pub struct Resampling {
    /// Interpolations of the axes that do not pass through, the outermost first.
    passes: Vec<Pass>,
    /// Value of outputs whose place is outside the input.
    extrapolation: f64,
}

/// Interpolation along one axis, inside of which all axes are interpolated.
#[derive(Debug)]
struct Pass {
    axis: usize,
    taps: Taps,
    /// Elements of one input outside and inside of the axis.
    outer: usize,
    inner: usize,
}

impl Resampling {
    /// For a value of shape `x`, from the taps of its axes (`None` where one passes through).
    pub fn new(x: &[usize], taps: Vec<Option<Taps>>, extrapolation: f64) -> Self {
        let mut passes = Vec::new();
        let mut inner = 1;
        for (axis, taps) in taps.into_iter().enumerate().rev() {
            let size = taps.as_ref().map_or(x[axis], |taps| taps.output);
            passes.extend(taps.map(|taps| Pass { axis, taps, outer: volume(&x[..axis]), inner }));
            inner *= size;
        }
        passes.reverse();
        Self { passes, extrapolation }
    }
}

impl<T: Real> Compute<T> for Resampling {
    /// The last axes first, with one buffer for each axis but the last one done.
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let x = present(x, 0).elements();
        let Some((last, passes)) = self.passes.split_first() else {
            return y[0].elements_mut().copy_from_slice(x);
        };
        let mut now: Option<Vec<T>> = None;
        for Pass { taps, outer, inner, .. } in passes.iter().rev() {
            let mut next = vec![T::zero(); outer * taps.output * inner];
            taps.forward(*inner, now.as_deref().unwrap_or(x), &mut next);
            now = Some(next);
        }
        last.taps.forward(last.inner, now.as_deref().unwrap_or(x), y[0].elements_mut());
        for Pass { axis, taps, .. } in &self.passes {
            let mut y = around_mut(&mut y[0], *axis);
            for &i in &taps.outside {
                y.index_axis_mut(ndarray::Axis(1), i).fill(T::of(self.extrapolation));
            }
        }
    }

    fn backward(&self, _: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let Some(dx) = wanted(dx, 0) else { return };
        let (dy, dx) = (dy[0].elements(), dx.elements_mut());
        let Some((last, passes)) = self.passes.split_last() else {
            return dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy);
        };
        let mut now: Option<Vec<T>> = None;
        for Pass { taps, outer, inner, .. } in passes {
            let mut next = vec![T::zero(); outer * taps.input * inner];
            taps.backward(*inner, now.as_deref().unwrap_or(dy), &mut next);
            now = Some(next);
        }
        last.taps.backward(last.inner, now.as_deref().unwrap_or(dy), dx);
    }
}
