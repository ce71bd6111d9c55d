//! Family: every element of the results is an element of an operand, moved; or a filling. The gradient moves back.
//!
//! An operator lists its moves as runs, so that both directions are loops over slices.

use super::indexing::row_major;
use crate::graph::*;
use crate::tensor::*;
use std::fmt::Debug;

/// `y[to + k] = x[at + k·step]` for `k` in `0..len`.
#[derive(Debug, Clone, Copy)]
pub struct Move {
    /// Operand.
    pub x: usize,
    /// First element in it.
    pub at: usize,
    /// Distance of the next.
    pub step: isize,
    /// Result.
    pub y: usize,
    /// First element in it.
    pub to: usize,
    /// Number of elements.
    pub len: usize,
}

/// An operator that moves elements.
pub trait ViewFn: Debug + Send + Sync + 'static {
    /// As [`Op::attributes`].
    fn attributes(&self) -> Attributes;
    /// As [`Op::infer`].
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal>;
    /// As [`Op::channels`].
    fn channels(&self, io: &Io, link: &mut dyn Couplings);
    /// As [`Op::resize`]; here: nothing restates a size.
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
    /// As [`Op::never_negative`]; here: real numbers that are moved, and zeros.
    fn never_negative(&self, x: &Operands) -> bool {
        let mut real = x.iter().flatten().filter(|x| x.fact.dtype.is_float()).peekable();
        real.peek().is_some() && real.all(|x| x.is_never_negative())
    }
    /// Calls `f` for each run, given the operands and the shapes of the results.
    fn moves<T: Real>(&self, x: &[Option<&Array<T>>], y: &[Shape], f: &mut dyn FnMut(Move));
    /// What elements are that no move writes.
    fn fill<T: Real>(&self, _: &[Option<&Array<T>>]) -> Option<T> {
        None
    }
    /// As [`Hints::caution`].
    fn caution(&self, _: &Io) -> Option<String> {
        None
    }
    /// As [`Hints::rearranges`].
    fn rearranges(&self, _slot: usize) -> bool {
        false
    }
    /// As [`Hints::picks_channels`].
    fn picks_channels(&self) -> bool {
        false
    }
    /// As [`Hints::indexes`].
    fn indexes(&self, _: &Io, _slot: usize) -> Option<usize> {
        None
    }
    /// As [`Hints::instructions`].
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::PASS
    }
}

/// Makes a movement an operator.
#[derive(Debug)]
pub struct View<M>(pub M);

impl<M: ViewFn> Hints for View<M> {
    fn caution(&self, io: &Io) -> Option<String> {
        self.0.caution(io)
    }
    fn rearranges(&self, slot: usize) -> bool {
        self.0.rearranges(slot)
    }
    fn picks_channels(&self) -> bool {
        self.0.picks_channels()
    }
    fn indexes(&self, io: &Io, slot: usize) -> Option<usize> {
        self.0.indexes(io, slot)
    }
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        self.0.instructions(io)
    }
}

impl<M: ViewFn> Op for View<M> {
    fn attributes(&self) -> Attributes {
        self.0.attributes()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        self.0.infer(x)
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn never_negative(&self, x: &Operands) -> bool {
        self.0.never_negative(x)
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        self.0.channels(io, link);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn linear(&self, _: &Io) -> Option<Linear> {
        None
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        self.0.resize(io, keep)
    }
}

impl<M: ViewFn, T: Real> Compute<T> for View<M> {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        if let Some(value) = self.0.fill(x) {
            y.iter_mut().for_each(|y| y.data.fill(value));
        }
        let shapes: Vec<Shape> = y.iter().map(|y| y.shape.clone()).collect();
        self.0.moves(x, &shapes, &mut |m| {
            let Some(x) = x[m.x] else { return };
            let y = &mut y[m.y].data[m.to..m.to + m.len];
            match m.step {
                1 => y.copy_from_slice(&x.data[m.at..m.at + m.len]),
                0 => y.fill(x.data[m.at]),
                step => {
                    for (k, y) in y.iter_mut().enumerate() {
                        *y = x.data[m.at.wrapping_add_signed(k as isize * step)];
                    }
                }
            }
        });
    }
    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        y: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let shapes: Vec<Shape> = y.iter().map(|y| y.shape.clone()).collect();
        self.0.moves(x, &shapes, &mut |m| {
            let Some(dx) = &mut dx[m.x] else { return };
            let dy = &dy[m.y].data[m.to..m.to + m.len];
            match m.step {
                1 => dx.data[m.at..m.at + m.len].iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy),
                0 => dx.data[m.at] += dy.iter().copied().sum(),
                step => {
                    for (k, &dy) in dy.iter().enumerate() {
                        dx.data[m.at.wrapping_add_signed(k as isize * step)] += dy;
                    }
                }
            }
        });
    }
}

/// The one move of an operator that keeps all elements in order.
pub fn all<T: Real>(x: &[Option<&Array<T>>], f: &mut dyn FnMut(Move)) {
    if let Some(x) = x[0] {
        f(Move { x: 0, at: 0, step: 1, y: 0, to: 0, len: x.data.len() });
    }
}

/// In a table: no element comes here.
pub const NOWHERE: usize = usize::MAX;

/// Moves operand 0 to result 0, where `result[i, j, …] = operand[table0[i] + table1[j] + …]`: each table gives, for every
/// index along an axis of the result, an offset in elements.
pub fn along(tables: &[Vec<usize>], f: &mut dyn FnMut(Move)) {
    if tables.iter().any(Vec::is_empty) {
        return;
    }
    let (mut runs, mut width, mut rank) = (vec![(0, 0, 1isize, 1usize)], 1, tables.len());
    while rank > 0 && matches!(runs[..], [(_, _, _, len)] if len == width) {
        let Some(merged) = merge(&tables[rank - 1], runs[0], width) else { break };
        rank -= 1;
        width *= tables[rank].len();
        runs = merged;
    }
    let outer = &tables[..rank];
    let mut index = vec![0; rank];
    for o in 0..outer.iter().map(Vec::len).product() {
        if outer.iter().zip(&index).all(|(t, &i)| t[i] != NOWHERE) {
            let offset: usize = outer.iter().zip(&index).map(|(t, &i)| t[i]).sum();
            for &(to, at, step, len) in &runs {
                f(Move { x: 0, at: at + offset, step, y: 0, to: o * width + to, len });
            }
        }
        for axis in (0..rank).rev() {
            index[axis] += 1;
            if index[axis] < outer[axis].len() {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// A run of the result: (to, at, step, length).
type Run = (usize, usize, isize, usize);

/// Runs along an axis and the `inner` run within it together; `None` where they do not make longer ones.
fn merge(table: &[usize], (_, at, step, len): Run, width: usize) -> Option<Vec<Run>> {
    let runs = arithmetic(table);
    if len == 1 {
        return Some(runs.into_iter().map(|(to, first, step, len)| (to, first + at, step, len)).collect());
    }
    let fits = |&(_, _, s, n): &Run| n == 1 || s == step * len as isize;
    if !runs.iter().all(fits) {
        return None;
    }
    Some(runs.into_iter().map(|(to, first, _, n)| (to * width, first + at, step, n * len)).collect())
}

/// Splits a table into runs of equal steps.
fn arithmetic(table: &[usize]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (to, &at) in table.iter().enumerate().filter(|(_, at)| **at != NOWHERE) {
        if let Some((start, first, step, len)) = runs.last_mut() {
            let last = first.wrapping_add_signed(*step * (*len as isize - 1));
            let next = at as isize - last as isize;
            if *start + *len == to && (*len == 1 || next == *step) {
                *step = next;
                *len += 1;
                continue;
            }
        }
        runs.push((to, at, 1, 1));
    }
    runs
}

/// Tables that keep every axis as it is.
pub fn identity(x: &[usize]) -> Vec<Vec<usize>> {
    let steps = row_major(x);
    x.iter().zip(steps).map(|(&size, step)| (0..size).map(|i| i * step).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(tables: &[Vec<usize>]) -> Vec<usize> {
        let mut y = vec![NOWHERE; tables.iter().map(Vec::len).product()];
        along(tables, &mut |m| {
            (0..m.len).for_each(|k| y[m.to + k] = m.at.wrapping_add_signed(k as isize * m.step))
        });
        y
    }

    #[test]
    fn runs_follow_the_definition() {
        let n = NOWHERE;
        for tables in [
            vec![],
            vec![vec![0, 12], vec![0, 4, 8], vec![0, 1, 2, 3]],
            vec![vec![0, 12], vec![4, 8], vec![0, 1, 2, 3]],
            vec![vec![0, 12], vec![n, 0, 4, n], vec![n, 0, 1, 2, 3, n]],
            vec![vec![8, 4, 4, 0], vec![1, 0]],
            vec![vec![0, 1, 2], vec![0, 3]],
            vec![vec![0, 12], vec![0, 0, 0], vec![0, 1]],
            vec![vec![0], vec![n], vec![0, 1]],
            vec![vec![5], vec![7], vec![0, 2, 4, 5]],
            vec![vec![n, n], vec![0, 1]],
            vec![vec![0, 4], vec![0, 1, n, n]],
            vec![vec![0, 4], vec![n, 1]],
            vec![vec![0, 0], vec![0, 0]],
        ] {
            let mut expected = vec![0];
            for t in &tables {
                let add = |e: usize, o: usize| if e == n || o == n { n } else { e + o };
                expected = expected.iter().flat_map(|&e| t.iter().map(move |&o| add(e, o))).collect();
            }
            assert_eq!(moved(&tables), expected, "{tables:?}");
        }
    }
}
