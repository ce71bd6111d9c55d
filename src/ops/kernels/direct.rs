//! Direct two-dimensional convolution with prepared weights, for f32: no column matrix.
//!
//! A block of eight output channels times three vectors of output pixels stays in registers. The input is first copied into
//! planes with its padding, so that every tap of every output vector is one plain load: rows as they are where a row is made
//! of whole vectors, else one copy per kernel column with rows exactly as wide as the output's (which also takes strides
//! apart). The caller does that copy and may scale or mask while it does.
//!
//! Invariants: sums run over input channels and taps in a fixed order, so results do not depend on the grouping of pixels.

#![allow(clippy::needless_range_loop, reason = "one index runs over several arrays of fixed size")]

use super::conv::Geometry;
use std::cell::RefCell;

/// Output channels per block.
const BLOCK: usize = 8;
/// Vectors of pixels per step.
const GROUP: usize = 3;
/// Lanes of a vector.
const LANES: usize = 16;
/// Fewer output pixels than this fill too few vectors to be worth it.
const FEWEST: usize = 32;

thread_local! {
    static PLANES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A convolution with fixed weights, ready to run.
#[derive(Debug, Clone)]
pub struct Direct {
    g: Geometry,
    /// One copy of the input per kernel column, with rows as wide as the output's; else padded rows.
    shifted: bool,
    /// [block][input channel][tap][BLOCK]
    weights: Vec<f32>,
    /// Offset of each tap in a channel's planes.
    taps: Vec<usize>,
    /// Rows (per row phase) and columns of a plane.
    plane: [usize; 2],
    /// Vectors of output pixels.
    vectors: Vec<Vector>,
}

/// Sixteen output pixels (fewer at an image's end).
#[derive(Debug, Clone, Copy)]
struct Vector {
    /// Offset of its first input (tap 0, channel 0).
    from: usize,
    /// Offset of its first output (channel 0).
    to: usize,
    /// Valid lanes.
    mask: u16,
}

/// Taps times input channels per pass: the inputs of three vectors then fit the first cache.
const CHUNK: usize = 144;

/// A block of output channels over some input channels.
#[derive(Debug, Clone)]
struct Part<'a> {
    block: usize,
    channels: std::ops::Range<usize>,
    start: Start<'a>,
    relu: bool,
}

/// What the outputs start from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start<'a> {
    /// One number per output channel (zeros where the slice is empty).
    Bias(&'a [f32]),
    /// What is in the output already.
    Add,
}

/// True if this CPU has what the kernel needs.
pub fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

impl Direct {
    /// Prepares `y = conv(x, w)`, or `None` where this kernel does not apply (not two-dimensional, grouped, too few pixels, no
    /// suitable CPU).
    pub fn new(g: &Geometry, w: &[f32]) -> Option<Self> {
        let flat = g.input[0] == 1 && g.kernel[0] == 1 && g.output[0] == 1 && g.group == 1;
        let crop = g.pad.iter().any(|&p| p < 0);
        if !available() || !flat || crop || g.batch == 0 || g.pixels_out() < FEWEST {
            return None;
        }
        let g = squash(g);
        let (oh, ow) = (g.output[1], g.output[2]);
        let shifted = !ow.is_multiple_of(LANES) || g.stride != [1; 3];
        let rows = ((oh - 1) * g.stride[1] + (g.kernel[1] - 1) * g.dilation[1]) / g.stride[1] + 1;
        let columns = if shifted { ow } else { ow + (g.kernel[2] - 1) * g.dilation[2] };
        let plane = [rows, columns];
        let mut direct =
            Self { g, shifted, weights: pack(&g, w), taps: Vec::new(), plane, vectors: Vec::new() };
        direct.place_taps();
        direct.place_vectors();
        Some(direct)
    }

    /// Prepares `dx = conv(dy, w)ᵀ` for a convolution of stride 1: again a convolution, with flipped taps and the channel
    /// axes exchanged.
    pub fn transposed(g: &Geometry, w: &[f32]) -> Option<Self> {
        if g.stride != [1; 3] || g.group != 1 {
            return None;
        }
        let taps = g.taps();
        let mut flipped = vec![0.0; w.len()];
        for o in 0..g.cout {
            for c in 0..g.cin {
                for t in 0..taps {
                    flipped[(c * g.cout + o) * taps + taps - 1 - t] = w[(o * g.cin + c) * taps + t];
                }
            }
        }
        let mut pad = [0; 3];
        for a in 0..3 {
            pad[a] = ((g.kernel[a] - 1) * g.dilation[a]) as isize - g.pad[a];
        }
        let back = Geometry { cin: g.cout, cout: g.cin, input: g.output, output: g.input, pad, ..*g };
        Self::new(&back, &flipped)
    }

    fn place_taps(&mut self) {
        let g = &self.g;
        for y in 0..g.kernel[1] {
            for x in 0..g.kernel[2] {
                let (v, u) = (y * g.dilation[1], x * g.dilation[2]);
                let (row, phase) = (v / g.stride[1], v % g.stride[1]);
                self.taps.push(if self.shifted {
                    ((x * g.stride[1] + phase) * self.plane[0] + row) * self.plane[1]
                } else {
                    v * self.plane[1] + u
                });
            }
        }
    }

    fn place_vectors(&mut self) {
        let g = &self.g;
        let (oh, ow) = (g.output[1], g.output[2]);
        // Shifted planes have the output's rows: pixels are one long run.
        let (runs, length) = if self.shifted { (1, oh * ow) } else { (oh, ow) };
        for n in 0..g.batch {
            for run in 0..runs {
                for x in (0..length).step_by(LANES) {
                    let lanes = LANES.min(length - x);
                    self.vectors.push(Vector {
                        from: n * g.cin * self.channel() + run * self.plane[1] + x,
                        to: n * g.cout * oh * ow + run * ow + x,
                        mask: (((1u32 << lanes) - 1) & 0xffff) as u16,
                    });
                }
            }
        }
    }

    /// Floats of one channel's planes.
    fn channel(&self) -> usize {
        let copies = if self.shifted { self.g.kernel[2] * self.g.stride[1] } else { 1 };
        copies * self.plane[0] * self.plane[1]
    }

    /// Runs the convolution. `row(image, channel, y, out)` writes row y of the input into `out` (of the input's width; a
    /// pointwise convolution of stride 1 asks for the whole picture as one row).
    pub fn run(
        &self,
        row: impl FnMut(usize, usize, usize, &mut [f32]),
        start: Start,
        relu: bool,
        y: &mut [f32],
    ) {
        assert!(y.len() >= self.g.batch * self.g.cout * self.g.pixels_out(), "output too short");
        PLANES.with_borrow_mut(|planes| {
            // One vector of slack: a run's last vector may load past the last row.
            let need = self.g.batch * self.g.cin * self.channel() + LANES;
            if planes.len() < need {
                planes.resize(need, 0.0);
            }
            if self.shifted {
                self.fill_shifted(planes, row);
            } else {
                self.fill_rows(planes, row);
            }
            planes[need - LANES..need].fill(0.0);
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `new` made sure that the CPU has AVX-512F; the vectors were placed for buffers of these sizes.
            unsafe {
                self.multiply(planes, start, relu, y);
            }
        });
    }

    /// Calls `f(image·channel, padded row, row of the input or none)`.
    fn padded_rows(&self, height: usize, mut f: impl FnMut(usize, usize, Option<usize>)) {
        let top = self.g.pad[1] as usize;
        for plane in 0..self.g.batch * self.g.cin {
            for v in 0..height {
                f(plane, v, v.checked_sub(top).filter(|&r| r < self.g.input[1]));
            }
        }
    }

    fn fill_rows(&self, planes: &mut [f32], mut row: impl FnMut(usize, usize, usize, &mut [f32])) {
        let g = &self.g;
        let columns = self.plane[1];
        let (left, width) = (g.pad[2] as usize, g.input[2]);
        let mut line = vec![0.0; if left + width > columns { width } else { 0 }];
        self.padded_rows(self.plane[0], |plane, v, inside| {
            let out = &mut planes[plane * self.channel() + v * columns..][..columns];
            let Some(r) = inside else { return out.fill(0.0) };
            let end = (left + width).min(columns);
            out[..left].fill(0.0);
            out[end..].fill(0.0);
            if line.is_empty() {
                row(plane / g.cin, plane % g.cin, r, &mut out[left..end]);
            } else {
                row(plane / g.cin, plane % g.cin, r, &mut line);
                out[left..end].copy_from_slice(&line[..end - left]);
            }
        });
    }

    fn fill_shifted(&self, planes: &mut [f32], mut row: impl FnMut(usize, usize, usize, &mut [f32])) {
        let g = &self.g;
        let [rows, columns] = self.plane;
        let (left, sw, sh) = (g.pad[2] as usize, g.stride[2], g.stride[1]);
        let reach = (columns - 1) * sw + (g.kernel[2] - 1) * g.dilation[2] + 1;
        let mut line = vec![0.0; reach.max(left + g.input[2])];
        self.padded_rows(rows * sh, |plane, v, inside| {
            if let Some(r) = inside {
                row(plane / g.cin, plane % g.cin, r, &mut line[left..left + g.input[2]]);
            }
            for x in 0..g.kernel[2] {
                let at = plane * self.channel() + ((x * sh + v % sh) * rows + v / sh) * columns;
                let out = &mut planes[at..at + columns];
                let from = x * g.dilation[2];
                match inside {
                    None => out.fill(0.0),
                    Some(_) if sw == 1 => out.copy_from_slice(&line[from..from + columns]),
                    Some(_) => out.iter_mut().zip(line[from..].iter().step_by(sw)).for_each(|(o, l)| *o = *l),
                }
            }
        });
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    unsafe fn multiply(&self, planes: &[f32], start: Start, relu: bool, y: &mut [f32]) {
        // Inputs of a few channels stay in the first cache while all blocks of output channels use them.
        let few = (CHUNK / self.taps.len()).max(8);
        for first in (0..self.g.cin).step_by(few) {
            let channels = first..(first + few).min(self.g.cin);
            let relu = relu && channels.end == self.g.cin;
            let start = if first == 0 { start } else { Start::Add };
            for vectors in self.vectors.chunks(GROUP) {
                for block in 0..self.g.cout.div_ceil(BLOCK) {
                    let part = Part { block, channels: channels.clone(), start, relu };
                    // SAFETY: as for `multiply` itself.
                    unsafe {
                        match vectors.len() {
                            3 => self.step::<3>(planes, &part, vectors, y),
                            2 => self.step::<2>(planes, &part, vectors, y),
                            _ => self.step::<1>(planes, &part, vectors, y),
                        }
                    }
                }
            }
        }
    }

    /// One block of output channels at N vectors of pixels.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn step<const N: usize>(&self, planes: &[f32], part: &Part, vectors: &[Vector], y: &mut [f32]) {
        use std::arch::x86_64::*;
        let Part { block, ref channels, start, relu } = *part;
        let pixels = self.g.pixels_out();
        let mut w = unsafe {
            self.weights.as_ptr().add((block * self.g.cin + channels.start) * self.taps.len() * BLOCK)
        };
        let mut from = [planes.as_ptr(); N];
        for k in 0..N {
            from[k] = unsafe { planes.as_ptr().add(vectors[k].from) };
        }
        let mut acc = [[_mm512_setzero_ps(); N]; BLOCK];
        if let Start::Bias(bias) = start {
            for j in 0..BLOCK {
                let b = _mm512_set1_ps(bias.get(block * BLOCK + j).copied().unwrap_or(0.0));
                for k in 0..N {
                    acc[j][k] = b;
                }
            }
        }
        for c in channels.clone() {
            let plane = c * self.channel();
            for &tap in &self.taps {
                let mut x = [_mm512_setzero_ps(); N];
                for k in 0..N {
                    x[k] = unsafe { _mm512_loadu_ps(from[k].add(plane + tap)) };
                }
                for j in 0..BLOCK {
                    let wj = unsafe { _mm512_set1_ps(*w.add(j)) };
                    for k in 0..N {
                        acc[j][k] = _mm512_fmadd_ps(wj, x[k], acc[j][k]);
                    }
                }
                w = unsafe { w.add(BLOCK) };
            }
        }
        let width = BLOCK.min(self.g.cout - block * BLOCK);
        let zero = _mm512_setzero_ps();
        // Constant bounds keep the accumulators in registers: no index into them may depend on data.
        for j in 0..BLOCK {
            if j >= width {
                break;
            }
            for k in 0..N {
                let mut value = acc[j][k];
                unsafe {
                    let out = y.as_mut_ptr().add(vectors[k].to + (block * BLOCK + j) * pixels);
                    if start == Start::Add {
                        value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(vectors[k].mask, out));
                    }
                    if relu {
                        value = _mm512_max_ps(value, zero);
                    }
                    _mm512_mask_storeu_ps(out, vectors[k].mask, value);
                }
            }
        }
    }
}

/// A pointwise convolution of stride 1 sees one long row instead of a picture.
fn squash(g: &Geometry) -> Geometry {
    let pointwise = g.taps() == 1 && g.stride == [1; 3] && g.pad == [0; 3];
    if !pointwise {
        return *g;
    }
    Geometry { input: [1, 1, g.pixels_in()], output: [1, 1, g.pixels_out()], ..*g }
}

/// Weights by block, input channel, tap and channel within the block; missing channels are zero.
fn pack(g: &Geometry, w: &[f32]) -> Vec<f32> {
    let taps = g.taps();
    let rows = g.cin * taps;
    let blocks = g.cout.div_ceil(BLOCK);
    let mut out = vec![0.0; blocks * rows * BLOCK];
    for o in 0..g.cout {
        for r in 0..rows {
            out[((o / BLOCK) * rows + r) * BLOCK + o % BLOCK] = w[o * rows + r];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::conv;
    use super::*;

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 2_654_435_761 + seed * 97) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    fn geometry(
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
        ]
    }

    #[test]
    fn forward_and_transposed_agree_with_the_column_form() {
        for g in cases() {
            let (x, w) = (numbers(g.batch * g.cin * g.pixels_in(), 1), numbers(g.cout * g.cin * g.taps(), 2));
            let bias = numbers(g.cout, 3);
            let mut expected = vec![0.0; g.batch * g.cout * g.pixels_out()];
            conv::forward(&g, &x, &w, Some(&bias), &mut expected);
            let Some(direct) = Direct::new(&g, &w) else { continue };
            let copy = |x: &[f32], channels: usize, [_, h, wd]: [usize; 3]| {
                let x = x.to_vec();
                move |n: usize, c: usize, r: usize, out: &mut [f32]| {
                    // A squashed pointwise convolution asks for one long row.
                    let len = out.len();
                    out.copy_from_slice(&x[(n * channels + c) * h * wd + r * len..][..len]);
                }
            };
            let mut y = vec![9.0; expected.len()];
            direct.run(copy(&x, g.cin, g.input), Start::Bias(&bias), false, &mut y);
            close(&expected, &y, &g);
            direct.run(copy(&x, g.cin, g.input), Start::Bias(&bias), true, &mut y);
            close(&expected.iter().map(|v| v.max(0.0)).collect::<Vec<_>>(), &y, &g);

            let Some(back) = Direct::transposed(&g, &w) else { continue };
            let dy = numbers(expected.len(), 4);
            let mut expected = numbers(x.len(), 5);
            let mut dx = expected.clone();
            conv::backward_input(&g, &dy, &w, &mut expected);
            back.run(copy(&dy, g.cout, g.output), Start::Add, false, &mut dx);
            close(&expected, &dx, &g);
        }
    }

    fn close(a: &[f32], b: &[f32], g: &Geometry) {
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{g:?}: element {i}: {a} {b}");
        }
    }
}
