//! Family: every element of the results is an element of an operand, moved; or a filling. The gradient moves back.
//!
//! An operator lists its moves as runs when it is bound, so that both directions are loops over slices.

use super::indexing::{integers, row_major};
use crate::graph::*;
use crate::tensor::*;
use std::fmt::Debug;

/// `y[to + k] = x[at + k·step]` for `k` in `0..len`, in elements.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Offset in the result.
    pub to: usize,
    /// Offset in the operand.
    pub at: usize,
    /// Distance from one element to the next in the operand.
    pub step: isize,
    /// Number of elements.
    pub len: usize,
}

/// The runs of one block of a result, in its order.
#[derive(Debug)]
pub enum Pattern {
    /// One by one.
    Runs(Vec<Run>),
    /// Rows of `len` elements, one after the other in the result.
    Rows {
        /// Offset of each row in the operand; none for a row that is left out.
        at: Vec<Option<usize>>,
        /// Elements of a row.
        len: usize,
    },
}

/// Moves from one operand to one result, by a pattern that repeats in each block of the result.
#[derive(Debug)]
pub struct Part {
    /// Operand.
    pub x: usize,
    /// Result.
    pub y: usize,
    /// Offset of each block in the operand: the sum of one entry of each table, the last table running fastest. A block of which
    /// one entry is none is left out.
    pub blocks: Vec<Vec<Option<usize>>>,
    /// Distance from one block to the next in the result.
    pub width: usize,
    /// Runs of a block.
    pub pattern: Pattern,
}

/// Value of the elements that no move writes.
#[derive(Debug, Clone, Copy)]
pub enum Filling {
    /// None: every element of the results is moved.
    Nothing,
    /// One number.
    Number(f64),
    /// The first element of an operand.
    Operand(usize),
}

/// The moves of one node.
#[derive(Debug)]
pub struct Moves {
    /// Moves by operand and result.
    pub parts: Vec<Part>,
    /// Values of all other elements of the results.
    pub filling: Filling,
}

/// Moves that an operand of indices decides.
pub trait Indexed: Debug + Send + Sync {
    /// The moves for these indices; one that is out of range moves nothing.
    fn moves(&self, indices: &[i64]) -> Moves;
}

/// A movement at the shapes and constants of one node.
#[derive(Debug)]
pub enum Movement {
    /// All runs known.
    Fixed(Moves),
    /// By indices that the network computes.
    Computed {
        /// Operand with the indices.
        slot: usize,
        /// Moves for them.
        moves: Box<dyn Indexed>,
    },
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
    /// As [`Hints::never_negative`]; here: real numbers that are moved, and zeros.
    fn never_negative(&self, x: &Operands) -> bool {
        let mut real = x.iter().flatten().filter(|x| x.fact.dtype.is_float()).peekable();
        real.peek().is_some() && real.all(|x| x.is_never_negative())
    }
    /// As [`Op::bind`].
    fn bind(&self, io: &Io) -> Result<Movement, Refusal>;
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
    fn never_negative(&self, x: &Operands) -> bool {
        self.0.never_negative(x)
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
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        need(io.x, 0)?;
        Ok(Box::new(self.0.bind(io)?))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        self.0.channels(io, link);
    }
    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }
    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        self.0.resize(io, keep)
    }
}

/// Slices of a value, all of one length, that an operand of indices names.
pub trait Places: Debug + Send + Sync {
    /// Elements of a slice.
    fn slice(&self) -> usize;
    /// Offset of each slice, in elements; none where an index is out of range.
    fn offsets(&self, indices: &[i64]) -> Vec<Option<usize>>;
}

/// The named slices of operand 0, one after the other; zeros where an index is out of range.
#[derive(Debug)]
pub struct Gathered<P>(pub P);

impl<P: Places> Indexed for Gathered<P> {
    fn moves(&self, indices: &[i64]) -> Moves {
        let (at, len) = (self.0.offsets(indices), self.0.slice());
        let part = Part { x: 0, y: 0, blocks: Vec::new(), width: 0, pattern: Pattern::Rows { at, len } };
        Moves { parts: vec![part], filling: Filling::Number(0.0) }
    }
}

impl Movement {
    /// The movement with another filling.
    pub fn filled(self, filling: Filling) -> Self {
        match self {
            Self::Fixed(moves) => Self::Fixed(Moves { filling, ..moves }),
            computed => computed,
        }
    }

    /// By the indices of operand `slot`.
    pub fn indexed(io: &Io, slot: usize, moves: impl Indexed + 'static) -> Result<Self, Refusal> {
        need(io.x, slot)?;
        Ok(match io.value(slot) {
            Some(indices) => Self::Fixed(moves.moves(&indices.to_ints())),
            None => Self::Computed { slot, moves: Box::new(moves) },
        })
    }
}

impl<T: Real> Compute<T> for Movement {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        match self {
            Self::Fixed(moves) => moves.forward(x, y),
            Self::Computed { slot, moves } => moves.moves(&integers(present(x, *slot))).forward(x, y),
        }
    }
    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        match self {
            Self::Fixed(moves) => moves.backward(dy, dx),
            Self::Computed { slot, moves } => moves.moves(&integers(present(x, *slot))).backward(dy, dx),
        }
    }
}

impl Moves {
    fn forward<T: Real>(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let value = match self.filling {
            Filling::Nothing => None,
            Filling::Number(v) => Some(T::of(v)),
            Filling::Operand(slot) => Some(present(x, slot).elements()[0]),
        };
        if let Some(value) = value {
            y.iter_mut().for_each(|y| y.fill(value));
        }
        for part in &self.parts {
            let (x, y) = (present(x, part.x).elements(), y[part.y].elements_mut());
            part.each(|Run { to, at, step, len }| {
                let y = &mut y[to..to + len];
                match step {
                    1 => y.copy_from_slice(&x[at..at + len]),
                    0 => y.fill(x[at]),
                    _ => {
                        for (k, y) in y.iter_mut().enumerate() {
                            *y = x[at.wrapping_add_signed(k as isize * step)];
                        }
                    }
                }
            });
        }
    }

    fn backward<T: Real>(&self, dy: &Results<T>, dx: &mut InputGradients<T>) {
        for part in &self.parts {
            let Some(dx) = wanted(dx, part.x) else { continue };
            let (dx, dy) = (dx.elements_mut(), dy[part.y].elements());
            part.each(|Run { to, at, step, len }| {
                let dy = &dy[to..to + len];
                match step {
                    1 => dx[at..at + len].iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy),
                    0 => dx[at] += dy.iter().copied().sum(),
                    _ => {
                        for (k, &dy) in dy.iter().enumerate() {
                            dx[at.wrapping_add_signed(k as isize * step)] += dy;
                        }
                    }
                }
            });
        }
    }
}

impl Part {
    /// The movement of this part alone, with nothing to fill.
    fn alone(self) -> Movement {
        Movement::Fixed(Moves { parts: vec![self], filling: Filling::Nothing })
    }

    /// Calls `f` for each run, in the order of the result.
    fn each(&self, mut f: impl FnMut(Run)) {
        let mut index = vec![0; self.blocks.len()];
        for block in 0..self.blocks.iter().map(Vec::len).product() {
            let offset: Option<usize> = self.blocks.iter().zip(&index).map(|(table, &i)| table[i]).sum();
            if let Some(offset) = offset {
                self.pattern.each(block * self.width, offset, &mut f);
            }
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < self.blocks[axis].len() {
                    break;
                }
                index[axis] = 0;
            }
        }
    }
}

impl Pattern {
    /// Calls `f` for each run of the block at offset `first` in the result and `offset` in the operand.
    fn each(&self, first: usize, offset: usize, f: &mut impl FnMut(Run)) {
        match self {
            Self::Runs(runs) => {
                for run in runs {
                    f(Run { to: first + run.to, at: offset + run.at, ..*run });
                }
            }
            Self::Rows { at, len } => {
                for (k, at) in at.iter().enumerate() {
                    let Some(at) = at else { continue };
                    f(Run { to: first + k * len, at: offset + at, step: 1, len: *len });
                }
            }
        }
    }
}

/// All elements of operand 0, in order, to result 0.
pub fn all(io: &Io) -> Result<Movement, Refusal> {
    let len = volume(&need(io.x, 0)?.shape);
    let pattern = Pattern::Runs(vec![Run { to: 0, at: 0, step: 1, len }]);
    Ok(Part { x: 0, y: 0, blocks: Vec::new(), width: len, pattern }.alone())
}

/// Operand 0 moved to result 0, where `result[i, j, …] = operand[table0[i] + table1[j] + …]`: each table gives, for every
/// index along an axis of the result, an offset in elements; none for an element that comes from no operand.
pub fn along(tables: Vec<Vec<impl Into<Option<usize>>>>) -> Movement {
    let table = |offsets: Vec<_>| offsets.into_iter().map(Into::into).collect();
    let mut tables: Vec<Vec<Option<usize>>> = tables.into_iter().map(table).collect();
    if tables.iter().any(Vec::is_empty) {
        return Movement::Fixed(Moves { parts: Vec::new(), filling: Filling::Nothing });
    }
    let (mut runs, mut width) = (vec![Run { to: 0, at: 0, step: 1, len: 1 }], 1);
    while let Some(table) = tables.last() {
        let [inner] = runs[..] else { break };
        let Some(merged) = (inner.len == width).then(|| merge(table, inner, width)).flatten() else { break };
        width *= table.len();
        runs = merged;
        tables.pop();
    }
    Part { x: 0, y: 0, blocks: tables, width, pattern: Pattern::Runs(runs) }.alone()
}

/// Runs along an axis and the `inner` run within it together; `None` where they do not make longer ones.
fn merge(table: &[Option<usize>], inner: Run, width: usize) -> Option<Vec<Run>> {
    let runs = arithmetic(table);
    if inner.len == 1 {
        return Some(runs.into_iter().map(|run| Run { at: run.at + inner.at, ..run }).collect());
    }
    let fits = |run: &Run| run.len == 1 || run.step == inner.step * inner.len as isize;
    if !runs.iter().all(fits) {
        return None;
    }
    let merged = |run: Run| Run {
        to: run.to * width,
        at: run.at + inner.at,
        step: inner.step,
        len: run.len * inner.len,
    };
    Some(runs.into_iter().map(merged).collect())
}

/// Splits a table into runs of equal steps.
fn arithmetic(table: &[Option<usize>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (to, at) in table.iter().enumerate() {
        let &Some(at) = at else { continue };
        if let Some(run) = runs.last_mut() {
            let last = run.at.wrapping_add_signed(run.step * (run.len as isize - 1));
            let next = at as isize - last as isize;
            if run.to + run.len == to && (run.len == 1 || next == run.step) {
                run.step = next;
                run.len += 1;
                continue;
            }
        }
        runs.push(Run { to, at, step: 1, len: 1 });
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

    fn moved(tables: &[Vec<Option<usize>>]) -> Vec<Option<usize>> {
        let mut y = vec![None; tables.iter().map(Vec::len).product()];
        let Movement::Fixed(moves) = along(tables.to_vec()) else { unreachable!("tables are known") };
        moves.parts.iter().for_each(|part| {
            part.each(|m| {
                (0..m.len).for_each(|k| y[m.to + k] = Some(m.at.wrapping_add_signed(k as isize * m.step)))
            })
        });
        y
    }

    #[test]
    fn runs_follow_the_definition() {
        let n = -1;
        for tables in [
            vec![] as Vec<Vec<i32>>,
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
            let offsets = |table: &Vec<i32>| table.iter().map(|&at| usize::try_from(at).ok()).collect();
            let tables: Vec<Vec<Option<usize>>> = tables.iter().map(offsets).collect();
            let mut expected = vec![Some(0)];
            for t in &tables {
                let add = |e: Option<usize>, o: Option<usize>| Some(e? + o?);
                expected = expected.iter().flat_map(|&e| t.iter().map(move |&o| add(e, o))).collect();
            }
            assert_eq!(moved(&tables), expected, "{tables:?}");
        }
    }
}
