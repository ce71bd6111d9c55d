//! Arrays of a network with several inputs.
//!
//! *Takes*: one array after the other, each for one input. *Gives*: a [`Source`] of the samples that all of them have. *Never*: pairs
//! arrays of different lengths.

use std::io::Read;

use super::Preprocess;
use super::array::{Bad, read, rows};
use super::feature::Feature;
use super::npy::Npy;
use super::pixel_layout::Target;
use super::source::{Picker, Source};
use crate::Result;

/// Arrays of several inputs, one sample after another in each.
#[derive(Default)]
pub(super) struct Several {
    features: Vec<(Feature, Vec<usize>)>,
    notes: Vec<String>,
    bad: Bad,
    first: Option<(usize, Vec<usize>)>,
}

impl Several {
    /// Reads the array of one more input; mean, std, scale and bgr count if `ours`.
    pub fn add<R: Read>(
        &mut self,
        array: Npy<R>,
        target: &Target,
        pre: &Preprocess,
        ours: bool,
        picker: Picker,
    ) -> Result<()> {
        let (total, picks) = rows(&array, picker)?;
        if let Some((n, _)) = self.first.as_ref().filter(|(n, _)| *n != total) {
            let reason = format!("holds {total} samples, the arrays before it hold {n}");
            return Err(array.fail(reason, "give every input the same number of samples"));
        }
        let (feature, unusable) = read(array, target, pre, ours, &picks, &mut self.notes)?;
        let there: Vec<usize> = picks.iter().copied().filter(|i| !unusable.contains_key(i)).collect();
        self.features.push((feature, there));
        self.bad.extend(unusable);
        self.first = Some((total, picks));
        Ok(())
    }

    /// Number of samples.
    pub fn total(&self) -> usize {
        self.first.as_ref().map_or(0, |(total, _)| *total)
    }

    /// All of them, with their labels; what one input lacks is left out of all. Errors where nothing is left.
    pub fn source(mut self, labels: Option<Vec<u32>>) -> Result<Source> {
        let bad = &mut self.bad;
        let (total, mut picks) = self.first.unwrap_or_default();
        picks.retain(|i| !bad.contains_key(i));
        if picks.is_empty()
            && let Some((_, first)) = bad.pop_first()
        {
            return Err(first);
        }
        let whole = |(mut feature, there): (Feature, Vec<usize>)| {
            feature.retain(&there.iter().map(|i| !bad.contains_key(i)).collect::<Vec<_>>());
            feature
        };
        let features = self.features.into_iter().map(whole).collect();
        let bad = std::mem::take(bad).into_values().collect();
        Ok(Source { features, picks, bad, total, names: None, labels, classes: None, notes: self.notes })
    }
}
