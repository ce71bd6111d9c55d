//! Two-dimensional convolution of 3×3 kernels at stride 1 with fixed weights by minimal filtering, F(4×4, 3×3), for f32.
//!
//! A tile of 4×4 outputs is made from 6×6 inputs: both are transformed along both axes, and between the transforms lie 36
//! products of matrices (output by input channels, input channels by tiles), where the plain sum takes 144 multiplications per
//! tile and pair of channels. Source: Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), section 4.3;
//! rounding errors are some ten times those of the plain sum. The input gradient goes back through the transposes of
//! these steps, so both share the transformed weights.
//!
//! Invariants: a tile's sums do not depend on which tiles are computed with it; where tiles of the input's gradient overlap, the
//! order of the sum follows from the geometry.

mod arithmetic;
mod gradient;
mod transform;

use super::arithmetic::dispatch;
use super::conv::Geometry;
use super::direct::{Cpu, spread};
use super::products::{Products, Run, with_buffers};
use transform::{Inputs, Outputs};

/// Pixels of an output tile along an axis.
const TILE: usize = 4;
/// Pixels of an input tile along an axis.
const POINTS: usize = TILE + 2;
/// Values of a transformed tile, one per product.
const SQUARE: usize = POINTS * POINTS;

/// Floats of tiles, transformed inputs and products together, that stay in the second cache next to weights.
const CACHED: usize = 80 << 10;
/// Fewest tiles per reading of the weights, where the images have them: fewer would wait for memory.
const LEAST: usize = 64;

/// Cost of transforming a tile of one channel, in multiplications of the plain sum; measured.
const TRANSFORM: usize = 550;

/// Most weights that stay in the second cache, in floats.
const SMALL: usize = 128 << 10;

/// Cost of fetching a weight from beyond the second cache, in multiplications of the plain sum; measured.
const STREAM: usize = 16;

/// A convolution with fixed weights, ready to run.
#[derive(Debug, Clone)]
pub struct Winograd {
    g: Geometry,
    /// Tiles across an image.
    across: usize,
    /// Tiles that go through all three steps together.
    groups: Vec<Group>,
    /// Tiles of a row of tiles, side by side over the images of a group, as whole vectors.
    lanes: usize,
    /// Rows of tiles of a strip.
    height: usize,
    /// Floats from one point's tiles to the next's, on the input's and on the output's side of the products.
    points: [usize; 2],
    /// The products between the transforms.
    products: Products,
}

/// Strips of tiles, side by side: whole images, or parts of one.
#[derive(Debug, Clone)]
struct Group {
    /// Image and first row of tiles of each.
    strips: Vec<[usize; 2]>,
    /// Rows of tiles from here on belong to another group, or to none.
    end: usize,
}

impl Winograd {
    /// Prepares `y = conv(x, w)`, or `None` where it does not apply or where the plain sum is faster (which is judged by the way
    /// forward; back takes about as long).
    pub fn new(g: &Geometry, w: &[f32]) -> Option<Self> {
        let made = Self::unweighted(Cpu::detect(), g)?;
        (made.cost() <= g.batch * g.pixels_out() * g.taps() * g.cin * g.cout).then(|| made.with(w))
    }

    /// As [`Winograd::new`] wherever it applies, for given vectors.
    pub fn on(cpu: Cpu, g: &Geometry, w: &[f32]) -> Option<Self> {
        Some(Self::unweighted(cpu, g)?.with(w))
    }

    fn with(mut self, w: &[f32]) -> Self {
        self.repack(w);
        self
    }

    /// Estimated cost of a run, in multiplications of the plain sum.
    fn cost(&self) -> usize {
        let Geometry { cin, cout, .. } = self.g;
        let (groups, weights) = (self.groups.len(), SQUARE * cin * cout);
        let streamed = if weights > SMALL { groups * weights * STREAM } else { 0 };
        groups * self.height * self.lanes * (weights + TRANSFORM * (cin + cout)) + streamed
    }

    /// Everything but the weights, where it applies.
    fn unweighted(cpu: Cpu, g: &Geometry) -> Option<Self> {
        let kernel = (g.kernel, g.stride, g.dilation, g.group) == ([1, 3, 3], [1; 3], [1; 3], 1);
        let flat = g.input[0] == 1 && g.output[0] == 1 && g.pad.iter().all(|p| (0..=2).contains(p));
        if !kernel || !flat || g.cin * g.cout * g.batch * g.pixels_out() == 0 {
            return None;
        }
        let [down, across] = [1, 2].map(|axis| g.output[axis].div_ceil(TILE));
        let most = (CACHED / (SQUARE * (g.cin + g.cout))).max(LEAST);
        // Equal parts of hardly more than `most` tiles: of the images, or of one image's rows.
        let part = |count: usize, of: usize| count.div_ceil(count.div_ceil((most * 5 / 4 / of).max(1)));
        let images = part(g.batch, down * across);
        let rows = if images > 1 { down } else { part(down, across.next_multiple_of(cpu.lanes)) };
        // Images in as many strips as fill the vectors best.
        let height = |strips: usize| rows.div_ceil(strips);
        let lanes = |strips: usize| (images * strips * across).next_multiple_of(cpu.lanes);
        let strips = (1..=rows).min_by_key(|&s| height(s) * lanes(s)).unwrap_or(1);
        let (height, lanes) = (height(strips), lanes(strips));
        let group = |n: usize, first: usize| {
            let end = (first + rows).min(down);
            let images = n..(n + images).min(g.batch);
            let strips = images.flat_map(|n| (first..end).step_by(height).map(move |row| [n, row])).collect();
            Group { strips, end }
        };
        let groups = (0..g.batch)
            .step_by(images)
            .flat_map(|n| (0..down).step_by(rows).map(move |first| (n, first)))
            .map(|(n, first)| group(n, first))
            .collect();
        // Odd numbers of cache lines: channels and points of a tile then fall into different sets.
        let pitch = spread(height * lanes);
        let points = [g.cin, g.cout].map(|channels| spread(channels * pitch));
        let run = |k: usize| vec![Run { x: k * points[0], y: k * points[1], floats: height * lanes }];
        let runs: Vec<_> = (0..SQUARE).map(run).collect();
        let products = Products::new(cpu, [g.cin, g.cout], pitch, &runs);
        Some(Self { g: *g, across, groups, lanes, height, points, products })
    }

    /// Replaces the weights, by others `[cout, cin, 3, 3]`.
    pub fn repack(&mut self, w: &[f32]) {
        for (k, kernel) in w.chunks_exact(9).enumerate() {
            self.products.set(k / self.g.cin, k % self.g.cin, &transformed(kernel));
        }
    }

    /// Runs the convolution, with a number per output channel on top (none where `bias` is empty); `row` as for
    /// [`Direct::run`](super::direct::Direct::run).
    pub fn run(
        &self,
        mut row: impl FnMut(usize, usize, usize, &mut [f32]),
        bias: &[f32],
        relu: bool,
        y: &mut [f32],
    ) {
        let y = &mut y[..self.g.batch * self.g.cout * self.g.pixels_out()];
        let cpu = self.products.cpu;
        self.with_buffers(|inputs, outputs, scratch| {
            for group in &self.groups {
                dispatch(cpu, Inputs { of: self, group, row: &mut row, scratch, into: inputs });
                self.products.run(inputs, false, outputs);
                dispatch(cpu, Outputs { of: self, group, from: outputs, bias, relu, scratch, y });
            }
        });
    }

    /// Runs `dx = conv(dy, w)ᵀ`, step by step the transpose of [`Winograd::run`]; `row` is for `dy`, and
    /// `dx` starts from zero or from what is there.
    pub fn run_back(&self, mut row: impl FnMut(usize, usize, usize, &mut [f32]), add: bool, dx: &mut [f32]) {
        let dx = &mut dx[..self.g.batch * self.g.cin * self.g.pixels_in()];
        let cpu = self.products.cpu;
        if !add {
            dx.fill(0.0);
        }
        self.with_buffers(|inputs, outputs, scratch| {
            for group in &self.groups {
                dispatch(cpu, gradient::Outputs { of: self, group, row: &mut row, scratch, into: outputs });
                self.products.run_back(outputs, false, inputs);
                dispatch(cpu, gradient::Inputs { of: self, group, from: inputs, scratch, dx });
            }
        });
    }

    /// Calls `f` with this thread's buffers: for points on the input's side of the products, on the output's, and for the
    /// transforms.
    fn with_buffers(&self, f: impl FnOnce(&mut [f32], &mut [f32], &mut [f32])) {
        let [inputs, outputs] = self.points.map(|floats| SQUARE * floats);
        with_buffers([inputs, outputs, self.scratch()], f);
    }

    /// Floats that a transform needs beside its operand and its result.
    fn scratch(&self) -> usize {
        let rows = self.height * TILE + 2;
        rows * (POINTS + 2 * TILE) * self.lanes + (self.lanes + 1) * TILE
    }
}

/// G·w·Gᵀ of a kernel.
fn transformed(kernel: &[f32]) -> [f32; SQUARE] {
    let along = |[a, b, c]: [f32; 3]| -> [f32; POINTS] {
        let (even, odd) = ((a + c) / -6.0, b / -6.0);
        let (wide, half) = (a / 24.0 + c / 6.0, b / 12.0);
        [a / 4.0, even + odd, even - odd, wide + half, wide - half, c]
    };
    let down: [_; 3] = std::array::from_fn(|x| along([kernel[x], kernel[3 + x], kernel[6 + x]]));
    let mut out = [0.0; SQUARE];
    for (y, row) in out.chunks_exact_mut(POINTS).enumerate() {
        row.copy_from_slice(&along([down[0][y], down[1][y], down[2][y]]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::conv;
    use super::super::direct::rows;
    use super::super::direct::tests::{geometry, numbers};
    use super::*;

    fn cases() -> [Geometry; 11] {
        [
            geometry([32, 32], [3, 16], 3, 1, 1, 2),
            geometry([16, 16], [16, 20], 3, 1, 1, 5),
            geometry([8, 8], [64, 9], 3, 1, 1, 16),
            geometry([7, 7], [30, 7], 3, 1, 1, 3),
            geometry([56, 50], [6, 8], 3, 1, 1, 1),
            geometry([9, 12], [5, 3], 3, 1, 0, 2),
            geometry([1, 3], [4, 5], 3, 1, 1, 1),
            geometry([5, 4], [2, 3], 3, 1, 2, 1),
            geometry([2, 2], [200, 11], 3, 1, 1, 9),
            // More weights than the first cache holds, and a last group with fewer images.
            geometry([16, 16], [64, 96], 3, 1, 1, 11),
            // Padding on two sides alone.
            Geometry { output: [1, 8, 9], ..geometry([9, 10], [5, 3], 3, 1, 1, 2) },
        ]
    }

    #[test]
    fn it_gives_what_the_plain_sum_gives() {
        for (g, cpu) in cases().iter().flat_map(|g| [(g, Cpu::detect()), (g, Cpu::portable())]) {
            let (x, w) = (numbers(g.batch * g.cin * g.pixels_in(), 1), numbers(g.cout * g.cin * 9, 2));
            let bias = numbers(g.cout, 3);
            let mut expected = vec![0.0; g.batch * g.cout * g.pixels_out()];
            conv::forward(g, &x, &w, Some(&bias), &mut expected);
            let mut fast = Winograd::on(cpu, g, &numbers(w.len(), 9)).unwrap();
            fast.repack(&w);
            let mut y = vec![9.0; expected.len()];
            fast.run(rows(&x, g.cin, g.pixels_in()), &bias, false, &mut y);
            close(&expected, &y, g);
            fast.run(rows(&x, g.cin, g.pixels_in()), &bias, true, &mut y);
            close(&expected.iter().map(|v| v.max(0.0)).collect::<Vec<_>>(), &y, g);
        }
    }

    #[test]
    fn back_it_gives_what_the_plain_sum_gives() {
        for (g, cpu) in cases().iter().flat_map(|g| [(g, Cpu::detect()), (g, Cpu::portable())]) {
            let (dy, w) = (numbers(g.batch * g.cout * g.pixels_out(), 1), numbers(g.cout * g.cin * 9, 2));
            let mut expected = numbers(g.batch * g.cin * g.pixels_in(), 3);
            let (mut dx, mut again) = (expected.clone(), vec![7.0; expected.len()]);
            conv::backward_input(g, &dy, &w, &mut expected);
            let fast = Winograd::on(cpu, g, &w).unwrap();
            fast.run_back(rows(&dy, g.cout, g.pixels_out()), true, &mut dx);
            close(&expected, &dx, g);
            fast.run_back(rows(&dy, g.cout, g.pixels_out()), false, &mut again);
            let start = numbers(dx.len(), 3);
            again.iter_mut().zip(start).for_each(|(x, start)| *x += start);
            close(&dx, &again, g);
        }
    }

    fn close(a: &[f32], b: &[f32], g: &Geometry) {
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() < 1e-4 * (g.cin as f32).sqrt().max(a.abs()), "{g:?}: element {i}: {a} {b}");
        }
    }
}
