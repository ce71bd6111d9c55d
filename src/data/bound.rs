//! Samples as a network takes them.
//!
//! *Takes*: a source that was read for a network's inputs, and labels. *Gives*: a [`BoundDataset`]: normalised samples one at a time,
//! and what was done to the data unasked. *Never*: keeps a normalised copy; changes the order of the source.

use std::fmt;
use std::path::{Path, PathBuf};

use super::augment::Mixture;
use super::feature::Feature;
use super::pixel_layout::Target;
use super::reader::read;
use super::source::{Picker, Source};
use super::{Augmentation, InputSpec, Layout, Preprocess, labels};
use crate::support::hash::Hash;
use crate::support::random::Draw;
use crate::{Error, Result, Setting};

/// Samples for every input of a network, with their labels where there are any.
///
/// Sample numbers run over the samples that were kept, in the order of the source (an array's first axis, or the files
/// sorted by name); the caller shuffles.
pub struct BoundDataset {
    pub(super) features: Vec<Feature>,
    /// Number of each kept sample in the source; messages use these numbers.
    pub(super) origin: Vec<usize>,
    /// File names of the kept samples, for folders.
    pub(super) names: Option<Vec<String>>,
    pub(super) labels: Option<Vec<u32>>,
    pub(super) labels_from: PathBuf,
    pub(super) classes: Option<Vec<String>>,
    pub(super) notes: Vec<String>,
    /// Path that the samples come from, as text; `None` for synthetic ones.
    pub(super) source: Option<String>,
}

/// A dataset in a report.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Path that the samples come from, as text; `None` for synthetic ones.
    pub source: Option<String>,
    /// Number of samples.
    pub images: usize,
    /// True if there are labels.
    pub labels: bool,
    /// Everything that was done to the data unasked.
    pub notes: Vec<String>,
}

impl fmt::Debug for BoundDataset {
    /// Without the data.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut out = f.debug_struct("BoundDataset");
        out.field("inputs", &self.features.len()).field("samples", &self.len()).field("notes", &self.notes);
        out.finish_non_exhaustive()
    }
}

impl BoundDataset {
    /// Reads calibration data for `inputs` from `path`.
    ///
    /// * `.npy`: uint8 `[n, h, w, c]` or grey `[n, h, w]` (uint8 `[n, c, h, w]` where only that fits); float16/32/64
    ///   `[n, c, h, w]` or exactly the network's shape with n in front. For a network with one input.
    /// * `.npz`: one such array per input, named as the input (a single input takes the only array, whatever its name);
    ///   an array named `labels`, `label` or `y` that is no input holds labels.
    /// * a folder of images, sorted by name; or one sub-folder per class, labels by sorted folder name. PNG, JPEG, BMP,
    ///   WebP, PNM. For a network with one input of rank 4.
    ///
    /// With `skip_bad` samples that cannot be used are left out.
    ///
    /// `labels`: `.npy` (integers `[n]`, or one-hot/probabilities `[n, classes]`) or text with a label, `file,label` or
    /// `file label` per line; it covers the whole source and wins over labels found in it. `limit` (≥ 1) keeps a random
    /// subset drawn with `seed`.
    ///
    /// # Errors
    /// A missing, truncated, corrupt or empty source; a rank, channel count, size or dtype that does not fit; NaN or
    /// infinity; `mean`/`std`/`scale` that cannot belong to the data; labels that do not fit the samples. Each names
    /// the file and the way out.
    pub fn load(
        path: &Path,
        labels: Option<&Path>,
        inputs: &[InputSpec],
        pre: &Preprocess,
        limit: Option<usize>,
        seed: u64,
    ) -> Result<Self> {
        if limit == Some(0) {
            return Err(Error::argument(
                Setting::CalibSize,
                "0 samples teach nothing",
                "give a number from 1 up",
            ));
        }
        let (targets, picker) = (pre.targets(inputs)?, Picker { limit, seed });
        Self::assemble(path, labels, read(path, &targets, pre, picker)?, picker)
    }

    /// `n` smooth random images per input (a few octaves of noise, edges and blobs; roughly zero mean and unit
    /// variance), made anew at every [`write`](Self::write); white noise for inputs that are not of rank 4; whole numbers for
    /// inputs that take only these. No labels.
    /// Sample `i` depends on `seed`, `i` and the input alone, not on `n`. The layout is found as by [`Layout::Auto`].
    pub fn synthetic(inputs: &[InputSpec], n: usize, seed: u64) -> Self {
        let features = inputs.iter().zip(0..).map(|(input, at)| {
            let salt = Draw::new(seed, at).next();
            Feature::synthetic(&Target::lenient(input, Layout::Auto), salt)
        });
        Self {
            features: features.collect(),
            origin: (0..n).collect(),
            names: None,
            labels: None,
            labels_from: PathBuf::new(),
            classes: None,
            source: None,
            notes: vec![format!("no calibration data: {n} synthetic images (seed {seed}) stand in for it")],
        }
    }

    pub(super) fn assemble(
        path: &Path,
        labels: Option<&Path>,
        source: Source,
        picker: Picker,
    ) -> Result<Self> {
        let Source { features, picks, bad, total, names, labels: found, classes, mut notes } = source;
        if let Some(first) = bad.first() {
            let (n, all) = (bad.len(), bad.len() + picks.len());
            let reason = first.to_string();
            let reason = reason.lines().next().unwrap_or_default();
            notes.push(format!(
                "{n} of {all} samples were left out because they cannot be used; first: {reason}"
            ));
        }
        match picker.limit {
            Some(limit) if limit < total => {
                notes.push(format!("{limit} of {total} samples were drawn at random (seed {})", picker.seed));
            }
            Some(limit) if limit > total => {
                notes.push(format!("{limit} samples were asked for; the source holds {total}, all are used"));
            }
            _ => {}
        }
        let (labels_of_all, classes) = match labels {
            Some(file) => {
                if found.is_some() {
                    notes.push(format!("labels come from {}, not from the calibration data", file.display()));
                }
                (Some(labels::read(file, total, names.as_deref())?), None)
            }
            None => (found, classes),
        };
        Ok(Self {
            features,
            labels: labels_of_all.map(|labels| picks.iter().map(|&i| labels[i]).collect()),
            labels_from: labels.unwrap_or(path).into(),
            names: names.map(|names| picks.iter().map(|&i| names[i].clone()).collect()),
            origin: picks,
            classes,
            notes,
            source: Some(path.display().to_string()),
        })
    }

    /// The entries of a report.
    pub fn summary(&self) -> Summary {
        let (source, notes) = (self.source.clone(), self.notes.clone());
        Summary { source, images: self.len(), labels: self.labels.is_some(), notes }
    }

    /// The number of samples kept.
    pub fn len(&self) -> usize {
        self.origin.len()
    }

    /// True if there is not one sample (only `synthetic(.., 0, ..)` gives that).
    pub fn is_empty(&self) -> bool {
        self.origin.is_empty()
    }

    /// One class number per sample, where labels were given or found.
    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    /// The class folders' names, sorted; label `l` stands for `classes()[l]`. `None` unless the labels come from them.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// A hash of the samples as the network takes them and of their labels; of synthetic samples, for any number of them.
    pub fn digest(&self) -> String {
        let mut hash = Hash::default();
        self.features.iter().for_each(|f| f.hash(&mut hash));
        hash.number(self.labels.as_ref().map_or(0, |l| l.len() + 1));
        for &label in self.labels.iter().flatten() {
            hash.number(label as usize);
        }
        hash.done()
    }

    /// Notes on changes to the data that nobody asked for, and on files that were ignored: one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Name of sample `index` in messages: its file's, or its number in the source (from 0).
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn name(&self, index: usize) -> String {
        match &self.names {
            Some(names) => names[index].clone(),
            None => format!("sample {}", self.origin[index]),
        }
    }

    /// The shorter side in pixels of the first input that is pictures: images of at most four channels.
    pub fn side(&self) -> Option<usize> {
        let mut sizes = self.features.iter().filter_map(|f| f.layout).map(|l| l.size);
        sizes.find(|s| s.channels <= 4).map(|s| s.height.min(s.width))
    }

    /// Writes sample `index` of network input number `input`, normalised, in the input's own layout.
    ///
    /// `out` has the product of `shape[1..]` elements. `augment` is applied to images (rank 4) only, with the draw that
    /// belongs to (its seed, `index`), equal for every input and every call. Costs no allocation for loaded data.
    ///
    /// # Panics
    /// If `input` or `index` is out of range or `out` has another length.
    pub fn write(&self, input: usize, index: usize, augment: Option<Augmentation>, out: &mut [f32]) {
        assert!(index < self.len(), "sample {index} of {}", self.len());
        self.features[input].write(index, augment, out);
    }

    /// As [`BoundDataset::write`], of the sample `batch[at]`, which is mixed with another one of `batch` where `augment` says so.
    ///
    /// # Panics
    /// As [`BoundDataset::write`].
    pub fn write_mixed(
        &self,
        input: usize,
        batch: &[usize],
        at: usize,
        augment: Option<Augmentation>,
        out: &mut [f32],
    ) {
        self.write(input, batch[at], augment, out);
        let mixture = augment.and_then(|a| Mixture::draw(a, batch[at], batch.len()));
        if let Some(mixture) = mixture {
            let mut other = vec![0.0; out.len()];
            self.write(input, batch[mixture.partner], augment, &mut other);
            self.features[input].mix(&mixture, &other, out);
        }
    }

    /// Checks that every label is a class of a network with `classes` outputs. No labels is fine.
    ///
    /// # Errors
    /// Names the first sample whose label is not below `classes`, and that label.
    pub fn check_labels(&self, classes: usize) -> Result<()> {
        let Some(labels) = &self.labels else { return Ok(()) };
        let Some(first) = labels.iter().position(|&l| l as usize >= classes) else { return Ok(()) };
        let (low, high) = labels.iter().fold((u32::MAX, 0), |(low, high), &l| (low.min(l), high.max(l)));
        let hint = if low >= 1 && high as usize == classes {
            "the labels look counted from 1: subtract 1 from each".into()
        } else {
            format!(
                "labels must be 0 to {}; give labels that belong to this network, or none",
                classes.max(1) - 1
            )
        };
        let (name, label) = (self.name(first), labels[first]);
        let reason = format!("{name} has label {label}, but the network has {classes} classes");
        Err(Error::file(&self.labels_from, reason, hint))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn labelled(values: &[u8]) -> BoundDataset {
        let dir = tempfile::tempdir().unwrap();
        let data = save_npy(dir.path(), "x.npy", "|u1", &[values.len(), 2, 2, 1], &vec![0; values.len() * 4]);
        let labels = save_npy(dir.path(), "y.npy", "|u1", &[values.len()], values);
        load(&data, Some(&labels), &[1, 1, 2, 2], &Preprocess::default()).unwrap()
    }

    #[test]
    fn a_missing_path_is_named() {
        let e = load(Path::new("/no/such.npy"), None, &[1, 1, 2, 2], &Preprocess::default()).unwrap_err();
        says(&e, &["/no/such.npy", "folder of images"]);
    }

    #[test]
    fn one_image_is_no_source() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.png"), b"x").unwrap();
        let e = load(&dir.path().join("a.png"), None, &[1, 1, 2, 2], &Preprocess::default()).unwrap_err();
        says(&e, &["a.png", "one image", "folder"]);
    }

    #[test]
    fn labels_out_of_range_name_the_first_sample_and_the_value() {
        let calib = labelled(&[0, 2, 7, 9]);
        calib.check_labels(10).unwrap();
        says(&calib.check_labels(7).unwrap_err(), &["y.npy", "sample 2", "label 7", "7 classes", "0 to 6"]);
    }

    #[test]
    fn labels_counted_from_one_are_recognised() {
        says(&labelled(&[1, 3, 2]).check_labels(3).unwrap_err(), &["sample 1", "label 3", "subtract 1"]);
    }

    #[test]
    fn a_limit_keeps_a_seeded_subset_in_order_with_its_labels() {
        let dir = tempfile::tempdir().unwrap();
        let values: Vec<u8> = (0..100).collect();
        let data = save_npy(dir.path(), "x.npy", "|u1", &[100, 1, 1, 1], &values);
        let labels = save_npy(dir.path(), "y.npy", "|u1", &[100], &values);
        let pre = Preprocess { scale: Some(1.0), ..Default::default() };
        let draw = |seed| {
            BoundDataset::load(&data, Some(&labels), &spec(&[1, 1, 1, 1]), &pre, Some(30), seed).unwrap()
        };
        let (a, b, c) = (draw(1), draw(1), draw(2));
        assert_eq!(a.len(), 30);
        assert_eq!(a.labels(), b.labels());
        assert_ne!(a.labels(), c.labels());
        assert!(a.labels().unwrap().is_sorted_by(|x, y| x < y));
        for i in 0..30 {
            assert_eq!(sample(&a, i, 1), [a.labels().unwrap()[i] as f32]);
            assert_eq!(a.name(i), format!("sample {}", a.labels().unwrap()[i]));
        }
        assert!(a.notes().iter().any(|n| n.contains("30 of 100")), "{:?}", a.notes());
    }

    #[test]
    fn pictures_have_a_side_and_other_inputs_have_none() {
        let dir = tempfile::tempdir().unwrap();
        let side = |name: &str, file: &[usize], input: &[usize]| {
            let data = save_npy(dir.path(), name, "<f4", file, &vec![0; 4 * file.iter().product::<usize>()]);
            load(&data, None, input, &Preprocess::default()).unwrap().side()
        };
        assert_eq!(side("wide.npy", &[2, 3, 4, 6], &[1, 3, 4, 6]), Some(4));
        assert_eq!(side("packed.npy", &[2, 6, 5, 3], &[1, 6, 5, 3]), Some(5));
        assert_eq!(side("features.npy", &[2, 64, 5, 5], &[1, 64, 5, 5]), None);
        assert_eq!(side("rows.npy", &[2, 7], &[1, 7]), None);
    }

    #[test]
    fn a_limit_above_the_source_takes_all_and_zero_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let data = save_npy(dir.path(), "x.npy", "|u1", &[3, 1, 1, 1], &[0; 3]);
        let with =
            |n| BoundDataset::load(&data, None, &spec(&[1, 1, 1, 1]), &Preprocess::default(), Some(n), 0);
        assert_eq!(with(9).unwrap().len(), 3);
        assert!(with(9).unwrap().notes()[0].contains("holds 3"));
        says(&with(0).unwrap_err(), &["`calib_size`"]);
    }
}
