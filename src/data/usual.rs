//! Preprocessings that networks are usually trained with.
//!
//! *Takes*: loaded pictures. *Gives*: some of them as each of these makes them, with the settings that say so. *Never*: changes what
//! was loaded, or takes normalised pictures for stored pixels.

use super::BoundDataset;
use super::feature::{Feature, Norm};
use crate::Setting;

/// Pictures in a usual preprocessing.
#[derive(Debug)]
pub struct Usual {
    /// The settings for it, with their values.
    pub settings: String,
    /// The pictures.
    pub data: BoundDataset,
}

/// Preprocessing of a training pipeline.
#[derive(Debug, Clone, Copy)]
struct Recipe {
    /// Pixels are taken as 0 to 255, not as 0 to 1.
    raw: bool,
    mean: &'static [f32],
    std: &'static [f32],
}

/// Of pixels from 0 to 1.
const fn of_unit(mean: &'static [f32], std: &'static [f32]) -> Recipe {
    Recipe { raw: false, mean, std }
}

/// Of pixels from 0 to 255.
const fn of_bytes(mean: &'static [f32], std: &'static [f32]) -> Recipe {
    Recipe { raw: true, mean, std }
}

/// Recipes for grey images, the most usual first.
const GREY: &[Recipe] =
    &[of_unit(&[], &[]), of_unit(&[0.5], &[0.5]), of_unit(&[0.1307], &[0.3081]), of_bytes(&[], &[])];

/// Recipes for RGB images, the most usual first.
const RGB: &[Recipe] = &[
    of_unit(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]),
    of_unit(&[], &[]),
    of_unit(&[0.5], &[0.5]),
    of_unit(&[0.4914, 0.4822, 0.4465], &[0.2470, 0.2435, 0.2616]),
    of_bytes(&[], &[]),
    of_bytes(&[123.675, 116.28, 103.53], &[]),
];

impl BoundDataset {
    /// The samples `list` as usual preprocessings other than theirs give them; none where the network takes anything but one
    /// picture, grey or RGB.
    pub fn usual(&self, list: &[usize]) -> Vec<Usual> {
        let [feature] = &self.features[..] else { return Vec::new() };
        let (Some(layout), Some(unit)) = (feature.layout, feature.unit()) else { return Vec::new() };
        let (recipes, orders) = match layout.size.channels {
            1 => (GREY, &[false][..]),
            3 => (RGB, &[false, true][..]),
            _ => return Vec::new(),
        };
        let pairs = orders.iter().flat_map(|&bgr| recipes.iter().map(move |&recipe| (bgr, recipe)));
        pairs.filter_map(|(bgr, recipe)| self.as_usual(feature, list, unit, bgr, recipe)).collect()
    }

    fn as_usual(
        &self,
        feature: &Feature,
        list: &[usize],
        unit: f32,
        bgr: bool,
        recipe: Recipe,
    ) -> Option<Usual> {
        let Recipe { raw, mean, std } = recipe;
        let scale = if raw { unit * 255.0 } else { unit };
        let ordered = |values: &[f32]| match bgr {
            true => values.iter().rev().copied().collect(),
            false => values.to_vec(),
        };
        let (mean, std): (Vec<f32>, Vec<f32>) = (ordered(mean), ordered(std));
        let norm = Norm::of(&mean, &std, scale, feature.layout?.size.channels);
        if norm == feature.norm && bgr == feature.layout?.swap {
            return None;
        }
        let word = |setting: Setting, values: &[f32]| {
            let values: Vec<String> = values.iter().map(f32::to_string).collect();
            (!values.is_empty()).then(|| format!("{setting} {}", values.join(",")))
        };
        let stated = (scale != feature.store.default_scale()).then_some(scale);
        let parts = [
            word(Setting::Scale, stated.as_slice()),
            word(Setting::Mean, &mean),
            word(Setting::Std, &std),
            bgr.then(|| Setting::Bgr.to_string()),
        ];
        let settings: Vec<String> = parts.into_iter().flatten().collect();
        let settings = match settings.is_empty() {
            true => {
                let [scale, mean, std, bgr] = [Setting::Scale, Setting::Mean, Setting::Std, Setting::Bgr];
                format!("no {scale}, {mean}, {std} or {bgr}")
            }
            false => settings.join(" "),
        };
        Some(Usual { settings, data: self.with_feature(feature.with(list, norm, bgr), list) })
    }

    /// The samples `list`, whose only input is `feature`.
    fn with_feature(&self, feature: Feature, list: &[usize]) -> BoundDataset {
        BoundDataset {
            features: vec![feature],
            origin: list.iter().map(|&i| self.origin[i]).collect(),
            names: self.names.as_ref().map(|n| list.iter().map(|&i| n[i].clone()).collect()),
            labels: self.labels.as_ref().map(|l| list.iter().map(|&i| l[i]).collect()),
            labels_from: self.labels_from.clone(),
            classes: self.classes.clone(),
            notes: Vec::new(),
            source: self.source.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Preprocess;
    use super::super::testing::*;

    #[test]
    fn pictures_come_as_the_settings_say() {
        let dir = tempfile::tempdir().unwrap();
        let pixels: Vec<u8> = (0..24).map(|i| 10 * i).collect();
        let path = save_npy(dir.path(), "x.npy", "|u1", &[2, 2, 2, 3], &pixels);
        let pre = Preprocess { mean: vec![0.5], std: vec![0.5], ..Preprocess::default() };
        let calib = load(&path, None, &[1, 3, 2, 2], &pre).unwrap();
        let usual = calib.usual(&[1]);
        // All but the one it has.
        assert_eq!(usual.len(), 11);
        let found = |settings: &str| {
            let one = usual.iter().find(|u| u.settings == settings).unwrap_or_else(|| panic!("{settings}"));
            (one.data.len(), sample(&one.data, 0, 12))
        };
        let again = |pre: Preprocess| sample(&load(&path, None, &[1, 3, 2, 2], &pre).unwrap(), 1, 12);
        let none = Preprocess::default();
        assert_eq!(found("no `scale`, `mean`, `std` or `bgr`"), (1, again(none.clone())));
        let caffe = Preprocess { scale: Some(1.0), mean: vec![103.53, 116.28, 123.675], bgr: true, ..none };
        assert_eq!(found("`scale` 1 `mean` 103.53,116.28,123.675 `bgr`"), (1, again(caffe)));
    }

    #[test]
    fn what_is_no_stored_picture_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let made = |values: &[f32], shape: &[usize]| {
            let path = save_npy(dir.path(), "x.npy", "<f4", shape, &le(values));
            load(&path, None, shape, &Preprocess::default()).unwrap().usual(&[0]).len()
        };
        assert_eq!(made(&[-1.0, 0.5, 1.0, 0.0], &[1, 1, 2, 2]), 0);
        assert_eq!(made(&[0.0, 0.5, 1.0, 0.0], &[1, 1, 2, 2]), 3);
        assert_eq!(made(&[0.0, 0.5, 1.0, 0.0], &[1, 4]), 0);
    }
}
