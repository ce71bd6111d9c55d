//! Constants, in the element type that the file gives them.

use super::storage::{of_dtype, of_tensor};
use super::{Array, DType, Element, Elements, Real, Tensor, checked_volume, sides, volume};
use crate::error::{Error, Result};
use half::{bf16, f16};
use ndarray::{ArcArray, ArrayD, ArrayViewD, IxDyn};
use std::fmt;

impl fmt::Debug for Tensor {
    /// All elements, where ndarray leaves some out: texts of attributes are compared.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}{:?} ", self.dtype().name(), self.shape())?;
        of_tensor!(self, array => f.debug_list().entries(array.elements()).finish())
    }
}

impl Tensor {
    /// A tensor from its row-major elements. Errors when their number is not the shape's volume.
    pub fn from_vec<E: Element>(shape: &[usize], values: Vec<E>) -> Result<Self> {
        fits(shape, values.len())?;
        Ok(Self::new(shape, values))
    }

    /// A tensor from its row-major elements, which must be `volume(shape)` many.
    pub fn new<E: Element>(shape: &[usize], values: Vec<E>) -> Self {
        assert_eq!(volume(shape), values.len(), "elements of a tensor of shape {shape:?}");
        let array = ArrayD::from_shape_vec(shape, values).expect("as many elements as the shape takes");
        E::tensor(array.into_shared())
    }

    /// A tensor without axes.
    pub fn scalar<E: Element>(value: E) -> Self {
        Self::new(&[], vec![value])
    }

    /// A 1-d int64 tensor (shapes, axes, indices).
    pub fn ints(values: &[i64]) -> Self {
        Self::new(&[values.len()], values.to_vec())
    }

    /// A float tensor.
    pub fn floats(shape: &[usize], values: Vec<f32>) -> Self {
        Self::new(shape, values)
    }

    /// Reals rounded into the element type `dtype`.
    pub fn from_real<T: Real>(dtype: DType, shape: &[usize], values: &[T]) -> Self {
        of_dtype!(dtype, E => Self::new(shape, values.iter().map(|x| <E as Element>::from_f64(x.wide())).collect()))
    }

    /// From little-endian bytes. Errors when their number is not what the shape takes.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Self> {
        // A part of an element counts as one here, and as none below.
        fits(shape, bytes.len().div_ceil(dtype.size()))?;
        of_dtype!(dtype, E => Self::from_vec(shape, bytes.chunks_exact(size_of::<E>()).map(E::from_chunk).collect()))
    }

    /// Axis sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        of_tensor!(self, array => array.shape())
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        fn of<E: Element>(_: &ArcArray<E, IxDyn>) -> DType {
            E::DTYPE
        }
        of_tensor!(self, array => of(array))
    }

    /// True if both are views of one store of elements, and so equal, bit by bit.
    pub fn shares(&self, other: &Self) -> bool {
        fn address<E>(array: &ArcArray<E, IxDyn>) -> *const () {
            array.as_ptr().cast()
        }
        let place = |t: &Self| of_tensor!(t, array => address(array));
        !self.is_empty()
            && place(self) == place(other)
            && self.dtype() == other.dtype()
            && self.shape() == other.shape()
    }

    /// True if type and row-major elements are equal, whatever the shapes.
    pub fn elements_eq(&self, other: &Self) -> bool {
        of_tensor!(self, array => other.as_slice() == Some(array.elements()))
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        of_tensor!(self, array => array.len())
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if all elements are equal.
    pub fn is_uniform(&self) -> bool {
        of_tensor!(self, array => array.elements().windows(2).all(|w| w[0] == w[1]))
    }

    /// True for what counts as parameters: floating-point numbers, and 8-bit ones with two axes or more (quantised weights).
    pub fn is_parameters(&self) -> bool {
        self.dtype().is_float() || self.dtype().size() == 1 && self.shape().len() > 1
    }

    /// The row-major elements of a tensor of type `E`; `None` of another type.
    pub fn as_slice<E: Element>(&self) -> Option<&[E]> {
        E::array(self).map(Elements::elements)
    }

    /// The row-major elements converted to a real type.
    pub fn to_real<T: Real>(&self) -> Vec<T> {
        of_tensor!(self, array => array.elements().iter().map(|x| T::of(Element::to_f64(*x))).collect())
    }

    /// The elements as reals to compute with.
    pub fn to_array<T: Real>(&self) -> Array<T> {
        super::array(self.shape(), self.to_real())
    }

    /// The row-major elements as integers: exact for integer types, except that uint64 ends at `i64::MAX`; reals lose fractions.
    pub fn to_ints(&self) -> Vec<i64> {
        of_tensor!(self, array => array.elements().iter().map(|x| x.to_i64()).collect())
    }

    /// Little-endian bytes, as `TensorProto.raw_data` holds them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len() * self.dtype().size());
        of_tensor!(self, array => array.elements().iter().for_each(|x| x.put(&mut bytes)));
        bytes
    }

    /// A tensor of this type from other row-major elements, rounded into it.
    pub fn with_values<T: Real>(&self, shape: &[usize], values: &[T]) -> Self {
        Self::from_real(self.dtype(), shape, values)
    }

    /// A tensor of this type from integers, row-major, exact where the type can hold them.
    pub fn with_ints(&self, shape: &[usize], values: &[i64]) -> Self {
        of_dtype!(self.dtype(), E => Self::new(shape, values.iter().map(|&x| E::from_i64(x)).collect()))
    }

    /// Only the coordinates `keep` of `axis`, in that order.
    pub fn select(&self, axis: usize, keep: &[usize]) -> Self {
        of_tensor!(self, array => Element::tensor(select(array.view(), axis, keep).into_shared()))
    }
}

/// Errors when a tensor of `shape` does not have `found` elements.
fn fits(shape: &[usize], found: usize) -> Result<()> {
    if checked_volume(shape) == Some(found) {
        return Ok(());
    }
    Err(Error::graph(
        format!("{found} elements do not fill a tensor of shape {shape:?}"),
        "export the model again: its weights are damaged or shorter than their shape says",
    ))
}

/// The coordinates `keep` of `axis` of a row-major array, in that order. The result is row-major, which that of ndarray's `select`
/// is not where `axis` is not the first.
pub fn select<E: Copy>(x: ArrayViewD<E>, axis: usize, keep: &[usize]) -> ArrayD<E> {
    let around = sides(x.shape(), axis);
    let mut shape = x.shape().to_vec();
    shape[axis] = keep.len();
    let mut kept = Vec::with_capacity(volume(&shape));
    for block in x.to_shape(around).expect("axes that lie together").outer_iter() {
        for &k in keep {
            kept.extend_from_slice(block.row(k).to_slice().expect("row-major rows"));
        }
    }
    ArrayD::from_shape_vec(shape, kept).expect("as many elements as the shape takes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Axis;

    const ALL: [DType; 13] = [
        DType::F32,
        DType::F64,
        DType::F16,
        DType::BF16,
        DType::U8,
        DType::I8,
        DType::U16,
        DType::I16,
        DType::U32,
        DType::I32,
        DType::U64,
        DType::I64,
        DType::Bool,
    ];

    #[test]
    fn selection_is_ndarrays_and_row_major() {
        let t = Tensor::floats(&[2, 3, 2], (0..12).map(|x| x as f32).collect());
        assert_eq!(t.select(1, &[0, 2]), Tensor::floats(&[2, 2, 2], vec![0., 1., 4., 5., 6., 7., 10., 11.]));
        let x = ArrayD::from_shape_vec(vec![2, 3, 4, 5], (0..120).collect()).unwrap();
        for axis in 0..4 {
            for keep in [&[][..], &[1], &[1, 0], &[0, 1, 1]] {
                let kept = select(x.view(), axis, keep);
                assert_eq!(kept, x.select(Axis(axis), keep));
                assert!(kept.is_standard_layout());
            }
        }
        let turned = select(x.t(), 1, &[3, 0]);
        assert_eq!(turned, x.t().select(Axis(1), &[3, 0]));
        assert!(turned.is_standard_layout());
        assert_eq!(Tensor::floats(&[0, 3], vec![]).select(1, &[2]), Tensor::floats(&[0, 1], vec![]));
    }

    #[test]
    fn bytes_round_trip_in_every_type() {
        for dtype in ALL {
            let t = Tensor::from_real(dtype, &[2, 2], &[0.0f64, 1.0, 1.0, 0.0]);
            assert_eq!(t.dtype(), dtype);
            assert_eq!(DType::from_onnx(dtype.onnx()), Some(dtype));
            assert_eq!(Tensor::from_bytes(dtype, &[2, 2], &t.to_bytes()).unwrap(), t, "{}", dtype.name());
            assert!(Tensor::from_bytes(dtype, &[2, 3], &t.to_bytes()).is_err());
            assert!(Tensor::from_bytes(dtype, &[2, 2], &[t.to_bytes(), vec![0]].concat()).is_err());
            assert_eq!(t.to_real::<f32>(), [0.0, 1.0, 1.0, 0.0]);
            assert_eq!(t.to_ints(), [0, 1, 1, 0]);
        }
    }

    #[test]
    fn integers_come_straight_from_their_own_type() {
        let odd = (1 << 53) + 1;
        assert_eq!(
            Tensor::ints(&[odd, -odd, i64::MIN, i64::MAX - 1]).to_ints(),
            [odd, -odd, i64::MIN, i64::MAX - 1]
        );
        assert_eq!(Tensor::new(&[2], vec![odd as u64, u64::MAX]).to_ints(), [odd, i64::MAX]);
        assert_eq!(Tensor::new(&[2], vec![i32::MIN, -1]).to_ints(), [i32::MIN.into(), -1]);
        assert_eq!(Tensor::new(&[2], vec![true, false]).to_ints(), [1, 0]);
        assert_eq!(Tensor::floats(&[3], vec![-2.9, 1e30, f32::NAN]).to_ints(), [-2, i64::MAX, 0]);
    }

    #[test]
    fn integers_go_straight_into_their_type_and_stop_at_its_ends() {
        let odd = (1 << 53) + 1;
        let restated = |dtype: DType, values: &[i64]| {
            Tensor::from_real(dtype, &[], &[0.0f32]).with_ints(&[values.len()], values)
        };
        assert_eq!(restated(DType::I64, &[odd, -1]), Tensor::ints(&[odd, -1]));
        assert_eq!(restated(DType::U64, &[odd, -1]), Tensor::new(&[2], vec![odd as u64, 0]));
        assert_eq!(restated(DType::U8, &[300, -1, 7]), Tensor::new(&[3], vec![255u8, 0, 7]));
        assert_eq!(restated(DType::Bool, &[2, 0]), Tensor::new(&[2], vec![true, false]));
        for dtype in ALL {
            let (ints, reals) = ([-200, 0, 1, 70_000], [-200.0f64, 0.0, 1.0, 70_000.0]);
            assert_eq!(restated(dtype, &ints), Tensor::from_real(dtype, &[4], &reals), "{}", dtype.name());
        }
    }

    #[test]
    fn elements_that_do_not_fill_the_shape_are_refused() {
        assert!(Tensor::from_vec(&[2, 2], vec![1i8; 3]).is_err());
        assert!(Tensor::from_vec::<i8>(&[usize::MAX, 2, 0], vec![]).is_err());
        assert_eq!(Tensor::from_vec(&[1, 2], vec![1i8, 2]).unwrap().as_slice(), Some(&[1i8, 2][..]));
        assert_eq!(Tensor::scalar(1i8).as_slice::<u8>(), None);
    }

    #[test]
    fn clones_share_their_elements() {
        let t = Tensor::ints(&[1, 2, 3]);
        assert!(t.shares(&t.clone()));
        assert!(!t.shares(&Tensor::ints(&[1, 2, 3])));
    }
}
