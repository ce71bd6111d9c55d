//! From a stored image to the network's input: axes, channel swap, crop, mirror.
//!
//! *Takes*: one stored sample. *Gives*: its pixels in the network's layout. *Never*: knows what a pixel means.

use std::fmt;

use super::{InputSpec, Layout, Values};
use crate::{Error, Result};

/// An image's size. Displays as `height x width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

/// Height and width of an image, in pixels. Displays as `height x width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sides {
    pub height: usize,
    pub width: usize,
}

impl Sides {
    /// True if an image of these sides has `other` in it.
    pub fn hold(self, other: Self) -> bool {
        self.height >= other.height && self.width >= other.width
    }
}

impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

impl Size {
    /// Height and width.
    pub fn sides(self) -> Sides {
        Sides { height: self.height, width: self.width }
    }

    /// Elements of an image.
    pub fn len(self) -> usize {
        self.channels * self.height * self.width
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

/// The order of an image's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// channels, height, width
    Planar,
    /// height, width, channels
    Packed,
}

impl Order {
    /// The size of an image whose three axes are `axes`.
    pub fn size(self, axes: [usize; 3]) -> Size {
        let [a, b, c] = axes;
        match self {
            Self::Planar => Size { channels: a, height: b, width: c },
            Self::Packed => Size { channels: c, height: a, width: b },
        }
    }

    /// The step from one channel, row and column to the next.
    fn strides(self, size: Size) -> [usize; 3] {
        match self {
            Self::Planar => [size.height * size.width, size.width, 1],
            Self::Packed => [1, size.width * size.channels, size.channels],
        }
    }
}

/// An image as the network takes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image {
    pub size: Size,
    pub order: Order,
}

/// One input of the network, read as an image where it is one (rank 4).
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub name: String,
    pub shape: Vec<usize>,
    pub image: Option<Image>,
    pub values: Values,
}

impl Target {
    pub fn new(input: &InputSpec, layout: Layout) -> Result<Self> {
        let product = input.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if input.shape.is_empty() || matches!(product, None | Some(0)) {
            let reason = format!("input '{}' has the shape {:?}", input.name, input.shape);
            return Err(Error::graph(reason, "export the network with a batch axis and fixed sizes"));
        }
        Ok(Self::lenient(input, layout))
    }

    /// As [`Target::new`], without the check that there is anything to fill.
    pub fn lenient(input: &InputSpec, layout: Layout) -> Self {
        let image = match input.shape[..] {
            [_, a, b, c] => {
                let order = if layout.is_nhwc(&input.shape) { Order::Packed } else { Order::Planar };
                Some(Image { size: order.size([a, b, c]), order })
            }
            _ => None,
        };
        Self { name: input.name.clone(), shape: input.shape.clone(), image, values: input.values }
    }

    /// The shape of one sample.
    pub fn sample(&self) -> &[usize] {
        self.shape.get(1..).unwrap_or_default()
    }

    /// The number of elements of one sample.
    pub fn len(&self) -> usize {
        self.sample().iter().product()
    }

    /// For messages: `input 'x' [n, 3, 32, 32]`.
    pub fn describe(&self) -> String {
        let axes: String = self.sample().iter().map(|d| format!(", {d}")).collect();
        format!("input '{}' [n{axes}]", self.name)
    }
}

/// A displacement of the image, then a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CropOffset {
    /// Output row y shows row y + down - pad.
    pub down: usize,
    pub right: usize,
    pub pad: usize,
    pub flip: bool,
}

impl CropOffset {
    pub const NONE: Self = Self { down: 0, right: 0, pad: 0, flip: false };

    /// The stored row that output row `y` shows, `None` in the padding.
    pub fn row(self, y: usize, height: usize) -> Option<usize> {
        (y + self.down).checked_sub(self.pad).filter(|&y| y < height)
    }

    /// The stored column that output column `x` shows, `None` in the padding.
    pub fn column(self, x: usize, width: usize) -> Option<usize> {
        let x = if self.flip { width - 1 - x } else { x };
        (x + self.right).checked_sub(self.pad).filter(|&x| x < width)
    }
}

/// The way from stored images of one source to the network's images.
#[derive(Debug, Clone, Copy)]
pub(super) struct PixelLayout {
    pub size: Size,
    pub from: Order,
    pub to: Order,
    /// Channels 0 and 2 change places.
    pub swap: bool,
}

impl PixelLayout {
    /// Writes `src`, displaced by `offset`, to `out`: `out[c, y, x] = value(c, src[c', y', x'])`, `zero` outside the image.
    /// Both slices have `size.len()` elements; `c` counts the network's channels.
    pub fn copy<T: Copy>(
        &self,
        src: &[T],
        zero: T,
        offset: CropOffset,
        value: impl Fn(usize, T) -> f32,
        out: &mut [f32],
    ) {
        let (size, [sc, sy, sx], [tc, ty, tx]) =
            (self.size, self.from.strides(self.size), self.to.strides(self.size));
        for c in 0..size.channels {
            let plane = sc * if self.swap && c < 3 { 2 - c } else { c };
            for y in 0..size.height {
                let row = offset.row(y, size.height).map(|y| plane + y * sy);
                for x in 0..size.width {
                    let raw = match (row, offset.column(x, size.width)) {
                        (Some(row), Some(x)) => src[row + x * sx],
                        _ => zero,
                    };
                    out[c * tc + y * ty + x * tx] = value(c, raw);
                }
            }
        }
    }

    /// Shows `change` every value of an image as the network takes it, with its pixel's grey: the mean of its channels.
    pub fn with_grey(&self, image: &mut [f32], change: impl Fn(&mut f32, f32)) {
        let (size, [tc, ty, tx]) = (self.size, self.to.strides(self.size));
        for y in 0..size.height {
            for x in 0..size.width {
                let at = |c: usize| c * tc + y * ty + x * tx;
                let grey = (0..size.channels).map(|c| image[at(c)]).sum::<f32>() / size.channels as f32;
                (0..size.channels).for_each(|c| change(&mut image[at(c)], grey));
            }
        }
    }

    /// Copies a rectangle of `from` into `out`, both images as the network takes them: its sides are this share of the image's,
    /// `corner` says how much of the room lies above it and left of it.
    pub fn paste(&self, side: f32, corner: [f32; 2], from: &[f32], out: &mut [f32]) {
        let (size, [tc, ty, tx]) = (self.size, self.to.strides(self.size));
        let range = |length: usize, place: f32| {
            let side = ((side * length as f32).round() as usize).min(length);
            let start = (place * (length - side + 1) as f32) as usize;
            start..start + side
        };
        let (rows, columns) = (range(size.height, corner[0]), range(size.width, corner[1]));
        for c in 0..size.channels {
            for y in rows.clone() {
                for x in columns.clone() {
                    let at = c * tc + y * ty + x * tx;
                    out[at] = from[at];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { channels: 3, height: 1, width: 2 };

    fn copied(from: Order, to: Order, swap: bool) -> Vec<f32> {
        let mut out = vec![f32::NAN; 6];
        let layout = PixelLayout { size: SIZE, from, to, swap };
        layout.copy(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.0, CropOffset::NONE, |_, v| v, &mut out);
        out
    }

    #[test]
    fn axes_are_permuted_and_red_and_blue_swapped() {
        use Order::*;
        assert_eq!(copied(Planar, Planar, false), [1., 2., 3., 4., 5., 6.]);
        assert_eq!(copied(Packed, Packed, false), [1., 2., 3., 4., 5., 6.]);
        assert_eq!(copied(Packed, Planar, false), [1., 4., 2., 5., 3., 6.]);
        assert_eq!(copied(Planar, Packed, false), [1., 3., 5., 2., 4., 6.]);
        assert_eq!(copied(Packed, Planar, true), [3., 6., 2., 5., 1., 4.]);
    }

    #[test]
    fn a_fourth_channel_stays_in_place_when_swapping() {
        let size = Size { channels: 4, height: 1, width: 1 };
        let layout = PixelLayout { size, from: Order::Packed, to: Order::Packed, swap: true };
        let mut out = [0.0; 4];
        layout.copy(&[1u8, 2, 3, 4], 0, CropOffset::NONE, |c, v| f32::from(v) + 10.0 * c as f32, &mut out);
        assert_eq!(out, [3., 12., 21., 34.]);
    }

    #[test]
    fn a_rectangle_is_pasted_at_all_places_and_sizes() {
        let size = Size { channels: 2, height: 4, width: 3 };
        for to in [Order::Planar, Order::Packed] {
            let layout = PixelLayout { size, from: to, to, swap: false };
            let pasted = |side, corner| {
                let mut out = [0.0; 24];
                layout.paste(side, corner, &[1.0; 24], &mut out);
                let [tc, ty, tx] = to.strides(size);
                let plane =
                    |c: usize| (0..12).map(|i| out[c * tc + i / 3 * ty + i % 3 * tx]).collect::<Vec<_>>();
                assert_eq!(plane(0), plane(1));
                plane(0)
            };
            assert_eq!(pasted(0.5, [0.0, 0.0]), [1., 1., 0., 1., 1., 0., 0., 0., 0., 0., 0., 0.]);
            assert_eq!(pasted(0.5, [0.999, 0.999]), [0., 0., 0., 0., 0., 0., 0., 1., 1., 0., 1., 1.]);
            assert_eq!(pasted(1.0, [0.7, 0.7]), [1.0; 12]);
            assert_eq!(pasted(0.0, [0.7, 0.7]), [0.0; 12]);
        }
    }

    #[test]
    fn an_input_without_a_size_is_refused() {
        for shape in [vec![], vec![1, 0, 4, 4], vec![1, usize::MAX, 2]] {
            let input = InputSpec { name: "pixels".into(), shape, ..InputSpec::default() };
            let e = Target::new(&input, Layout::Auto).unwrap_err();
            assert!(e.to_string().contains("'pixels'"));
        }
    }
}
