//! Flags → calibration data.
//!
//! Takes: [`DataArgs`], a network. Gives: data that fit it, real or synthetic. Never: uses synthetic data without saying
//! what that costs.

use super::args::DataArgs;
use super::talk::Talk;
use autobot_onnx::ir::{Facts, Graph};
use autobot_onnx::learn::calib::{Calibration, InputSpec, Preprocess};
use autobot_onnx::{Error, Result, learn};

impl DataArgs {
    /// Where the data come from, for the report.
    pub fn source(&self) -> Option<String> {
        self.calib.as_ref().map(|p| p.display().to_string())
    }

    /// Reads the data, or makes up `synthetic` images where none are given.
    pub fn load(&self, graph: &Graph, facts: &Facts, synthetic: usize, seed: u64) -> Result<Calibration> {
        let inputs = inputs(graph, facts)?;
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

/// The network's inputs, as the calibration data must serve them.
pub fn inputs(graph: &Graph, facts: &Facts) -> Result<Vec<InputSpec>> {
    let spec = |&v: &usize| {
        let name = graph.values[v].name.clone();
        match facts.shape(v) {
            Some(shape) if !shape.is_empty() => Ok(InputSpec { name, shape: shape.to_vec() }),
            _ => Err(Error::graph(
                format!("input '{name}' is no tensor with a batch in front"),
                "cut the model so that its inputs are images or other arrays",
            )),
        }
    };
    graph.inputs.iter().map(spec).collect()
}

/// Checks labels against the network, and says what was done to the data unasked.
pub fn review(data: &Calibration, graph: &Graph, facts: &Facts, talk: Talk) -> Result<()> {
    data.notes().iter().for_each(|note| talk.note(note));
    let (targets, classes) = learn::targets(graph, facts)?;
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
