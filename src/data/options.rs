//! Settings about the data.
//!
//! *Takes*: what the user says, also in words. *Gives*: [`Resize`], [`Preprocess`], [`Augment`], checked against
//! the network's inputs ahead of any file. *Never*: touches data.

use std::fmt;
use std::str::FromStr;

use super::pixel_layout::{Sides, Target};
use super::{InputSpec, Layout, Values};
use crate::{Error, Result, Setting};

/// The way of images to the network's size (bilinear, with the filter widened when shrinking, as Pillow does).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side becomes this many pixels, the other follows; what is over is cut off around the centre.
    Shorter(usize),
    /// Exactly (height, width) pixels, whatever that does to the proportions.
    Exact(usize, usize),
}

impl FromStr for Resize {
    type Err = Error;

    /// `256` (shorter side) or `224x320` (height x width).
    fn from_str(s: &str) -> Result<Self> {
        match parse_sides(s, Setting::Resize)? {
            (side, None) => Ok(Self::Shorter(side)),
            (height, Some(width)) => Ok(Self::Exact(height, width)),
        }
    }
}

/// Size of a crop: `224` (a square) or `224x320` as (height, width) in pixels, each 1 to 16384.
///
/// # Errors
/// Anything else.
pub fn parse_size(s: &str) -> Result<(usize, usize)> {
    let (height, width) = parse_sides(s, Setting::Crop)?;
    Ok((height, width.unwrap_or(height)))
}

fn parse_sides(s: &str, setting: Setting) -> Result<(usize, Option<usize>)> {
    let side = |t: &str| t.trim().parse().ok().filter(|n| (1..=16_384).contains(n));
    let sides = match s.split_once(['x', 'X', '×']) {
        Some((height, width)) => side(height).zip(side(width)).map(|(h, w)| (h, Some(w))),
        None => side(s).map(|n| (n, None)),
    };
    sides.ok_or_else(|| {
        Error::argument(
            setting,
            format!("'{s}' is no size"),
            "give pixels: 224, or height x width as 224x320",
        )
    })
}

/// From stored values to what the network was trained on: `(value * scale - mean[c]) / std[c]`.
///
/// `mean`, `std`, `scale` and `bgr` speak of the rank-4 inputs, and of a network's only input whatever its rank.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preprocess {
    /// Subtracted after scaling: none = 0, one value = every channel, else one per channel in the network's order.
    pub mean: Vec<f32>,
    /// Divided by: none = 1, one value = every channel, else one per channel in the network's order.
    pub std: Vec<f32>,
    /// Multiplies stored values. Default: 1/255 for uint8 data and image files, 1 for float arrays.
    pub scale: Option<f32>,
    /// The order of the axes of the network's rank-4 inputs.
    pub layout: Layout,
    /// Resize images and uint8 arrays, ahead of a crop.
    pub resize: Option<Resize>,
    /// Cut (height, width) pixels out of the centre; must be the network's own size.
    pub crop: Option<(usize, usize)>,
    /// The network takes blue first: channels 0 and 2 of the data are swapped. `mean` and `std` are in the order *after*
    /// the swap, that is the network's.
    pub bgr: bool,
    /// Leave out samples that cannot be read or hold no numbers, and say how many; else the first is an error.
    pub skip_bad: bool,
}

impl Preprocess {
    /// True if mean, std, scale and bgr apply to `target`.
    pub(super) fn applies(target: &Target, targets: usize) -> bool {
        (target.image.is_some() || targets == 1) && target.values == Values::Real
    }

    /// Errors where something is said about values that are taken as they are stored.
    fn leaves_alone(&self, targets: &[Target]) -> Result<()> {
        let Some(whole) = targets.iter().find(|t| t.values != Values::Real) else { return Ok(()) };
        let stated = [
            (Setting::Mean, !self.mean.is_empty()),
            (Setting::Std, !self.std.is_empty()),
            (Setting::Scale, self.scale.is_some()),
        ];
        let stated = stated.into_iter().find(|(_, stated)| *stated);
        match stated.filter(|_| !targets.iter().any(|t| Self::applies(t, targets.len()))) {
            Some((setting, _)) => {
                let reason = format!("{} takes whole numbers, as they are stored", whole.describe());
                Err(Error::argument(setting, reason, "leave it out"))
            }
            None => Ok(()),
        }
    }

    /// The network's inputs as it reads them. Errors where something was said that does not fit them.
    pub(super) fn targets(&self, inputs: &[InputSpec]) -> Result<Vec<Target>> {
        let targets: Vec<Target> =
            inputs.iter().map(|i| Target::new(i, self.layout)).collect::<Result<_>>()?;
        self.check(&targets).map(|()| targets)
    }

    /// Errors on settings that are wrong whatever the data are.
    pub(super) fn check(&self, targets: &[Target]) -> Result<()> {
        let bad = |setting, reason: String, hint: &str| Err(Error::argument(setting, reason, hint));
        if let Some(s) = self.scale.filter(|s| !s.is_finite() || *s == 0.0) {
            return bad(
                Setting::Scale,
                format!("{s} makes nonsense of every value"),
                "the default is 1/255 for images",
            );
        }
        if let Some(s) = self.std.iter().find(|s| !s.is_finite() || **s <= 0.0) {
            return bad(Setting::Std, format!("{s} cannot be divided by"), "give positive numbers");
        }
        if let Some(m) = self.mean.iter().find(|m| !m.is_finite()) {
            return bad(Setting::Mean, format!("{m} is no number"), "give finite numbers");
        }
        self.leaves_alone(targets)?;
        for target in targets.iter().filter(|t| Self::applies(t, targets.len())) {
            let channels = target.image.map_or(1, |i| i.size.channels);
            for (setting, values) in [(Setting::Mean, &self.mean), (Setting::Std, &self.std)] {
                if !matches!(values.len(), 0 | 1) && values.len() != channels {
                    let reason = format!(
                        "{} values, but {} has {channels} channel(s)",
                        values.len(),
                        target.describe()
                    );
                    let hint = format!(
                        "give one value, or one per channel; {} if axes are misread",
                        Setting::Layout
                    );
                    return bad(setting, reason, &hint);
                }
            }
            if self.bgr && !matches!(channels, 3 | 4) {
                let reason = format!("there is no red and blue to swap in {}", target.describe());
                return bad(Setting::Bgr, reason, "leave it out");
            }
            if let (Some((height, width)), Some(image)) = (self.crop, target.image)
                && (Sides { height, width }) != image.size.sides()
            {
                let reason = format!("{height}x{width} is not the size of {}", target.describe());
                return bad(Setting::Crop, reason, &format!("the network takes {}", image.size));
            }
        }
        Ok(())
    }
}

/// Random changes to training images: the classic CIFAR pair, and mixtures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Augment {
    /// Pad with this many pixels of value 0 (before normalisation) on every side, then cut the original size out at a
    /// random place; 0 = off.
    pub crop: usize,
    /// Mirror left and right with probability ½.
    pub flip: bool,
    /// Change every image's saturation by up to 60 %, its contrast by up to 50 %, its brightness by up to 0.4 of its own standard
    /// deviation.
    pub jitter: bool,
    /// Mix every image with another one of its batch, at a random proportion (Zhang et al., arXiv 1710.09412).
    pub mix: bool,
    /// Paste a random rectangle of another one of its batch into every image (Yun et al., arXiv 1905.04899). With `mix`, chance
    /// decides which of the two.
    pub cutmix: bool,
}

/// Changes to images as one pass over them draws them.
#[derive(Debug, Clone, Copy)]
pub struct Augmentation<'a> {
    /// Kinds of changes.
    pub augment: &'a Augment,
    /// Seed of the draws: with the number of a sample it decides what becomes of it.
    pub seed: u64,
}

impl fmt::Display for Augment {
    /// The words that it is read from.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let crop = (self.crop > 0).then(|| format!("crop{}", self.crop));
        let flags =
            [(self.flip, "flip"), (self.jitter, "jitter"), (self.mix, "mix"), (self.cutmix, "cutmix")];
        let words = flags.into_iter().filter(|(on, _)| *on).map(|(_, word)| word.to_owned());
        let all: Vec<String> = crop.into_iter().chain(words).collect();
        f.write_str(if all.is_empty() { "none".into() } else { all.join(",") }.as_str())
    }
}

impl FromStr for Augment {
    type Err = Error;

    /// Words joined by commas: `cropN`, `flip`, `jitter`, `mix`, `cutmix`; or `none`. For example `crop4,flip`.
    fn from_str(s: &str) -> Result<Self> {
        let mut augment = Self::default();
        for word in s.split(',').map(|w| w.trim().to_ascii_lowercase()) {
            match word.strip_prefix("crop").map(str::parse::<u16>) {
                Some(Ok(pad)) => augment.crop = pad.into(),
                None if word == "flip" => augment.flip = true,
                None if word == "jitter" => augment.jitter = true,
                None if word == "mix" => augment.mix = true,
                None if word == "cutmix" => augment.cutmix = true,
                None if word == "none" && s.trim().len() == 4 => {}
                _ => {
                    let reason = format!("'{word}' is no augmentation");
                    return Err(Error::argument(Setting::Augment, reason, "for example crop4,flip, or none"));
                }
            }
        }
        Ok(augment)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn check(pre: Preprocess, shape: &[usize]) -> Result<()> {
        let targets = spec(shape).iter().map(|s| Target::new(s, pre.layout)).collect::<Result<Vec<_>>>()?;
        pre.check(&targets)
    }

    #[test]
    fn words_are_read() {
        assert_eq!("NHWC".parse::<Layout>().unwrap(), Layout::Nhwc);
        assert_eq!("256".parse::<Resize>().unwrap(), Resize::Shorter(256));
        assert_eq!("224x320".parse::<Resize>().unwrap(), Resize::Exact(224, 320));
        assert_eq!(parse_size("224").unwrap(), (224, 224));
        assert_eq!(parse_size("224x320").unwrap(), (224, 320));
        assert_eq!(
            "crop4,flip".parse::<Augment>().unwrap(),
            Augment { crop: 4, flip: true, ..Augment::default() }
        );
        assert_eq!("flip".parse::<Augment>().unwrap(), Augment { flip: true, ..Augment::default() });
        let all = Augment { crop: 2, flip: true, jitter: true, mix: true, cutmix: true };
        assert_eq!("mix,crop2,flip,jitter,cutmix".parse::<Augment>().unwrap(), all);
        assert_eq!(all.to_string(), "crop2,flip,jitter,mix,cutmix");
        assert_eq!("none".parse::<Augment>().unwrap(), Augment::default());
        assert_eq!(Augment::default().to_string(), "none");
    }

    #[test]
    fn nonsense_is_refused_and_quoted() {
        says(&"hwc".parse::<Layout>().unwrap_err(), &["`layout`", "'hwc'", "nchw"]);
        for word in ["", "0", "-1", "x224", "224x", "axb", "99999999999"] {
            says(&word.parse::<Resize>().unwrap_err(), &["`resize`", word]);
            says(&parse_size(word).unwrap_err(), &["`crop`", word]);
        }
        for word in ["", "crop", "crop-4", "crop4;flip", "none,flip", "rotate"] {
            says(&word.parse::<Augment>().unwrap_err(), &["`augment`"]);
        }
    }

    #[test]
    fn auto_layout_needs_a_telling_last_axis() {
        assert!(Layout::Auto.is_nhwc(&[1, 32, 32, 3]));
        assert!(!Layout::Auto.is_nhwc(&[1, 3, 32, 32]));
        assert!(!Layout::Auto.is_nhwc(&[1, 3, 32, 3]));
        assert!(!Layout::Auto.is_nhwc(&[1, 64, 8, 8]));
        assert!(Layout::Nhwc.is_nhwc(&[1, 64, 8, 8]));
    }

    #[test]
    fn mean_and_std_need_one_value_or_one_per_channel() {
        let mean = |n: usize| Preprocess { mean: vec![0.5; n], ..Default::default() };
        (0..4).filter(|&n| n != 2).for_each(|n| check(mean(n), &[1, 3, 8, 8]).unwrap());
        says(&check(mean(2), &[1, 3, 8, 8]).unwrap_err(), &["`mean`", "2 values", "3 channel"]);
        let std = Preprocess { std: vec![1.0; 3], ..Default::default() };
        says(&check(std, &[1, 10]).unwrap_err(), &["`std`", "3 values", "1 channel"]);
    }

    #[test]
    fn values_that_cannot_work_are_refused() {
        let image = &[1, 3, 8, 8];
        let bad = |pre, words: &[&str]| says(&check(pre, image).unwrap_err(), words);
        bad(Preprocess { std: vec![0.0], ..Default::default() }, &["`std`", "0"]);
        bad(Preprocess { mean: vec![f32::NAN], ..Default::default() }, &["`mean`"]);
        bad(Preprocess { scale: Some(0.0), ..Default::default() }, &["`scale`"]);
        bad(Preprocess { crop: Some((4, 4)), ..Default::default() }, &["`crop`", "4x4", "8x8"]);
        let bgr = Preprocess { bgr: true, ..Default::default() };
        check(bgr.clone(), image).unwrap();
        says(&check(bgr, &[1, 1, 8, 8]).unwrap_err(), &["`bgr`"]);
    }
}
