//! Gemm: y = α·A'·B' + β·C, where A' is A or its transpose. <https://onnx.ai/onnx/operators/onnx__Gemm.html>
//!
//! The contracted axis of A is read (of B where A is a constant); it is tied to that of the other.

use super::family::broadcast;
use crate::graph::*;
use crate::kernels::matmul::{Mat, matmul, plain, transposed};
use crate::tensor::*;
use std::borrow::Cow;

#[derive(Debug)]
struct Gemm {
    alpha: Option<f32>,
    beta: Option<f32>,
    trans_a: Option<i64>,
    trans_b: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    if r.opset < 7 {
        return unsupported(format!("Gemm of opset {}", r.opset));
    }
    Ok(Box::new(Gemm {
        alpha: r.float("alpha")?,
        beta: r.float("beta")?,
        trans_a: r.int("transA")?,
        trans_b: r.int("transB")?,
    }))
}

fn mat<T>(data: &[T], flip: bool) -> Mat<'_, T> {
    if flip { transposed(data) } else { plain(data) }
}

impl Gemm {
    fn flips(&self) -> (bool, bool) {
        (self.trans_a.unwrap_or(0) != 0, self.trans_b.unwrap_or(0) != 0)
    }

    fn factors<T: Real>(&self) -> (T, T) {
        let of = |v: Option<f32>| T::of(f64::from(v.unwrap_or(1.0)));
        (of(self.alpha), of(self.beta))
    }

    /// The axes of A: (rows, contracted); and of B: (contracted, columns).
    fn axes(&self) -> [usize; 4] {
        let (ta, tb) = self.flips();
        [usize::from(ta), usize::from(!ta), usize::from(tb), usize::from(!tb)]
    }

    /// m, k, n.
    fn sizes(&self, a: &[usize], b: &[usize]) -> (usize, usize, usize) {
        let [row, ka, _, column] = self.axes();
        (a[row], a[ka], b[column])
    }
}

impl Hints for Gemm {
    fn parameters(&self) -> &'static [usize] {
        &[0, 1, 2]
    }
}

impl Op for Gemm {
    fn attributes(&self) -> Attributes {
        Writer::default()
            .maybe("alpha", self.alpha)
            .maybe("beta", self.beta)
            .maybe("transA", self.trans_a)
            .maybe("transB", self.trans_b)
            .done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (a, b) = (need(x, 0)?, need(x, 1)?);
        let [_, ka, kb, _] = self.axes();
        if a.shape.len() != 2 || b.shape.len() != 2 || a.shape[ka] != b.shape[kb] {
            return invalid(format!("matrices {:?} and {:?} do not multiply", a.shape, b.shape));
        }
        let (m, _, n) = self.sizes(&a.shape, &b.shape);
        let y = vec![m, n];
        if let Some(Some(c)) = x.get(2)
            && broadcast::shape_of(&[&c.fact.shape, &y]).ok() != Some(y.clone())
        {
            return invalid(format!("C {:?} does not broadcast to {y:?}", c.fact.shape));
        }
        Ok(vec![Fact::new(a.dtype, y)])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn never_negative(&self, _: &Operands) -> bool {
        false
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let [row, ka, kb, column] = self.axes();
        link.tie_axes(input(0, row), output(0, 0));
        link.tie_axes(input(1, column), output(0, 1));
        link.tie_axes(input(0, ka), input(1, kb));
        link.contracts([input(0, ka), input(1, kb)][io.gated(0, 1)]);
        broadcast::channels_of(io, 2, link);
    }

    fn cost(&self, io: &Io) -> Work {
        // A result axis that comes from a constant is the layer's own.
        let [row, ka, _, column] = self.axes();
        let own = |slot, axis, result| {
            if io.value(slot).is_some() { output(0, result) } else { input(slot, axis) }
        };
        Work::Macs(vec![Product {
            coefficient: 1.0,
            widths: vec![own(0, row, 0), own(1, column, 1), input(0, ka)],
        }])
    }

    fn linear(&self, io: &Io) -> Option<Linear> {
        let [row, ka, kb, column] = self.axes();
        let (input, weight, weight_axes, result) = match (io.value(0), io.value(1)) {
            (None, Some(_)) => (input(0, ka), 1, [kb, column], 1),
            (Some(_), None) => (input(1, kb), 0, [ka, row], 0),
            _ => return None,
        };
        let (factor, beta) = self.factors::<f64>();
        Some(Linear {
            input,
            weight,
            weight_axes,
            result,
            groups: 1,
            window: false,
            factor,
            bias: Some((2, beta)),
        })
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Gemm {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (Some(a), Some(b)) = (x[0], x[1]) else { return };
        let (m, k, n) = self.sizes(&a.shape, &b.shape);
        let (ta, tb) = self.flips();
        let (alpha, beta) = self.factors::<T>();
        let y = &mut y[0].data;
        matmul(m, k, n, mat(&a.data, ta), mat(&b.data, tb), false, y);
        if alpha != T::one() {
            y.iter_mut().for_each(|y| *y *= alpha);
        }
        let Some(c) = x.get(2).copied().flatten().filter(|_| beta != T::zero()) else { return };
        broadcast::runs([&c.shape], &[m, n], |o, [i], run, [p]| {
            let y = &mut y[o..o + run];
            match p {
                0 => y.iter_mut().for_each(|y| *y += beta * c.data[i]),
                _ => y.iter_mut().zip(c.data[i..].iter().step_by(p)).for_each(|(y, &c)| *y += beta * c),
            }
        });
    }

    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        _: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(a), Some(b)) = (x[0], x[1]) else { return };
        let (m, k, n) = self.sizes(&a.shape, &b.shape);
        let (ta, tb) = self.flips();
        let (alpha, beta) = self.factors::<T>();
        let dy = &dy[0];
        if let Some(Some(dc)) = dx.get_mut(2) {
            broadcast::reduce_into(dc, &dy.shape, |i| beta * dy.data[i]);
        }
        let g: Cow<[T]> = match alpha == T::one() {
            true => Cow::Borrowed(&dy.data),
            false => Cow::Owned(dy.data.iter().map(|&d| alpha * d).collect()),
        };
        if let Some(da) = &mut dx[0] {
            match ta {
                false => matmul(m, n, k, plain(&g), mat(&b.data, !tb), true, &mut da.data),
                true => matmul(k, n, m, mat(&b.data, tb), transposed(&g), true, &mut da.data),
            }
        }
        if let Some(db) = &mut dx[1] {
            match tb {
                false => matmul(k, m, n, mat(&a.data, !ta), plain(&g), true, &mut db.data),
                true => matmul(n, m, k, transposed(&g), mat(&a.data, ta), true, &mut db.data),
            }
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, absent, data, weight};
    let case = |name| Case::new("Gemm").named(name);
    vec![
        case("classifier").int("transB", 1).inputs([data(&[1, 3]), weight(&[4, 3]), weight(&[4])]).free(7),
        case("scaled")
            .float("alpha", 0.5)
            .float("beta", 2.0)
            .inputs([data(&[2, 3]), weight(&[3, 4]), weight(&[2, 1])])
            .free(9),
        case("both transposed")
            .int("transA", 1)
            .int("transB", 1)
            .float("alpha", -1.5)
            .inputs([data(&[3, 2]), data(&[4, 3]), weight(&[2, 4])])
            .free(9),
        case("A transposed, scalar C")
            .int("transA", 1)
            .float("beta", 0.0)
            .inputs([weight(&[3, 2]), data(&[3, 4]), weight(&[])])
            .free(9),
        case("without C").inputs([data(&[2, 3]), weight(&[3, 2])]).free(7),
        case("C left out").opset(7).inputs([data(&[2, 3]), weight(&[3, 2]), absent()]).free(7),
    ]
}
