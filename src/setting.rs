//! The product's settings by name, as errors and reports speak of them.
//!
//! Takes: nothing. Gives: [`Setting`]. Never: a flag; the command alone writes `--input-shape`, as others write a keyword.

use std::fmt;

/// The enum of settings: per setting its doc comment, its variant and its name.
macro_rules! settings {
    ($($(#[$doc:meta])* $setting:ident = $name:literal,)*) => {
        /// A setting of the product. It is displayed as its name in backticks, which a front end replaces by its own spelling:
        /// `format!("{} tie", Setting::Residual)` gives `` `residual` tie ``.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Setting {
            $($(#[$doc])* $setting,)*
        }

        impl Setting {
            /// Every setting.
            pub const ALL: &[Self] = &[$(Self::$setting,)*];

            /// Its name in snake case, unique among the settings.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$setting => $name,)*
                }
            }
        }
    };
}

settings! {
    /// Multiply-accumulates to keep.
    TargetFlops = "target_flops",
    /// Time that an inference may take.
    TargetLatency = "target_latency",
    /// Sizes of inputs that the file leaves open.
    InputShape = "input_shape",
    /// Whether the written file states the sizes that were left open.
    FixSizes = "fix_sizes",
    /// Whether initializers that nothing reads are left out.
    DropUnused = "drop_unused",
    /// Reading of residual additions.
    Residual = "residual",
    /// Processor to predict times for.
    Cpu = "cpu",
    /// Command that measures times.
    Measure = "measure",
    /// Longest time that this command may take.
    MeasureTimeout = "measure_timeout",
    /// Names of layers and tensors that stay whole.
    Exclude = "exclude",
    /// Names of the layers and tensors that may be cut.
    Only = "only",
    /// Number that kept channels are a multiple of.
    RoundTo = "round_to",
    /// Fewest channels that stay in a layer.
    MinChannels = "min_channels",
    /// Calibration data.
    Calib = "calib",
    /// Number of calibration samples to use.
    CalibSize = "calib_size",
    /// Labels of the calibration data.
    Labels = "labels",
    /// Means that are subtracted, by channel.
    Mean = "mean",
    /// Standard deviations that are divided by, by channel.
    Std = "std",
    /// Factor of stored values.
    Scale = "scale",
    /// Order of the axes of the network's inputs.
    Layout = "layout",
    /// Size that images are brought to.
    Resize = "resize",
    /// Size that is cut out of the centre of images.
    Crop = "crop",
    /// Whether the network takes blue first.
    Bgr = "bgr",
    /// Whether samples that cannot be used are left out.
    SkipBad = "skip_bad",
    /// Ranking of the channels.
    Criterion = "criterion",
    /// Number of stages of a run.
    Stages = "stages",
    /// Number of threads.
    Threads = "threads",
    /// Recovery of lost accuracy.
    Recover = "recover",
    /// Random changes to images while weights are trained.
    Augment = "augment",
    /// File of the state of a run.
    Checkpoint = "checkpoint",
    /// Number of updates between two previews of the pruned network.
    Trace = "trace",
    /// File of the report as data.
    Json = "json",
    /// File of the report as a page, or the report that a comparison reads.
    Report = "report",
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "`{}`", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_in_snake_case() {
        let names: BTreeSet<&str> = Setting::ALL.iter().map(|s| s.name()).collect();
        assert_eq!(names.len(), Setting::ALL.len());
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(names.iter().all(|n| n.chars().all(is_plain)), "{names:?}");
    }

    #[test]
    fn a_setting_is_printed_as_its_name_in_backticks() {
        assert_eq!(format!("{} tie", Setting::Residual), "`residual` tie");
    }
}
