//! Two-dimensional convolution of pictures of a few pixels, with fixed weights, for f32: images are innermost (layout CHWN), so
//! that a vector holds one pixel of several images.
//!
//! Each tap is a matrix of weights, which takes the input's pixels to the output's that it reaches: what lies in the padding is
//! never multiplied (of a 3×3 kernel on 2×2 pixels that is more than half), and the input gradient goes back by these weights.
//!
//! Invariants: an image's sums do not depend on the others; they run over taps and input channels in a fixed order.

use super::conv::Geometry;
use super::direct::{Cpu, spread};
use super::products::{Products, Run, with_buffers};

/// Floats of pixels of all channels that stay in the second cache, next to weights.
const CACHED: usize = 96 << 10;
/// Largest share of the plain sum's multiplications, padding included, at which it is worth it.
const SHARE: f64 = 0.75;

/// A convolution with fixed weights, ready to run.
#[derive(Debug, Clone)]
pub struct Chwn {
    g: Geometry,
    products: Products,
}

impl Chwn {
    /// Prepares `y = conv(x, w)`, or `None` where it does not apply or is not worth it: pictures are large, or hardly padded.
    pub fn new(g: &Geometry, w: &[f32]) -> Option<Self> {
        let cpu = Cpu::detect();
        if (g.cin + g.cout) * pitch(g) > CACHED {
            return None;
        }
        let pairs: usize = taps(g).iter().map(Vec::len).sum();
        let few = pairs as f64 <= SHARE * (g.taps() * g.pixels_out()) as f64;
        if few { Self::on(cpu, g, w) } else { None }
    }

    /// As [`Chwn::new`] wherever it applies (two axes, ungrouped, images fill vectors), for given vectors.
    pub fn on(cpu: Cpu, g: &Geometry, w: &[f32]) -> Option<Self> {
        let flat = g.input[0] == 1 && g.output[0] == 1 && g.kernel[0] == 1 && g.group == 1;
        let size = g.batch * g.cin * g.pixels_in() * g.cout * g.pixels_out() * g.taps();
        if !flat || !g.batch.is_multiple_of(cpu.lanes) || size == 0 {
            return None;
        }
        let runs: Vec<Vec<Run>> = taps(g).into_iter().map(|pairs| runs(&pairs, g.batch)).collect();
        let mut made = Self { g: *g, products: Products::new(cpu, [g.cin, g.cout], pitch(g), &runs) };
        made.repack(w);
        Some(made)
    }

    /// Replaces the weights, by others `[cout, cin, taps]`.
    pub fn repack(&mut self, w: &[f32]) {
        for (k, kernel) in w.chunks_exact(self.g.taps()).enumerate() {
            self.products.set(k / self.g.cin, k % self.g.cin, kernel);
        }
    }

    /// Runs the convolution, with a number per output channel on top (none where `bias` is empty); `row` as for
    /// [`Direct::run`](super::direct::Direct::run).
    pub fn run(
        &self,
        row: impl FnMut(usize, usize, usize, &mut [f32]),
        bias: &[f32],
        relu: bool,
        y: &mut [f32],
    ) {
        let g = &self.g;
        let least = if relu { 0.0 } else { f32::NEG_INFINITY };
        self.with_buffers(|inputs, outputs, line| {
            self.gather(g.cin, g.input, row, line, inputs);
            outputs.fill(0.0);
            self.products.run(inputs, true, outputs);
            self.scatter(g.cout, g.pixels_out(), outputs, y, |o, y, sum| {
                let sum = sum + bias.get(o).copied().unwrap_or(0.0);
                *y = if sum < least { least } else { sum };
            });
        });
    }

    /// Runs `dx = conv(dy, w)ᵀ`; `row` is for `dy`, and `dx` starts from zero or from what is there.
    pub fn run_back(&self, row: impl FnMut(usize, usize, usize, &mut [f32]), add: bool, dx: &mut [f32]) {
        let g = &self.g;
        self.with_buffers(|inputs, outputs, line| {
            self.gather(g.cout, g.output, row, line, outputs);
            inputs.fill(0.0);
            self.products.run_back(outputs, true, inputs);
            self.scatter(g.cin, g.pixels_in(), inputs, dx, |_, x, sum| *x = if add { *x + sum } else { sum });
        });
    }

    /// Calls `f` with this thread's buffers: for the input's pixels, the output's, and a row.
    fn with_buffers(&self, f: impl FnOnce(&mut [f32], &mut [f32], &mut [f32])) {
        let g = &self.g;
        let [inputs, outputs] = [g.cin, g.cout].map(|channels| channels * self.products.pitch);
        with_buffers([inputs, outputs, g.input[2].max(g.output[2])], f);
    }

    /// Rows of pictures to `[channel][pixel][image]`.
    fn gather(
        &self,
        channels: usize,
        [_, height, width]: [usize; 3],
        mut row: impl FnMut(usize, usize, usize, &mut [f32]),
        line: &mut [f32],
        to: &mut [f32],
    ) {
        let (batch, line) = (self.g.batch, &mut line[..width]);
        for (c, to) in to.chunks_exact_mut(self.products.pitch).enumerate().take(channels) {
            for (r, to) in to.chunks_exact_mut(width * batch).enumerate().take(height) {
                for n in 0..batch {
                    row(n, c, r, line);
                    to[n..].iter_mut().step_by(batch).zip(&*line).for_each(|(to, v)| *to = *v);
                }
            }
        }
    }

    /// `[channel][pixel][image]` to pictures, by `put(channel, place, value)`.
    fn scatter(
        &self,
        channels: usize,
        pixels: usize,
        from: &[f32],
        to: &mut [f32],
        put: impl Fn(usize, &mut f32, f32),
    ) {
        let batch = self.g.batch;
        for (c, from) in from.chunks_exact(self.products.pitch).enumerate().take(channels) {
            for n in 0..batch {
                let picture = to[(n * channels + c) * pixels..][..pixels].iter_mut();
                picture.zip(from[n..].iter().step_by(batch)).for_each(|(to, v)| put(c, to, *v));
            }
        }
    }
}

/// Floats from one channel to the next, on both sides.
fn pitch(g: &Geometry) -> usize {
    spread(g.pixels_in().max(g.pixels_out()) * g.batch)
}

/// For each tap: the pixels of the input that it takes, each with the output's that it gives to.
fn taps(g: &Geometry) -> Vec<Vec<[usize; 2]>> {
    let place = |axis: usize, o: usize, tap: usize| {
        let at = (o * g.stride[axis] + tap * g.dilation[axis]).checked_add_signed(-g.pad[axis]);
        at.filter(|&at| at < g.input[axis])
    };
    let pairs = |[v, u]: [usize; 2]| {
        let mut pairs = Vec::new();
        for y in 0..g.output[1] {
            for x in 0..g.output[2] {
                if let (Some(r), Some(c)) = (place(1, y, v), place(2, x, u)) {
                    pairs.push([r * g.input[2] + c, y * g.output[2] + x]);
                }
            }
        }
        pairs
    };
    (0..g.taps()).map(|t| pairs([t / g.kernel[2], t % g.kernel[2]])).collect()
}

/// Pairs of pixels that follow one another on both sides are one run.
fn runs(pairs: &[[usize; 2]], batch: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for [x, y] in pairs.iter().map(|pair| pair.map(|pixel| pixel * batch)) {
        match runs.last_mut() {
            Some(run) if [run.x + run.floats, run.y + run.floats] == [x, y] => run.floats += batch,
            _ => runs.push(Run { x, y, floats: batch }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::super::conv;
    use super::super::direct::rows;
    use super::super::direct::tests::{close, geometry, numbers};
    use super::*;

    fn cases() -> Vec<Geometry> {
        vec![
            geometry([2, 2], [37, 11], 3, 1, 1, 16),
            geometry([4, 4], [5, 9], 3, 1, 1, 16),
            geometry([3, 5], [6, 7], 3, 2, 1, 32),
            geometry([7, 7], [4, 3], 5, 1, 2, 16),
            geometry([1, 1], [200, 6], 3, 1, 1, 48),
            geometry([4, 4], [5, 2], 1, 1, 0, 16),
            geometry([6, 6], [3, 4], 3, 1, 0, 16),
            Geometry { dilation: [1, 2, 2], pad: [0, 2, 2], ..geometry([3, 3], [3, 5], 3, 1, 1, 16) },
        ]
    }

    #[test]
    fn both_ways_agree_with_the_column_form_on_all_vectors() {
        for (g, cpu) in cases().iter().flat_map(|g| [(g, Cpu::detect()), (g, Cpu::portable())]) {
            let (x, w) = (numbers(g.batch * g.cin * g.pixels_in(), 1), numbers(g.cout * g.cin * g.taps(), 2));
            let bias = numbers(g.cout, 3);
            let mut expected = vec![0.0; g.batch * g.cout * g.pixels_out()];
            conv::forward(g, &x, &w, Some(&bias), &mut expected);
            let mut chwn = Chwn::on(cpu, g, &numbers(w.len(), 9)).unwrap();
            chwn.repack(&w);
            let mut y = vec![9.0; expected.len()];
            chwn.run(rows(&x, g.cin, g.pixels_in()), &bias, false, &mut y);
            close(&expected, &y, g);
            chwn.run(rows(&x, g.cin, g.pixels_in()), &bias, true, &mut y);
            close(&expected.iter().map(|v| v.max(0.0)).collect::<Vec<_>>(), &y, g);

            let dy = numbers(expected.len(), 4);
            let mut expected = numbers(x.len(), 5);
            let (mut dx, mut again) = (expected.clone(), vec![7.0; x.len()]);
            conv::backward_input(g, &dy, &w, &mut expected);
            chwn.run_back(rows(&dy, g.cout, g.pixels_out()), true, &mut dx);
            close(&expected, &dx, g);
            chwn.run_back(rows(&dy, g.cout, g.pixels_out()), false, &mut again);
            again.iter_mut().zip(numbers(x.len(), 5)).for_each(|(x, start)| *x += start);
            close(&dx, &again, g);
        }
    }

    #[test]
    fn it_is_taken_for_small_padded_pictures_alone() {
        let lanes = Cpu::detect().lanes;
        let takes = |g: Geometry| Chwn::new(&g, &vec![0.0; g.cout * g.cin * g.taps()]).is_some();
        assert!(takes(geometry([2, 2], [512, 512], 3, 1, 1, lanes)));
        assert!(!takes(geometry([2, 2], [512, 512], 3, 1, 1, lanes - 1)));
        assert!(!takes(geometry([2, 2], [512, 512], 1, 1, 0, lanes)));
        assert!(!takes(geometry([16, 16], [512, 512], 3, 1, 1, lanes)));
    }
}
