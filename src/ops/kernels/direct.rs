//! Direct two-dimensional convolution with prepared weights, for f32: no column matrix.
//!
//! A block of eight output channels times three vectors of output pixels stays in registers. The input is first copied into
//! planes with its padding (and, for strides, split by phase), so that every tap of every output vector is one plain load. The
//! caller does that copy and may scale or mask while it does.
//!
//! Invariants: sums run over input channels and taps in a fixed order, so results do not depend on the grouping of pixels.

use super::conv::Geometry;
use std::cell::RefCell;

/// Output channels per block.
const BLOCK: usize = 8;
/// Vectors of pixels per step.
const GROUP: usize = 3;
/// Lanes of a vector.
const LANES: usize = 16;

thread_local! {
    static PLANES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static FLAT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// How output pixels are gathered into vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Sixteen neighbours of one row.
    Full,
    /// Two runs of eight, each within a row.
    Halves,
    /// Sixteen neighbours in rows as wide as the padded input; what falls into the padding is dropped afterwards.
    Flat,
}

/// A convolution with fixed weights, ready to run.
#[derive(Debug, Clone)]
pub struct Direct {
    g: Geometry,
    mode: Mode,
    /// [block][input channel][tap][BLOCK]
    weights: Vec<f32>,
    /// Offset of each tap in a channel's planes.
    taps: Vec<usize>,
    /// Rows and columns of a phase plane.
    plane: [usize; 2],
    /// First input offset of each half vector.
    starts: Vec<usize>,
    /// Output offset of each half vector (within the output of channel 0 of the first image).
    ends: Vec<usize>,
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
    /// Prepares `y = conv(x, w)`, or `None` where this kernel does not apply (not two-dimensional, grouped, too few
    /// pixels per row to be worth it, no suitable CPU).
    pub fn new(g: &Geometry, w: &[f32]) -> Option<Self> {
        let flat = g.input[0] == 1 && g.kernel[0] == 1 && g.output[0] == 1 && g.group == 1;
        let crop = g.pad.iter().any(|&p| p < 0);
        if !available() || !flat || crop || g.batch == 0 {
            return None;
        }
        let g = squash(g);
        let (oh, ow) = (g.output[1], g.output[2]);
        let plane = [
            ((oh - 1) * g.stride[1] + (g.kernel[1] - 1) * g.dilation[1]) / g.stride[1] + 1,
            ((ow - 1) * g.stride[2] + (g.kernel[2] - 1) * g.dilation[2]) / g.stride[2] + 1,
        ];
        let mode = if ow % LANES == 0 {
            Mode::Full
        } else if ow % 8 == 0 && (g.batch * oh * ow / 8).is_multiple_of(2) {
            Mode::Halves
        } else {
            Mode::Flat
        };
        if mode == Mode::Flat && plane[1] > ow + ow / 2 {
            return None;
        }
        let mut direct = Self {
            g,
            mode,
            weights: pack(&g, w),
            taps: taps(&g, plane),
            plane,
            starts: Vec::new(),
            ends: Vec::new(),
        };
        direct.place();
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

    /// Where every half vector of eight pixels reads and writes.
    fn place(&mut self) {
        let g = &self.g;
        let (oh, ow) = (g.output[1], g.output[2]);
        let image_in = g.cin * self.channel();
        let image_out = g.cout * oh * ow;
        for n in 0..g.batch {
            match self.mode {
                Mode::Flat => {
                    // Outputs go to a buffer of rows as wide as the plane, image after image.
                    let length = (oh - 1) * self.plane[1] + ow;
                    for q in (0..length.next_multiple_of(LANES)).step_by(8) {
                        self.starts.push(n * image_in + q);
                        self.ends.push(n * self.flat_image() + q);
                    }
                }
                Mode::Full | Mode::Halves => {
                    for y in 0..oh {
                        for x in (0..ow).step_by(8) {
                            self.starts.push(n * image_in + y * self.plane[1] + x);
                            self.ends.push(n * image_out + y * ow + x);
                        }
                    }
                }
            }
        }
    }

    /// Floats of one channel's planes.
    fn channel(&self) -> usize {
        self.plane[0] * self.plane[1] * self.g.stride[1] * self.g.stride[2]
    }

    /// Floats per image and channel in the flat output buffer.
    fn flat_image(&self) -> usize {
        ((self.g.output[1] - 1) * self.plane[1] + self.g.output[2]).next_multiple_of(LANES)
    }

    /// Runs the convolution. `row(image, channel, y, out)` writes row y of the input into `out` (of the input's width).
    pub fn run(
        &self,
        row: impl FnMut(usize, usize, usize, &mut [f32]),
        start: Start,
        relu: bool,
        y: &mut [f32],
    ) {
        assert!(y.len() >= self.g.batch * self.g.cout * self.g.pixels_out(), "output too short");
        PLANES.with_borrow_mut(|planes| {
            // One vector of slack: a flat run may load past the last row.
            let need = self.g.batch * self.g.cin * self.channel() + self.slack();
            if planes.len() < need {
                planes.resize(need, 0.0);
            }
            self.fill(planes, row);
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `new` made sure that the CPU has AVX-512F; offsets were made by `place` for buffers of these sizes.
            unsafe {
                self.multiply(planes, start, relu, y);
            }
        });
    }

    fn slack(&self) -> usize {
        self.taps.iter().max().copied().unwrap_or(0) + 2 * LANES
    }

    fn fill(&self, planes: &mut [f32], mut row: impl FnMut(usize, usize, usize, &mut [f32])) {
        let g = &self.g;
        let [rows, columns] = self.plane;
        let (sh, sw) = (g.stride[1], g.stride[2]);
        let (left, top) = (g.pad[2] as usize, g.pad[1] as usize);
        let width = g.input[2];
        let mut line = vec![0.0; if sw > 1 { width } else { 0 }];
        for n in 0..g.batch {
            for c in 0..g.cin {
                let base = (n * g.cin + c) * self.channel();
                for v in 0..rows * sh {
                    // Row v of the padded input lies in phase v % sh, at row v / sh.
                    let at = base + (v % sh) * sw * rows * columns + (v / sh) * columns;
                    let inside = v >= top && v - top < g.input[1];
                    if sw == 1 {
                        let out = &mut planes[at..at + columns];
                        if !inside {
                            out.fill(0.0);
                            continue;
                        }
                        let end = (left + width).min(columns);
                        out[..left].fill(0.0);
                        out[end..].fill(0.0);
                        if left + width <= columns {
                            row(n, c, v - top, &mut out[left..end]);
                        } else {
                            let mut whole = vec![0.0; width];
                            row(n, c, v - top, &mut whole);
                            out[left..end].copy_from_slice(&whole[..end - left]);
                        }
                        continue;
                    }
                    if inside {
                        row(n, c, v - top, &mut line);
                    }
                    for p in 0..sw {
                        let out = &mut planes[at + p * rows * columns..][..columns];
                        for (k, o) in out.iter_mut().enumerate() {
                            let x = k * sw + p;
                            let within = inside && x >= left && x - left < width;
                            *o = if within { line[x - left] } else { 0.0 };
                        }
                    }
                }
            }
        }
        let end = g.batch * g.cin * self.channel();
        planes[end..end + self.slack()].fill(0.0);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    unsafe fn multiply(&self, planes: &[f32], start: Start, relu: bool, y: &mut [f32]) {
        let pixels = self.g.pixels_out();
        if self.mode != Mode::Flat {
            for block in 0..self.g.cout.div_ceil(BLOCK) {
                let width = BLOCK.min(self.g.cout - block * BLOCK);
                let out = unsafe { y.as_mut_ptr().add(block * BLOCK * pixels) };
                unsafe { self.block(planes, block, start, relu, out, pixels, width) };
            }
            return;
        }
        FLAT.with_borrow_mut(|flat| {
            let image = self.flat_image();
            let stride = self.g.batch * image;
            if flat.len() < BLOCK * stride {
                flat.resize(BLOCK * stride, 0.0);
            }
            for block in 0..self.g.cout.div_ceil(BLOCK) {
                let width = BLOCK.min(self.g.cout - block * BLOCK);
                unsafe {
                    self.block(
                        planes,
                        block,
                        if let Start::Add = start { Start::Bias(&[]) } else { start },
                        false,
                        flat.as_mut_ptr(),
                        stride,
                        width,
                    )
                };
                self.compact(flat, block, width, start, relu, y);
            }
        });
    }

    /// Takes the valid pixels of a block out of the flat buffer.
    fn compact(&self, flat: &[f32], block: usize, width: usize, start: Start, relu: bool, y: &mut [f32]) {
        let g = &self.g;
        let (oh, ow) = (g.output[1], g.output[2]);
        let image = self.flat_image();
        for j in 0..width {
            for n in 0..g.batch {
                for r in 0..oh {
                    let from = &flat[j * g.batch * image + n * image + r * self.plane[1]..][..ow];
                    let to = &mut y[((n * g.cout + block * BLOCK + j) * oh + r) * ow..][..ow];
                    match (start, relu) {
                        (Start::Add, _) => to.iter_mut().zip(from).for_each(|(t, f)| *t += f),
                        (Start::Bias(_), true) => to.iter_mut().zip(from).for_each(|(t, f)| *t = f.max(0.0)),
                        (Start::Bias(_), false) => to.copy_from_slice(from),
                    }
                }
            }
        }
    }

    /// One block of output channels over all pixels. `out` is where pixel 0 of the block's first channel goes; channels lie
    /// `stride` apart.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[allow(clippy::too_many_arguments)]
    unsafe fn block(
        &self,
        planes: &[f32],
        block: usize,
        start: Start,
        relu: bool,
        out: *mut f32,
        stride: usize,
        width: usize,
    ) {
        let vectors = self.starts.len() / 2;
        let mut v = 0;
        while v < vectors {
            let n = (vectors - v).min(GROUP);
            unsafe {
                match (n, self.mode == Mode::Halves) {
                    (3, false) => self.step::<3, false>(planes, block, v, start, relu, out, stride, width),
                    (2, false) => self.step::<2, false>(planes, block, v, start, relu, out, stride, width),
                    (_, false) => self.step::<1, false>(planes, block, v, start, relu, out, stride, width),
                    (3, true) => self.step::<3, true>(planes, block, v, start, relu, out, stride, width),
                    (2, true) => self.step::<2, true>(planes, block, v, start, relu, out, stride, width),
                    (_, true) => self.step::<1, true>(planes, block, v, start, relu, out, stride, width),
                }
            }
            v += n;
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    #[allow(clippy::too_many_arguments)]
    #[inline]
    unsafe fn step<const N: usize, const HALVES: bool>(
        &self,
        planes: &[f32],
        block: usize,
        v: usize,
        start: Start,
        relu: bool,
        out: *mut f32,
        stride: usize,
        width: usize,
    ) {
        use std::arch::x86_64::*;
        let rows = self.g.cin * self.taps.len();
        let mut w = unsafe { self.weights.as_ptr().add(block * rows * BLOCK) };
        let mut low = [planes.as_ptr(); N];
        let mut high = [planes.as_ptr(); N];
        let mut to_low = [out; N];
        let mut to_high = [out; N];
        for k in 0..N {
            unsafe {
                low[k] = planes.as_ptr().add(self.starts[2 * (v + k)]);
                high[k] = planes.as_ptr().add(self.starts[2 * (v + k) + 1]);
                to_low[k] = out.add(self.ends[2 * (v + k)]);
                to_high[k] = out.add(self.ends[2 * (v + k) + 1]);
            }
        }
        let load = |low: *const f32, high: *const f32| unsafe {
            if HALVES {
                let a = _mm512_castpd256_pd512(_mm256_loadu_pd(low.cast()));
                _mm512_castpd_ps(_mm512_insertf64x4::<1>(a, _mm256_loadu_pd(high.cast())))
            } else {
                _mm512_loadu_ps(low)
            }
        };
        let mut acc = [[_mm512_setzero_ps(); N]; BLOCK];
        for (j, row) in acc.iter_mut().enumerate() {
            let bias = match start {
                Start::Bias(b) => b.get(block * BLOCK + j).copied().unwrap_or(0.0),
                Start::Add => 0.0,
            };
            let b = _mm512_set1_ps(bias);
            for k in 0..N {
                row[k] = b;
            }
        }
        for c in 0..self.g.cin {
            let plane = c * self.channel();
            for &tap in &self.taps {
                let mut x = [_mm512_setzero_ps(); N];
                for k in 0..N {
                    x[k] = unsafe { load(low[k].add(plane + tap), high[k].add(plane + tap)) };
                }
                for (j, row) in acc.iter_mut().enumerate() {
                    let wj = unsafe { _mm512_set1_ps(*w.add(j)) };
                    for k in 0..N {
                        row[k] = _mm512_fmadd_ps(wj, x[k], row[k]);
                    }
                }
                w = unsafe { w.add(BLOCK) };
            }
        }
        let zero = _mm512_setzero_ps();
        for (j, row) in acc.iter().enumerate().take(width) {
            for k in 0..N {
                let mut value = row[k];
                unsafe {
                    let (a, b) = (to_low[k].add(j * stride), to_high[k].add(j * stride));
                    if start == Start::Add {
                        value = _mm512_add_ps(value, load(a, b));
                    }
                    if relu {
                        value = _mm512_max_ps(value, zero);
                    }
                    if HALVES {
                        let v = _mm512_castps_pd(value);
                        _mm256_storeu_pd(a.cast(), _mm512_castpd512_pd256(v));
                        _mm256_storeu_pd(b.cast(), _mm512_extractf64x4_pd::<1>(v));
                    } else {
                        _mm512_storeu_ps(a, value);
                    }
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

fn taps(g: &Geometry, plane: [usize; 2]) -> Vec<usize> {
    let mut out = Vec::with_capacity(g.taps());
    for y in 0..g.kernel[1] {
        for x in 0..g.kernel[2] {
            let (v, u) = (y * g.dilation[1], x * g.dilation[2]);
            let phase = (v % g.stride[1]) * g.stride[2] + u % g.stride[2];
            out.push((phase * plane[0] + v / g.stride[1]) * plane[1] + u / g.stride[2]);
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
