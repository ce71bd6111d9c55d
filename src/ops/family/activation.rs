//! Activation functions of numbers, and their derivatives: for pointwise operators, and for the gates of recurrent ones.

use crate::tensor::Real;

/// y = max(x, 0)
#[inline]
pub fn relu<T: Real>(x: T) -> T {
    x.max(T::zero())
}

/// dy/dx of [`relu`], by x or by y: y > 0 where x > 0. The derivative at 0 is 0.
#[inline]
pub fn relu_slope<T: Real>(x: T) -> T {
    if x > T::zero() { T::one() } else { T::zero() }
}

/// y = 1 / (1 + e⁻ˣ)
#[inline]
pub fn sigmoid<T: Real>(x: T) -> T {
    T::one() / (T::one() + (-x).exp())
}

/// dy/dx of [`sigmoid`], by y.
#[inline]
pub fn sigmoid_slope<T: Real>(y: T) -> T {
    y * (T::one() - y)
}

/// y = ln(1 + eˣ), by a form in which nothing overflows. Its derivative is [`sigmoid`].
#[inline]
pub fn softplus<T: Real>(x: T) -> T {
    x.max(T::zero()) + (-x.abs()).exp().ln_1p()
}

/// y = tanh x
#[inline]
pub fn tanh<T: Real>(x: T) -> T {
    x.tanh()
}

/// dy/dx of [`tanh`], by y.
#[inline]
pub fn tanh_slope<T: Real>(y: T) -> T {
    T::one() - y * y
}
