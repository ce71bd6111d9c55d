//! Direct two-dimensional convolution with prepared weights, for f32: no matrix of columns where it can be helped.
//!
//! A block of output channels times three vectors of output pixels stays in registers. The input is first copied into planes
//! with its padding, so that every tap of every output vector is one plain load. The caller does that copy, row by row, and
//! may scale or mask while it does.
//!
//! Invariants: sums run over input channels and taps in a fixed order, so results do not depend on the grouping of pixels.

mod gradient;
mod multiply;
mod planes;

use super::conv::Geometry;
use super::simd::copy;
use gradient::Gather;
pub use multiply::Cpu;
use multiply::Multiply;
use std::cell::RefCell;
use std::ops::Range;

/// Largest ratio of lanes to pixels at which every image keeps vectors of its own; beyond it images are put side by side.
const WASTE: f64 = 1.1;

/// Longest run of a pointwise convolution, in pixels: in a longer one each channel would lie in a page of its own.
const LONGEST: usize = 128;

/// Floats in a cache line.
const LINE: usize = 16;

thread_local! {
    static BUFFERS: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Layout of the copy of the input that the inner loops read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Padded rows: every row of the output is made of whole vectors.
    Rows,
    /// For a pointwise convolution: runs of pixels, each with all its channels side by side.
    Panels,
    /// One copy per kernel column, with rows exactly as wide as the output's (which also takes strides apart): the pixels of
    /// an image are one long run.
    Shifted,
    /// One copy per tap, images side by side: the pixels of all images are one long run.
    Columns,
}

/// A convolution with fixed weights, ready to run.
#[derive(Debug, Clone)]
pub struct Direct {
    g: Geometry,
    cpu: Cpu,
    layout: Layout,
    /// Output channels that are computed together: as many as there are registers for, in blocks of nearly one size.
    blocks: Vec<Range<usize>>,
    /// By [block][input channel][tap][channel of the block].
    weights: Vec<f32>,
    /// Offset of each tap in a channel's planes.
    taps: Vec<usize>,
    /// Rows (per row phase) and columns of a plane.
    plane: [usize; 2],
    /// Floats of one channel's planes.
    channel: usize,
    /// Floats from one channel of the output to the next.
    stride: usize,
    /// Vectors of output pixels.
    vectors: Vec<Vector>,
}

/// A vector of output pixels.
#[derive(Debug, Clone, Copy)]
struct Vector {
    /// Offset of its first input (tap 0, channel 0).
    from: usize,
    /// Offset of its first output (channel 0).
    to: usize,
    /// Lanes that are pixels.
    valid: usize,
}

/// Initial value of the outputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start<'a> {
    /// One number per output channel (zeros where the slice is empty).
    Bias(&'a [f32]),
    /// The output's present content.
    Add,
}

impl Direct {
    /// Prepares `y = conv(x, w)` for this CPU, or `None` where this kernel does not apply (not two-dimensional, grouped, a
    /// single image of a few pixels).
    pub fn new(g: &Geometry, w: &[f32]) -> Option<Self> {
        Self::on(Cpu::detect(), g, w)
    }

    /// As [`Direct::new`], for given vectors.
    pub fn on(cpu: Cpu, g: &Geometry, w: &[f32]) -> Option<Self> {
        let mut made = Self::unweighted(cpu, g)?;
        made.repack(w);
        Some(made)
    }

    /// Everything but the weights: [`Direct::run`] cannot be called until it is given some.
    pub(super) fn unweighted(cpu: Cpu, g: &Geometry) -> Option<Self> {
        let flat = g.input[0] == 1 && g.kernel[0] == 1 && g.output[0] == 1 && g.group == 1;
        let crop = g.pad.iter().any(|&p| p < 0);
        // Fewer pixels than two vectors fill too little to be worth it.
        if !flat || crop || g.batch * g.pixels_out() < 2 * cpu.lanes || g.cin * g.cout * g.taps() == 0 {
            return None;
        }
        let g = squash(g, cpu);
        let layout = layout(&g, cpu);
        let (oh, ow) = (g.output[1], g.output[2]);
        let rows = ((oh - 1) * g.stride[1] + (g.kernel[1] - 1) * g.dilation[1]) / g.stride[1] + 1;
        let (plane, copies) = match layout {
            Layout::Panels => ([1, ow], 1),
            Layout::Rows => ([rows, ow + (g.kernel[2] - 1) * g.dilation[2]], 1),
            Layout::Shifted => ([rows, ow], g.kernel[2] * g.stride[1]),
            Layout::Columns => ([g.batch * oh, ow], g.taps()),
        };
        let blocks = parts(g.cout, cpu.block);
        let mut direct = Self {
            g,
            cpu,
            layout,
            weights: Vec::new(),
            blocks,
            taps: Vec::new(),
            plane,
            channel: spread(copies * plane[0] * plane[1]),
            stride: if layout == Layout::Columns { g.batch * oh * ow } else { oh * ow },
            vectors: Vec::new(),
        };
        direct.place_taps();
        direct.place_vectors();
        Some(direct)
    }

    /// Prepares `dx = conv(dy, w)ᵀ` for a convolution of stride 1: again a convolution, with flipped taps and the channel
    /// axes exchanged.
    pub fn transposed(g: &Geometry, w: &[f32]) -> Option<Self> {
        Self::transposed_on(Cpu::detect(), g, w)
    }

    /// As [`Direct::transposed`], for given vectors.
    pub fn transposed_on(cpu: Cpu, g: &Geometry, w: &[f32]) -> Option<Self> {
        let mut made = Self::unweighted_back(cpu, g)?;
        made.repack_transposed(w);
        Some(made)
    }

    /// As [`Direct::transposed_on`], but for the weights.
    pub(super) fn unweighted_back(cpu: Cpu, g: &Geometry) -> Option<Self> {
        Self::unweighted(cpu, &transpose(g)?)
    }

    /// Replaces the weights, by others `[cout, cin, taps]`.
    pub fn repack(&mut self, w: &[f32]) {
        self.weights = pack(&self.g, w, &self.blocks);
    }

    /// Replaces the weights, by others of the convolution that this is the transpose of.
    pub fn repack_transposed(&mut self, w: &[f32]) {
        self.repack(&flip(w, self.g.cin, self.g.cout, self.g.taps()));
    }

    fn place_taps(&mut self) {
        let g = &self.g;
        for y in 0..g.kernel[1] {
            for x in 0..g.kernel[2] {
                let (v, u) = (y * g.dilation[1], x * g.dilation[2]);
                let (row, phase) = (v / g.stride[1], v % g.stride[1]);
                self.taps.push(match self.layout {
                    Layout::Panels => 0,
                    Layout::Rows => v * self.plane[1] + u,
                    Layout::Shifted => ((x * g.stride[1] + phase) * self.plane[0] + row) * self.plane[1],
                    Layout::Columns => (y * g.kernel[2] + x) * self.plane[0] * self.plane[1],
                });
            }
        }
    }

    fn place_vectors(&mut self) {
        let g = &self.g;
        let (oh, ow) = (g.output[1], g.output[2]);
        let (images, runs, length) = match self.layout {
            Layout::Rows | Layout::Panels => (g.batch, oh, ow),
            Layout::Shifted => (g.batch, 1, oh * ow),
            Layout::Columns => (1, 1, g.batch * oh * ow),
        };
        for n in 0..images {
            for run in 0..runs {
                for x in (0..length).step_by(self.cpu.lanes) {
                    let from = match self.layout {
                        Layout::Panels => (n * runs + run) * g.cin * self.channel,
                        _ => n * g.cin * self.channel + run * self.plane[1],
                    };
                    self.vectors.push(Vector {
                        from: from + x,
                        to: n * g.cout * oh * ow + run * ow + x,
                        valid: self.cpu.lanes.min(length - x),
                    });
                }
            }
        }
    }

    /// Runs the convolution. `row(image, channel, y, out)` writes row y of the input into `out` (of the input's width; a
    /// pointwise convolution of stride 1 asks for runs of pixels as if they were rows).
    pub fn run(
        &self,
        mut row: impl FnMut(usize, usize, usize, &mut [f32]),
        start: Start,
        relu: bool,
        y: &mut [f32],
    ) {
        assert!(!self.weights.is_empty(), "a convolution without weights");
        let y = &mut y[..self.g.batch * self.g.cout * self.g.pixels_out()];
        BUFFERS.with_borrow_mut(|[planes, outputs]| {
            if self.layout == Layout::Columns {
                let planes = self.prepare(planes, 0..1, row);
                fit(outputs, y.len());
                if start == Start::Add {
                    self.exchange(y, |side, own| outputs[side].copy_from_slice(own));
                }
                let vectors = &self.vectors;
                // SAFETY: the vectors were placed for buffers of these sizes.
                unsafe { Multiply { direct: self, vectors, planes, base: 0, start, relu, y: outputs }.run() };
                return self.exchange(y, |side, own| own.copy_from_slice(&outputs[side]));
            }
            // Unit by unit: what was just copied is still in the cache.
            let units = self.units();
            for (unit, vectors) in self.vectors.chunks_exact(self.vectors.len() / units).enumerate() {
                let planes = self.prepare(planes, unit..unit + 1, &mut row);
                let base = unit * self.g.cin * self.channel;
                // SAFETY: as above, and a unit's vectors stay within its planes.
                unsafe { Multiply { direct: self, vectors, planes, base, start, relu, y }.run() };
            }
        });
    }

    /// The rows of an input `[batch, cin, height, width]` as they are, for [`Direct::run`] and [`Direct::gradient`].
    pub fn rows<'x>(&self, x: &'x [f32]) -> impl FnMut(usize, usize, usize, &mut [f32]) + 'x {
        rows(x, self.g.cin, self.g.pixels_in())
    }

    /// The rows of a gradient `[batch, cout, height, width]` of the output as they are, for a kernel that takes it back.
    pub fn rows_back<'x>(&self, dy: &'x [f32]) -> impl FnMut(usize, usize, usize, &mut [f32]) + 'x {
        rows(dy, self.g.cout, self.g.pixels_out())
    }

    /// Adds the weight gradient to `dw` `[cout, cin, taps]`; `row` gives the input as for [`Direct::run`], `dy` is the
    /// gradient of the output.
    pub fn gradient(&self, row: impl FnMut(usize, usize, usize, &mut [f32]), dy: &mut [f32], dw: &mut [f32]) {
        BUFFERS.with_borrow_mut(|[planes, outputs]| {
            let planes = self.prepare(planes, 0..self.units(), row);
            let dy = if self.layout == Layout::Columns {
                fit(outputs, dy.len());
                self.exchange(dy, |side, own| outputs[side].copy_from_slice(own));
                outputs
            } else {
                dy
            };
            // SAFETY: the vectors were placed for buffers of these sizes.
            unsafe { Gather { direct: self, planes, dy, dw }.run() };
        });
    }

    /// Number of parts of the input whose vectors are computed together: images, runs of pixels, or one.
    fn units(&self) -> usize {
        match self.layout {
            Layout::Columns => 1,
            Layout::Panels => self.g.batch * self.g.output[1],
            Layout::Rows | Layout::Shifted => self.g.batch,
        }
    }

    /// The input's `units` in this convolution's layout.
    fn prepare<'b>(
        &self,
        planes: &'b mut Vec<f32>,
        units: Range<usize>,
        row: impl FnMut(usize, usize, usize, &mut [f32]),
    ) -> &'b [f32] {
        // One vector of slack: a run's last vector may load past the last row.
        let need = units.len() * self.g.cin * self.channel + self.cpu.lanes;
        fit(planes, need);
        self.fill(planes, units, row);
        planes[need - self.cpu.lanes..need].fill(0.0);
        &planes[..need]
    }

    /// Calls `f` for each channel of each image with its place among images side by side, and its own pixels.
    fn exchange(&self, y: &mut [f32], mut f: impl FnMut(Range<usize>, &mut [f32])) {
        let pixels = self.g.pixels_out();
        for (k, own) in y.chunks_exact_mut(pixels).enumerate() {
            let at = k % self.g.cout * self.stride + k / self.g.cout * pixels;
            f(at..at + pixels, own);
        }
    }
}

/// The rows of `x` `[batch, channels, pixels]` as they are; a row is as long as what it is copied to.
pub(super) fn rows(x: &[f32], channels: usize, pixels: usize) -> impl FnMut(usize, usize, usize, &mut [f32]) {
    move |n, c, r, out| copy(out, &x[(n * channels + c) * pixels + r * out.len()..][..out.len()])
}

/// Grows a buffer to at least `len` floats.
pub(super) fn fit(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}

/// At least `floats`, as an odd number of cache lines: equal pixels of many channels then fall into different sets.
pub(super) fn spread(floats: usize) -> usize {
    (floats.div_ceil(LINE) | 1) * LINE
}

/// The layout that fills the vectors best with the least copying.
fn layout(g: &Geometry, cpu: Cpu) -> Layout {
    let (pixels, width) = (g.pixels_out(), g.output[2]);
    let filled = pixels.next_multiple_of(cpu.lanes) as f64 / pixels as f64;
    if g.stride == [1; 3] && width.is_multiple_of(cpu.lanes) {
        if pointwise(g) && g.output[1] > 1 { Layout::Panels } else { Layout::Rows }
    } else if g.batch > 1 && filled > WASTE {
        Layout::Columns
    } else {
        Layout::Shifted
    }
}

/// True if an output is made from the inputs at its own place.
fn pointwise(g: &Geometry) -> bool {
    g.taps() == 1 && g.stride == [1; 3] && g.pad == [0; 3]
}

/// A pointwise convolution of stride 1 sees runs of pixels instead of a picture: whole vectors, if there is such a divisor.
fn squash(g: &Geometry, cpu: Cpu) -> Geometry {
    if !pointwise(g) {
        return *g;
    }
    let pixels = g.pixels_in();
    let fits = |run: &usize| pixels.is_multiple_of(*run);
    let run =
        (cpu.lanes..=LONGEST).rev().filter(|run| run.is_multiple_of(cpu.lanes)).find(fits).unwrap_or(pixels);
    Geometry { input: [1, pixels / run, run], output: [1, pixels / run, run], ..*g }
}

/// The convolution that takes a gradient back through one of stride 1.
fn transpose(g: &Geometry) -> Option<Geometry> {
    if g.stride != [1; 3] || g.group != 1 {
        return None;
    }
    let pad = std::array::from_fn(|a| ((g.kernel[a] - 1) * g.dilation[a]) as isize - g.pad[a]);
    Some(Geometry { cin: g.cout, cout: g.cin, input: g.output, output: g.input, pad, ..*g })
}

/// `[cout, cin, taps]` with the channel axes exchanged and the taps reversed.
fn flip(w: &[f32], cout: usize, cin: usize, taps: usize) -> Vec<f32> {
    let mut flipped = vec![0.0; w.len()];
    for o in 0..cout {
        for c in 0..cin {
            for t in 0..taps {
                flipped[(c * cout + o) * taps + taps - 1 - t] = w[(o * cin + c) * taps + t];
            }
        }
    }
    flipped
}

/// `n` in parts of at most `most` that differ by one at most.
pub(super) fn parts(n: usize, most: usize) -> Vec<Range<usize>> {
    let count = n.div_ceil(most);
    (0..count).map(|k| k * n / count..(k + 1) * n / count).collect()
}

/// Weights by block, input channel, tap and channel within the block.
fn pack(g: &Geometry, w: &[f32], blocks: &[Range<usize>]) -> Vec<f32> {
    let rows = g.cin * g.taps();
    let mut out = Vec::with_capacity(w.len());
    for block in blocks {
        for r in 0..rows {
            out.extend(block.clone().map(|o| w[o * rows + r]));
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::conv;
    use super::*;

    pub fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 2_654_435_761 + seed * 97) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    pub fn geometry(
        size: [usize; 2],
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        pad: isize,
        batch: usize,
    ) -> Geometry {
        let out = |n: usize| (n + 2 * pad as usize - kernel) / stride + 1;
        Geometry {
            batch,
            cin: channels[0],
            cout: channels[1],
            group: 1,
            input: [1, size[0], size[1]],
            output: [1, out(size[0]), out(size[1])],
            kernel: [1, kernel, kernel],
            stride: [1, stride, stride],
            dilation: [1; 3],
            pad: [0, pad, pad],
        }
    }

    fn cases() -> Vec<Geometry> {
        vec![
            geometry([32, 32], [3, 16], 3, 1, 1, 2),
            geometry([16, 16], [5, 20], 3, 1, 1, 1),
            geometry([8, 8], [7, 9], 3, 1, 1, 3),
            geometry([14, 14], [4, 8], 3, 1, 1, 2),
            geometry([7, 10], [4, 3], 3, 1, 1, 1),
            geometry([32, 32], [4, 8], 3, 2, 1, 1),
            geometry([15, 31], [4, 8], 5, 2, 2, 2),
            geometry([9, 11], [6, 10], 1, 1, 0, 2),
            geometry([16, 16], [6, 10], 1, 2, 0, 1),
            geometry([12, 12], [2, 2], 5, 1, 0, 1),
            geometry([28, 28], [2, 3], 7, 2, 3, 1),
            geometry([2, 2], [5, 11], 3, 1, 1, 9),
            geometry([7, 7], [6, 5], 3, 1, 1, 3),
            geometry([8, 8], [3, 4], 3, 2, 1, 4),
            geometry([3, 3], [7, 9], 1, 1, 0, 5),
        ]
    }

    fn agree(cpu: Cpu, g: &Geometry) {
        let (x, w) = (numbers(g.batch * g.cin * g.pixels_in(), 1), numbers(g.cout * g.cin * g.taps(), 2));
        let bias = numbers(g.cout, 3);
        let mut expected = vec![0.0; g.batch * g.cout * g.pixels_out()];
        conv::forward(g, &x, &w, Some(&bias), &mut expected);
        let direct = Direct::on(cpu, g, &w).unwrap();
        let mut y = vec![9.0; expected.len()];
        direct.run(direct.rows(&x), Start::Bias(&bias), false, &mut y);
        close(&expected, &y, g);
        direct.run(direct.rows(&x), Start::Bias(&bias), true, &mut y);
        close(&expected.iter().map(|v| v.max(0.0)).collect::<Vec<_>>(), &y, g);

        let mut dy = numbers(expected.len(), 4);
        let mut expected = numbers(w.len(), 6);
        let mut dw = expected.clone();
        conv::backward_weights(g, &x, &dy, &mut expected);
        direct.gradient(direct.rows(&x), &mut dy, &mut dw);
        close(&expected, &dw, g);

        let Some(back) = Direct::transposed_on(cpu, g, &w) else { return };
        let mut expected = numbers(x.len(), 5);
        let mut dx = expected.clone();
        conv::backward_input(g, &dy, &w, &mut expected);
        back.run(back.rows(&dy), Start::Add, false, &mut dx);
        close(&expected, &dx, g);
    }

    #[test]
    fn forward_transposed_and_gradient_agree_with_the_column_form_on_all_vectors() {
        for g in cases() {
            agree(Cpu::detect(), &g);
            agree(Cpu::portable(), &g);
        }
    }

    pub fn close(a: &[f32], b: &[f32], g: &Geometry) {
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{g:?}: element {i}: {a} {b}");
        }
    }
}
