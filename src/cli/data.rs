//! Flags → calibration data.
//!
//! Takes: [`DataArgs`], a network. Gives: data that fit it, real or synthetic. Never: uses synthetic data without saying
//! what that costs.

use super::args::DataArgs;
use super::talk::Talk;
use autobot_onnx::Result;
use autobot_onnx::ir::{Facts, Graph};
use autobot_onnx::learn::calib::{Calibration, Preprocess};
use autobot_onnx::learn::{self, Aims};

impl DataArgs {
    /// Where the data come from, for the report.
    pub fn source(&self) -> Option<String> {
        self.calib.as_ref().map(|p| p.display().to_string())
    }

    /// Reads the data, or makes up `synthetic` images where none are given.
    pub fn load(&self, graph: &Graph, facts: &Facts, synthetic: usize, seed: u64) -> Result<Calibration> {
        let inputs = learn::inputs(graph, facts)?;
        let Some(path) = &self.calib else {
            return Ok(Calibration::synthetic(&inputs, self.calib_size.unwrap_or(synthetic), seed));
        };
        let pre = Preprocess {
            mean: self.mean.clone(),
            std: self.std.clone(),
            scale: self.scale,
            layout: self.layout,
            resize: self.resize,
            crop: self.crop,
            bgr: self.bgr,
        };
        Calibration::load(path, self.labels.as_deref(), &inputs, &pre, self.calib_size, seed)
    }
}

/// Checks labels against the network, and says what was done to the data unasked.
pub fn review(data: &Calibration, graph: &Graph, facts: &Facts, talk: Talk) -> Result<()> {
    data.notes().iter().for_each(|note| talk.note(note));
    let Aims { targets, classes, .. } = Aims::compared(graph, facts, |_| true);
    if data.labels().is_none() {
        return Ok(());
    }
    match targets.first().and_then(|&t| facts.shape(t)) {
        Some(shape) if classes => data.check_labels(shape[1]),
        _ => {
            talk.warn("the labels are not used: the network's output is not one row of class scores");
            Ok(())
        }
    }
}
