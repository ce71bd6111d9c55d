//! Storage of constants: one array for each element type.

use super::dtype::element_types;
use half::{bf16, f16};
use ndarray::{ArcArray, IxDyn};

macro_rules! tensor {
    ($($variant:ident $name:literal $onnx:literal $type:ident $kind:ident;)*) => {
        /// A constant: an array of its own element type, always row-major. Clones share the elements.
        #[derive(Clone, PartialEq)]
        pub enum Tensor { $(#[doc = $name] $variant(ArcArray<$type, IxDyn>),)* }

        /// Evaluates an expression on the array of a tensor.
        macro_rules! of_tensor {
            ($tensor:expr, $array:ident => $value:expr) => {
                match $tensor { $(Tensor::$variant($array) => $value,)* }
            };
        }

        /// Evaluates an expression with the Rust type of an element type.
        macro_rules! of_dtype {
            ($dtype:expr, $element:ident => $value:expr) => {
                match $dtype { $(DType::$variant => { type $element = $type; $value })* }
            };
        }

        pub(super) use {of_dtype, of_tensor};
    };
}
element_types!(tensor);
