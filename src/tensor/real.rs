//! Floating-point types to compute with.

/// Floating-point types the executor computes with: `f32` at run time, `f64` in the laws and in constant folding.
pub trait Real:
    num_traits::Float
    + num_traits::NumAssign
    + num_traits::FloatConst
    + std::iter::Sum
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// Nearest value of this type.
    fn of(x: f64) -> Self;
    /// Widened to `f64`.
    fn wide(self) -> f64;
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn wide(self) -> f64 {
        self
    }
}
