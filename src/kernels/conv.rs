//! Convolution over up to three spatial axes, its input gradient and its weight gradient, by im2col and matrix product.
//!
//! All arrays are row-major: x `[batch, cin, in…]`, w `[cout, cin/group, kernel…]`, y `[batch, cout, out…]`.

use super::matmul::{matmul, plain, transposed};
use crate::tensor::Real;

/// Sizes of a convolution. Fewer than three spatial axes are padded with ones in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Images.
    pub batch: usize,
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Groups; divides `cin` and `cout`.
    pub group: usize,
    /// Input extent per spatial axis.
    pub input: [usize; 3],
    /// Output extent per spatial axis.
    pub output: [usize; 3],
    /// Kernel extent.
    pub kernel: [usize; 3],
    /// Step between outputs.
    pub stride: [usize; 3],
    /// Step between kernel taps.
    pub dilation: [usize; 3],
    /// Zeros in front of the input, may be negative (cropping).
    pub pad: [isize; 3],
}

impl Geometry {
    /// Input elements per channel.
    pub fn pixels_in(&self) -> usize {
        self.input.iter().product()
    }
    /// Output elements per channel.
    pub fn pixels_out(&self) -> usize {
        self.output.iter().product()
    }
    /// Kernel taps.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
    /// True if an output is made from the inputs at its own place.
    fn pointwise(&self) -> bool {
        self.taps() == 1 && self.stride == [1; 3] && self.pad == [0; 3] && self.input == self.output
    }
    /// Rows of the column matrix: taps times input channels of a group.
    fn rows(&self) -> usize {
        self.cin / self.group * self.taps()
    }

    /// For a tap and each row (outermost two spatial axes) of the output: calls `f(output start, input start, first,
    /// last)`, where output columns `first..last` read the input at `input start + column·stride`.
    fn rows_of_tap(&self, tap: [usize; 3], mut f: impl FnMut(usize, isize, usize, usize)) {
        let at = |axis: usize, o: usize| {
            (o * self.stride[axis] + tap[axis] * self.dilation[axis]) as isize - self.pad[axis]
        };
        let inside = |axis: usize, i: isize| i >= 0 && (i as usize) < self.input[axis];
        let offset = at(2, 0);
        let stride = self.stride[2] as isize;
        let first = if offset >= 0 { 0 } else { (-offset + stride - 1) / stride };
        let last = (self.input[2] as isize - offset + stride - 1).div_euclid(stride);
        let last = last.clamp(0, self.output[2] as isize) as usize;
        let first = (first as usize).min(last);
        for a in 0..self.output[0] {
            for b in 0..self.output[1] {
                let out = (a * self.output[1] + b) * self.output[2];
                let (p, q) = (at(0, a), at(1, b));
                if inside(0, p) && inside(1, q) {
                    f(out, (p * self.input[1] as isize + q) * self.input[2] as isize + offset, first, last);
                } else {
                    f(out, 0, 0, 0);
                }
            }
        }
    }

    /// Calls `f(number, place along each axis)` for each tap.
    fn for_taps(&self, mut f: impl FnMut(usize, [usize; 3])) {
        let [_, kh, kw] = self.kernel;
        for t in 0..self.taps() {
            f(t, [t / (kh * kw), t / kw % kh, t % kw]);
        }
    }

    /// True where all images go through one product: small pictures alone would not fill its tiles.
    fn together(&self) -> bool {
        self.group == 1 && self.batch > 1 && self.pixels_out() <= 64
    }

    /// Writes the column matrix `[channels·taps, pixels_out]` of some channels of one image, with rows `width` apart.
    fn im2col<T: Real>(&self, x: &[T], channels: usize, width: usize, col: &mut [T]) {
        let (pin, pout, stride) = (self.pixels_in(), self.pixels_out(), self.stride[2]);
        for c in 0..channels {
            let x = &x[c * pin..(c + 1) * pin];
            self.for_taps(|t, tap| {
                let row = &mut col[(c * self.taps() + t) * width..][..pout];
                self.rows_of_tap(tap, |out, start, first, last| {
                    let row = &mut row[out..out + self.output[2]];
                    row[..first].fill(T::zero());
                    row[last..].fill(T::zero());
                    if first == last {
                        return;
                    }
                    let from = (start + (first * stride) as isize) as usize;
                    if stride == 1 {
                        row[first..last].copy_from_slice(&x[from..from + last - first]);
                    } else {
                        for (k, v) in row[first..last].iter_mut().enumerate() {
                            *v = x[from + k * stride];
                        }
                    }
                });
            });
        }
    }

    /// Adds a column matrix back onto the pixels it was taken from.
    fn col2im<T: Real>(&self, col: &[T], channels: usize, width: usize, x: &mut [T]) {
        let (pin, pout, stride) = (self.pixels_in(), self.pixels_out(), self.stride[2]);
        for c in 0..channels {
            let x = &mut x[c * pin..(c + 1) * pin];
            self.for_taps(|t, tap| {
                let row = &col[(c * self.taps() + t) * width..][..pout];
                self.rows_of_tap(tap, |out, start, first, last| {
                    if first == last {
                        return;
                    }
                    let from = (start + (first * stride) as isize) as usize;
                    for (k, v) in row[out + first..out + last].iter().enumerate() {
                        x[from + k * stride] += *v;
                    }
                });
            });
        }
    }

    /// Calls `f(x range, w range, y range)` for each image and group.
    fn parts(
        &self,
        mut f: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>, std::ops::Range<usize>),
    ) {
        let xs = self.cin / self.group * self.pixels_in();
        let ys = self.cout / self.group * self.pixels_out();
        let ws = self.cout / self.group * self.rows();
        for n in 0..self.batch {
            for g in 0..self.group {
                let i = n * self.group + g;
                f(i * xs..(i + 1) * xs, g * ws..(g + 1) * ws, i * ys..(i + 1) * ys);
            }
        }
    }
}

/// `y = conv(x, w) + bias`.
pub fn forward<T: Real>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, y: &mut [T]) {
    let (rows, pout, cpg) = (g.rows(), g.pixels_out(), g.cout / g.group);
    if g.together() {
        let wide = g.batch * pout;
        let mut col = vec![T::zero(); rows * wide];
        let mut product = vec![T::zero(); g.cout * wide];
        for (n, x) in x.chunks_exact(g.cin * g.pixels_in()).take(g.batch).enumerate() {
            g.im2col(x, g.cin, wide, &mut col[n * pout..]);
        }
        matmul(g.cout, rows, wide, plain(w), plain(&col), false, &mut product);
        for (k, row) in y.chunks_exact_mut(pout).enumerate() {
            let (n, o) = (k / g.cout, k % g.cout);
            row.copy_from_slice(&product[o * wide + n * pout..][..pout]);
        }
        return add_bias(g, bias, y);
    }
    let mut col = vec![T::zero(); if g.pointwise() { 0 } else { rows * pout }];
    g.parts(|xr, wr, yr| {
        let x = &x[xr];
        let source = if g.pointwise() {
            x
        } else {
            g.im2col(x, g.cin / g.group, pout, &mut col);
            &col
        };
        matmul(cpg, rows, pout, plain(&w[wr]), plain(source), false, &mut y[yr]);
    });
    add_bias(g, bias, y);
}

fn add_bias<T: Real>(g: &Geometry, bias: Option<&[T]>, y: &mut [T]) {
    if let Some(bias) = bias {
        for (k, row) in y.chunks_exact_mut(g.pixels_out().max(1)).enumerate() {
            let b = bias[k % g.cout];
            row.iter_mut().for_each(|v| *v += b);
        }
    }
}

/// `dx += ∂y/∂xᵀ · dy`.
pub fn backward_input<T: Real>(g: &Geometry, dy: &[T], w: &[T], dx: &mut [T]) {
    let (rows, pout, cpg) = (g.rows(), g.pixels_out(), g.cout / g.group);
    if g.together() {
        let wide = g.batch * pout;
        let mut col = vec![T::zero(); rows * wide];
        let mut side = vec![T::zero(); g.cout * wide];
        for (k, row) in dy.chunks_exact(pout).take(g.batch * g.cout).enumerate() {
            let (n, o) = (k / g.cout, k % g.cout);
            side[o * wide + n * pout..][..pout].copy_from_slice(row);
        }
        matmul(rows, g.cout, wide, transposed(w), plain(&side), false, &mut col);
        for (n, dx) in dx.chunks_exact_mut(g.cin * g.pixels_in()).take(g.batch).enumerate() {
            g.col2im(&col[n * pout..], g.cin, wide, dx);
        }
        return;
    }
    let mut col = vec![T::zero(); if g.pointwise() { 0 } else { rows * pout }];
    g.parts(|xr, wr, yr| {
        if g.pointwise() {
            matmul(rows, cpg, pout, transposed(&w[wr]), plain(&dy[yr]), true, &mut dx[xr]);
        } else {
            matmul(rows, cpg, pout, transposed(&w[wr]), plain(&dy[yr]), false, &mut col);
            g.col2im(&col, g.cin / g.group, pout, &mut dx[xr]);
        }
    });
}

/// `dw += ∂y/∂wᵀ · dy`.
pub fn backward_weights<T: Real>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    let (rows, pout, cpg) = (g.rows(), g.pixels_out(), g.cout / g.group);
    let mut col = vec![T::zero(); rows * pout];
    g.parts(|xr, wr, yr| {
        g.im2col(&x[xr], g.cin / g.group, pout, &mut col);
        matmul(cpg, pout, rows, plain(&dy[yr]), transposed(&col), true, &mut dw[wr]);
    });
}

/// `db += Σ dy` over images and pixels.
pub fn backward_bias<T: Real>(channels: usize, pixels: usize, dy: &[T], db: &mut [T]) {
    for (k, row) in dy.chunks_exact(pixels.max(1)).enumerate() {
        db[k % channels] += row.iter().copied().sum::<T>();
    }
}
