//! The content of a source of samples: of a folder, an array, an archive.
//!
//! *Takes*: a number of samples. *Gives*: a [`Source`] to be filled by a reader, and the choice of its samples. *Never*: reads a file.

use super::feature::Feature;
use crate::Error;
use crate::support::random::Draw;

/// Content of a source, without labels from elsewhere. `labels` cover the whole source, not only the picked samples.
pub(super) struct Source {
    pub features: Vec<Feature>,
    /// The samples in `features`.
    pub picks: Vec<usize>,
    /// Errors of the samples that were left out.
    pub bad: Vec<Error>,
    pub total: usize,
    pub names: Option<Vec<String>>,
    pub labels: Option<Vec<u32>>,
    pub classes: Option<Vec<String>>,
    pub notes: Vec<String>,
}

/// A choice of samples of a source: `limit` of them, drawn with `seed`, in the order of the source.
#[derive(Clone, Copy)]
pub(super) struct Picker {
    pub limit: Option<usize>,
    pub seed: u64,
}

impl Picker {
    pub fn pick(self, total: usize) -> Vec<usize> {
        match self.limit {
            Some(limit) if limit < total => Draw::new(self.seed, 0).subset(total, limit),
            _ => (0..total).collect(),
        }
    }
}
