//! Einsum of one operand (sums, diagonals, transpositions), or of two as a stack of matrix products.
//! <https://onnx.ai/onnx/operators/onnx__Einsum.html>
//!
//! A letter of both operands that the result lacks is contracted: it is read at the first operand. With two operands, letters
//! of one that the result lacks, repeated letters and ellipses are not supported; nor are more operands.

use crate::graph::*;
use crate::kernels::matmul::{matmul, plain, transposed};
use crate::tensor::*;

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
    let Some((a, b)) = operands.split_once(',') else { return single(equation, &operands, result) };
    if b.contains(',') {
        return unsupported(format!("equation '{equation}' (two operands are supported)"));
    }
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

/// Einsum of one operand.
#[derive(Debug)]
struct Single {
    equation: String,
    /// Letters of the operand and of the result, with [`REST`] in place of an ellipsis.
    x: Vec<char>,
    y: Vec<char>,
}

/// Letter of the axes of an ellipsis.
const REST: char = '…';

fn single(equation: String, operand: &str, result: Option<Vec<char>>) -> Result<Box<dyn Op>, Refusal> {
    let letters = |l: &str| l.replace("...", "…").chars().collect::<Vec<char>>();
    let x = letters(operand);
    let once = |c: &&char| **c == REST || x.iter().filter(|d| d == c).count() == 1;
    let y = match result {
        Some(y) => letters(&y.iter().collect::<String>()),
        None => {
            let mut once: Vec<char> = x.iter().filter(once).copied().collect();
            once.sort_unstable_by_key(|&c| (c != REST, c));
            once
        }
    };
    let fine = |l: &[char]| l.iter().all(|&c| c == REST || c.is_ascii_alphabetic());
    let repeated = y.iter().enumerate().any(|(i, c)| y[..i].contains(c));
    let rests = x.iter().filter(|&&c| c == REST).count();
    let lost = rests > 1 || x.contains(&REST) && !y.contains(&REST);
    if !fine(&x) || !fine(&y) || repeated || lost || y.iter().any(|c| !x.contains(c)) {
        return unsupported(format!("equation '{equation}'"));
    }
    Ok(Box::new(Single { equation, x, y }))
}

impl Single {
    /// The axes' letters for an operand of `rank` axes; the axes of an ellipsis are numbered.
    fn letters(&self, rank: usize) -> (Vec<char>, Vec<char>) {
        let rest = rank.saturating_sub(self.x.len() - usize::from(self.x.contains(&REST)));
        let spell = |l: &[char]| {
            let number = |k: usize| char::from_u32(0xE000 + k as u32).unwrap_or(REST);
            let of = |&c: &char| if c == REST { (0..rest).map(number).collect() } else { vec![c] };
            l.iter().flat_map(of).collect::<Vec<char>>()
        };
        (spell(&self.x), spell(&self.y))
    }

    /// The sum over an operand of shape `shape`.
    fn terms(&self, shape: &[usize]) -> Terms {
        let (x, y) = self.letters(shape.len());
        let mut letters = y.clone();
        x.iter().for_each(|c| {
            if !letters.contains(c) {
                letters.push(*c)
            }
        });
        let size = |c: &char| axis(&x, *c).map_or(1, |k| shape[k]);
        let sizes: Shape = letters.iter().map(size).collect();
        let step = |of: &[char], shape: &[usize], c: &char| -> usize {
            (0..of.len()).filter(|&k| of[k] == *c).map(|k| volume(&shape[k + 1..])).sum()
        };
        let result: Shape = y.iter().map(size).collect();
        let to = letters.iter().map(|c| step(&y, &result, c)).collect();
        let from = letters.iter().map(|c| step(&x, shape, c)).collect();
        Terms { sizes, from, to }
    }
}

/// The terms of a sum over letters: the letters of the result, then the others.
#[derive(Debug)]
struct Terms {
    /// Sizes of the letters.
    sizes: Shape,
    /// Step in the operand along each letter.
    from: Vec<usize>,
    /// Step in the result along each letter.
    to: Vec<usize>,
}

impl Terms {
    /// Calls `f(element of the operand, element of the result)` for every term.
    fn each(&self, mut f: impl FnMut(usize, usize)) {
        for k in 0..volume(&self.sizes) {
            let (mut rest, mut i, mut o) = (k, 0, 0);
            for l in (0..self.sizes.len()).rev() {
                let at = rest % self.sizes[l];
                rest /= self.sizes[l];
                i += at * self.from[l];
                o += at * self.to[l];
            }
            f(i, o);
        }
    }
}

impl Hints for Single {}

impl Op for Single {
    fn attributes(&self) -> Attributes {
        Writer::default().put("equation", self.equation.clone()).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        let (letters, result) = self.letters(fact.shape.len());
        let differs =
            |(k, c): (usize, &char)| axis(&letters, *c).is_some_and(|j| fact.shape[j] != fact.shape[k]);
        if x.len() != 1 || letters.len() != fact.shape.len() || letters.iter().enumerate().any(differs) {
            return invalid(format!("equation '{}' for {:?}", self.equation, fact.shape));
        }
        let size = |c: &char| axis(&letters, *c).map_or(1, |k| fact.shape[k]);
        Ok(vec![Fact::new(fact.dtype, result.iter().map(size).collect::<Shape>())])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        self.infer(io.x)?;
        Ok(Box::new(self.terms(&need(io.x, 0)?.shape)))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let Some(shape) = io.input(0) else { return };
        let (x, y) = self.letters(shape.len());
        for (k, c) in x.iter().enumerate() {
            match axis(&y, *c) {
                _ if x.iter().filter(|d| *d == c).count() > 1 => link.freeze(input(0, k), "takes a diagonal"),
                Some(j) => link.tie_axes(input(0, k), output(0, j)),
                None => {
                    // A sum: a zero may go.
                    (0..shape[k]).for_each(|i| link.free(input(0, k), i));
                    link.contracts(input(0, k));
                }
            }
        }
        for (j, c) in y.iter().enumerate() {
            if x.iter().filter(|d| *d == c).count() > 1 {
                link.freeze(output(0, j), "takes a diagonal");
            }
        }
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Terms {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let (x, y) = (present(x, 0).elements(), y[0].elements_mut());
        y.fill(T::zero());
        self.each(|i, o| y[o] += x[i]);
    }

    fn backward(&self, _: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        if let Some(dx) = wanted(dx, 0) {
            let (dx, dy) = (dx.elements_mut(), dy[0].elements());
            self.each(|i, o| dx[i] += dy[o]);
        }
    }
}

/// The letters by kind: of a, b and the result; rows (of a and the result); columns (of b and the result); contracted.
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

/// An array's axes in the order in which its matrices take them.
#[derive(Debug)]
struct Permutation {
    /// The array's shape.
    shape: Shape,
    /// The array's axis along each axis of the matrices.
    order: Vec<usize>,
}

impl Permutation {
    /// An array of shape `shape` with its axes, named by `from`, in the order `to`.
    fn new(shape: Shape, from: &[char], to: &[char]) -> Self {
        Self { shape, order: to.iter().filter_map(|&c| axis(from, c)).collect() }
    }

    /// Calls `f(element of the matrices, element of the array)` for each element, in the order of the matrices.
    fn each(&self, mut f: impl FnMut(usize, usize)) {
        let steps = self.steps();
        let mut index = vec![0; self.order.len()];
        let mut at = 0;
        for o in 0..volume(&self.shape) {
            f(o, at);
            for (k, &axis) in self.order.iter().enumerate().rev() {
                index[k] += 1;
                at += steps[axis];
                if index[k] < self.shape[axis] {
                    break;
                }
                at -= steps[axis] * self.shape[axis];
                index[k] = 0;
            }
        }
    }

    /// Elements from one coordinate of each axis to the next.
    fn steps(&self) -> Vec<usize> {
        (0..self.shape.len()).map(|k| volume(&self.shape[k + 1..])).collect()
    }

    /// The matrices of an array.
    fn matrices<T: Real>(&self, x: &[T]) -> Vec<T> {
        let mut out = vec![T::zero(); x.len()];
        self.each(|o, i| out[o] = x[i]);
        out
    }
}

/// An Einsum at given sizes: `stack` products of `m × k` and `k × n` matrices.
#[derive(Debug)]
struct Products {
    a: Permutation,
    b: Permutation,
    y: Permutation,
    stack: usize,
    m: usize,
    k: usize,
    n: usize,
}

impl Einsum {
    fn products(&self, a: &[usize], b: &[usize]) -> Products {
        let r = self.roles();
        let size = |c: &char| match (axis(&self.a, *c), axis(&self.b, *c)) {
            (Some(i), _) => a[i],
            (_, Some(i)) => b[i],
            _ => 1,
        };
        let all = |l: &[char]| l.iter().map(size).product();
        let permuted = |letters: &[char], order: [&[char]; 3]| {
            Permutation::new(letters.iter().map(size).collect(), letters, &order.concat())
        };
        Products {
            a: permuted(&self.a, [&r.stack, &r.rows, &r.inner]),
            b: permuted(&self.b, [&r.stack, &r.inner, &r.columns]),
            y: permuted(&self.y, [&r.stack, &r.rows, &r.columns]),
            stack: all(&r.stack),
            m: all(&r.rows),
            k: all(&r.inner),
            n: all(&r.columns),
        }
    }
}

impl Hints for Einsum {}

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

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        self.infer(io.x)?;
        Ok(Box::new(self.products(&need(io.x, 0)?.shape, &need(io.x, 1)?.shape)))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let r = self.roles();
        for (slot, letters) in [(0, &self.a), (1, &self.b)] {
            for (i, &c) in letters.iter().enumerate() {
                if let Some(k) = axis(&self.y, c) {
                    link.tie_axes(input(slot, i), output(0, k));
                }
            }
        }
        for c in r.inner {
            if let (Some(i), Some(j)) = (axis(&self.a, c), axis(&self.b, c)) {
                link.tie_axes(input(0, i), input(1, j));
                link.contracts([input(0, i), input(1, j)][io.gated(0, 1)]);
            }
        }
    }

    fn cost(&self, io: &Io) -> Work {
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
        Work::Macs(vec![Product { coefficient: 1.0, widths }])
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Products {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let &Self { stack, m, k, n, .. } = self;
        let y = y[0].elements_mut();
        let a = self.a.matrices(present(x, 0).elements());
        let b = self.b.matrices(present(x, 1).elements());
        let mut out = vec![T::zero(); y.len()];
        for s in 0..stack {
            matmul(m, k, n, plain(&a[s * m * k..]), plain(&b[s * k * n..]), false, &mut out[s * m * n..]);
        }
        self.y.each(|o, i| y[i] = out[o]);
    }

    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let &Self { stack, m, k, n, .. } = self;
        let (a, b) = (present(x, 0).elements(), present(x, 1).elements());
        let g = self.y.matrices(dy[0].elements());
        if let Some(da) = wanted(dx, 0) {
            let b = self.b.matrices(b);
            let mut part = vec![T::zero(); a.len()];
            for s in 0..stack {
                let (g, b) = (&g[s * m * n..], &b[s * k * n..]);
                matmul(m, n, k, plain(g), transposed(b), false, &mut part[s * m * k..]);
            }
            let da = da.elements_mut();
            self.a.each(|o, i| da[i] += part[o]);
        }
        if let Some(db) = wanted(dx, 1) {
            let a = self.a.matrices(a);
            let mut part = vec![T::zero(); b.len()];
            for s in 0..stack {
                let (g, a) = (&g[s * m * n..], &a[s * m * k..]);
                matmul(k, m, n, transposed(a), plain(g), false, &mut part[s * k * n..]);
            }
            let db = db.elements_mut();
            self.b.each(|o, i| db[i] += part[o]);
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
        case("ij->ji").inputs([data(&[2, 3])]).free(5),
        case("bij->b").inputs([data(&[2, 3, 2])]).free(2 + 3 + 2),
        case("...ii->...i").inputs([data(&[4, 3, 3])]).free(4),
        case("ji,j->ij").inputs([data(&[3, 2]), weight(&[3])]).free(5),
    ]
}
