//! What of a report is read again.

use crate::error::{Error, Result};
use crate::rewrite::{Bias, Mask, Replaced};
use crate::setting::Setting;
use crate::support::files;
use serde::Deserialize;
use std::path::Path;

/// The part of a [`Run`](super::Run) from which the masked network is rebuilt.
#[derive(Debug, Clone, Deserialize)]
pub struct Recipe {
    /// See [`Run::model`](super::Run::model).
    #[serde(default)]
    model: Source,
    /// See [`Run::masks`](super::Run::masks).
    pub masks: Vec<Mask>,
    /// See [`Run::biases`](super::Run::biases).
    #[serde(default)]
    pub biases: Vec<Bias>,
    /// See [`Run::recovery`](super::Run::recovery).
    #[serde(default)]
    recovery: Option<serde::de::IgnoredAny>,
}

/// What of [`ModelFacts`](super::ModelFacts) is needed.
#[derive(Debug, Clone, Default, Deserialize)]
struct Source {
    #[serde(default)]
    rewritten: Vec<Replaced>,
}

impl Recipe {
    /// True where the network was said in other operators before it was cut.
    pub fn is_rewritten(&self) -> bool {
        !self.model.rewritten.is_empty()
    }

    /// Reads the report of a run.
    pub fn read(path: &Path) -> Result<Self> {
        let hint = &format!("give the file that {} wrote when the small network was made", Setting::Json);
        let text = files::read_text(path, hint)?;
        let recipe: Self = serde_json::from_str(&text)
            .map_err(|e| Error::file(path, format!("is no report of a run: {e}"), hint))?;
        if recipe.recovery.is_some() {
            let reason =
                format!("its network's weights were fitted after the pruning ({})", Setting::Recover);
            let hint = format!(
                "leave {} out to see how much changed; the run itself proved the masking before the fits",
                Setting::Report
            );
            return Err(Error::file(path, reason, hint));
        }
        Ok(recipe)
    }
}
