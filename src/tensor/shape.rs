//! Shapes: numbers of elements, and the limits on them.

/// Sizes of a tensor's axes, outermost first. A scalar has none.
pub type Shape = Vec<usize>;

/// Most axes of one value.
pub const MOST_AXES: usize = 64;

/// Most elements of one value, empty axes counted as 1: 256 GiB in single precision. Products of a few sizes stay in range.
pub const MOST_ELEMENTS: usize = 1 << 36;

/// Number of elements of a shape (1 for a scalar) that [`checked_volume`] lets pass.
pub fn volume(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Number of elements of any shape; `None` above `MOST_ELEMENTS` or `MOST_AXES`. An empty axis hides no large one, so
/// that any selection of the axes may be multiplied.
pub fn checked_volume(shape: &[usize]) -> Option<usize> {
    let filled = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size.max(1)))?;
    (filled <= MOST_ELEMENTS && shape.len() <= MOST_AXES).then(|| volume(shape))
}

/// Number of elements as a real number, for counts that multiply several volumes.
pub fn real_volume(shape: &[usize]) -> f64 {
    shape.iter().map(|&size| size as f64).product()
}

/// Words on a shape that [`checked_volume`] refuses.
pub fn too_large(shape: &[usize]) -> String {
    match shape.len() {
        ..=MOST_AXES => format!("a value of shape {shape:?} is too large: the limit is 2^36 elements"),
        axes => format!("a value of {axes} axes: the limit is {MOST_AXES}"),
    }
}
