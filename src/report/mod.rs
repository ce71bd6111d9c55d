//! What a run has to say, as data ([`json`]), as text ([`text`]) and as a page ([`html`]).
//!
//! Takes: models, analyses, outcomes. Gives: reports. Never: computes anything that decides what is pruned.

pub mod gather;
pub mod html;
pub mod json;
mod plot;
mod table;
pub mod text;
pub mod units;

use crate::error::Result;
use crate::pruner::{Done, Model, Options, Prepared, Pruned, Unit};
use gather::Known;
use std::fmt;

/// Everything that was measured in a run.
///
/// Displayed, it is the text that the command prints.
#[derive(Debug, Clone)]
pub struct Report(json::Run);

/// What a network costs, what of it can be cut, what cannot and why.
///
/// Displayed, it is the text that `autobot-onnx inspect` prints.
#[derive(Debug, Clone)]
pub struct Inspection(json::Inspection);

impl Done {
    /// What was measured, and what the original is.
    pub fn report(&self) -> Report {
        Report(gather::run(self, &Known::new(&self.of)))
    }
}

impl Pruned {
    /// What was measured on the way.
    pub fn report(&self) -> Report {
        self.done().report()
    }
}

impl Model {
    /// What pruning with these options could cut. Errors where shapes contradict the operators' definitions.
    pub fn inspect(&self, options: &Options) -> Result<Inspection> {
        let prepared = Prepared::new(self.0.clone(), options.clone(), Unit::Macs)?;
        let known = Known::new(&prepared);
        Ok(Inspection(gather::inspection(&prepared, known)))
    }
}

impl Report {
    /// JSON, as `--json` writes it. Field names are stable; new ones may be added.
    pub fn to_json(&self) -> String {
        json::text(&self.0)
    }

    /// Text for a terminal.
    pub fn to_text(&self) -> String {
        text::result(&self.0)
    }

    /// A page, as `--report` writes it.
    pub fn to_html(&self) -> String {
        html::page(&self.0)
    }

    /// Multiply-accumulates of the original, at batch 1.
    pub fn macs_before(&self) -> u64 {
        self.0.macs_before
    }

    /// Multiply-accumulates of the small network, at batch 1.
    pub fn macs_after(&self) -> u64 {
        self.0.macs_after
    }

    /// Multiply-accumulates that were asked for; none where the target is a time.
    pub fn macs_target(&self) -> Option<u64> {
        self.0.macs_target
    }

    /// Predicted milliseconds of the original; none where no processor was named.
    pub fn milliseconds_before(&self) -> Option<f64> {
        self.0.predicted.as_ref().map(|p| p.milliseconds_before)
    }

    /// Predicted milliseconds of the small network; none where no processor was named.
    pub fn milliseconds_after(&self) -> Option<f64> {
        self.0.predicted.as_ref().map(|p| p.milliseconds_after)
    }

    /// Milliseconds that were asked for; none where the target is no time.
    pub fn milliseconds_target(&self) -> Option<f64> {
        self.0.predicted.as_ref().and_then(|p| p.milliseconds_target)
    }

    /// Largest |masked − small| in our executor, as a share of the output's range.
    pub fn difference(&self) -> f64 {
        self.0.verification.relative
    }

    /// Largest |masked − small| in tract, as a share of the output's range; none where tract cannot run the original.
    pub fn difference_in_tract(&self) -> Option<f64> {
        self.0.verification.tract
    }

    /// Accuracy of the original and of the small network on held-out images; none without labels or class scores.
    pub fn accuracy(&self) -> Option<(f64, f64)> {
        let agreement = self.0.recovery.as_ref().map(|r| r.agreement).or(self.0.agreement)?;
        agreement.accuracy_before.zip(agreement.accuracy)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.to_text().trim())
    }
}

impl Inspection {
    /// JSON, as `inspect --json` writes it. Field names are stable; new ones may be added.
    pub fn to_json(&self) -> String {
        json::text(&self.0)
    }

    /// Text for a terminal.
    pub fn to_text(&self) -> String {
        text::inspection(&self.0)
    }

    /// Multiply-accumulates at batch 1.
    pub fn macs(&self) -> u64 {
        self.0.model.macs
    }

    /// The smallest number of multiply-accumulates that can be reached.
    pub fn macs_min(&self) -> u64 {
        self.0.channels.macs_smallest
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.to_text().trim())
    }
}
