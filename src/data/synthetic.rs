//! Images from nothing, for networks whose data nobody has.
//!
//! *Takes*: a size and a [`Draw`]. *Gives*: an image with what convolutions answer to: smooth shading on a few scales,
//! soft and sharp edges, blobs, correlated colours; over many images mean ≈ 0 and variance ≈ 1. *Never*: claims to look
//! like the training data.

use super::Values;
use super::pixel_layout::Size;
use crate::support::random::Draw;

/// White noise, for inputs that are no images.
pub(super) fn noise(len: usize, mut draw: Draw) -> Vec<f32> {
    (0..len).map(|_| draw.bell()).collect()
}

/// Whole numbers from `low` on and below `end`, each as likely as any.
pub(super) fn whole(len: usize, low: i64, end: i64, mut draw: Draw) -> Vec<f32> {
    let count = usize::try_from(end.saturating_sub(low)).unwrap_or(1).max(1);
    (0..len).map(|_| low as f32 + draw.below(count) as f32).collect()
}

/// An image of mean 0 and variance 1 in the numbers that are taken: the middle of them is 0, and two deviations reach the ends.
pub(super) fn levels(mut image: Vec<f32>, values: Values) -> Vec<f32> {
    if let Values::Whole { low, end } = values {
        let (middle, quarter) = ((low + end - 1) as f32 / 2.0, (end - low) as f32 / 4.0);
        image.iter_mut().for_each(|x| *x = values.nearest(middle + quarter * *x));
    }
    image
}

/// One image: planar, `[channels, height, width]`.
pub(super) fn image(size: Size, mut draw: Draw) -> Vec<f32> {
    let area = size.height * size.width;
    let mut grey = vec![0.0; area];
    shade(&mut grey, size, &mut draw);
    let mut all: Vec<f32> = Vec::with_capacity(size.len());
    for _ in 0..size.channels {
        let mut plane = grey.clone();
        octave(&mut plane, size, 3, 0.4, &mut draw);
        all.extend(plane);
    }
    for _ in 0..5 {
        shape(&mut all, size, &mut draw);
    }
    standardise(&mut all);
    // Contrast and colour cast vary from image to image: E[contrast²] + variance(cast) ≈ 1.
    let contrast = 0.7 + 0.4 * draw.unit();
    for plane in all.chunks_mut(area.max(1)) {
        let cast = 0.42 * draw.bell();
        plane.iter_mut().for_each(|v| *v = *v * contrast + cast);
    }
    all
}

/// Octaves of noise, each twice as fine and a little weaker.
fn shade(plane: &mut [f32], size: Size, draw: &mut Draw) {
    let (mut cells, mut strength) = (2, 1.0);
    while cells <= size.height.max(size.width).max(4) / 2 && cells <= 64 {
        octave(plane, size, cells, strength, draw);
        (cells, strength) = (cells * 2, strength * 0.6);
    }
}

/// Adds random values on a grid of `cells` x `cells`, smoothly interpolated.
fn octave(plane: &mut [f32], size: Size, cells: usize, strength: f32, draw: &mut Draw) {
    let side = cells + 1;
    let grid: Vec<f32> = (0..side * side).map(|_| strength * draw.bell()).collect();
    let place = |i: usize, n: usize| {
        let at = (i as f32 + 0.5) / n as f32 * cells as f32;
        let cell = (at as usize).min(cells - 1);
        let t = at - cell as f32;
        (cell, t * t * (3.0 - 2.0 * t))
    };
    let columns: Vec<_> = (0..size.width).map(|x| place(x, size.width)).collect();
    for (y, row) in plane.chunks_mut(size.width.max(1)).enumerate() {
        let (gy, ty) = place(y, size.height);
        let (above, below) = (&grid[gy * side..], &grid[(gy + 1) * side..]);
        for (v, &(gx, tx)) in row.iter_mut().zip(&columns) {
            let left = above[gx] + (below[gx] - above[gx]) * ty;
            let right = above[gx + 1] + (below[gx + 1] - above[gx + 1]) * ty;
            *v += left + (right - left) * tx;
        }
    }
}

/// Adds a half-plane or a disc of random colour, place and sharpness.
fn shape(all: &mut [f32], size: Size, draw: &mut Draw) {
    let (cy, cx) = (draw.unit() * size.height as f32, draw.unit() * size.width as f32);
    let short = size.height.min(size.width) as f32;
    let softness = 0.5 + draw.unit() * 0.1 * short;
    let radius = (0.08 + 0.25 * draw.unit()) * short;
    let (ny, nx) = (draw.bell(), draw.bell());
    let norm = (ny * ny + nx * nx).sqrt().max(1e-3);
    let disc = draw.below(2) == 1;
    let grey = draw.bell();
    let area = size.height * size.width;
    let mask: Vec<f32> = (0..area)
        .map(|i| {
            let (dy, dx) = ((i / size.width) as f32 - cy, (i % size.width) as f32 - cx);
            let inside = if disc { radius - (dy * dy + dx * dx).sqrt() } else { (dy * ny + dx * nx) / norm };
            (inside / softness + 0.5).clamp(0.0, 1.0)
        })
        .collect();
    for plane in all.chunks_mut(area.max(1)) {
        let colour = 1.2 * grey + 0.5 * draw.bell();
        plane.iter_mut().zip(&mask).for_each(|(v, m)| *v += m * colour);
    }
}

fn standardise(all: &mut [f32]) {
    let n = all.len().max(1) as f32;
    let mean = all.iter().sum::<f32>() / n;
    let variance = all.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n;
    let gain = 1.0 / variance.sqrt().max(1e-3);
    all.iter_mut().for_each(|v| *v = (*v - mean) * gain);
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{Augment, BoundDataset, InputSpec, Values};

    #[test]
    fn images_have_zero_mean_unit_variance_and_are_smooth() {
        let calib = BoundDataset::synthetic(&spec(&[1, 3, 32, 32]), 300, 1);
        let all: Vec<f32> = (0..300).flat_map(|i| sample(&calib, i, 3072)).collect();
        assert!(all.iter().all(|v| v.is_finite()));
        let mean = all.iter().sum::<f32>() / all.len() as f32;
        let variance = all.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / all.len() as f32;
        assert!(mean.abs() < 0.1 && (variance - 1.0).abs() < 0.2, "{mean} {variance}");
        let step = all.chunks(32).flat_map(|r| r.windows(2).map(|p| (p[1] - p[0]).powi(2))).sum::<f32>();
        let step = step / (all.len() as f32 * 31.0 / 32.0);
        assert!(step < 0.4 * variance, "neighbours differ by {step}, white noise by {}", 2.0 * variance);
        assert!(step > 0.005, "flat: {step}");
    }

    #[test]
    fn whole_numbers_stay_in_their_range_and_use_it() {
        let of = |shape: &[usize], low, end| {
            let spec = InputSpec { values: Values::Whole { low, end }, ..spec(shape)[0].clone() };
            let calib = BoundDataset::synthetic(&[spec], 50, 1);
            let len = shape[1..].iter().product();
            (0..50).flat_map(|i| sample(&calib, i, len)).collect::<Vec<f32>>()
        };
        for (shape, low, end) in [(&[1, 20][..], 0, 128), (&[1, 3, 8, 8], 0, 256), (&[1, 1, 8, 8], 0, 2)] {
            let all = of(shape, low, end);
            assert!(
                all.iter().all(|v| v.fract() == 0.0 && (low as f32..end as f32).contains(v)),
                "{shape:?}"
            );
            let share =
                all.iter().filter(|v| **v >= (low + end) as f32 / 2.0).count() as f32 / all.len() as f32;
            assert!((0.35..0.65).contains(&share), "{shape:?}: {share}");
        }
        let calib = BoundDataset::synthetic(
            &[InputSpec { values: Values::Whole { low: 0, end: 2 }, ..spec(&[1, 1, 4, 4])[0].clone() }],
            4,
            1,
        );
        let all = Augment { jitter: true, flip: true, ..Augment::default() };
        let mut out = [0.0; 16];
        calib.write_mixed(0, (&[0, 1, 2, 3], 1), Some(all.seeded(3)), &mut out);
        assert!(out.iter().all(|v| [0.0, 1.0].contains(v)), "{out:?}");
    }

    #[test]
    fn a_sample_depends_on_seed_and_index_alone() {
        let one = |n, seed, i| sample(&BoundDataset::synthetic(&spec(&[1, 3, 8, 8]), n, seed), i, 192);
        assert_eq!(one(5, 1, 3), one(50, 1, 3));
        assert_ne!(one(5, 1, 3), one(5, 1, 4));
        assert_ne!(one(5, 1, 3), one(5, 2, 3));
    }

    #[test]
    fn nhwc_holds_the_same_image_as_nchw() {
        let (a, b) = ([1, 3, 8, 6], [1, 8, 6, 3]);
        let one = |shape: [usize; 4]| sample(&BoundDataset::synthetic(&spec(&shape), 1, 9), 0, 144);
        let (a, b) = (one(a), one(b));
        assert!((0..144).all(|i| a[i] == b[i % 48 * 3 + i / 48]));
    }

    #[test]
    fn any_shape_is_filled_and_inputs_differ() {
        for shape in [&[1, 1, 1, 1][..], &[1, 2, 3, 500], &[1, 7], &[1, 3, 5, 5, 5], &[4], &[1, 0, 3, 3]] {
            let len = shape[1..].iter().product();
            let out = sample(&BoundDataset::synthetic(&spec(shape), 2, 0), 1, len);
            assert!(out.iter().all(|v| v.is_finite() && v.abs() < 20.0), "{shape:?}");
        }
        let two = [spec(&[1, 9]), spec(&[1, 9])].concat();
        let calib = BoundDataset::synthetic(&two, 1, 0);
        let (mut a, mut b) = ([0.0; 9], [0.0; 9]);
        calib.write(0, 0, None, &mut a);
        calib.write(1, 0, None, &mut b);
        assert_ne!(a, b);
        assert!(calib.labels().is_none() && calib.notes()[0].contains("synthetic"));
    }

    #[test]
    fn synthetic_images_can_be_augmented() {
        let calib = BoundDataset::synthetic(&spec(&[1, 1, 8, 8]), 1, 0);
        let (plain, flip) = (sample(&calib, 0, 64), Augment { flip: true, ..Augment::default() });
        let mirrored: Vec<f32> = plain.chunks(8).flat_map(|r| r.iter().rev().copied()).collect();
        let mut out = vec![0.0; 64];
        let mut met = [false; 2];
        for seed in 0..20 {
            calib.write(0, 0, Some(flip.seeded(seed)), &mut out);
            met[usize::from(out == mirrored)] = true;
            assert!(out == plain || out == mirrored);
        }
        assert_eq!(met, [true; 2]);
    }
}
