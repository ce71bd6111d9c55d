//! Matrix products on row-major slices. A thin, safe face on the `gemm` crate.

use crate::tensor::Real;

/// A matrix operand: row-major elements, to be read as they are or transposed.
#[derive(Debug, Clone, Copy)]
pub struct Mat<'a, T> {
    data: &'a [T],
    transposed: bool,
}

/// A matrix as it lies in memory.
pub fn plain<T>(data: &[T]) -> Mat<'_, T> {
    Mat { data, transposed: false }
}

/// The transpose of a matrix in memory.
pub fn transposed<T>(data: &[T]) -> Mat<'_, T> {
    Mat { data, transposed: true }
}

/// `c = a·b` (`add = false`) or `c += a·b` with `a: m×k`, `b: k×n`, `c: m×n`. One thread; the order of the sums
/// depends only on the sizes.
pub fn matmul<T: Real>(m: usize, k: usize, n: usize, a: Mat<T>, b: Mat<T>, add: bool, c: &mut [T]) {
    assert!(a.data.len() >= m * k && b.data.len() >= k * n && c.len() >= m * n, "matmul operands too short");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !add {
            c[..m * n].fill(T::zero());
        }
        return;
    }
    if super::is_portable() {
        return by_definition(m, k, n, a, b, add, c);
    }
    let (a_rs, a_cs) = if a.transposed { (1, m as isize) } else { (k as isize, 1) };
    let (b_rs, b_cs) = if b.transposed { (1, k as isize) } else { (n as isize, 1) };
    // SAFETY: the assertion above covers every element that these sizes and strides reach.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.data.as_ptr(),
            a_cs,
            a_rs,
            b.data.as_ptr(),
            b_cs,
            b_rs,
            T::one(),
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Rows of a symmetric product that are made at a time, each band up to its diagonal.
const BAND: usize = 384;

/// Σ x·xᵀ of the columns of `x: rows×n` on and below the diagonal; what lies above is not said. One thread.
pub fn gram(rows: usize, n: usize, x: &[f32]) -> Vec<f32> {
    let mut g = vec![0.0; rows * rows];
    let mut product = Vec::new();
    for first in (0..rows).step_by(BAND) {
        let last = (first + BAND).min(rows);
        product.resize((last - first) * last, 0.0);
        let (some, all) = (&x[first * n..last * n], &x[..last * n]);
        matmul(last - first, n, last, plain(some), transposed(all), false, &mut product);
        for (row, from) in g[first * rows..].chunks_exact_mut(rows).zip(product.chunks_exact(last)) {
            row[..last].copy_from_slice(from);
        }
    }
    g
}

/// The product by definition, equal on any CPU: products and sums are rounded one by one, in the order of `k`.
fn by_definition<T: Real>(m: usize, k: usize, n: usize, a: Mat<T>, b: Mat<T>, add: bool, c: &mut [T]) {
    for (i, row) in c.chunks_exact_mut(n).take(m).enumerate() {
        if !add {
            row.fill(T::zero());
        }
        for p in 0..k {
            let x = a.data[if a.transposed { p * m + i } else { i * k + p }];
            match b.transposed {
                true => row.iter_mut().enumerate().for_each(|(j, c)| *c += x * b.data[j * k + p]),
                false => row.iter_mut().zip(&b.data[p * n..]).for_each(|(c, &b)| *c += x * b),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symmetric_product_is_made_up_to_its_diagonal() {
        let (rows, n) = (BAND + 3, 2);
        let x: Vec<f32> = (0..rows * n).map(|i| ((i * 7919) % 13) as f32 - 6.0).collect();
        let g = gram(rows, n, &x);
        for (r, c) in (0..rows).flat_map(|r| (0..=r).map(move |c| (r, c))) {
            let expected: f32 = (0..n).map(|k| x[r * n + k] * x[c * n + k]).sum();
            assert_eq!(g[r * rows + c], expected, "{r}, {c}");
        }
    }

    #[test]
    fn all_four_transpositions_agree_with_the_definition() {
        let (m, k, n) = (3, 4, 5);
        let value = |i: usize| ((i * 7919) % 13) as f64 - 6.0;
        let a: Vec<f64> = (0..m * k).map(value).collect();
        let b: Vec<f64> = (0..k * n).map(|i| value(i + 50)).collect();
        let flip = |x: &[f64], r: usize, c: usize| -> Vec<f64> {
            (0..r * c).map(|i| x[(i % r) * c + i / r]).collect()
        };
        let (at, bt) = (flip(&a, m, k), flip(&b, k, n));
        let expected: Vec<f64> = (0..m * n)
            .map(|i| (0..k).map(|q| a[i / n * k + q] * b[q * n + i % n]).sum::<f64>() + 1.0)
            .collect();
        for (x, y) in [
            (plain(&a), plain(&b)),
            (transposed(&at), plain(&b)),
            (plain(&a), transposed(&bt)),
            (transposed(&at), transposed(&bt)),
        ] {
            let mut c = vec![1.0; m * n];
            matmul(m, k, n, x, y, true, &mut c);
            assert_eq!(c, expected);
        }
    }
}
