//! The order of the axes of a network's images.
//!
//! *Takes*: a word, and an input's shape. *Gives*: a [`Layout`]. *Never*: touches data.

use std::str::FromStr;

use crate::{Error, Result, Setting};

/// The order of the axes of the network's own rank-4 inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// NHWC if the last axis has 1, 3 or 4 elements while axis 1 has not; else NCHW.
    #[default]
    Auto,
    /// `[n, channels, height, width]`, as PyTorch exports.
    Nchw,
    /// `[n, height, width, channels]`, as TensorFlow exports.
    Nhwc,
}

impl Layout {
    /// True if a rank-4 input of this `shape` is NHWC.
    pub(super) fn is_nhwc(self, shape: &[usize]) -> bool {
        let few = |axis: usize| matches!(shape.get(axis), Some(1 | 3 | 4));
        match self {
            Self::Auto => few(3) && !few(1),
            Self::Nchw => false,
            Self::Nhwc => true,
        }
    }
}

impl FromStr for Layout {
    type Err = Error;

    /// `auto`, `nchw` or `nhwc`, in any case.
    fn from_str(s: &str) -> Result<Self> {
        match s.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "nchw" => Ok(Self::Nchw),
            "nhwc" => Ok(Self::Nhwc),
            _ => Err(Error::argument(
                Setting::Layout,
                format!("'{s}' is no layout"),
                "give auto, nchw or nhwc",
            )),
        }
    }
}
