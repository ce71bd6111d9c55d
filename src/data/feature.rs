//! The samples of one input.
//!
//! *Takes*: stored values and how they become the network's. *Gives*: one normalised sample at a time. *Never*: keeps a
//! normalised copy.

use half::f16;

use super::augment::{Jitter, Mixture};
use super::pixel_layout::{CropOffset, Order, PixelLayout, Target};
use super::synthetic;
use super::{Augmentation, Preprocess, Values};
use crate::support::hash::Hash;
use crate::support::random::Draw;

/// Values as compact as they came.
pub(super) enum Store {
    U8(Vec<u8>),
    F16(Vec<f16>),
    F32(Vec<f32>),
    /// A salt: sample i is made from it and i.
    Synthetic(u64),
}

impl Store {
    /// Factor of stored values unless the user says otherwise.
    pub fn default_scale(&self) -> f32 {
        if matches!(self, Self::U8(_)) { 1.0 / 255.0 } else { 1.0 }
    }
}

/// Drops the rows of `len` values that are not `good`.
pub(super) fn retain<T>(values: &mut Vec<T>, len: usize, good: &[bool]) {
    if good.iter().all(|&g| g) {
        return;
    }
    let mut at = 0..;
    values.retain(|_| at.next().is_some_and(|i: usize| good[i / len.max(1)]));
}

/// `(value * scale - mean[c]) / std[c]`
#[derive(Debug, PartialEq)]
pub(super) struct Norm {
    pub scale: f32,
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
}

impl Norm {
    /// The identity, for inputs that mean, std and scale do not speak of.
    pub fn plain(scale: f32) -> Self {
        Self { scale, mean: vec![0.0], std: vec![1.0] }
    }

    /// The identity, channel by channel.
    pub fn none(channels: usize) -> Self {
        Self { scale: 1.0, mean: vec![0.0; channels], std: vec![1.0; channels] }
    }

    pub fn new(pre: &Preprocess, scale: f32, channels: usize) -> Self {
        Self::of(&pre.mean, &pre.std, scale, channels)
    }

    /// No value, one for all channels, or one for each.
    pub fn of(mean: &[f32], std: &[f32], scale: f32, channels: usize) -> Self {
        let each = |values: &[f32], none: f32| match values {
            [] => vec![none; channels],
            [one] => vec![*one; channels],
            all => all.to_vec(),
        };
        Self { scale, mean: each(mean, 0.0), std: each(std, 1.0) }
    }

    pub fn apply(&self, channel: usize, value: f32) -> f32 {
        (value * self.scale - self.mean[channel]) / self.std[channel]
    }
}

/// The samples of one input.
pub(super) struct Feature {
    pub store: Store,
    /// Elements of one sample.
    pub len: usize,
    /// `None` for inputs that are no images: copied in order.
    pub layout: Option<PixelLayout>,
    pub norm: Norm,
    values: Values,
    /// For uint8: `table[c][value]` is the normalised value.
    table: Vec<[f32; 256]>,
}

impl Feature {
    pub fn new(store: Store, target: &Target, layout: Option<PixelLayout>, norm: Norm) -> Self {
        Self::of(store, target.len(), target.values, layout, norm)
    }

    fn of(store: Store, len: usize, values: Values, layout: Option<PixelLayout>, norm: Norm) -> Self {
        let table = match store {
            Store::U8(_) => {
                let row = |c| std::array::from_fn(|v| norm.apply(c, v as f32));
                (0..norm.mean.len()).map(row).collect()
            }
            _ => Vec::new(),
        };
        Self { store, len, layout, norm, values, table }
    }

    /// Factor that takes the stored values of pictures to 0 … 1; `None` of other inputs.
    pub fn unit(&self) -> Option<f32> {
        fn range(values: impl Iterator<Item = f32>) -> (f32, f32) {
            values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        }
        let (low, high) = match &self.store {
            Store::U8(_) => (0.0, 255.0),
            Store::F16(all) => range(all.iter().map(|v| v.to_f32())),
            Store::F32(all) => range(all.iter().copied()),
            Store::Synthetic(_) => return None,
        };
        match high {
            _ if low < 0.0 || self.values != Values::Real => None,
            ..=1.0 => Some(1.0),
            ..=255.0 => Some(1.0 / 255.0),
            _ => None,
        }
    }

    /// The samples `list` normalised by `norm`, with red and blue exchanged if `swap`.
    pub fn with(&self, list: &[usize], norm: Norm, swap: bool) -> Self {
        fn some<T: Copy>(all: &[T], list: &[usize], len: usize) -> Vec<T> {
            list.iter().flat_map(|&i| &all[i * len..(i + 1) * len]).copied().collect()
        }
        let store = match &self.store {
            Store::U8(all) => Store::U8(some(all, list, self.len)),
            Store::F16(all) => Store::F16(some(all, list, self.len)),
            Store::F32(all) => Store::F32(some(all, list, self.len)),
            Store::Synthetic(salt) => Store::Synthetic(*salt),
        };
        Self::of(store, self.len, self.values, self.layout.map(|l| PixelLayout { swap, ..l }), norm)
    }

    /// Leaves the samples that are `good`.
    pub fn retain(&mut self, good: &[bool]) {
        match &mut self.store {
            Store::U8(all) => retain(all, self.len, good),
            Store::F16(all) => retain(all, self.len, good),
            Store::F32(all) => retain(all, self.len, good),
            Store::Synthetic(_) => {}
        }
    }

    pub fn synthetic(target: &Target, salt: u64) -> Self {
        let layout =
            target.image.map(|i| PixelLayout { size: i.size, from: Order::Planar, to: i.order, swap: false });
        Self::new(Store::Synthetic(salt), target, layout, Norm::plain(1.0))
    }

    /// The first stored number that the network does not take, with the place of its sample among the picked.
    pub fn check_values(&self) -> Result<(), (usize, f64)> {
        let first = |values: &mut dyn Iterator<Item = f64>| {
            values.enumerate().find(|(_, v)| !self.values.hold(*v)).map(|(k, v)| (k / self.len.max(1), v))
        };
        let found = match &self.store {
            _ if self.values == Values::Real => None,
            Store::U8(all) => first(&mut all.iter().map(|&v| v.into())),
            Store::F16(all) => first(&mut all.iter().map(|v| v.to_f64())),
            Store::F32(all) => first(&mut all.iter().map(|&v| v.into())),
            Store::Synthetic(_) => None,
        };
        found.map_or(Ok(()), Err)
    }

    /// Adds everything on which a sample depends to a hash.
    pub fn hash(&self, hash: &mut Hash) {
        let Self { store, len, layout, norm, values, table: _ } = self;
        hash.number(*len).text(&format!("{layout:?} {values:?}"));
        hash.floats(&norm.mean).floats(&norm.std).floats(&[norm.scale]);
        match store {
            Store::U8(all) => hash.text("uint8").bytes(all),
            Store::F16(all) => {
                hash.text("float16");
                all.chunks(1 << 14).for_each(|some| {
                    hash.bytes(&some.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
                });
                hash
            }
            Store::F32(all) => hash.text("float32").floats(all),
            Store::Synthetic(salt) => hash.text("synthetic").text(&salt.to_string()),
        };
    }

    /// Writes sample `index`, normalised and changed by `augment`, in the network's layout; `out` has `len` elements.
    pub fn write(&self, index: usize, augment: Option<Augmentation>, out: &mut [f32]) {
        assert_eq!(out.len(), self.len, "elements of one sample");
        let offset = match (augment, self.layout) {
            (Some(augment), Some(layout)) => CropOffset::draw(augment, index, layout.size),
            _ => CropOffset::NONE,
        };
        let at = index * self.len..(index + 1) * self.len;
        match &self.store {
            Store::U8(all) => self.copy(&all[at], 0, offset, |c, v| self.table[c][usize::from(v)], out),
            Store::F16(all) => {
                self.copy(&all[at], f16::ZERO, offset, |c, v| self.norm.apply(c, v.to_f32()), out);
            }
            Store::F32(all) => self.copy(&all[at], 0.0, offset, |c, v| self.norm.apply(c, v), out),
            Store::Synthetic(salt) => {
                let draw = Draw::new(*salt, index as u64);
                let made = match (self.layout, self.values) {
                    (Some(layout), values) => synthetic::levels(synthetic::image(layout.size, draw), values),
                    (None, Values::Real) => synthetic::noise(self.len, draw),
                    (None, Values::Whole { low, end }) => synthetic::whole(self.len, low, end, draw),
                };
                self.copy(&made, 0.0, offset, |_, v| v, out);
            }
        }
        if let (Some(augment), Some(layout)) = (augment, &self.layout)
            && let Some(jitter) = Jitter::draw(augment, index)
        {
            jitter.apply(layout, out);
            out.iter_mut().for_each(|x| *x = self.values.nearest(*x));
        }
    }

    /// Mixes `other`, a sample as the network takes it, into `out`. Inputs that are no images have no rectangles.
    pub fn mix(&self, mixture: &Mixture, other: &[f32], out: &mut [f32]) {
        let share = mixture.share;
        match (self.layout, mixture.corner) {
            (Some(layout), Some(corner)) => layout.paste((1.0 - share).sqrt(), corner, other, out),
            // A mean of two token ids or truth values is nothing.
            _ if self.layout.is_none() && self.values != Values::Real => {}
            _ => out.iter_mut().zip(other).for_each(|(x, o)| *x = share * *x + (1.0 - share) * o),
        }
        out.iter_mut().for_each(|x| *x = self.values.nearest(*x));
    }

    fn copy<T: Copy>(
        &self,
        src: &[T],
        zero: T,
        offset: CropOffset,
        value: impl Fn(usize, T) -> f32,
        out: &mut [f32],
    ) {
        match &self.layout {
            Some(layout) => layout.copy(src, zero, offset, value, out),
            None => out.iter_mut().zip(src).for_each(|(o, &v)| *o = value(0, v)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_formula() {
        let pre = Preprocess { mean: vec![0.25, 0.5], std: vec![0.5, 0.25], ..Default::default() };
        let target = Target::lenient(&super::super::testing::spec(&[1, 2])[0], super::super::Layout::Auto);
        let feature = Feature::new(Store::U8(vec![]), &target, None, Norm::new(&pre, 1.0 / 255.0, 2));
        assert_eq!(feature.table[0][255], 1.5);
        assert_eq!(feature.table[1][255], 2.0);
        assert_eq!(feature.table[0][0], -0.5);
        assert_eq!(feature.table[1][0], -2.0);
    }
}
