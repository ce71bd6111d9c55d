//! Tensors: constant data as the file holds it ([`Tensor`]), and dense arrays of reals to compute with ([`Array`]).
//!
//! Takes: nothing. Gives: typed storage, slicing along axes, conversion to reals.
//! Never: computes a network operator; changes the type of a constant.

mod constant;
mod dtype;
mod element;
mod real;
mod shape;
mod storage;

pub use constant::select;
pub use dtype::DType;
pub use element::Element;
pub use real::Real;
pub use shape::{MOST_AXES, MOST_ELEMENTS, Shape, checked_volume, real_volume, too_large, volume};
pub use storage::Tensor;

/// A dense array of reals, row-major wherever it passes between parts of the program. Integer operands (shapes, indices) arrive
/// converted.
pub type Array<T> = ndarray::ArrayD<T>;

/// An array of a shape from its row-major elements, `volume(shape)` of them.
pub fn array<T>(shape: &[usize], elements: Vec<T>) -> Array<T> {
    Array::from_shape_vec(shape, elements).expect("as many elements as the shape says")
}

/// Elements in row-major order, of arrays and views that are stored so.
pub trait Elements<T> {
    /// The elements as a slice.
    fn elements(&self) -> &[T];
}

/// As [`Elements`], to be changed.
pub trait ElementsMut<T>: Elements<T> {
    /// The elements as a slice.
    fn elements_mut(&mut self) -> &mut [T];
}

impl<T, S: ndarray::Data<Elem = T>, D: ndarray::Dimension> Elements<T> for ndarray::ArrayBase<S, D> {
    fn elements(&self) -> &[T] {
        self.as_slice().expect("a row-major array")
    }
}

impl<T, S: ndarray::DataMut<Elem = T>, D: ndarray::Dimension> ElementsMut<T> for ndarray::ArrayBase<S, D> {
    fn elements_mut(&mut self) -> &mut [T] {
        self.as_slice_mut().expect("a row-major array")
    }
}

/// An array with the axes on both sides of `axis` taken together: (outer, `axis`, inner).
pub fn around<'a, T>(x: &ndarray::ArrayViewD<'a, T>, axis: usize) -> ndarray::ArrayView3<'a, T> {
    let shape = sides(x.shape(), axis);
    x.clone().into_shape_with_order(shape).expect("a row-major array")
}

/// As [`around`], to be changed.
pub fn around_mut<'x, T>(
    x: &'x mut ndarray::ArrayViewMutD<'_, T>,
    axis: usize,
) -> ndarray::ArrayViewMut3<'x, T> {
    let shape = sides(x.shape(), axis);
    x.view_mut().into_shape_with_order(shape).expect("a row-major array")
}

/// Sizes of an array with the axes on both sides of `axis` taken together: (outer, `axis`, inner).
pub fn sides(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (volume(&shape[..axis]), shape[axis], volume(&shape[axis + 1..]))
}
