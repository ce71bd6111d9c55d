//! Gradients on their way through a step.

use crate::tensor::Array;

/// Gradients that a pass adds to, and λ.
pub(super) struct Gradients<'a> {
    /// λ, then κ, at which the pass went forward.
    pub lambda: &'a [f32],
    /// dL/dλ, then dL/dκ.
    pub gates: &'a mut [f32],
    /// dL/dθ by parameter.
    pub parameters: &'a mut [Array<f32>],
}

/// The gradient of a slot, out of its workspace.
pub(super) struct GradSlot {
    pub dx: Array<f32>,
    /// True if the pass has written to `dx`; else its numbers are old.
    pub begun: bool,
}
