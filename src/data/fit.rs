//! Bringing images to the network's size.
//!
//! *Takes*: a size and what the user asked for. *Gives*: the [`Steps`] to the network's size, or why there are none; and
//! carries them out. *Never*: changes proportions or enlarges unless told to.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Pixel, Rgb};

use super::pixel_layout::{Order, Size};
use super::{Preprocess, Resize};
use crate::Setting;

/// First to size `resize`, then cut `crop` = (top, left) off so that the network's size is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    pub resize: Option<(usize, usize)>,
    pub crop: Option<(usize, usize)>,
}

impl Steps {
    /// True if there is anything to do.
    pub fn any(&self) -> bool {
        self.resize.is_some() || self.crop.is_some()
    }
}

/// No side may become longer than this.
const LONGEST: usize = 1 << 15;

/// The steps from an image of `from` = (height, width) to one of `to`; `Err((reason, way out))` if there are none.
/// With `automatic`, an image of another size is scaled to cover `to` and centre-cropped, if the user said nothing.
pub(super) fn steps(
    pre: &Preprocess,
    from: (usize, usize),
    to: (usize, usize),
    automatic: bool,
) -> Result<Steps, (String, String)> {
    let show = |(h, w): (usize, usize)| format!("{h}x{w}");
    let automatic = automatic && pre.resize.is_none() && pre.crop.is_none();
    if from.0 == 0 || from.1 == 0 {
        return Err((format!("is {}", show(from)), "leave empty images out".into()));
    }
    let size = match pre.resize {
        Some(Resize::Shorter(side)) => shorter(from, side),
        Some(Resize::Exact(height, width)) => (height, width),
        None if automatic => cover(from, to),
        None => from,
    };
    let resize = (size != from).then_some(size);
    if size.0.max(size.1) > LONGEST && resize.is_some() {
        let reason = format!("is {}: resized it would be {}", show(from), show(size));
        return Err((reason, format!("leave it out, or give an exact {} HxW", Setting::Resize)));
    }
    let may_crop = automatic || pre.crop.is_some() || matches!(pre.resize, Some(Resize::Shorter(_)));
    let crop = if size == to {
        None
    } else if may_crop && size.0 >= to.0 && size.1 >= to.1 {
        Some((centre(size.0, to.0), centre(size.1, to.1)))
    } else {
        let resized = resize.map_or(String::new(), |s| format!(", resized to {}", show(s)));
        let reason = format!("is {}{resized}; the network takes {}", show(from), show(to));
        let cut = match from.0 >= to.0 && from.1 >= to.1 {
            true => format!("; {} {} cuts out the centre", Setting::Crop, show(to)),
            false => String::new(),
        };
        let hint = format!("{} {} brings it to size{cut}", Setting::Resize, show(to));
        return Err((reason, hint));
    };
    Ok(Steps { resize, crop })
}

/// Shorter side = `side`, the other in proportion, rounded down as torchvision does.
fn shorter((height, width): (usize, usize), side: usize) -> (usize, usize) {
    let other = |long: usize, short: usize| (long as u128 * side as u128 / short as u128) as usize;
    if height <= width { (side, other(width, height)) } else { (other(height, width), side) }
}

/// The smallest size with the proportions of `from` that covers `to`.
fn cover(from: (usize, usize), to: (usize, usize)) -> (usize, usize) {
    let (h, w) = (from.0 as u128, from.1 as u128);
    if to.0 as u128 * w >= to.1 as u128 * h {
        (to.0, (w * to.0 as u128).div_ceil(h) as usize)
    } else {
        ((h * to.1 as u128).div_ceil(w) as usize, to.1)
    }
}

/// Where the middle `part` of `whole` begins, rounded as torchvision's CenterCrop does.
fn centre(whole: usize, part: usize) -> usize {
    ((whole - part) as f64 / 2.0).round_ties_even() as usize
}

/// Carries out `steps` on uint8 pixels of size `from`, giving an image of size `to`.
pub(super) fn bring(pixels: &[u8], order: Order, from: Size, steps: Steps, to: Size) -> Vec<u8> {
    match steps.resize {
        None => crop(pixels, order, from, steps, to),
        Some((height, width)) => {
            let size = Size { height, width, ..from };
            crop(&resize(pixels, order, from, size), order, size, steps, to)
        }
    }
}

fn resize(pixels: &[u8], order: Order, from: Size, to: Size) -> Vec<u8> {
    if order == Order::Packed && from.channels == 3 {
        return scale::<Rgb<u8>>(pixels.to_vec(), from, to);
    }
    let plane = |c: usize| {
        let n = from.height * from.width;
        let plane: Vec<u8> = match order {
            Order::Planar => pixels[c * n..(c + 1) * n].to_vec(),
            Order::Packed => pixels.iter().skip(c).step_by(from.channels).copied().collect(),
        };
        scale::<Luma<u8>>(plane, from, to)
    };
    let planes: Vec<Vec<u8>> = (0..from.channels).map(plane).collect();
    match order {
        Order::Planar => planes.concat(),
        Order::Packed => (0..to.height * to.width).flat_map(|i| planes.iter().map(move |p| p[i])).collect(),
    }
}

/// Bilinear, the filter widened when shrinking. Nothing comes out if `pixels` are too few, which does not happen.
fn scale<P: Pixel<Subpixel = u8> + 'static>(pixels: Vec<u8>, from: Size, to: Size) -> Vec<u8> {
    let image = ImageBuffer::<P, _>::from_raw(from.width as u32, from.height as u32, pixels);
    let scaled = image.map(|i| imageops::resize(&i, to.width as u32, to.height as u32, FilterType::Triangle));
    scaled.map(ImageBuffer::into_raw).unwrap_or_default()
}

/// Cuts an image of size `to` out of one of size `from`.
pub(super) fn crop<T: Copy>(pixels: &[T], order: Order, from: Size, steps: Steps, to: Size) -> Vec<T> {
    let Some((top, left)) = steps.crop else { return pixels.to_vec() };
    // Rows of `from.width` pixels with `inner` values each, in `outer` planes.
    let (outer, inner) = match order {
        Order::Planar => (from.channels, 1),
        Order::Packed => (1, from.channels),
    };
    let mut out = Vec::with_capacity(to.len());
    for plane in 0..outer {
        for y in 0..to.height {
            let start = ((plane * from.height + top + y) * from.width + left) * inner;
            out.extend_from_slice(&pixels[start..start + to.width * inner]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pre(resize: Option<Resize>, crop: Option<(usize, usize)>) -> Preprocess {
        Preprocess { resize, crop, ..Default::default() }
    }

    fn plan(pre: &Preprocess, from: (usize, usize), to: (usize, usize), automatic: bool) -> Steps {
        steps(pre, from, to, automatic).unwrap()
    }

    #[test]
    fn the_usual_imagenet_pipeline() {
        let p = pre(Some(Resize::Shorter(256)), Some((224, 224)));
        let steps = plan(&p, (375, 500), (224, 224), false);
        assert_eq!(steps, Steps { resize: Some((256, 341)), crop: Some((16, 58)) });
        let steps = plan(&p, (500, 375), (224, 224), false);
        assert_eq!(steps, Steps { resize: Some((341, 256)), crop: Some((58, 16)) });
        assert_eq!(plan(&p, (256, 256), (224, 224), false).resize, None);
    }

    #[test]
    fn without_words_images_are_covered_and_cut() {
        let none = pre(None, None);
        assert_eq!(plan(&none, (32, 32), (32, 32), true), Steps { resize: None, crop: None });
        assert_eq!(
            plan(&none, (60, 40), (32, 32), true),
            Steps { resize: Some((48, 32)), crop: Some((8, 0)) }
        );
        assert_eq!(
            plan(&none, (10, 30), (32, 32), true),
            Steps { resize: Some((32, 96)), crop: Some((0, 32)) }
        );
        assert_eq!(
            plan(&none, (100, 100), (20, 40), true),
            Steps { resize: Some((40, 40)), crop: Some((10, 0)) }
        );
    }

    #[test]
    fn what_does_not_fit_is_said_with_both_sizes() {
        let fail = |p: &Preprocess, from, automatic| steps(p, from, (32, 32), automatic).unwrap_err();
        let (reason, hint) = fail(&pre(None, None), (28, 30), false);
        assert!(
            reason.contains("28x30")
                && reason.contains("32x32")
                && hint.contains("`resize` 32x32")
                && !hint.contains("`crop`"),
            "{reason}"
        );
        assert!(fail(&pre(None, None), (40, 28), false).1.contains("`resize` 32x32"));
        assert!(fail(&pre(None, None), (40, 32), false).1.contains("`crop` 32x32"));
        assert!(fail(&pre(None, Some((32, 32))), (40, 31), true).0.contains("40x31"));
        assert!(fail(&pre(Some(Resize::Exact(48, 48)), None), (9, 9), true).0.contains("resized to 48x48"));
        assert!(fail(&pre(Some(Resize::Shorter(16)), None), (9, 9), true).0.contains("resized to 16x16"));
        assert!(fail(&pre(None, None), (1, 60_000), true).0.contains("60000"));
        assert!(fail(&pre(None, None), (0, 5), true).0.contains("0x5"));
    }

    #[test]
    fn cropping_cuts_the_same_window_in_either_order() {
        let (from, to) =
            (Size { channels: 2, height: 3, width: 4 }, Size { channels: 2, height: 2, width: 2 });
        let steps = Steps { resize: None, crop: Some((1, 2)) };
        let planar: Vec<u8> = (0..24).collect();
        assert_eq!(crop(&planar, Order::Planar, from, steps, to), [6, 7, 10, 11, 18, 19, 22, 23]);
        let packed: Vec<u8> = (0..12).flat_map(|i| [i, i + 12]).collect();
        assert_eq!(crop(&packed, Order::Packed, from, steps, to), [6, 18, 7, 19, 10, 22, 11, 23]);
    }

    #[test]
    fn resizing_averages_in_every_order_and_channel_count() {
        for channels in [1, 3, 4] {
            let from = Size { channels, height: 4, width: 4 };
            let to = Size { channels, height: 2, width: 2 };
            let steps = Steps { resize: Some((2, 2)), crop: None };
            // Left half 10 + c, right half 50 + c.
            let value = |c: usize, x: usize| (if x < 2 { 10 } else { 50 }) + c as u8;
            let planar: Vec<u8> = (0..channels * 16).map(|i| value(i / 16, i % 4)).collect();
            let packed: Vec<u8> = (0..16 * channels).map(|i| value(i % channels, i / channels % 4)).collect();
            let (a, b) = (
                bring(&planar, Order::Planar, from, steps, to),
                bring(&packed, Order::Packed, from, steps, to),
            );
            assert_eq!((a.len(), b.len()), (to.len(), to.len()));
            for (c, y, x) in (0..channels).flat_map(|c| (0..4).map(move |i| (c, i / 2, i % 2))) {
                let (p, q) = (a[(c * 2 + y) * 2 + x], b[(y * 2 + x) * channels + c]);
                let want = value(c, 2 * x);
                assert!(p == q && p.abs_diff(want) <= 8, "channel {c} at {y},{x}: {p}, {q}, about {want}");
            }
        }
    }
}
