//! Copies the input into the planes that the inner loops read.

use super::super::simd::copy;
use super::{Direct, Layout};
use std::ops::Range;

impl Direct {
    /// Fills the planes of some units in this convolution's layout.
    pub(super) fn fill(
        &self,
        planes: &mut [f32],
        units: Range<usize>,
        row: impl FnMut(usize, usize, usize, &mut [f32]),
    ) {
        match self.layout {
            Layout::Panels => self.fill_panels(planes, units, row),
            Layout::Rows => self.fill_rows(planes, units, row),
            Layout::Shifted => self.fill_shifted(planes, units, row),
            Layout::Columns => self.fill_columns(planes, row),
        }
    }

    /// Calls `f(plane, [image, channel], padded row, row of the input or none)`; planes are counted from the first of `images`.
    fn padded_rows(
        &self,
        height: usize,
        images: Range<usize>,
        mut f: impl FnMut(usize, [usize; 2], usize, Option<usize>),
    ) {
        let top = self.g.pad[1] as usize;
        for (plane, at) in images.flat_map(|n| (0..self.g.cin).map(move |c| [n, c])).enumerate() {
            for v in 0..height {
                f(plane, at, v, v.checked_sub(top).filter(|&r| r < self.g.input[1]));
            }
        }
    }

    fn fill_panels(
        &self,
        planes: &mut [f32],
        panels: Range<usize>,
        mut row: impl FnMut(usize, usize, usize, &mut [f32]),
    ) {
        let g = &self.g;
        let (runs, width) = (g.input[1], g.input[2]);
        for (panel, channels) in panels.zip(planes.chunks_exact_mut(g.cin * self.channel)) {
            for (c, out) in channels.chunks_exact_mut(self.channel).enumerate() {
                row(panel / runs, c, panel % runs, &mut out[..width]);
            }
        }
    }

    fn fill_rows(
        &self,
        planes: &mut [f32],
        images: Range<usize>,
        mut row: impl FnMut(usize, usize, usize, &mut [f32]),
    ) {
        let g = &self.g;
        let columns = self.plane[1];
        let (left, width) = (g.pad[2] as usize, g.input[2]);
        let mut line = vec![0.0; if left + width > columns { width } else { 0 }];
        self.padded_rows(self.plane[0], images, |plane, [n, c], v, inside| {
            let out = &mut planes[plane * self.channel + v * columns..][..columns];
            let Some(r) = inside else { return out.fill(0.0) };
            let end = (left + width).min(columns);
            clear(&mut out[..left]);
            clear(&mut out[end..]);
            if line.is_empty() {
                row(n, c, r, &mut out[left..end]);
            } else {
                row(n, c, r, &mut line);
                out[left..end].copy_from_slice(&line[..end - left]);
            }
        });
    }

    fn fill_shifted(
        &self,
        planes: &mut [f32],
        images: Range<usize>,
        mut row: impl FnMut(usize, usize, usize, &mut [f32]),
    ) {
        let g = &self.g;
        let [rows, columns] = self.plane;
        let (left, sw, sh) = (g.pad[2] as usize, g.stride[2], g.stride[1]);
        let reach = (columns - 1) * sw + (g.kernel[2] - 1) * g.dilation[2] + 1;
        let mut line = vec![0.0; reach.max(left + g.input[2])];
        self.padded_rows(rows * sh, images, |plane, [n, c], v, inside| {
            if let Some(r) = inside {
                row(n, c, r, &mut line[left..left + g.input[2]]);
            }
            for x in 0..g.kernel[2] {
                let at = plane * self.channel + ((x * sh + v % sh) * rows + v / sh) * columns;
                let out = &mut planes[at..at + columns];
                let from = x * g.dilation[2];
                match inside {
                    None => out.fill(0.0),
                    Some(_) if sw == 1 => copy(out, &line[from..from + columns]),
                    Some(_) => take_every(sw, &line[from..], out),
                }
            }
        });
    }

    fn fill_columns(&self, planes: &mut [f32], mut row: impl FnMut(usize, usize, usize, &mut [f32])) {
        let g = &self.g;
        let [oh, ow] = [g.output[1], g.output[2]];
        let [top, left] = [g.pad[1] as usize, g.pad[2] as usize];
        let reach =
            |axis: usize| (g.output[axis] - 1) * g.stride[axis] + (g.kernel[axis] - 1) * g.dilation[axis] + 1;
        let (height, width) = (reach(1).max(top + g.input[1]), reach(2).max(left + g.input[2]));
        let mut padded = vec![0.0; height * width];
        for plane in 0..g.batch * g.cin {
            let (n, c) = (plane / g.cin, plane % g.cin);
            for r in 0..g.input[1] {
                row(n, c, r, &mut padded[(top + r) * width + left..][..g.input[2]]);
            }
            for y in 0..g.kernel[1] {
                for x in 0..g.kernel[2] {
                    let tap = c * self.channel + (y * g.kernel[2] + x) * self.stride + n * oh * ow;
                    for (o, out) in planes[tap..tap + oh * ow].chunks_exact_mut(ow).enumerate() {
                        let from =
                            &padded[(o * g.stride[1] + y * g.dilation[1]) * width + x * g.dilation[2]..];
                        match g.stride[2] {
                            1 => copy(out, &from[..ow]),
                            s => take_every(s, from, out),
                        }
                    }
                }
            }
        }
    }
}

/// out[i] = from[i·step]
fn take_every(step: usize, from: &[f32], out: &mut [f32]) {
    let from = &from[..(out.len() - 1) * step + 1];
    if step == 2 {
        let pairs = from.chunks_exact(2);
        let last = pairs.remainder()[0];
        out.iter_mut().zip(pairs).for_each(|(o, pair)| *o = pair[0]);
        out[out.len() - 1] = last;
    } else {
        out.iter_mut().zip(from.chunks(step)).for_each(|(o, group)| *o = group[0]);
    }
}

/// Zeros; mostly a single one, for which a call would cost more.
#[inline(always)]
fn clear(out: &mut [f32]) {
    match out {
        [] => {}
        [one] => *one = 0.0,
        many => many.fill(0.0),
    }
}
