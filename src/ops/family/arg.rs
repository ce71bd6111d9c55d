//! Family: y = the index of an extreme element along an axis (integers, no gradient).

use super::reduce::axis_of;
use crate::graph::*;
use crate::tensor::*;
use ndarray::Axis;

/// ArgMax or ArgMin.
#[derive(Debug)]
pub struct Arg {
    axis: Option<i64>,
    keepdims: Option<i64>,
    select_last_index: Option<i64>,
    largest: bool,
}

/// The search along a given axis.
#[derive(Debug)]
struct Bound {
    axis: usize,
    largest: bool,
    /// Of equal elements: the last, else the first.
    last: bool,
}

/// Reads an ArgMax (`largest`) or an ArgMin.
pub fn read(r: &Reader, largest: bool) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(Arg {
        axis: r.int("axis")?,
        keepdims: r.int("keepdims")?,
        select_last_index: if r.opset >= 12 { r.int("select_last_index")? } else { None },
        largest,
    }))
}

impl Arg {
    fn axis(&self, rank: usize) -> Result<usize, Refusal> {
        axis_of(self.axis.unwrap_or(0), rank)
    }

    fn keeps(&self) -> bool {
        self.keepdims.unwrap_or(1) != 0
    }
}

impl Hints for Arg {
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(29.0, 30.0)
    }
    fn never_negative(&self, _: &Operands) -> bool {
        true
    }
}

impl Op for Arg {
    fn attributes(&self) -> Attributes {
        Writer::default()
            .maybe("axis", self.axis)
            .maybe("keepdims", self.keepdims)
            .maybe("select_last_index", self.select_last_index)
            .done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let mut shape = need(x, 0)?.shape.clone();
        let axis = self.axis(shape.len())?;
        if shape[axis] == 0 {
            return invalid(format!("an extreme along the empty axis {axis}"));
        }
        match self.keeps() {
            true => shape[axis] = 1,
            false => _ = shape.remove(axis),
        }
        Ok(vec![Fact::new(DType::I64, shape)])
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let axis = self.axis(need(io.x, 0)?.shape.len())?;
        let last = self.select_last_index.unwrap_or(0) != 0;
        Ok(Box::new(Bound { axis, largest: self.largest, last }))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Some(x) = io.input(0) else { return };
        let Ok(whole) = self.axis(x.len()) else { return };
        link.freeze(input(0, whole), "numbers the elements of this axis");
        for axis in (0..x.len()).filter(|&a| a != whole) {
            let shift = usize::from(axis > whole && !self.keeps());
            link.tie_axes(input(0, axis), output(0, axis - shift));
        }
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let x = around(present(x, 0), self.axis);
        for (x, y) in x.lanes(Axis(1)).into_iter().zip(y[0].elements_mut()) {
            let mut best = 0;
            for k in 1..x.len() {
                let ahead = if self.largest { x[k] > x[best] } else { x[k] < x[best] };
                if ahead || self.last && x[k] == x[best] {
                    best = k;
                }
            }
            *y = T::of(best as f64);
        }
    }

    fn backward(&self, _: &Inputs<T>, _: &Results<T>, _: &Results<T>, _: &mut InputGradients<T>) {}
}

/// Cases of ArgMax and ArgMin.
#[cfg(test)]
pub fn cases(op: &'static str) -> Vec<crate::ops::laws::Case> {
    use crate::ops::laws::{Case, data};
    let case = |name| Case::new(op).named(name);
    vec![
        case("first axis").inputs([data(&[2, 3, 4])]).free(7),
        case("classes").int("axis", 1).int("keepdims", 0).inputs([data(&[2, 3, 2, 2])]).free(6),
        case("last index")
            .int("axis", -1)
            .int("select_last_index", 1)
            .int("keepdims", 1)
            .inputs([data(&[2, 3])])
            .free(2),
    ]
}
