//! Flags → calibration data.
//!
//! Takes: [`DataArgs`], a network. Gives: data that fit it, real or synthetic. Never: uses synthetic data without saying
//! what that costs.

use super::args::DataArgs;
use super::console::Console;
use autobot_onnx::Result;
use autobot_onnx::internals::data::{BoundDataset, Preprocess};
use autobot_onnx::internals::exec::Pool;
use autobot_onnx::internals::gates::{self, Doubt, Example};
use autobot_onnx::internals::graph::Network;
use autobot_onnx::internals::pruner::Prepared;
use autobot_onnx::internals::report::units::percent;
use autobot_onnx::internals::support::printable;

impl DataArgs {
    /// Where the data come from, for the report.
    pub fn source(&self) -> Option<String> {
        self.calib.as_ref().map(|p| p.display().to_string())
    }

    /// Reads the data, or makes up `synthetic` images where none are given.
    pub fn load(&self, network: Network, synthetic: usize, seed: u64) -> Result<BoundDataset> {
        let inputs = gates::inputs(network)?;
        let Some(path) = &self.calib else {
            return Ok(BoundDataset::synthetic(&inputs, self.calib_size.unwrap_or(synthetic), seed));
        };
        let pre = Preprocess {
            mean: self.mean.clone(),
            std: self.std.clone(),
            scale: self.scale,
            layout: self.layout,
            resize: self.resize,
            crop: self.crop,
            bgr: self.bgr,
            skip_bad: self.skip_bad,
        };
        BoundDataset::load(path, self.labels.as_deref(), &inputs, &pre, self.calib_size, seed)
    }
}

/// Shows the network's classes of some images, and warns where they look as if the images came to it in another way than in its
/// training.
pub fn preview(data: &BoundDataset, prepared: &Prepared, console: Console) -> Result<()> {
    let options = prepared.options();
    let (network, pool) = (prepared.network(), Pool::new(options.threads)?);
    let seen = gates::preview(network, prepared.analysis().macs_total, data, &pool, options.seed);
    let Some(seen) = seen else { return Ok(()) };
    let example = |e: &Example| {
        let label = e.label.map(|l| format!(", label {l}")).unwrap_or_default();
        format!("'{}' is class {} ({}{label})", printable::line(&e.name), e.class, percent(e.probability))
    };
    let examples: Vec<String> = seen.examples.iter().map(example).collect();
    console.facts(&format!("sees      {}\n", examples.join("; ")));
    if let Some(doubt) = &seen.doubt {
        console.warn(&doubted(doubt, seen.images));
    }
    Ok(())
}

/// A warning about doubtful classes, with likely causes.
fn doubted(doubt: &Doubt, images: usize) -> String {
    const CAUSES: &str = "values of another range (--scale), another --mean or --std, another order of channels (--bgr) or of axes \
                          (--layout) than it was trained with";
    match doubt {
        Doubt::Chance { accuracy, better } => {
            let better = match better {
                Some(flags) => format!("with {flags} it is right far more often"),
                None => {
                    format!("likely causes: {CAUSES}; or labels that are not the network's class numbers")
                }
            };
            let share = percent(*accuracy);
            format!(
                "the network is right on {share} of {images} images, hardly more than by chance: {better}"
            )
        }
        Doubt::Renamed { accuracy } => format!(
            "the network is right on {} of {images} images, and yet tells them apart: likely cause: the labels number the \
             classes in another order than its outputs do",
            percent(*accuracy)
        ),
        Doubt::Alike { class, share, better } => {
            let better = match better {
                Some(flags) => format!("; with {flags} it tells them apart"),
                None => String::new(),
            };
            let share = percent(*share);
            format!(
                "the network gives {share} of {images} images the same class, {class}: unless they are all of one kind, likely \
                 causes: {CAUSES}{better}"
            )
        }
    }
}

/// Checks labels against the network. Notes what was done to the data unasked.
pub fn review(data: &BoundDataset, network: Network, console: Console) -> Result<()> {
    data.notes().iter().for_each(|note| console.note(note));
    if !gates::check_labels(network, data)? {
        console.warn("the labels are not used: the network's output is not one row of class scores");
    }
    Ok(())
}
