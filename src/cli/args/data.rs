//! Flags of the calibration data.

use crate::cli::value;
use autobot_onnx::internals::data::{Layout, Resize};
use clap::Args;
use std::path::PathBuf;

/// The calibration data.
#[derive(Debug, Args)]
#[command(next_help_heading = "Calibration data")]
pub struct DataArgs {
    /// Images to learn on: .npy or .npz (uint8 NHWC or float NCHW; arrays named by input), a folder of images, or a folder
    /// with one sub-folder per class
    ///
    /// A few thousand are plenty, and they need no labels: without them the unpruned network's own outputs teach. With no
    /// --calib at all, synthetic images stand in, which costs accuracy.
    #[arg(long, value_name = "PATH")]
    pub calib: Option<PathBuf>,
    /// Labels of the images: .npy, or text with one per line
    #[arg(long, value_name = "FILE", requires = "calib")]
    pub labels: Option<PathBuf>,
    /// Subtracted from each channel after --scale; one value or one per channel
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_hyphen_values = true, requires = "calib")]
    pub mean: Vec<f32>,
    /// Each channel is divided by this; one value or one per channel
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "calib")]
    pub std: Vec<f32>,
    /// Stored values are multiplied by this first [default: 1/255 for uint8, 1 for float]
    #[arg(long, value_name = "X", requires = "calib")]
    pub scale: Option<f32>,
    /// Axes of the network's own inputs: auto, nchw or nhwc
    #[arg(long, value_name = "LAYOUT", default_value = "auto", value_parser = value::plain::<Layout>)]
    pub layout: Layout,
    /// Resize images first: 256 (the shorter side) or 224x320 (height x width)
    #[arg(long, value_name = "SIZE", value_parser = value::plain::<Resize>, requires = "calib")]
    pub resize: Option<Resize>,
    /// Then cut this much out of the centre: 224 or 224x320
    #[arg(long, value_name = "SIZE", value_parser = value::size, requires = "calib")]
    pub crop: Option<(usize, usize)>,
    /// The network takes blue first
    #[arg(long, requires = "calib")]
    pub bgr: bool,
    /// Leave out images that cannot be used (broken files, NaN), and say how many; else the first ends the run
    #[arg(long, requires = "calib")]
    pub skip_bad: bool,
    /// Use so many images, drawn at random [default: all]
    #[arg(long, value_name = "N", value_parser = value::at_least_one)]
    pub calib_size: Option<usize>,
}
