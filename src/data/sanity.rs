//! A check of the values against mean, standard deviation and scale.
//!
//! *Takes*: the samples of one image input. *Gives*: an error when they cannot be what the network was trained on.
//! *Never*: judges inputs that are no images, or data that merely look unusual.

use super::Preprocess;
use super::feature::{Feature, Store};
use crate::Setting;

/// Largest average of normalised values that a network is trained on.
const NORMALISED: f64 = 50.0;
/// As [`NORMALISED`], where raw pixels are meant, at a scale of 1.
const RAW: f64 = 255.0;

/// `Err((reason, way out))` if the values cannot be right.
pub(super) fn check(feature: &Feature, pre: &Preprocess) -> Result<(), (String, String)> {
    let norm = &feature.norm;
    let highest_mean = norm.mean.iter().copied().fold(f32::MIN, f32::max);
    let (low, high, mean) = range(feature);
    let scaled = |v: f32| v * norm.scale;
    let top = match feature.store {
        Store::U8(_) => scaled(255.0),
        _ => scaled(low).max(scaled(high)),
    };
    let (scale, mean_of, std) = (Setting::Scale, Setting::Mean, Setting::Std);
    if highest_mean > 1.0 && highest_mean > top * 1.001 {
        let reason = format!(
            "holds values up to {top} once multiplied by {}, and {mean_of} {highest_mean} lies above them all",
            norm.scale
        );
        return Err((
            reason,
            format!("if mean and std are in the unit of the stored values, add {scale} 1{}", of(top)),
        ));
    }
    let units = !pre.mean.is_empty() && pre.mean.iter().all(|m| (0.0..=1.0).contains(m));
    let bytes = matches!(feature.store, Store::F16(_) | Store::F32(_)) && low >= 0.0 && high >= 64.0;
    let limit = if pre.scale.is_some() || matches!(feature.store, Store::U8(_)) { RAW } else { NORMALISED };
    if mean.abs() > limit || (units && bytes && pre.scale.is_none()) {
        let reason = format!(
            "has the wrong calibration range: values {low} to {high} as stored, {mean:.4} on average once normalised"
        );
        let raw = if pre.mean.is_empty() {
            format!("; if the network really takes such values, say so with {scale} 1")
        } else {
            String::new()
        };
        let hint = match feature.store {
            Store::U8(_) => {
                format!("give {mean_of} and {std} in the unit that {scale} makes (1/255 by default)")
            }
            // The number as people write it.
            _ => format!(
                "values of 0..255 for a network trained on 0..1 need {scale} 0.00392157 (1/255); check {mean_of} and \
                 {std}{raw}"
            ),
        };
        return Err((reason, hint));
    }
    Ok(())
}

fn of(top: f32) -> &'static str {
    if top <= 1.001 { "" } else { ", or check that the numbers belong to this network" }
}

/// Lowest and highest stored value, and the average normalised value.
fn range(feature: &Feature) -> (f32, f32, f64) {
    match &feature.store {
        Store::U8(all) => over(feature, all.iter().map(|&v| v.into())),
        Store::F16(all) => over(feature, all.iter().map(|v| v.to_f32())),
        Store::F32(all) => over(feature, all.iter().copied()),
        Store::Synthetic(_) => (0.0, 0.0, 0.0),
    }
}

fn over(feature: &Feature, values: impl Iterator<Item = f32>) -> (f32, f32, f64) {
    let (mut low, mut high, mut sum, mut n) = (f32::INFINITY, f32::NEG_INFINITY, 0.0, 0usize);
    for v in values {
        low = low.min(v);
        high = high.max(v);
        sum += f64::from(v);
        n += 1;
    }
    // Normalising is affine, so the average of all channels is the average over channels of the normalised average:
    // exact if mean and std are the same for all, and near enough for a check of magnitudes otherwise.
    let average = (sum / n.max(1) as f64) as f32;
    let channels = feature.norm.mean.len();
    let normalised = (0..channels).map(|c| f64::from(feature.norm.apply(c, average))).sum::<f64>();
    (low, high, normalised / channels.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{BoundDataset, Preprocess};
    use crate::Result;

    fn floats(values: &[f32], pre: Preprocess) -> Result<BoundDataset> {
        let dir = tempfile::tempdir().unwrap();
        let data = save_npy(dir.path(), "x.npy", "<f4", &[values.len(), 1, 1, 1], &le(values));
        load(&data, None, &[1, 1, 1, 1], &pre)
    }

    fn bytes(values: &[u8], pre: Preprocess) -> Result<BoundDataset> {
        let dir = tempfile::tempdir().unwrap();
        let data = save_npy(dir.path(), "x.npy", "|u1", &[values.len(), 1, 1, 1], values);
        load(&data, None, &[1, 1, 1, 1], &pre)
    }

    fn pre(mean: f32, std: f32, scale: Option<f32>) -> Preprocess {
        Preprocess { mean: vec![mean], std: vec![std], scale, ..Default::default() }
    }

    #[test]
    fn floats_of_0_to_255_need_a_word() {
        let pixels = [3.0, 120.0, 250.0, 90.0];
        says(
            &floats(&pixels, pre(0.5, 0.25, None)).unwrap_err(),
            &["range", "3 to 250", "`scale` 0.00392157"],
        );
        says(&floats(&pixels, Preprocess::default()).unwrap_err(), &["range", "`scale` 1"]);
        says(&floats(&[1.0, 2.0, 90.0], pre(0.5, 1.0, None)).unwrap_err(), &["range", "1 to 90"]);
        floats(&pixels, pre(0.5, 0.25, Some(1.0 / 255.0))).unwrap();
        floats(&pixels, Preprocess { scale: Some(1.0), ..Default::default() }).unwrap();
        floats(&pixels, pre(123.0, 58.0, None)).unwrap();
    }

    #[test]
    fn normalised_and_unit_floats_pass() {
        floats(&[-2.1, 0.3, 2.6], Preprocess::default()).unwrap();
        floats(&[0.0, 0.5, 1.0], pre(0.485, 0.229, None)).unwrap();
        floats(&[0.0, 0.0], pre(0.5, 0.5, None)).unwrap();
    }

    #[test]
    fn a_mean_in_the_wrong_unit_is_refused() {
        says(&bytes(&[1, 200], pre(123.7, 58.0, None)).unwrap_err(), &["`mean` 123.7", "`scale` 1"]);
        says(&floats(&[0.0, 0.9], pre(123.7, 58.0, None)).unwrap_err(), &["`mean` 123.7", "up to 0.9"]);
        bytes(&[1, 200], pre(123.7, 58.0, Some(1.0))).unwrap();
        bytes(&[1, 200], pre(0.48, 0.22, None)).unwrap();
        bytes(&[1, 2], pre(1.0, 1.0, Some(1.0 / 127.5))).unwrap();
    }

    #[test]
    fn bytes_are_fine_raw_but_not_beyond() {
        bytes(&[255, 255], Preprocess { scale: Some(1.0), ..Default::default() }).unwrap();
        says(&bytes(&[100, 200], pre(0.48, 0.22, Some(1.0))).unwrap_err(), &["range", "100 to 200"]);
    }
}
