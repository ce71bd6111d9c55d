//! Flags that say how a model is read.

use crate::cli::value;
use autobot_onnx::internals::onnx::InputShape;
use clap::Args;

/// How the model is read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Sizes that the model leaves open: name:1,3,224,224, or without the name if there is one input; repeatable
    #[arg(long, value_name = "[NAME:]SIZES", value_parser = value::plain::<InputShape>)]
    pub input_shape: Vec<InputShape>,
    /// Make the written file state the sizes that the model leaves open: those of --input-shape, batch 1 unless it is given. Without
    /// it they stay open, and the small network is proved at a second size of each
    #[arg(long)]
    pub fix_sizes: bool,
}
