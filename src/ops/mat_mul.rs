//! MatMul: y = a·b over the last two axes, with numpy's broadcasting of the others.
//! <https://onnx.ai/onnx/operators/onnx__MatMul.html>
//!
//! The contracted axis of a is read (of b where a is a constant); it is tied to that of the other.

use super::family::broadcast::{Runs, shape_of};
use crate::graph::*;
use crate::kernels::matmul::{matmul, plain, transposed};
use crate::tensor::*;

#[derive(Debug)]
struct MatMul;

pub fn read(_: &Reader) -> Result<Box<dyn Op>, Refusal> {
    Ok(Box::new(MatMul))
}

/// The operands as stacks of matrices.
#[derive(Debug)]
struct Stacks {
    m: usize,
    k: usize,
    n: usize,
    a: Shape,
    b: Shape,
    y: Shape,
}

impl Stacks {
    fn of(a: &[usize], b: &[usize]) -> Result<Self, Refusal> {
        let refuse = || invalid(format!("shapes {a:?} and {b:?} do not multiply"));
        // A vector on the left is one row, one on the right is one column.
        let (ra, m, ka) = match *a {
            [] => return refuse(),
            [k] => (&a[..0], 1, k),
            [ref rest @ .., m, k] => (rest, m, k),
        };
        let (rb, kb, n) = match *b {
            [] => return refuse(),
            [k] => (&b[..0], k, 1),
            [ref rest @ .., k, n] => (rest, k, n),
        };
        if ka != kb {
            return refuse();
        }
        Ok(Self { m, k: ka, n, a: ra.to_vec(), b: rb.to_vec(), y: shape_of(&[ra, rb])? })
    }

    /// The products; a single one where b serves every matrix of a.
    fn bind(&self) -> Products {
        let &Self { m, k, n, .. } = self;
        if volume(&self.b) == 1 && volume(&self.a) == volume(&self.y) {
            return Products { m: m * volume(&self.a), k, n, stacks: Runs::new([&[], &[]], &[]) };
        }
        Products { m, k, n, stacks: Runs::new([&self.a, &self.b], &self.y) }
    }
}

/// The products of matrices at the shapes of one node.
#[derive(Debug)]
struct Products {
    m: usize,
    k: usize,
    n: usize,
    /// Runs of the matrices of a and b in the matrices of y.
    stacks: Runs<2>,
}

impl Products {
    /// Calls `f(start in a, start in b, start in y)` for each product.
    fn each(&self, mut f: impl FnMut(usize, usize, usize)) {
        let [a, b, y] = [self.m * self.k, self.k * self.n, self.m * self.n];
        self.stacks.each(|o, [i, j], n, [p, q]| {
            (0..n).for_each(|s| f((i + s * p) * a, (j + s * q) * b, (o + s) * y));
        });
    }
}

/// Axes of a: rows, contracted; and of b: contracted, columns. `a` and `b` are their ranks; a vector has no rows or columns.
fn axes(a: usize, b: usize) -> (Option<usize>, usize, usize, Option<usize>) {
    (a.checked_sub(2), a - 1, b.saturating_sub(2), (b > 1).then(|| b - 1))
}

impl Hints for MatMul {
    fn parameters(&self) -> &'static [usize] {
        &[0, 1]
    }
    fn linear(&self, io: &Io) -> Option<Linear> {
        let (a, b, y) = (io.input(0)?, io.input(1)?, io.output(0));
        let (_, ka, kb, _) = axes(a.len(), b.len());
        // A vector's one axis is summed over; a stack of weights has none that they share.
        let (input, weight, weight_axes, result) = match (io.value(0), io.value(1)) {
            (None, Some(_)) if b.len() == 2 => (input(0, ka), 1, [0, 1], y.len() - 1),
            (Some(_), None) if a.len() == 2 => (input(1, kb), 0, [1, 0], y.len() - (b.len().min(2))),
            _ => return None,
        };
        let (groups, window, factor, bias, geometry) = (1, false, 1.0, None, None);
        Some(Linear { input, weight, weight_axes, result, groups, window, factor, bias, geometry })
    }
}

impl Op for MatMul {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (a, b) = (need(x, 0)?, need(x, 1)?);
        let s = Stacks::of(&a.shape, &b.shape)?;
        let mut y = s.y;
        y.extend((a.shape.len() > 1).then_some(s.m));
        y.extend((b.shape.len() > 1).then_some(s.n));
        Ok(vec![Fact::new(a.dtype, y)])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        let (a, b) = (need(io.x, 0)?, need(io.x, 1)?);
        Ok(Box::new(Stacks::of(&a.shape, &b.shape)?.bind()))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let (Some(a), Some(b), y) = (io.input(0), io.input(1), io.output(0)) else { return };
        let (row, ka, kb, column) = axes(a.len(), b.len());
        link.tie_axes(input(0, ka), input(1, kb));
        link.contracts([input(0, ka), input(1, kb)][io.gated(0, 1)]);
        let matrix = usize::from(row.is_some()) + usize::from(column.is_some());
        let stack = y.len() - matrix;
        if let Some(row) = row {
            link.tie_axes(input(0, row), output(0, stack));
        }
        if let Some(column) = column {
            link.tie_axes(input(1, column), output(0, y.len() - 1));
        }
        for (slot, x) in [(0, a), (1, b)] {
            let own = x.len().saturating_sub(2);
            for (axis, &size) in x.iter().enumerate().take(own) {
                let result = stack - own + axis;
                match size == y[result] {
                    true => link.tie_axes(input(slot, axis), output(0, result)),
                    false => link.freeze(input(slot, axis), "is broadcast along this axis"),
                }
            }
        }
    }

    fn cost(&self, io: &Io) -> Work {
        let (Some(a), Some(b), y) = (io.input(0), io.input(1), io.output(0)) else { return Work::Free };
        let (row, ka, _, column) = axes(a.len(), b.len());
        // A result axis that comes from a constant is the layer's own.
        let stack = y.len() - usize::from(row.is_some()) - usize::from(column.is_some());
        let own = |slot, axis, result| {
            if io.value(slot).is_some() { output(0, result) } else { input(slot, axis) }
        };
        let mut widths = vec![input(0, ka)];
        widths.extend(row.map(|axis| own(0, axis, stack)));
        widths.extend(column.map(|axis| own(1, axis, y.len() - 1)));
        for result in (0..stack).filter(|&r| y[r] != 1) {
            let whole = [(0, a), (1, b)].into_iter().find_map(|(slot, x)| {
                let axis = (result + x.len().saturating_sub(2)).checked_sub(stack)?;
                (x[axis] == y[result]).then(|| input(slot, axis))
            });
            widths.extend(whole);
        }
        Work::Macs(vec![Product { coefficient: 1.0, widths }])
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Products {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let &Self { m, k, n, .. } = self;
        let (a, b, y) = (present(x, 0).elements(), present(x, 1).elements(), y[0].elements_mut());
        self.each(|i, j, o| matmul(m, k, n, plain(&a[i..]), plain(&b[j..]), false, &mut y[o..]));
    }

    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let &Self { m, k, n, .. } = self;
        let (a, b, dy) = (present(x, 0).elements(), present(x, 1).elements(), dy[0].elements());
        self.each(|i, j, o| {
            if let Some(da) = wanted(dx, 0) {
                matmul(m, n, k, plain(&dy[o..]), transposed(&b[j..]), true, &mut da.elements_mut()[i..]);
            }
            if let Some(db) = wanted(dx, 1) {
                matmul(k, m, n, transposed(&a[i..]), plain(&dy[o..]), true, &mut db.elements_mut()[j..]);
            }
        });
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data, weight};
    let case = |name| Case::new("MatMul").named(name);
    vec![
        case("matrices").inputs([data(&[2, 3]), weight(&[3, 4])]).free(9),
        case("stack times matrix").inputs([data(&[2, 2, 3]), weight(&[3, 4])]).free(2 + 2 + 3 + 4),
        case("matrix times stack").inputs([weight(&[2, 3]), data(&[2, 3, 4])]).free(2 + 3 + 2 + 4),
        case("attention").inputs([data(&[1, 2, 3, 2]), data(&[1, 2, 2, 3])]).free(2 + 3 + 2 + 3),
        case("broadcast stacks").inputs([data(&[2, 1, 2, 3]), data(&[4, 3, 2])]).free(2 + 4 + 2 + 3 + 2),
        case("vectors").inputs([data(&[3]), data(&[3])]).free(3),
        case("vector times stack").inputs([data(&[3]), data(&[2, 3, 4])]).free(3 + 2 + 4),
        case("stack times vector").inputs([data(&[2, 4, 3]), weight(&[3])]).free(2 + 4 + 3),
    ]
}
