//! Element types of constants.

use super::Real;
use half::{bf16, f16};

/// Passes the table of element types to a macro: variant, ONNX name, `TensorProto.DataType` number, Rust type, kind of number.
macro_rules! element_types {
    ($then:ident) => {
        $then! {
            F32 "float" 1 f32 float;
            U8 "uint8" 2 u8 int;
            I8 "int8" 3 i8 int;
            U16 "uint16" 4 u16 int;
            I16 "int16" 5 i16 int;
            I32 "int32" 6 i32 int;
            I64 "int64" 7 i64 int;
            Bool "bool" 9 bool bool;
            F16 "float16" 10 f16 half;
            F64 "double" 11 f64 float;
            U32 "uint32" 12 u32 int;
            U64 "uint64" 13 u64 int;
            BF16 "bfloat16" 16 bf16 half;
        }
    };
}
pub(super) use element_types;

macro_rules! dtypes {
    ($($variant:ident $name:literal $onnx:literal $type:ident $kind:ident;)*) => {
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
    };
}
element_types!(dtypes);

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
