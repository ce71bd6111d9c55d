//! Random crops, mirrors, colours and mixtures.
//!
//! *Takes*: an [`Augment`], a seed, a sample number, for mixtures the size of the batch. *Gives*: where each output pixel comes
//! from, and what becomes of its values. *Never*: draws anything that depends on more than these.

use super::pixel_layout::{CropOffset, PixelLayout, Size};
use super::{Augment, Augmentation};
use crate::support::random::Draw;

impl Augment {
    /// These changes with draws of a seed.
    pub(crate) fn seeded(&self, seed: u64) -> Augmentation<'_> {
        Augmentation { augment: self, seed }
    }
}

impl CropOffset {
    /// The displacement of sample `index`, an image of `size`.
    pub fn draw(Augmentation { augment, seed }: Augmentation, index: usize, size: Size) -> Self {
        let mut draw = Draw::new(seed, index as u64);
        let pad = augment.crop.min(size.height.max(size.width));
        let (down, right) = (draw.below(2 * pad + 1), draw.below(2 * pad + 1));
        Self { down, right, pad, flip: augment.flip && draw.below(2) == 1 }
    }
}

impl Augment {
    /// True if sample `index` is mirrored with this seed; `None` where more may happen to it.
    pub fn mirrors(&self, seed: u64, index: usize) -> Option<bool> {
        let size = Size { channels: 1, height: 1, width: 1 };
        let only = Self { flip: self.flip, ..Self::default() };
        (*self == only).then(|| CropOffset::draw(Augmentation { augment: self, seed }, index, size).flip)
    }

    /// True if images become mixtures: no label is theirs then.
    pub fn mixes(&self) -> bool {
        self.mix || self.cutmix
    }

    /// All kinds, for pictures whose shorter side has `side` pixels: crops by an eighth of it.
    pub fn all(side: usize) -> Self {
        Self { crop: side / 8, flip: true, jitter: true, mix: true, cutmix: true }
    }

    /// The kinds that move pixels and leave their values alone.
    pub fn moves(self) -> Self {
        Self { crop: self.crop, flip: self.flip, ..Self::default() }
    }
}

/// Other colours for an image. Its own spread is the unit of brightness, so its scale does not matter; its grey is the mean of the
/// channels as they are normalised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Jitter {
    /// Factor of a pixel's distance from its own grey.
    saturation: f32,
    /// Factor of its distance from the image's mean, after that.
    contrast: f32,
    /// Addend in the end, in standard deviations of the image.
    brightness: f32,
}

impl Jitter {
    /// Largest change of saturation, contrast and brightness.
    const REACH: [f32; 3] = [0.6, 0.5, 0.4];

    /// The colours of sample `index`; `None` where they stay as they are.
    pub fn draw(Augmentation { augment, seed }: Augmentation, index: usize) -> Option<Self> {
        if !augment.jitter {
            return None;
        }
        let mut draw = Draw::new(seed, 1 << 41 | index as u64);
        let [saturation, contrast, brightness] = Self::REACH.map(|reach| reach * (2.0 * draw.unit() - 1.0));
        Some(Self { saturation: 1.0 + saturation, contrast: 1.0 + contrast, brightness })
    }

    /// Changes an image as the network takes it.
    pub fn apply(&self, layout: &PixelLayout, image: &mut [f32]) {
        let n = image.len() as f32;
        let mean = image.iter().sum::<f32>() / n;
        let spread = (image.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt();
        layout.with_grey(image, |v, grey| {
            let saturated = grey + self.saturation * (*v - grey);
            *v = mean + self.contrast * (saturated - mean) + self.brightness * spread;
        });
    }
}

/// The part of another sample of its batch that a sample takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mixture {
    /// The other one's place in the batch.
    pub partner: usize,
    /// Share of its own that stays: of every value, or of an image's area, where a rectangle is the rest.
    pub share: f32,
    /// Place of the rectangle, as shares of the room above it and left of it; `None` where values are blended.
    pub corner: Option<[f32; 2]>,
}

impl Mixture {
    /// The mixture of sample `index` in a batch of `n`; `None` where it stays alone.
    pub fn draw(Augmentation { augment, seed }: Augmentation, index: usize, n: usize) -> Option<Self> {
        if !augment.mixes() {
            return None;
        }
        let mut draw = Draw::new(seed, 1 << 40 | index as u64);
        let pastes = draw.below(2) == 1;
        let (partner, share, corner) = (draw.below(n), draw.unit(), [draw.unit(), draw.unit()]);
        let corner = (augment.cutmix && (pastes || !augment.mix)).then_some(corner);
        Some(Self { partner, share, corner })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pixel_layout::Order;
    use super::super::testing::*;
    use super::super::{BoundDataset, Preprocess};
    use super::*;

    /// One grey 3x3 image with pixels 1..=9, padded with raw 0 which the normalisation turns into -10.
    fn numbered(copies: usize) -> BoundDataset {
        let dir = tempfile::tempdir().unwrap();
        let data = save_npy(
            dir.path(),
            "x.npy",
            "|u1",
            &[copies, 3, 3, 1],
            &[1, 2, 3, 4, 5, 6, 7, 8, 9].repeat(copies),
        );
        let pre = Preprocess { scale: Some(1.0), mean: vec![10.0], ..Default::default() };
        load(&data, None, &[1, 1, 3, 3], &pre).unwrap()
    }

    /// The image moved and mirrored by brute force.
    fn moved(dy: i32, dx: i32, flip: bool) -> Vec<f32> {
        let at = |y: i32, x: i32| if (0..3).contains(&y) && (0..3).contains(&x) { y * 3 + x + 1 } else { 0 };
        let x_of = |x: i32| if flip { 2 - x } else { x };
        (0..9).map(|i| (at(i / 3 + dy, x_of(i % 3) + dx) - 10) as f32).collect()
    }

    #[test]
    fn every_crop_and_mirror_occurs_and_nothing_else() {
        let (calib, augment) = (numbered(1), Augment { crop: 1, flip: true, ..Augment::default() });
        let mut seen = std::collections::BTreeSet::new();
        let shifts: Vec<_> = (0..18).map(|i| moved(i / 2 % 3 - 1, i / 6 - 1, i % 2 == 1)).collect();
        for seed in 0..400 {
            let mut out = [0.0; 9];
            calib.write(0, 0, Some(Augmentation { augment: &augment, seed }), &mut out);
            let which = shifts.iter().position(|s| s[..] == out[..]);
            seen.insert(which.unwrap_or_else(|| panic!("{out:?} is no displacement of the image")));
        }
        assert_eq!(seen.len(), 18);
    }

    #[test]
    fn a_draw_belongs_to_seed_and_index() {
        let (calib, augment) = (numbered(40), Augment { crop: 2, flip: true, ..Augment::default() });
        let all = |seed| -> Vec<Vec<f32>> {
            let one = |i| {
                let mut out = vec![0.0; 9];
                calib.write(0, i, Some(Augmentation { augment: &augment, seed }), &mut out);
                out
            };
            (0..40).map(one).collect()
        };
        assert_eq!(all(3), all(3));
        assert_ne!(all(3), all(4));
        let distinct: std::collections::BTreeSet<_> = all(3).iter().map(|v| format!("{v:?}")).collect();
        assert!(distinct.len() > 15, "{}", distinct.len());
    }

    #[test]
    fn a_mixture_is_blended_pasted_or_one_of_both_as_was_asked() {
        let of = |words: &str| -> Vec<Option<Mixture>> {
            let augment: Augment = words.parse().unwrap();
            (0..200).map(|i| Mixture::draw(Augmentation { augment: &augment, seed: 5 }, i, 8)).collect()
        };
        let pasted = |all: &[Option<Mixture>]| all.iter().flatten().filter(|m| m.corner.is_some()).count();
        assert!(of("crop4,flip").iter().all(Option::is_none));
        let [blends, pastes, both] = ["mix", "cutmix", "mix,cutmix"].map(of);
        assert!([&blends, &pastes, &both].iter().all(|all| all.iter().flatten().all(|m| m.partner < 8)));
        assert_eq!((pasted(&blends), pasted(&pastes)), (0, 200));
        assert!((70..130).contains(&pasted(&both)), "{}", pasted(&both));
    }

    #[test]
    fn a_sample_of_a_batch_holds_what_is_its_own_and_what_is_its_partners() {
        let (calib, none) = (numbered(2), Augment::default());
        let plain = moved(0, 0, false);
        let mixed = |augment: &Augment, seed| {
            let mut out = vec![0.0; 9];
            calib.write_mixed(0, &[0, 1], 0, Some(Augmentation { augment, seed }), &mut out);
            out
        };
        assert_eq!(mixed(&none, 1), plain);
        // Both images are the same one: whatever is mixed, it stays.
        for words in ["mix", "cutmix", "mix,cutmix"] {
            let augment: Augment = words.parse().unwrap();
            for seed in 0..50 {
                let far =
                    mixed(&augment, seed).iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(far < 1e-5, "{words}, seed {seed}: {far}");
            }
        }
        // Mirrored by chance, a row that is its own and its partner's says which it took where.
        let augment: Augment = "flip,cutmix".parse().unwrap();
        let whole = [plain.clone(), moved(0, 0, true)];
        let patched = (0..400).filter(|&seed| !whole.contains(&mixed(&augment, seed))).count();
        assert!((20..200).contains(&patched), "{patched}");
        for seed in 0..400 {
            let each =
                mixed(&augment, seed).into_iter().enumerate().all(|(i, v)| whole.iter().any(|w| w[i] == v));
            assert!(each, "seed {seed}: a pixel is neither image's");
        }
    }

    #[test]
    fn other_colours_are_the_formula_in_both_layouts_and_at_any_scale() {
        let jitter = Jitter { saturation: 0.5, contrast: 2.0, brightness: 0.25 };
        let size = Size { channels: 3, height: 1, width: 2 };
        // Two pixels, (0, 3, 6) and (6, 9, 12): greys 3 and 9, mean 6, variance 15.
        let spread = 15f32.sqrt();
        let expected = [-3.0, 0.0, 3.0, 9.0, 12.0, 15.0].map(|v| v + 0.25 * spread);
        for scale in [1.0, 255.0] {
            for (to, places) in [(Order::Packed, [0, 1, 2, 3, 4, 5]), (Order::Planar, [0, 2, 4, 1, 3, 5])] {
                let layout = PixelLayout { size, from: to, to, swap: false };
                let mut image = [0.0; 6];
                places.iter().zip([0., 3., 6., 6., 9., 12.]).for_each(|(&at, v)| image[at] = v * scale);
                jitter.apply(&layout, &mut image);
                for (&at, expected) in places.iter().zip(expected) {
                    assert!((image[at] / scale - expected).abs() < 1e-4, "{to:?}: {image:?}, {expected}");
                }
            }
        }
    }

    #[test]
    fn colours_belong_to_seed_and_index_and_stay_within_reach() {
        let augment: Augment = "jitter".parse().unwrap();
        let of = |seed, index| Jitter::draw(Augmentation { augment: &augment, seed }, index).unwrap();
        assert_eq!(Jitter::draw(Augmentation { augment: &Augment::default(), seed: 1 }, 2), None);
        assert_eq!(of(1, 2), of(1, 2));
        assert_ne!(of(1, 2), of(1, 3));
        let all: Vec<Jitter> = (0..500).map(|i| of(3, i)).collect();
        let range = |f: fn(&Jitter) -> f32| {
            all.iter().map(f).fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
        };
        let near = |(low, high): (f32, f32), middle: f32, reach: f32| {
            low >= middle - reach
                && low < middle - 0.9 * reach
                && high <= middle + reach
                && high > middle + 0.9 * reach
        };
        assert!(near(range(|j| j.saturation), 1.0, 0.6));
        assert!(near(range(|j| j.contrast), 1.0, 0.5));
        assert!(near(range(|j| j.brightness), 0.0, 0.4));
    }

    #[test]
    fn an_image_of_one_channel_keeps_its_order_of_greys() {
        let (calib, augment) = (numbered(1), "jitter".parse::<Augment>().unwrap());
        for seed in 0..50 {
            let mut out = [0.0; 9];
            calib.write(0, 0, Some(Augmentation { augment: &augment, seed }), &mut out);
            assert!(out.is_sorted() && out != moved(0, 0, false)[..], "seed {seed}: {out:?}");
        }
    }

    #[test]
    fn off_means_untouched_and_huge_padding_does_not_overflow() {
        let calib = numbered(1);
        let write = |augment: &Augment, out: &mut [f32]| {
            calib.write(0, 0, Some(Augmentation { augment, seed: 7 }), out);
        };
        let mut out = [0.0; 9];
        write(&Augment::default(), &mut out);
        assert_eq!(out[..], moved(0, 0, false));
        write(&Augment { crop: usize::MAX, ..Augment::default() }, &mut out);
    }
}
