//! Bringing images to the network's size.
//!
//! *Takes*: a size and what the user asked for. *Gives*: the [`Steps`] to the network's size, or why there are none; and
//! carries them out. *Never*: changes proportions or enlarges unless told to.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, Pixel, Rgb};

use super::pixel_layout::{Order, Sides, Size};
use super::{Preprocess, Resize};
use crate::Setting;

/// First to the sides `resize`, then what is left from the corner `crop` on, as large as the network's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    pub resize: Option<Sides>,
    pub crop: Option<Corner>,
}

/// Rows and columns that are cut off above and left of what stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Corner {
    pub top: usize,
    pub left: usize,
}

impl Steps {
    /// True if there is anything to do.
    pub fn any(&self) -> bool {
        self.resize.is_some() || self.crop.is_some()
    }
}

/// Longest side that an image may become, in pixels.
const LONGEST: usize = 1 << 15;

/// The steps from an image of the sides `from` to one of `to`; `Err((reason, way out))` if there are none. With `automatic`, an
/// image of other sides is scaled to cover `to` and cut to its centre, if the user said nothing.
pub(super) fn steps(
    pre: &Preprocess,
    from: Sides,
    to: Sides,
    automatic: bool,
) -> Result<Steps, (String, String)> {
    let automatic = automatic && pre.resize.is_none() && pre.crop.is_none();
    if from.height == 0 || from.width == 0 {
        return Err((format!("is {from}"), "leave empty images out".into()));
    }
    let size = match pre.resize {
        Some(Resize::Shorter(side)) => shorter(from, side),
        Some(Resize::Exact(height, width)) => Sides { height, width },
        None if automatic => cover(from, to),
        None => from,
    };
    let resize = (size != from).then_some(size);
    if size.height.max(size.width) > LONGEST && resize.is_some() {
        let reason = format!("is {from}: resized it would be {size}");
        return Err((reason, format!("leave it out, or give an exact {} HxW", Setting::Resize)));
    }
    let may_crop = automatic || pre.crop.is_some() || matches!(pre.resize, Some(Resize::Shorter(_)));
    let crop = if size == to {
        None
    } else if may_crop && size.hold(to) {
        Some(Corner { top: centre(size.height, to.height), left: centre(size.width, to.width) })
    } else {
        let resized = resize.map_or(String::new(), |sides| format!(", resized to {sides}"));
        let reason = format!("is {from}{resized}; the network takes {to}");
        let cut = match from.hold(to) {
            true => format!("; {} {to} cuts out the centre", Setting::Crop),
            false => String::new(),
        };
        let hint = format!("{} {to} brings it to size{cut}", Setting::Resize);
        return Err((reason, hint));
    };
    Ok(Steps { resize, crop })
}

/// Shorter side = `side`, the other in proportion, rounded down as torchvision does.
fn shorter(Sides { height, width }: Sides, side: usize) -> Sides {
    let other = |long: usize, short: usize| (long as u128 * side as u128 / short as u128) as usize;
    match height <= width {
        true => Sides { height: side, width: other(width, height) },
        false => Sides { height: other(height, width), width: side },
    }
}

/// The smallest sides with the proportions of `from` that cover `to`.
fn cover(from: Sides, to: Sides) -> Sides {
    let (h, w) = (from.height as u128, from.width as u128);
    if to.height as u128 * w >= to.width as u128 * h {
        Sides { height: to.height, width: (w * to.height as u128).div_ceil(h) as usize }
    } else {
        Sides { height: (h * to.width as u128).div_ceil(w) as usize, width: to.width }
    }
}

/// Offset of the middle `part` of `whole`, rounded as torchvision's CenterCrop does.
fn centre(whole: usize, part: usize) -> usize {
    ((whole - part) as f64 / 2.0).round_ties_even() as usize
}

/// Carries out `steps` on uint8 pixels of size `from`, giving an image of size `to`.
pub(super) fn bring(pixels: &[u8], order: Order, from: Size, steps: Steps, to: Size) -> Vec<u8> {
    match steps.resize {
        None => crop(pixels, order, from, steps, to),
        Some(Sides { height, width }) => {
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
    let Some(Corner { top, left }) = steps.crop else { return pixels.to_vec() };
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

    fn sides([height, width]: [usize; 2]) -> Sides {
        Sides { height, width }
    }

    /// The steps, by height and width.
    fn plan(pre: &Preprocess, from: [usize; 2], to: [usize; 2], automatic: bool) -> Steps {
        steps(pre, sides(from), sides(to), automatic).unwrap()
    }

    /// Steps to the sides `resize`, from the corner [top, left] on.
    fn done(resize: Option<[usize; 2]>, crop: Option<[usize; 2]>) -> Steps {
        Steps { resize: resize.map(sides), crop: crop.map(|[top, left]| Corner { top, left }) }
    }

    #[test]
    fn the_usual_imagenet_pipeline() {
        let p = pre(Some(Resize::Shorter(256)), Some((224, 224)));
        let steps = plan(&p, [375, 500], [224, 224], false);
        assert_eq!(steps, done(Some([256, 341]), Some([16, 58])));
        let steps = plan(&p, [500, 375], [224, 224], false);
        assert_eq!(steps, done(Some([341, 256]), Some([58, 16])));
        assert_eq!(plan(&p, [256, 256], [224, 224], false).resize, None);
    }

    #[test]
    fn without_words_images_are_covered_and_cut() {
        let none = pre(None, None);
        assert_eq!(plan(&none, [32, 32], [32, 32], true), done(None, None));
        assert_eq!(plan(&none, [60, 40], [32, 32], true), done(Some([48, 32]), Some([8, 0])));
        assert_eq!(plan(&none, [10, 30], [32, 32], true), done(Some([32, 96]), Some([0, 32])));
        assert_eq!(plan(&none, [100, 100], [20, 40], true), done(Some([40, 40]), Some([10, 0])));
    }

    #[test]
    fn what_does_not_fit_is_said_with_both_sizes() {
        let fail =
            |p: &Preprocess, from, automatic| steps(p, sides(from), sides([32, 32]), automatic).unwrap_err();
        let (reason, hint) = fail(&pre(None, None), [28, 30], false);
        assert!(
            reason.contains("28x30")
                && reason.contains("32x32")
                && hint.contains("`resize` 32x32")
                && !hint.contains("`crop`"),
            "{reason}"
        );
        assert!(fail(&pre(None, None), [40, 28], false).1.contains("`resize` 32x32"));
        assert!(fail(&pre(None, None), [40, 32], false).1.contains("`crop` 32x32"));
        assert!(fail(&pre(None, Some((32, 32))), [40, 31], true).0.contains("40x31"));
        assert!(fail(&pre(Some(Resize::Exact(48, 48)), None), [9, 9], true).0.contains("resized to 48x48"));
        assert!(fail(&pre(Some(Resize::Shorter(16)), None), [9, 9], true).0.contains("resized to 16x16"));
        assert!(fail(&pre(None, None), [1, 60_000], true).0.contains("60000"));
        assert!(fail(&pre(None, None), [0, 5], true).0.contains("0x5"));
    }

    #[test]
    fn cropping_cuts_the_same_window_in_either_order() {
        let (from, to) =
            (Size { channels: 2, height: 3, width: 4 }, Size { channels: 2, height: 2, width: 2 });
        let steps = done(None, Some([1, 2]));
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
            let steps = done(Some([2, 2]), None);
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
