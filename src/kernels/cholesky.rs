//! Symmetric systems of equations, by Cholesky's factor. A thin face on the `faer` crate, and the definition where the same bits
//! are asked of any CPU.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::{Mat, Par};

/// A Cholesky factor L of a matrix L·Lᵀ, in the place of that matrix: there is no room for both.
#[derive(Debug)]
pub struct Cholesky {
    lower: Mat<f64>,
}

impl Cholesky {
    /// Of a symmetric matrix, of which the lower half is read; `None` where it is not positive definite.
    pub fn new(mut matrix: Mat<f64>) -> Option<Self> {
        let (n, par) = (matrix.nrows(), Par::Seq);
        if super::is_portable() {
            return Self::by_definition(matrix);
        }
        let scratch = llt::factor::cholesky_in_place_scratch::<f64>(n, par, Default::default());
        let mut memory = MemBuffer::new(scratch);
        let stack = MemStack::new(&mut memory);
        let (none, how) = (Default::default(), Default::default());
        llt::factor::cholesky_in_place(matrix.as_mut(), none, par, stack, how).ok()?;
        Some(Self { lower: matrix })
    }

    /// The same on any CPU, in one order of operations.
    fn by_definition(mut a: Mat<f64>) -> Option<Self> {
        for j in 0..a.nrows() {
            for i in j..a.nrows() {
                let rest = a[(i, j)] - (0..j).map(|k| a[(i, k)] * a[(j, k)]).sum::<f64>();
                a[(i, j)] = match i == j {
                    true if rest > 0.0 => rest.sqrt(),
                    true => return None,
                    false => rest / a[(j, j)],
                };
            }
        }
        Some(Self { lower: a })
    }

    /// As [`Self::solve`], for such a factor.
    fn substituted(&self, mut right: Mat<f64>) -> Mat<f64> {
        let (l, n) = (&self.lower, self.lower.nrows());
        for c in 0..right.ncols() {
            for i in 0..n {
                let known: f64 = (0..i).map(|k| l[(i, k)] * right[(k, c)]).sum();
                right[(i, c)] = (right[(i, c)] - known) / l[(i, i)];
            }
            for i in (0..n).rev() {
                let known: f64 = (i + 1..n).map(|k| l[(k, i)] * right[(k, c)]).sum();
                right[(i, c)] = (right[(i, c)] - known) / l[(i, i)];
            }
        }
        right
    }

    /// The solution for each column of `right`.
    pub fn solve(&self, mut right: Mat<f64>) -> Mat<f64> {
        if super::is_portable() {
            return self.substituted(right);
        }
        let scratch = llt::solve::solve_in_place_scratch::<f64>(self.lower.nrows(), right.ncols(), Par::Seq);
        let mut memory = MemBuffer::new(scratch);
        llt::solve::solve_in_place(self.lower.as_ref(), right.as_mut(), Par::Seq, MemStack::new(&mut memory));
        right
    }
}
