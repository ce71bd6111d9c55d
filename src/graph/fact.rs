//! Facts about values.

use crate::tensor::{DType, Shape};

/// Type and shape of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Element type.
    pub dtype: DType,
    /// Axis sizes.
    pub shape: Shape,
}

impl Fact {
    /// A fact from its parts.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Self {
        Self { dtype, shape: shape.into() }
    }
}
