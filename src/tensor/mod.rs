//! Tensors: constant data as the file holds it ([`Tensor`]), and dense arrays of reals to compute with ([`Array`]).
//!
//! Takes: nothing. Gives: typed storage, slicing along axes, conversion to reals.
//! Never: computes a network operator; changes the type of a constant behind its owner's back.

use crate::error::{Error, Result};
use half::{bf16, f16};

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

macro_rules! storage {
    ($($variant:ident $name:literal $onnx:literal $type:ty, $wide:expr, $narrow:expr;)*) => {
        /// Element types of constants, by their ONNX names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum DType { $(#[doc = $name] $variant,)* }

        impl DType {
            /// Name as in ONNX's textual syntax.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
            /// `TensorProto.DataType` number.
            pub fn onnx(self) -> i32 {
                match self { $(Self::$variant => $onnx,)* }
            }
            /// From a `TensorProto.DataType` number, where it is one we hold.
            pub fn from_onnx(code: i32) -> Option<Self> {
                match code { $($onnx => Some(Self::$variant),)* _ => None }
            }
            /// Bytes per element.
            pub fn size(self) -> usize {
                match self { $(Self::$variant => size_of::<$type>(),)* }
            }
        }

        /// Elements of a constant, in the type the file gives them.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Data { $(#[doc = $name] $variant(Vec<$type>),)* }

        impl Data {
            /// The element type.
            pub fn dtype(&self) -> DType {
                match self { $(Self::$variant(_) => DType::$variant,)* }
            }
            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(v) => v.len(),)* }
            }
            /// True without elements.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
            /// True if all elements are equal.
            pub fn is_uniform(&self) -> bool {
                match self { $(Self::$variant(v) => v.windows(2).all(|w| w[0] == w[1]),)* }
            }
            /// Elements converted to a real type.
            pub fn to_real<T: Real>(&self) -> Vec<T> {
                match self { $(Self::$variant(v) => v.iter().map(|&x| { let f: fn($type) -> f64 = $wide; T::of(f(x)) }).collect(),)* }
            }
            /// Reals rounded into the storage type `dtype`.
            pub fn from_real<T: Real>(dtype: DType, values: &[T]) -> Self {
                match dtype { $(DType::$variant => {
                    let f: fn(f64) -> $type = $narrow;
                    Self::$variant(values.iter().map(|x| f(x.wide())).collect())
                })* }
            }
            fn slice(&self, shape: &[usize], axis: usize, keep: &[usize]) -> Self {
                match self { $(Self::$variant(v) => Self::$variant(slice_of(v, shape, axis, keep)),)* }
            }
            /// Little-endian bytes, as `TensorProto.raw_data` holds them.
            pub fn to_bytes(&self) -> Vec<u8> {
                let mut bytes = Vec::new();
                match self { $(Self::$variant(v) => {
                    bytes.reserve_exact(v.len() * size_of::<$type>());
                    v.iter().for_each(|x| x.put(&mut bytes));
                })* }
                bytes
            }
            /// From little-endian bytes; `None` if their number is not a multiple of the element size.
            pub fn from_bytes(dtype: DType, bytes: &[u8]) -> Option<Self> {
                if bytes.len() % dtype.size() != 0 { return None; }
                Some(match dtype { $(DType::$variant =>
                    Self::$variant(bytes.chunks_exact(size_of::<$type>()).map(<$type as Bytes>::from_le).collect()),)* })
            }
        }
    };
}

storage! {
    F32 "float" 1 f32, |x| f64::from(x), |x| x as f32;
    U8 "uint8" 2 u8, |x| f64::from(x), |x| x as u8;
    I8 "int8" 3 i8, |x| f64::from(x), |x| x as i8;
    U16 "uint16" 4 u16, |x| f64::from(x), |x| x as u16;
    I16 "int16" 5 i16, |x| f64::from(x), |x| x as i16;
    I32 "int32" 6 i32, |x| f64::from(x), |x| x as i32;
    I64 "int64" 7 i64, |x| x as f64, |x| x as i64;
    Bool "bool" 9 bool, |x| f64::from(u8::from(x)), |x| x != 0.0;
    F16 "float16" 10 f16, |x| x.to_f64(), f16::from_f64;
    F64 "double" 11 f64, |x| x, |x| x;
    U32 "uint32" 12 u32, |x| f64::from(x), |x| x as u32;
    U64 "uint64" 13 u64, |x| x as f64, |x| x as u64;
    BF16 "bfloat16" 16 bf16, |x| x.to_f64(), bf16::from_f64;
}

impl DType {
    /// True for the floating-point types.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::BF16)
    }

    /// Smallest and largest number of an integer type and of the truth values; none of a floating-point type.
    pub fn range(self) -> Option<(f64, f64)> {
        let bits = 8 * self.size() as i32;
        match self {
            Self::Bool => Some((0.0, 1.0)),
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Some((0.0, 2f64.powi(bits) - 1.0)),
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => {
                Some((-2f64.powi(bits - 1), 2f64.powi(bits - 1) - 1.0))
            }
            Self::F32 | Self::F64 | Self::F16 | Self::BF16 => None,
        }
    }

    /// Makes results of an operator what their integer type can hold: fractions are cut towards zero, and what goes over an end
    /// comes back at the other, as in a processor's registers. Floating-point types are left alone.
    pub fn round<T: Real>(self, values: &mut [T]) {
        let Some((low, high)) = self.range() else { return };
        for v in values {
            let x = v.wide().trunc();
            *v = match self {
                Self::Bool if *v == T::zero() => T::zero(),
                Self::Bool => T::one(),
                _ if (low..=high).contains(&x) => v.trunc(),
                _ => T::of(low + (x - low).rem_euclid(high - low + 1.0)),
            };
        }
    }
}

trait Bytes: Copy {
    fn put(self, into: &mut Vec<u8>);
    fn from_le(b: &[u8]) -> Self;
}

macro_rules! bytes {
    ($($t:ty)*) => {$(impl Bytes for $t {
        fn put(self, into: &mut Vec<u8>) { into.extend_from_slice(&self.to_le_bytes()); }
        fn from_le(b: &[u8]) -> Self { Self::from_le_bytes(b.try_into().expect("chunk of the element size")) }
    })*};
}
bytes!(f32 f64 f16 bf16 u8 i8 u16 i16 u32 i32 u64 i64);

impl Bytes for bool {
    fn put(self, into: &mut Vec<u8>) {
        into.push(u8::from(self));
    }
    fn from_le(b: &[u8]) -> Self {
        b[0] != 0
    }
}

/// A constant: shape and typed row-major elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Axis sizes.
    pub shape: Shape,
    /// Elements, `volume(shape)` of them.
    pub data: Data,
}

impl Tensor {
    /// A tensor from its elements. Errors when their number is not the shape's volume.
    pub fn new(shape: Shape, data: Data) -> Result<Self> {
        if checked_volume(&shape) != Some(data.len()) {
            return Err(Error::graph(
                format!("{} elements do not fill a tensor of shape {shape:?}", data.len()),
                "export the model again: its weights are damaged or shorter than their shape says",
            ));
        }
        Ok(Self { shape, data })
    }

    /// A 1-d int64 tensor (shapes, axes, indices).
    pub fn ints(values: &[i64]) -> Self {
        Self { shape: vec![values.len()], data: Data::I64(values.to_vec()) }
    }

    /// A float tensor.
    pub fn floats(shape: &[usize], values: Vec<f32>) -> Self {
        assert_eq!(volume(shape), values.len(), "elements of a tensor of shape {shape:?}");
        Self { shape: shape.to_vec(), data: Data::F32(values) }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// True for what counts as parameters: floating-point numbers, and 8-bit ones with two axes or more (quantised weights).
    pub fn is_parameters(&self) -> bool {
        self.dtype().is_float() || self.dtype().size() == 1 && self.shape.len() > 1
    }

    /// The elements as reals to compute with.
    pub fn to_array<T: Real>(&self) -> Array<T> {
        array(&self.shape, self.data.to_real())
    }

    /// The elements as integers.
    pub fn to_ints(&self) -> Vec<i64> {
        match &self.data {
            Data::I64(v) => v.clone(),
            other => other.to_real::<f64>().into_iter().map(|x| x as i64).collect(),
        }
    }

    /// The same type and other elements, rounded into it.
    pub fn with_values<T: Real>(&self, shape: &[usize], values: &[T]) -> Self {
        assert_eq!(volume(shape), values.len(), "elements of a tensor of shape {shape:?}");
        Self { shape: shape.to_vec(), data: Data::from_real(self.dtype(), values) }
    }

    /// Only the coordinates `keep` of `axis`, in that order.
    pub fn slice(&self, axis: usize, keep: &[usize]) -> Self {
        let mut shape = self.shape.clone();
        shape[axis] = keep.len();
        Self { data: self.data.slice(&self.shape, axis, keep), shape }
    }
}

/// The elements of a row-major array of `shape` at the coordinates `keep` of `axis`, in that order.
pub fn slice_of<T: Copy>(data: &[T], shape: &[usize], axis: usize, keep: &[usize]) -> Vec<T> {
    let (outer, inner) = (volume(&shape[..axis]), volume(&shape[axis + 1..]));
    let mut left = Vec::with_capacity(outer * keep.len() * inner);
    for o in 0..outer {
        for &k in keep {
            let start = (o * shape[axis] + k) * inner;
            left.extend_from_slice(&data[start..start + inner]);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slicing_keeps_the_named_coordinates() {
        let t = Tensor::floats(&[2, 3, 2], (0..12).map(|x| x as f32).collect());
        let s = t.slice(1, &[0, 2]);
        assert_eq!(s.shape, [2, 2, 2]);
        assert_eq!(s.data, Data::F32(vec![0., 1., 4., 5., 6., 7., 10., 11.]));
    }

    #[test]
    fn integers_lose_fractions_and_wrap() {
        let of = |dtype: DType, mut values: Vec<f64>| {
            dtype.round(&mut values);
            values
        };
        assert_eq!(of(DType::U8, vec![3.9, 255.0, 256.0, -1.0, 300.0]), [3.0, 255.0, 0.0, 255.0, 44.0]);
        assert_eq!(of(DType::I8, vec![-3.9, 127.0, 128.0, -129.0]), [-3.0, 127.0, -128.0, 127.0]);
        assert_eq!(of(DType::I64, vec![-0.5, 1e6 + 0.5]), [0.0, 1e6]);
        assert_eq!(of(DType::Bool, vec![0.0, 0.5, -2.0]), [0.0, 1.0, 1.0]);
        assert_eq!(of(DType::F16, vec![0.1, 1e9]), [0.1, 1e9]);
    }

    #[test]
    fn bytes_round_trip_in_every_type() {
        for code in 1..=16 {
            let Some(dtype) = DType::from_onnx(code) else { continue };
            let data = Data::from_real(dtype, &[0.0f64, 1.0, 1.0, 0.0]);
            assert_eq!(Data::from_bytes(dtype, &data.to_bytes()), Some(data), "{}", dtype.name());
            assert_eq!(dtype.onnx(), code);
        }
    }
}
