//! A set of samples for any network.
//!
//! *Takes*: arrays, or where files are, and what callers say about them. *Gives*: a [`Dataset`]; with a network's inputs, a
//! [`BoundDataset`]. *Never*: reads a file without a network that says how.

use super::reader::{kind, read};
use super::source::Picker;
use super::{BoundDataset, InputSpec, Preprocess, Samples, given};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Images, or other samples, on which a network is pruned: a few hundred of the kind that it will see, labels optional.
///
/// Nothing is read or converted until a network is known. Of a network with several inputs, there is one array for each.
#[derive(Debug, Clone)]
pub struct Dataset {
    origin: Origin,
    labels: Labels,
    pre: Preprocess,
    limit: Option<usize>,
    seed: u64,
}

/// Origin of samples.
#[derive(Debug, Clone)]
enum Origin {
    /// One array per input.
    Arrays(Vec<Samples>),
    /// A file of arrays, or a folder of images.
    Path(PathBuf),
    /// A number of images to be made up.
    Synthetic(usize),
}

/// Origin of labels.
#[derive(Debug, Clone)]
enum Labels {
    /// The samples' own source, if it has some.
    Found,
    /// The caller; one per sample.
    Given(Vec<u32>),
    /// A file.
    File(PathBuf),
}

impl Dataset {
    fn of(origin: Origin) -> Self {
        Self { origin, labels: Labels::Found, pre: Preprocess::default(), limit: None, seed: 1 }
    }

    /// Samples along the first axis of an array: `u8` pixels `[n, h, w, c]` or `[n, h, w]`, or `f32` numbers `[n, c, h, w]`, or
    /// in the network's own shape. Errors where there is not one sample.
    pub fn from_array(array: impl Into<Samples>) -> Result<Self> {
        Self::from_arrays([array.into()])
    }

    /// As [`Dataset::from_array`], with one array for each input of the network, in its order. Errors where their numbers of
    /// samples differ.
    pub fn from_arrays(arrays: impl IntoIterator<Item = Samples>) -> Result<Self> {
        let arrays: Vec<Samples> = arrays.into_iter().collect();
        let mut counts = arrays.iter().map(Samples::len);
        let refuse = |reason: String| Err(Error::arrays(reason, "give samples along the first axis"));
        let Some(first) = counts.next() else { return refuse("there is no array".into()) };
        if let Some(other) = counts.find(|n| *n != first) {
            return refuse(format!("one array holds {first} samples, another one {other}"));
        }
        if first == 0 {
            return refuse("0 samples teach nothing".into());
        }
        Ok(Self::of(Origin::Arrays(arrays)))
    }

    /// Samples of a network with one input, from arrays that each hold some of them along the first axis. Errors where their
    /// types or other sizes differ, or there is not one sample.
    pub fn from_batches<B: Into<Samples>>(batches: impl IntoIterator<Item = B>) -> Result<Self> {
        Self::from_array(Samples::concatenate(batches.into_iter().map(Into::into).collect())?)
    }

    /// A file (`.npy`; `.npz` with an array per input, named like it) or a folder (of images, or with a folder of them per
    /// class). Errors where there is none.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        kind(path.as_ref())?;
        Ok(Self::of(Origin::Path(path.as_ref().to_owned())))
    }

    /// `n` made-up images. A network that is pruned on them is less accurate than it could be.
    pub fn synthetic(n: usize, seed: u64) -> Self {
        Self { seed, ..Self::of(Origin::Synthetic(n)) }
    }

    /// Class numbers, one per sample, from 0. Errors where arrays hold another number of samples.
    pub fn labels(mut self, labels: impl Into<Vec<u32>>) -> Result<Self> {
        let labels = labels.into();
        let samples = match &self.origin {
            Origin::Arrays(arrays) => arrays.first().map(Samples::len),
            Origin::Synthetic(_) => Some(0),
            Origin::Path(_) => None,
        };
        if let Some(samples) = samples.filter(|n| *n != labels.len()) {
            return Err(unequal(labels.len(), samples));
        }
        self.labels = Labels::Given(labels);
        Ok(self)
    }

    /// Class numbers from a file: `.npy`, or text with one per line.
    pub fn labels_file(mut self, path: impl AsRef<Path>) -> Self {
        self.labels = Labels::File(path.as_ref().to_owned());
        self
    }

    /// The network's own normalisation: pixels are taken as 0 to 1, the mean is subtracted, and they are divided by the standard
    /// deviation; one value, or one per channel. Errors on values that cannot be used.
    pub fn normalise(mut self, mean: &[f32], std: &[f32]) -> Result<Self> {
        (self.pre.mean, self.pre.std) = (mean.to_vec(), std.to_vec());
        self.pre.check(&[]).map(|()| self)
    }

    /// Everything that can be said about the way from stored values to the network's.
    pub fn preprocess(mut self, preprocess: Preprocess) -> Self {
        self.pre = preprocess;
        self
    }

    /// Keeps `n` samples, drawn with a seed.
    pub fn limit(mut self, n: usize, seed: u64) -> Self {
        (self.limit, self.seed) = (Some(n), seed);
        self
    }

    /// The samples as a network with these inputs takes them. Errors where they do not fit.
    pub(crate) fn bind(&self, inputs: &[InputSpec]) -> Result<BoundDataset> {
        if self.limit == Some(0) || matches!(self.origin, Origin::Synthetic(0)) {
            return Err(Error::arrays("0 samples teach nothing", "give a number from 1 up"));
        }
        let (path, picker) = match &self.origin {
            Origin::Synthetic(n) => {
                return Ok(BoundDataset::synthetic(inputs, self.limit.map_or(*n, |l| l.min(*n)), self.seed));
            }
            Origin::Path(path) => (path.as_path(), Picker { limit: self.limit, seed: self.seed }),
            Origin::Arrays(_) => (Path::new(MEMORY), Picker { limit: self.limit, seed: self.seed }),
        };
        let targets = self.pre.targets(inputs)?;
        let mut source = match &self.origin {
            Origin::Arrays(arrays) => given::load(arrays, &targets, &self.pre, picker)?,
            _ => read(path, &targets, &self.pre, picker)?,
        };
        let file = match &self.labels {
            Labels::Found => None,
            Labels::File(file) => Some(file.as_path()),
            Labels::Given(labels) if labels.len() == source.total => {
                source.labels = Some(labels.clone());
                None
            }
            Labels::Given(labels) => return Err(unequal(labels.len(), source.total)),
        };
        BoundDataset::assemble(path, file, source, picker)
    }
}

/// Name in messages of samples that came from no file.
const MEMORY: &str = "memory";

/// The error of labels that are more or fewer than the samples.
fn unequal(labels: usize, samples: usize) -> Error {
    Error::arrays(format!("{labels} labels for {samples} samples"), "give one label per sample")
}
