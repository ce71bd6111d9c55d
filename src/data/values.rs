//! The network's inputs, as the data are held against them.
//!
//! *Takes*: what the caller knows of the network. *Gives*: names, shapes, and which numbers are allowed. *Never*: reads data.

use std::fmt;

/// Numbers that an input takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Values {
    /// Real numbers: normalised pixels, features.
    #[default]
    Real,
    /// Whole numbers from `low` on, and below `end`: token ids, truth values, raw pixels. They are taken as they are stored.
    Whole {
        /// The smallest.
        low: i64,
        /// The smallest that is too large.
        end: i64,
    },
}

impl Values {
    /// The nearest of these numbers to `x`.
    pub(super) fn nearest(self, x: f32) -> f32 {
        match self {
            Self::Real => x,
            Self::Whole { low, end } => x.round().clamp(low as f32, (end - 1).max(low) as f32),
        }
    }

    /// True if `x` is one of these numbers.
    pub(super) fn hold(self, x: f64) -> bool {
        match self {
            Self::Real => true,
            Self::Whole { low, end } => x.fract() == 0.0 && (low as f64..end as f64).contains(&x),
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Real => write!(f, "real numbers"),
            Self::Whole { low, end } => write!(f, "whole numbers from {low} to {}", end - 1),
        }
    }
}

/// One input of the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputSpec {
    /// The input's name in the graph; also the name of its array in an `.npz`.
    pub name: String,
    /// Its shape at batch 1: `[1, 3, 32, 32]`, NHWC `[1, 32, 32, 3]`, or any other rank ≥ 1 with the batch in front.
    pub shape: Vec<usize>,
    /// Numbers that it takes.
    pub values: Values,
}
