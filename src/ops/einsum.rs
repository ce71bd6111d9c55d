//! Einsum of two operands, as a stack of matrix products. <https://onnx.ai/onnx/operators/onnx__Einsum.html>
//!
//! A letter of both operands that the result lacks is contracted: it is read at the first operand. Letters of one operand that
//! the result lacks, repeated letters, ellipses and other numbers of operands are not supported.

use super::kernels::matmul::{matmul, plain, transposed};
use crate::ir::*;

#[derive(Debug)]
struct Einsum {
    equation: String,
    /// Letters of the operands, then of the result.
    a: Vec<char>,
    b: Vec<char>,
    y: Vec<char>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let Some(equation) = r.string("equation")? else { return invalid("equation is missing") };
    let letters: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (operands, result) = match letters.split_once("->") {
        Some((operands, result)) => (operands.to_owned(), Some(result.chars().collect::<Vec<char>>())),
        None => (letters, None),
    };
    let Some((a, b)) = operands.split_once(',') else {
        return unsupported(format!("equation '{equation}' (two operands are supported)"));
    };
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let y = result.unwrap_or_else(|| {
        let mut once: Vec<char> = a.iter().chain(&b).copied().collect();
        once.retain(|c| a.contains(c) != b.contains(c));
        once.sort_unstable();
        once
    });
    let plain =
        |l: &[char]| l.iter().enumerate().all(|(i, c)| c.is_ascii_alphabetic() && !l[..i].contains(c));
    let known = y.iter().all(|c| a.contains(c) || b.contains(c));
    let lonely = |x: &[char], other: &[char]| x.iter().any(|c| !other.contains(c) && !y.contains(c));
    if !(plain(&a) && plain(&b) && plain(&y) && known) || lonely(&a, &b) || lonely(&b, &a) {
        return unsupported(format!("equation '{equation}'"));
    }
    Ok(Box::new(Einsum { equation, a, b, y }))
}

/// The letters by what happens to them: in all three; rows (a only); columns (b only); contracted.
struct Roles {
    stack: Vec<char>,
    rows: Vec<char>,
    columns: Vec<char>,
    inner: Vec<char>,
}

impl Einsum {
    fn roles(&self) -> Roles {
        let (a, b, y) = (&self.a, &self.b, &self.y);
        let pick = |from: &[char], keep: &dyn Fn(&char) -> bool| from.iter().copied().filter(keep).collect();
        Roles {
            stack: pick(y, &|c| a.contains(c) && b.contains(c)),
            rows: pick(y, &|c| !b.contains(c)),
            columns: pick(y, &|c| !a.contains(c)),
            inner: pick(a, &|c| !y.contains(c)),
        }
    }
}

fn axis(letters: &[char], c: char) -> Option<usize> {
    letters.iter().position(|&l| l == c)
}

/// The elements of `x` with its axes, named by `from`, in the order `to`.
fn permuted<T: Copy>(x: &[T], shape: &[usize], from: &[char], to: &[char]) -> Vec<T> {
    let mut steps = vec![1; shape.len()];
    for k in (1..shape.len()).rev() {
        steps[k - 1] = steps[k] * shape[k];
    }
    let order: Vec<usize> = to.iter().filter_map(|&c| axis(from, c)).collect();
    let mut index = vec![0; order.len()];
    let mut at = 0;
    let mut out = Vec::with_capacity(x.len());
    for _ in 0..x.len() {
        out.push(x[at]);
        for (k, &source) in order.iter().enumerate().rev() {
            index[k] += 1;
            at += steps[source];
            if index[k] < shape[source] {
                break;
            }
            at -= steps[source] * shape[source];
            index[k] = 0;
        }
    }
    out
}

/// An Einsum at given sizes: letters in the order of the matrices, and the matrices' sizes.
struct Product3 {
    a: Vec<char>,
    b: Vec<char>,
    y: Vec<char>,
    stack: usize,
    m: usize,
    k: usize,
    n: usize,
}

impl Einsum {
    fn product(&self, a: &[usize], b: &[usize]) -> Product3 {
        let r = self.roles();
        let size = |c: &char| match (axis(&self.a, *c), axis(&self.b, *c)) {
            (Some(i), _) => a[i],
            (_, Some(i)) => b[i],
            _ => 1,
        };
        let all = |l: &[char]| l.iter().map(size).product();
        Product3 {
            a: [&r.stack[..], &r.rows, &r.inner].concat(),
            b: [&r.stack[..], &r.inner, &r.columns].concat(),
            y: [&r.stack[..], &r.rows, &r.columns].concat(),
            stack: all(&r.stack),
            m: all(&r.rows),
            k: all(&r.inner),
            n: all(&r.columns),
        }
    }
}

impl Op for Einsum {
    fn attributes(&self) -> Attributes {
        Writer::default().put("equation", self.equation.clone()).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (a, b) = (need(x, 0)?, need(x, 1)?);
        if a.shape.len() != self.a.len() || b.shape.len() != self.b.len() || x.len() != 2 {
            return invalid(format!("equation '{}' for {:?} and {:?}", self.equation, a.shape, b.shape));
        }
        for (i, &c) in self.a.iter().enumerate() {
            if let Some(j) = axis(&self.b, c).filter(|&j| a.shape[i] != b.shape[j]) {
                let (i, j) = (a.shape[i], b.shape[j]);
                return unsupported(format!("sizes {i} and {j} of '{c}' in '{}'", self.equation));
            }
        }
        let size = |&c: &char| match axis(&self.a, c) {
            Some(i) => a.shape[i],
            None => axis(&self.b, c).map_or(1, |j| b.shape[j]),
        };
        Ok(vec![Fact::new(a.dtype, self.y.iter().map(size).collect::<Shape>())])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn channels(&self, _: &Io, link: &mut dyn Link) {
        let r = self.roles();
        for (slot, letters) in [(0, &self.a), (1, &self.b)] {
            for (i, &c) in letters.iter().enumerate() {
                if let Some(k) = axis(&self.y, c) {
                    link.same(input(slot, i), output(0, k));
                }
            }
        }
        for c in r.inner {
            if let (Some(i), Some(j)) = (axis(&self.a, c), axis(&self.b, c)) {
                link.same(input(0, i), input(1, j));
                link.reads(input(0, i));
            }
        }
    }

    fn macs(&self, io: &Io) -> Vec<Product> {
        // A result axis that comes from a constant is the layer's own.
        let mut widths = Vec::new();
        for (i, &c) in self.a.iter().enumerate() {
            let own = axis(&self.y, c).filter(|_| io.value(0).is_some());
            widths.push(own.map_or(input(0, i), |k| output(0, k)));
        }
        for (j, &c) in self.b.iter().enumerate().filter(|(_, c)| !self.a.contains(c)) {
            let own = axis(&self.y, c).filter(|_| io.value(1).is_some());
            widths.push(own.map_or(input(1, j), |k| output(0, k)));
        }
        vec![Product { coefficient: 1.0, widths }]
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::default())
    }
}

impl<T: Real> Diff<T> for Einsum {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let (Some(a), Some(b), y) = (x[0], x[1], &mut y[0]) else { return };
        let p = self.product(&a.shape, &b.shape);
        let a = permuted(&a.data, &a.shape, &self.a, &p.a);
        let b = permuted(&b.data, &b.shape, &self.b, &p.b);
        let mut out = vec![T::zero(); y.data.len()];
        for s in 0..p.stack {
            let (a, b, y) = (&a[s * p.m * p.k..], &b[s * p.k * p.n..], &mut out[s * p.m * p.n..]);
            matmul(p.m, p.k, p.n, plain(a), plain(b), false, y);
        }
        let shape: Shape = p.y.iter().map(|&c| axis(&self.y, c).map_or(1, |k| y.shape[k])).collect();
        y.data = permuted(&out, &shape, &p.y, &self.y);
    }

    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        _: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(a), Some(b), dy) = (x[0], x[1], &dy[0]) else { return };
        let p = self.product(&a.shape, &b.shape);
        let sizes = |l: &[char], from: &[char], shape: &[usize]| -> Shape {
            l.iter().map(|&c| axis(from, c).map_or(1, |k| shape[k])).collect()
        };
        let g = permuted(&dy.data, &dy.shape, &self.y, &p.y);
        if let Some(da) = &mut dx[0] {
            let b = permuted(&b.data, &b.shape, &self.b, &p.b);
            let mut part = vec![T::zero(); a.data.len()];
            for s in 0..p.stack {
                let (g, b) = (&g[s * p.m * p.n..], &b[s * p.k * p.n..]);
                matmul(p.m, p.n, p.k, plain(g), transposed(b), false, &mut part[s * p.m * p.k..]);
            }
            let part = permuted(&part, &sizes(&p.a, &self.a, &a.shape), &p.a, &self.a);
            da.data.iter_mut().zip(part).for_each(|(da, p)| *da += p);
        }
        if let Some(db) = &mut dx[1] {
            let a = permuted(&a.data, &a.shape, &self.a, &p.a);
            let mut part = vec![T::zero(); b.data.len()];
            for s in 0..p.stack {
                let (g, a) = (&g[s * p.m * p.n..], &a[s * p.m * p.k..]);
                matmul(p.k, p.m, p.n, transposed(a), plain(g), false, &mut part[s * p.k * p.n..]);
            }
            let part = permuted(&part, &sizes(&p.b, &self.b, &b.shape), &p.b, &self.b);
            db.data.iter_mut().zip(part).for_each(|(db, p)| *db += p);
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    let case = |equation| Case::new("Einsum").named(equation).string("equation", equation);
    vec![
        case("bij, bjk -> bik").inputs([data(&[2, 3, 2]), data(&[2, 2, 4])]).free(2 + 3 + 2 + 4),
        case("ij,kj").inputs([data(&[2, 3]), weight(&[4, 3])]).free(9),
        case("nchw,dc->nhdw").inputs([data(&[1, 3, 2, 2]), weight(&[4, 3])]).free(3 + 2 + 2 + 4),
        case("bhid,bhjd->bhij").inputs([data(&[1, 2, 3, 2]), data(&[1, 2, 4, 2])]).free(2 + 3 + 2 + 4),
        case("i,i").inputs([data(&[3]), data(&[3])]).free(3),
        case("ji,j->ij").inputs([data(&[3, 2]), weight(&[3])]).free(5),
    ]
}
