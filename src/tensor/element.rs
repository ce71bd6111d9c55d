//! The trait of element types of constants.

use super::dtype::element_types;
use super::{DType, Tensor};
use half::{bf16, f16};
use ndarray::{ArcArray, IxDyn};
use std::fmt::Debug;

/// An element type of constants.
pub trait Element: Copy + Default + PartialEq + Debug + Send + Sync + 'static {
    /// Its name.
    const DTYPE: DType;
    /// Nearest number in double precision.
    fn to_f64(self) -> f64;
    /// From a number in double precision: rounded; integers lose fractions and stop at the ends of their range.
    fn from_f64(x: f64) -> Self;
    /// The number without its fraction, at most `i64::MAX`.
    fn to_i64(self) -> i64;
    /// From an integer: rounded; integers stop at the ends of their range.
    fn from_i64(x: i64) -> Self;
    /// Appends the element's little-endian bytes.
    fn put(self, bytes: &mut Vec<u8>);
    /// From little-endian bytes, one element's.
    fn from_chunk(bytes: &[u8]) -> Self;
    /// The elements of a tensor of this type; `None` of another.
    fn array(tensor: &Tensor) -> Option<&ArcArray<Self, IxDyn>>;
    /// The tensor of an array, which must be row-major.
    fn tensor(array: ArcArray<Self, IxDyn>) -> Tensor;
}

/// Conversions by the kind of number.
macro_rules! number {
    (int $type:ident) => {
        fn to_f64(self) -> f64 {
            self as f64
        }
        fn from_f64(x: f64) -> Self {
            x as $type
        }
        // 128 bits hold the ranges of all.
        fn to_i64(self) -> i64 {
            (self as i128).min(i64::MAX as i128) as i64
        }
        fn from_i64(x: i64) -> Self {
            (x as i128).clamp($type::MIN as i128, $type::MAX as i128) as $type
        }
        number!(bytes);
    };
    (float $type:ident) => {
        fn to_f64(self) -> f64 {
            self as f64
        }
        fn from_f64(x: f64) -> Self {
            x as $type
        }
        fn to_i64(self) -> i64 {
            self as i64
        }
        fn from_i64(x: i64) -> Self {
            x as $type
        }
        number!(bytes);
    };
    (half $type:ident) => {
        fn to_f64(self) -> f64 {
            $type::to_f64(self)
        }
        fn from_f64(x: f64) -> Self {
            $type::from_f64(x)
        }
        fn to_i64(self) -> i64 {
            $type::to_f64(self) as i64
        }
        fn from_i64(x: i64) -> Self {
            $type::from_f64(x as f64)
        }
        number!(bytes);
    };
    (bool $type:ident) => {
        fn to_f64(self) -> f64 {
            f64::from(u8::from(self))
        }
        fn from_f64(x: f64) -> Self {
            x != 0.0
        }
        fn to_i64(self) -> i64 {
            i64::from(self)
        }
        fn from_i64(x: i64) -> Self {
            x != 0
        }
        fn put(self, bytes: &mut Vec<u8>) {
            bytes.push(u8::from(self));
        }
        fn from_chunk(bytes: &[u8]) -> Self {
            bytes[0] != 0
        }
    };
    (bytes) => {
        fn put(self, bytes: &mut Vec<u8>) {
            bytes.extend_from_slice(&self.to_le_bytes());
        }
        fn from_chunk(bytes: &[u8]) -> Self {
            Self::from_le_bytes(bytes.try_into().expect("chunk of the element size"))
        }
    };
}

macro_rules! elements {
    ($($variant:ident $name:literal $onnx:literal $type:ident $kind:ident;)*) => {$(
        impl Element for $type {
            const DTYPE: DType = DType::$variant;
            number!($kind $type);
            fn array(tensor: &Tensor) -> Option<&ArcArray<Self, IxDyn>> {
                match tensor { Tensor::$variant(array) => Some(array), _ => None }
            }
            fn tensor(array: ArcArray<Self, IxDyn>) -> Tensor {
                Tensor::$variant(array)
            }
        }
    )*};
}
element_types!(elements);
