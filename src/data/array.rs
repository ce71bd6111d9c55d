//! Calibration data in a NumPy array.
//!
//! *Takes*: an array. *Gives*: a [`Source`], or an archive's [`Feature`]: the samples, read as what they are (axes, size,
//! dtype) and held against the network's shape. *Never*: transposes or resizes what could be read two ways.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use half::f16;

use super::arrange::{Fit, arrange, misfit, single};
use super::dtype::DType;
use super::feature::{Feature, Norm, Store};
use super::npy::Npy;
use super::pixel_layout::{PixelLayout, Target};
use super::source::{Picker, Source};
use super::{Preprocess, Values, fit, sanity};
use crate::support::memory;
use crate::{Error, Result, Setting};

/// The picked samples of the array in the file `path` for a network's only input.
pub(super) fn load(path: &Path, targets: &[Target], pre: &Preprocess, picker: Picker) -> Result<Source> {
    let [target] = targets else {
        let names: Vec<_> = targets.iter().map(|t| t.name.as_str()).collect();
        let reason =
            format!("holds one array, the network has {} inputs: {}", targets.len(), names.join(", "));
        return Err(Error::file(path, reason, "give an .npz with one array per input, named as the inputs"));
    };
    let array = Npy::open(path)?;
    let (total, mut picks) = rows(&array, picker)?;
    let mut notes = vec![];
    let (feature, bad) = read(array, target, pre, true, &picks, &mut notes)?;
    picks.retain(|i| !bad.contains_key(i));
    let (features, bad) = (vec![feature], bad.into_values().collect());
    Ok(Source { features, picks, bad, total, names: None, labels: None, classes: None, notes })
}

/// Number of samples in `array`, and the picked ones. Errors where there are none.
pub(super) fn rows<R: Read>(array: &Npy<R>, picker: Picker) -> Result<(usize, Vec<usize>)> {
    // Also an axis of 0 further back: the first one may then claim anything at no cost in bytes.
    if array.count() == 0 || array.shape.contains(&0) {
        let reason = format!("holds no samples: its shape is {:?}", array.shape);
        return Err(array.fail(reason, "give at least one sample along the first axis"));
    }
    Ok((array.count(), picker.pick(array.count())))
}

/// Errors of the samples that are left out, by their place in the source.
pub(super) type Bad = BTreeMap<usize, Error>;

/// Reads the picked samples of `array` for `target`; mean, std, scale and bgr count if `ours`.
pub(super) fn read<R: Read>(
    array: Npy<R>,
    target: &Target,
    pre: &Preprocess,
    ours: bool,
    picks: &[usize],
    notes: &mut Vec<String>,
) -> Result<(Feature, Bad)> {
    let dtype = array.dtype;
    let real = target.values == Values::Real;
    if real && dtype != DType::U8 && !dtype.is_float() {
        let reason = format!("has the unsupported dtype {dtype}");
        return Err(array.fail(reason, "convert it: array.astype(numpy.float32), or uint8 for pixels"));
    }
    let fit = match target.image {
        Some(image) => Some(arrange(&array, target, image, pre, notes)?),
        None if array.shape.get(1..) == Some(target.sample()) => None,
        None if array.shape == target.sample() => return Err(single(&array)),
        None => return Err(misfit(&array, target, "save it with exactly these axes")),
    };
    let subject = array.subject();
    let (store, mut bad) = samples(array, fit.as_ref(), picks)?;
    let usable = bad.is_empty() || (pre.skip_bad && bad.len() < picks.len());
    if !usable && let Some((_, first)) = bad.pop_first() {
        return Err(first);
    }

    let scale = pre.scale.unwrap_or(store.default_scale());
    let channels = target.image.map_or(1, |i| i.size.channels);
    let norm = match (real, ours) {
        (true, true) => Norm::new(pre, scale, channels),
        (true, false) => Norm::plain(store.default_scale()),
        (false, _) => Norm::none(channels),
    };
    let layout =
        fit.map(|f| PixelLayout { size: f.to, from: f.order, to: f.target_order, swap: ours && pre.bgr });
    let feature = Feature::new(store, target, layout, norm);
    feature.check_values().map_err(|(index, value)| {
        let (at, what) = (picks.iter().filter(|i| !bad.contains_key(i)).nth(index), target.describe());
        let at = at.copied().unwrap_or_default();
        let reason = format!("has the value {value} in sample {at}, and {what} takes {}", target.values);
        subject.fail(reason, "give the numbers that the network takes, not normalised")
    })?;
    if target.image.is_some() && real {
        sanity::check(&feature, pre).map_err(|(reason, hint)| subject.fail(reason, hint))?;
    }
    Ok((feature, bad))
}

/// Room for `elements` elements of the picked samples, where the machine has it: an archive may unpack to a thousand times its size
/// on disk.
fn reserved<T, R: Read>(array: &Npy<R>, elements: usize) -> Result<Vec<T>> {
    let bytes = elements.saturating_mul(size_of::<T>()) as u64;
    let mut all = Vec::new();
    if bytes.saturating_add(array.unpacked()) > memory::limit() || all.try_reserve_exact(elements).is_err() {
        let reason = format!("with shape {:?} takes {bytes} bytes, more than there is memory", array.shape);
        return Err(array.fail(reason, format!("keep some of its samples: {} 1000", Setting::CalibSize)));
    }
    Ok(all)
}

/// The picked samples, cropped and resized, without the ones that hold no numbers.
fn samples<R: Read>(array: Npy<R>, fit: Option<&Fit>, picks: &[usize]) -> Result<(Store, Bad)> {
    let (dtype, subject) = (array.dtype, array.subject());
    let sample = match fit.filter(|f| f.steps.any()) {
        Some(f) => f.to.len(),
        None => array.row(),
    };
    let elements = sample.saturating_mul(picks.len());
    let mut bad = Bad::new();
    let hint = format!(
        "leave that sample out ({} does): NaN and infinity (also beyond float32) poison the training",
        Setting::SkipBad
    );
    let mut judge = |at: usize, read: Result<(), f64>| {
        if let Err(value) = read {
            bad.insert(at, subject.fail(format!("has the value {value} in sample {at}"), &hint));
        }
        Ok(())
    };
    if dtype == DType::U8 {
        let mut all = reserved(&array, elements)?;
        array.rows(picks, |_, bytes| {
            match fit {
                Some(f) if f.steps.any() => all.extend(fit::bring(bytes, f.order, f.from, f.steps, f.to)),
                _ => all.extend_from_slice(bytes),
            }
            Ok(())
        })?;
        return Ok((Store::U8(all), bad));
    }
    if dtype.size() == 2 && dtype.is_float() {
        let mut all = reserved(&array, elements)?;
        array.rows(picks, |i, bytes| judge(i, floats(bytes, dtype, fit, f16::from_f64, &mut all)))?;
        return Ok((Store::F16(all), bad));
    }
    let mut all = reserved(&array, elements)?;
    array.rows(picks, |i, bytes| judge(i, floats(bytes, dtype, fit, |v| v as f32, &mut all)))?;
    Ok((Store::F32(all), bad))
}

/// Appends one sample of floats to `all`; `Err` is a value that is not finite.
fn floats<T: Copy>(
    bytes: &[u8],
    dtype: DType,
    fit: Option<&Fit>,
    convert: impl Fn(f64) -> T,
    all: &mut Vec<T>,
) -> Result<(), f64> {
    let values = bytes.chunks_exact(dtype.size()).map(|b| dtype.number(b));
    let mut sample = Vec::with_capacity(bytes.len() / dtype.size());
    for value in values {
        if !(value as f32).is_finite() {
            return Err(value);
        }
        sample.push(convert(value));
    }
    match fit {
        Some(f) if f.steps.any() => all.extend(fit::crop(&sample, f.order, f.from, f.steps, f.to)),
        _ => all.extend(sample),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{le, load, npy, sample, save_npy, says};
    use super::super::{BoundDataset, Layout, Resize};
    use super::*;

    /// One array `x.npy` for one input of `shape`.
    fn one(
        dtype: &str,
        array: &[usize],
        data: &[u8],
        shape: &[usize],
        pre: &Preprocess,
    ) -> Result<BoundDataset> {
        let dir = tempfile::tempdir().unwrap();
        load(&save_npy(dir.path(), "x.npy", dtype, array, data), None, shape, pre)
    }

    fn raw() -> Preprocess {
        Preprocess { scale: Some(1.0), ..Default::default() }
    }

    fn counted(n: u8) -> Vec<u8> {
        (0..n).collect()
    }

    fn error(dtype: &str, array: &[usize], shape: &[usize]) -> Error {
        let size: usize = dtype[2..].parse().unwrap();
        let data = vec![0; array.iter().product::<usize>() * size];
        one(dtype, array, &data, shape, &Preprocess::default()).unwrap_err()
    }

    #[test]
    fn packed_pixels_become_planar_and_normalised() {
        let pre = Preprocess { mean: vec![0.0, 0.5, 1.0], std: vec![1.0, 0.5, 0.25], ..Default::default() };
        // One image of 1x2 pixels: (0, 255, 51), (255, 0, 255).
        let calib = one("|u1", &[1, 1, 2, 3], &[0, 255, 51, 255, 0, 255], &[1, 3, 1, 2], &pre).unwrap();
        let want = [0.0, 1.0, 1.0, -1.0, -3.2, 0.0];
        let got = sample(&calib, 0, 6);
        assert!(got.iter().zip(want).all(|(g, w): (&f32, f32)| (g - w).abs() < 1e-5), "{got:?}");
    }

    #[test]
    fn every_readable_shape_of_pixels_gives_the_same_image() {
        let (planar, packed) =
            ([0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23], [0, 10, 20, 1, 11, 21, 2, 12, 22, 3, 13, 23]);
        let want: Vec<f32> = planar.iter().map(|&v| f32::from(v)).collect();
        let nchw = &[1, 3, 2, 2];
        assert_eq!(sample(&one("|u1", &[1, 2, 2, 3], &packed, nchw, &raw()).unwrap(), 0, 12), want);
        assert_eq!(sample(&one("|u1", &[1, 3, 2, 2], &planar, nchw, &raw()).unwrap(), 0, 12), want);
        let nhwc = &[1, 2, 2, 3];
        let want: Vec<f32> = packed.iter().map(|&v| f32::from(v)).collect();
        assert_eq!(sample(&one("|u1", &[1, 2, 2, 3], &packed, nhwc, &raw()).unwrap(), 0, 12), want);
        assert_eq!(sample(&one("|u1", &[1, 3, 2, 2], &planar, nhwc, &raw()).unwrap(), 0, 12), want);
    }

    #[test]
    fn grey_images_need_no_channel_axis() {
        for shape in [&[1, 1, 2, 3], &[1, 2, 3, 1]] {
            let calib = one("|u1", &[2, 2, 3], &counted(12), shape, &raw()).unwrap();
            assert_eq!(sample(&calib, 1, 6), [6., 7., 8., 9., 10., 11.]);
        }
    }

    #[test]
    fn floats_are_planar_or_as_the_network_takes_them() {
        let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
        let packed: Vec<f32> = (0..12).map(|i| ((i % 3) * 4 + i / 3) as f32).collect();
        let same = one("<f4", &[1, 3, 2, 2], &le(&values), &[1, 3, 2, 2], &raw()).unwrap();
        assert_eq!(sample(&same, 0, 12), values);
        let same = one("<f4", &[1, 2, 2, 3], &le(&values), &[1, 2, 2, 3], &raw()).unwrap();
        assert_eq!(sample(&same, 0, 12), values);
        let turned = one("<f4", &[1, 3, 2, 2], &le(&values), &[1, 2, 2, 3], &raw()).unwrap();
        assert_eq!(sample(&turned, 0, 12), packed);
        // A shape that reads both ways is taken as the network takes it.
        let cube: Vec<f32> = (0..27).map(|v| v as f32).collect();
        let pre = Preprocess { layout: Layout::Nhwc, ..raw() };
        let calib = one("<f4", &[1, 3, 3, 3], &le(&cube), &[1, 3, 3, 3], &pre).unwrap();
        assert_eq!(sample(&calib, 0, 27), cube);
    }

    #[test]
    fn half_and_double_floats_are_read() {
        let half: Vec<u8> = [0.5, -2.0].iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        assert_eq!(
            sample(&one("<f2", &[1, 2], &half, &[1, 2], &Preprocess::default()).unwrap(), 0, 2),
            [0.5, -2.0]
        );
        let double: Vec<u8> = [0.25f64, 3.0].iter().flat_map(|v| v.to_be_bytes()).collect();
        assert_eq!(
            sample(&one(">f8", &[1, 2], &double, &[1, 2], &Preprocess::default()).unwrap(), 0, 2),
            [0.25, 3.0]
        );
    }

    #[test]
    fn the_only_input_may_have_any_rank_and_a_scalar_mean() {
        let pre = Preprocess { mean: vec![1.0], std: vec![2.0], ..Default::default() };
        let calib = one("<f4", &[2, 3], &le(&[1., 3., 5., 7., 9., 11.]), &[1, 3], &pre).unwrap();
        assert_eq!(sample(&calib, 1, 3), [3., 4., 5.]);
    }

    #[test]
    fn bgr_swaps_before_the_mean() {
        let pre = Preprocess { bgr: true, mean: vec![1.0, 2.0, 3.0], ..raw() };
        let calib = one("|u1", &[1, 1, 1, 3], &[10, 20, 30], &[1, 3, 1, 1], &pre).unwrap();
        assert_eq!(sample(&calib, 0, 3), [29., 18., 7.]);
        let calib = one("<f4", &[1, 3, 1, 1], &le(&[10., 20., 30.]), &[1, 3, 1, 1], &pre).unwrap();
        assert_eq!(sample(&calib, 0, 3), [29., 18., 7.]);
    }

    #[test]
    fn a_wrong_size_names_both_shapes_and_the_way_out() {
        let words = ["[2, 36, 36, 3]", "[n, 3, 32, 32]", "`resize` 32x32", "`crop` 32x32"];
        says(&error("|u1", &[2, 36, 36, 3], &[1, 3, 32, 32]), &words);
        says(&error("<f4", &[2, 3, 28, 28], &[1, 3, 32, 32]), &["[2, 3, 28, 28]", "[n, 3, 32, 32]"]);
        says(&error("<f4", &[2, 7], &[1, 8]), &["[2, 7]", "[n, 8]"]);
    }

    #[test]
    fn one_sample_without_a_batch_axis_is_called_that() {
        let words = &["is one sample, without an axis that counts samples", "numpy.newaxis"];
        says(&error("|u1", &[8, 8, 3], &[1, 3, 8, 8]), words);
        says(&error("|u1", &[10, 12, 3], &[1, 3, 8, 8]), words);
        says(&error("<f4", &[3, 8, 8], &[1, 3, 8, 8]), words);
        says(&error("|u1", &[8, 8, 1], &[1, 1, 8, 8]), words);
        says(&error("|u1", &[8, 8], &[1, 1, 8, 8]), words);
        says(&error("<f4", &[8], &[1, 8]), words);
        let thin = one("|u1", &[2, 3, 1], &counted(6), &[1, 1, 3, 1], &raw()).unwrap();
        assert_eq!(sample(&thin, 1, 3), [3., 4., 5.]);
    }

    #[test]
    fn samples_that_are_no_numbers_are_left_out_when_told() {
        let data = le(&[0., 1., f32::NAN, 3., 4., 5.]);
        let pre = Preprocess { skip_bad: true, ..Preprocess::default() };
        let calib = one("<f4", &[3, 2], &data, &[1, 2], &pre).unwrap();
        assert_eq!((calib.len(), sample(&calib, 1, 2)), (2, vec![4., 5.]));
        assert_eq!(calib.name(1), "sample 2");
        let none = one("<f4", &[1, 2], &le(&[f32::NAN, 0.0]), &[1, 2], &pre).unwrap_err();
        says(&none, &["sample 0", "NaN"]);
    }

    #[test]
    fn a_wrong_channel_count_or_rank_is_named() {
        says(&error("|u1", &[2, 8, 8, 3], &[1, 1, 8, 8]), &["[2, 8, 8, 3]", "1 channel"]);
        says(&error("<f4", &[2, 4, 8, 8], &[1, 3, 8, 8]), &["[2, 4, 8, 8]", "3 channel"]);
        says(&error("|u1", &[2, 8, 8], &[1, 3, 8, 8]), &["[2, 8, 8]", "grey"]);
        says(&error("<f4", &[2, 192], &[1, 3, 8, 8]), &["[2, 192]", "[n, 3, 8, 8]", "[n, c, h, w]"]);
        says(&error("<f4", &[2, 3, 8, 8], &[1, 192]), &["[2, 3, 8, 8]", "[n, 192]"]);
    }

    #[test]
    fn an_unsupported_dtype_and_no_samples_are_named() {
        says(&error("<i8", &[2, 3, 8, 8], &[1, 3, 8, 8]), &["x.npy", "int64", "astype"]);
        says(&error("|u1", &[0, 8, 8, 3], &[1, 3, 8, 8]), &["no samples", "[0, 8, 8, 3]"]);
        says(&error("|u1", &[1 << 60, 0, 8, 3], &[1, 3, 8, 8]), &["no samples"]);
        says(&one("|u1", &[], &[7], &[1, 1], &raw()).unwrap_err(), &["no samples", "[]"]);
    }

    #[test]
    fn truncated_and_foreign_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npy");
        let mut bytes = npy("|u1", &[4, 2, 2, 1], &[0; 16]);
        bytes.truncate(bytes.len() - 1);
        std::fs::write(&path, bytes).unwrap();
        says(
            &load(&path, None, &[1, 1, 2, 2], &raw()).unwrap_err(),
            &["x.npy", "truncated", "16 bytes", "15"],
        );
        std::fs::write(&path, "1 2 3\n4 5 6\n").unwrap();
        says(&load(&path, None, &[1, 1, 2, 2], &raw()).unwrap_err(), &["x.npy", "no .npy"]);
    }

    #[test]
    fn a_value_that_is_not_finite_is_named_by_its_sample() {
        for bad in [f32::NAN, f32::INFINITY] {
            let e = one("<f4", &[3, 2], &le(&[0., 1., 2., 3., 4., bad]), &[1, 2], &raw()).unwrap_err();
            says(&e, &["sample 2", &bad.to_string()]);
        }
        let huge: Vec<u8> = [1e300f64, 0.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        says(&one("<f8", &[2, 1], &huge, &[1, 1], &raw()).unwrap_err(), &["sample 0", "float32"]);
    }

    #[test]
    fn pixels_are_resized_and_cropped_when_told_and_floats_only_cropped() {
        let pre = Preprocess { resize: Some(Resize::Exact(2, 2)), ..raw() };
        let calib = one("|u1", &[2, 4, 4, 1], &[77; 32], &[1, 1, 2, 2], &pre).unwrap();
        assert_eq!(sample(&calib, 1, 4), [77.0; 4]);
        let floats = le(&[1.0; 16]);
        let e = one("<f4", &[1, 1, 4, 4], &floats, &[1, 1, 2, 2], &pre).unwrap_err();
        says(&e, &["float32", "4x4", "only uint8"]);
        let pre = Preprocess { crop: Some((2, 2)), ..raw() };
        let calib = one("|u1", &[1, 4, 4], &counted(16), &[1, 1, 2, 2], &pre).unwrap();
        assert_eq!(sample(&calib, 0, 4), [5., 6., 9., 10.]);
        let values: Vec<f32> = (0..16).map(|v| v as f32).collect();
        let calib = one("<f4", &[1, 1, 4, 4], &le(&values), &[1, 1, 2, 2], &pre).unwrap();
        assert_eq!(sample(&calib, 0, 4), [5., 6., 9., 10.]);
    }
}
