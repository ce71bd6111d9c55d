//! Tensors: constant data as the file holds it ([`Tensor`]), and dense arrays of reals to compute with ([`Array`]).
//!
//! Takes: nothing. Gives: typed storage, slicing along axes, conversion to reals.
//! Never: computes a network operator; changes the type of a constant behind its owner's back.

mod constant;
mod dtype;
mod element;
mod real;
mod shape;

pub use constant::{Tensor, select};
pub use dtype::DType;
pub use element::Element;
pub use real::Real;
pub use shape::{MOST_AXES, MOST_ELEMENTS, Shape, checked_volume, real_volume, too_large, volume};

/// A dense row-major array of reals: what operators compute with. Integer operands (shapes, indices) arrive converted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Array<T> {
    /// Axis sizes.
    pub shape: Shape,
    /// Row-major elements, `volume(shape)` of them.
    pub data: Vec<T>,
}

impl<T: Real> Array<T> {
    /// An array of zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), data: vec![T::zero(); volume(shape)] }
    }

    /// An array from its elements, which must be `volume(shape)` many.
    pub fn new(shape: &[usize], data: Vec<T>) -> Self {
        assert_eq!(volume(shape), data.len(), "elements of an array of shape {shape:?}");
        Self { shape: shape.to_vec(), data }
    }

    /// The elements as integers (an operand that holds axes, sizes or indices).
    pub fn ints(&self) -> Vec<i64> {
        self.data.iter().map(|v| v.wide() as i64).collect()
    }
}
