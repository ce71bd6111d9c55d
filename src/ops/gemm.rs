//! Gemm: y = α·A'·B' + β·C, where A' is A or its transpose. <https://onnx.ai/onnx/operators/onnx__Gemm.html>
//!
//! The contracted axis of A is read (of B where A is a constant); it is tied to that of the other.

use super::family::broadcast::{self, Runs};
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

/// The product at given sizes.
#[derive(Debug)]
struct Bound {
    m: usize,
    k: usize,
    n: usize,
    /// A is transposed.
    ta: bool,
    /// B is transposed.
    tb: bool,
    alpha: f64,
    beta: f64,
    /// Runs of C in the result, where there is a C.
    c: Option<Runs<1>>,
}

fn mat<T>(data: &[T], flip: bool) -> Mat<'_, T> {
    if flip { transposed(data) } else { plain(data) }
}

impl Gemm {
    fn flips(&self) -> (bool, bool) {
        (self.trans_a.unwrap_or(0) != 0, self.trans_b.unwrap_or(0) != 0)
    }

    /// α and β.
    fn factors(&self) -> (f64, f64) {
        let of = |v: Option<f32>| f64::from(v.unwrap_or(1.0));
        (of(self.alpha), of(self.beta))
    }

    /// The axes of A: (rows, contracted); and of B: (contracted, columns).
    fn axes(&self) -> [usize; 4] {
        let (ta, tb) = self.flips();
        [usize::from(ta), usize::from(!ta), usize::from(tb), usize::from(!tb)]
    }

    /// m, k, n for a node's operands, which are checked.
    fn sizes(&self, x: &Operands) -> Result<(usize, usize, usize), Refusal> {
        let (a, b) = (&need(x, 0)?.shape, &need(x, 1)?.shape);
        let [row, ka, kb, column] = self.axes();
        if a.len() != 2 || b.len() != 2 || a[ka] != b[kb] {
            return invalid(format!("matrices {a:?} and {b:?} do not multiply"));
        }
        let y = vec![a[row], b[column]];
        match x.get(2) {
            Some(Some(c)) if broadcast::shape_of(&[&c.fact.shape, &y]).ok().as_ref() != Some(&y) => {
                invalid(format!("C {:?} does not broadcast to {y:?}", c.fact.shape))
            }
            _ => Ok((a[row], a[ka], b[column])),
        }
    }
}

impl Hints for Gemm {
    fn parameters(&self) -> &'static [usize] {
        &[0, 1, 2]
    }
    fn linear(&self, io: &Io) -> Option<Linear> {
        let [row, ka, kb, column] = self.axes();
        let (input, weight, weight_axes, result) = match (io.value(0), io.value(1)) {
            (None, Some(_)) => (input(0, ka), 1, [kb, column], 1),
            (Some(_), None) => (input(1, kb), 0, [ka, row], 0),
            _ => return None,
        };
        let (factor, beta) = self.factors();
        Some(Linear {
            input,
            weight,
            weight_axes,
            result,
            groups: 1,
            window: false,
            factor,
            bias: Some((2, beta)),
            geometry: None,
        })
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
        let (m, _, n) = self.sizes(x)?;
        Ok(vec![Fact::new(need(x, 0)?.dtype, [m, n])])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let (m, k, n) = self.sizes(io.x)?;
        let ((ta, tb), (alpha, beta)) = (self.flips(), self.factors());
        let c = io.input(2).map(|c| Runs::new([c], &[m, n]));
        Ok(Box::new(Bound { m, k, n, ta, tb, alpha, beta, c }))
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

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let &Self { m, k, n, ta, tb, .. } = self;
        let (alpha, beta) = (T::of(self.alpha), T::of(self.beta));
        let (a, b, y) = (present(x, 0).elements(), present(x, 1).elements(), y[0].elements_mut());
        matmul(m, k, n, mat(a, ta), mat(b, tb), false, y);
        if alpha != T::one() {
            y.iter_mut().for_each(|y| *y *= alpha);
        }
        if let Some((c, runs)) = optional(x, 2).zip(self.c.as_ref()).filter(|_| beta != T::zero()) {
            let c = c.elements();
            runs.each(|o, [i], run, [p]| {
                let y = &mut y[o..o + run];
                match p {
                    0 => y.iter_mut().for_each(|y| *y += beta * c[i]),
                    _ => y.iter_mut().zip(c[i..].iter().step_by(p)).for_each(|(y, &c)| *y += beta * c),
                }
            });
        }
    }

    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let &Self { m, k, n, ta, tb, .. } = self;
        let (alpha, beta) = (T::of(self.alpha), T::of(self.beta));
        let (a, b, dy) = (present(x, 0).elements(), present(x, 1).elements(), dy[0].elements());
        if let Some((dc, runs)) = wanted(dx, 2).zip(self.c.as_ref()) {
            runs.add(dc.elements_mut(), |i, _| beta * dy[i]);
        }
        let g: Cow<[T]> = match alpha == T::one() {
            true => Cow::Borrowed(dy),
            false => Cow::Owned(dy.iter().map(|&d| alpha * d).collect()),
        };
        if let Some(da) = wanted(dx, 0) {
            match ta {
                false => matmul(m, n, k, plain(&g), mat(b, !tb), true, da.elements_mut()),
                true => matmul(k, n, m, mat(b, tb), transposed(&g), true, da.elements_mut()),
            }
        }
        if let Some(db) = wanted(dx, 1) {
            match tb {
                false => matmul(k, m, n, mat(a, !ta), plain(&g), true, db.elements_mut()),
                true => matmul(n, m, k, transposed(&g), mat(a, ta), true, db.elements_mut()),
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
