//! The operators: one file each (families share a helper), and the table that names them.
//!
//! Takes: attributes. Gives: `Box<dyn Op>`. Never: looks at the graph around a node.

use crate::graph::{Attributes, Op, Reader, Refusal, invalid};

use family::carried::{self, Carried, Counted};

mod family;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod net;
#[cfg(test)]
pub use net::Net;

// The operators.
mod abs;
mod add;
mod and;
mod arg_max;
mod arg_min;
mod average_pool;
mod batch_normalization;
mod cast;
mod cast_like;
mod ceil;
mod celu;
mod clip;
mod concat;
mod constant;
mod constant_of_shape;
mod conv;
mod conv_integer;
mod conv_transpose;
mod cos;
mod cum_sum;
mod depth_to_space;
mod dequantize_linear;
mod div;
mod dropout;
mod dynamic_quantize_linear;
mod einsum;
mod elu;
mod equal;
mod erf;
mod exp;
mod expand;
mod eye_like;
mod flatten;
mod floor;
mod fused_conv;
mod fused_gemm;
mod fused_mat_mul;
mod gather;
mod gather_elements;
mod gather_nd;
mod gelu;
mod gemm;
mod global_average_pool;
mod global_lp_pool;
mod global_max_pool;
mod greater;
mod greater_or_equal;
mod group_normalization;
mod gru;
mod hard_sigmoid;
mod hard_swish;
mod identity;
mod instance_normalization;
mod is_nan;
mod layer_normalization;
mod leaky_relu;
mod less;
mod less_or_equal;
mod log;
mod log_softmax;
mod lp_normalization;
mod lp_pool;
mod lrn;
mod lstm;
mod mat_mul;
mod mat_mul_integer;
mod max;
mod max_pool;
mod mean;
mod mean_variance_normalization;
mod min;
mod mish;
mod modulo;
mod mul;
mod neg;
mod non_zero;
mod not;
mod one_hot;
mod or;
mod pad;
mod pow;
mod prelu;
mod q_gemm;
mod q_linear_conv;
mod q_linear_mat_mul;
mod quantize_linear;
mod range;
mod reciprocal;
mod reduce_l1;
mod reduce_l2;
mod reduce_log_sum;
mod reduce_log_sum_exp;
mod reduce_max;
mod reduce_mean;
mod reduce_min;
mod reduce_prod;
mod reduce_sum;
mod reduce_sum_square;
mod relu;
mod reshape;
mod resize;
mod rnn;
mod round;
mod scatter_elements;
mod scatter_nd;
mod select;
mod selu;
mod shape;
mod sigmoid;
mod sign;
mod sin;
mod size;
mod slice;
mod softmax;
mod softplus;
mod softsign;
mod space_to_depth;
mod split;
mod sqrt;
mod squeeze;
mod sub;
mod sum;
mod swish;
mod tanh;
mod thresholded_relu;
mod tile;
mod top_k;
mod transpose;
mod trilu;
mod unsqueeze;
mod upsample;
mod xor;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Operator {
    /// ONNX operator type.
    pub name: &'static str,
    /// Builds the operator from its attributes.
    pub read: fn(&Reader) -> Result<Box<dyn Op>, Refusal>,
    /// Cases on which the laws are tested.
    #[cfg(test)]
    pub cases: fn() -> Vec<laws::Case>,
}

macro_rules! operators {
    ($($name:ident $file:ident,)*) => {
        /// All operators we know, by name.
        pub const OPERATORS: &[Operator] = &[$(Operator {
            name: stringify!($name),
            read: $file::read,
            #[cfg(test)]
            cases: $file::cases,
        },)*];
    };
}

// A new operator is one file, declared above, and one word here, in alphabetical order.
operators! {
    Abs abs,
    Add add,
    And and,
    ArgMax arg_max,
    ArgMin arg_min,
    AveragePool average_pool,
    BatchNormalization batch_normalization,
    Cast cast,
    CastLike cast_like,
    Ceil ceil,
    Celu celu,
    Clip clip,
    Concat concat,
    Constant constant,
    ConstantOfShape constant_of_shape,
    Conv conv,
    ConvTranspose conv_transpose,
    Cos cos,
    CumSum cum_sum,
    DepthToSpace depth_to_space,
    DequantizeLinear dequantize_linear,
    Div div,
    Dropout dropout,
    Einsum einsum,
    Elu elu,
    Equal equal,
    Erf erf,
    Exp exp,
    Expand expand,
    EyeLike eye_like,
    Flatten flatten,
    Floor floor,
    GRU gru,
    Gather gather,
    GatherElements gather_elements,
    GatherND gather_nd,
    Gelu gelu,
    Gemm gemm,
    GlobalAveragePool global_average_pool,
    GlobalLpPool global_lp_pool,
    GlobalMaxPool global_max_pool,
    Greater greater,
    GreaterOrEqual greater_or_equal,
    GroupNormalization group_normalization,
    HardSigmoid hard_sigmoid,
    HardSwish hard_swish,
    Identity identity,
    InstanceNormalization instance_normalization,
    IsNaN is_nan,
    LRN lrn,
    LSTM lstm,
    LayerNormalization layer_normalization,
    LeakyRelu leaky_relu,
    Less less,
    LessOrEqual less_or_equal,
    Log log,
    LogSoftmax log_softmax,
    LpNormalization lp_normalization,
    LpPool lp_pool,
    MatMul mat_mul,
    Max max,
    MaxPool max_pool,
    Mean mean,
    MeanVarianceNormalization mean_variance_normalization,
    Min min,
    Mish mish,
    Mod modulo,
    Mul mul,
    Neg neg,
    NonZero non_zero,
    Not not,
    OneHot one_hot,
    Or or,
    PRelu prelu,
    Pad pad,
    Pow pow,
    QuantizeLinear quantize_linear,
    RNN rnn,
    Range range,
    Reciprocal reciprocal,
    ReduceL1 reduce_l1,
    ReduceL2 reduce_l2,
    ReduceLogSum reduce_log_sum,
    ReduceLogSumExp reduce_log_sum_exp,
    ReduceMax reduce_max,
    ReduceMean reduce_mean,
    ReduceMin reduce_min,
    ReduceProd reduce_prod,
    ReduceSum reduce_sum,
    ReduceSumSquare reduce_sum_square,
    Relu relu,
    Reshape reshape,
    Resize resize,
    Round round,
    ScatterElements scatter_elements,
    ScatterND scatter_nd,
    Selu selu,
    Shape shape,
    Sigmoid sigmoid,
    Sign sign,
    Sin sin,
    Size size,
    Slice slice,
    Softmax softmax,
    Softplus softplus,
    Softsign softsign,
    SpaceToDepth space_to_depth,
    Split split,
    Sqrt sqrt,
    Squeeze squeeze,
    Sub sub,
    Sum sum,
    Swish swish,
    Tanh tanh,
    ThresholdedRelu thresholded_relu,
    Tile tile,
    TopK top_k,
    Transpose transpose,
    Trilu trilu,
    Unsqueeze unsqueeze,
    Upsample upsample,
    Where select,
    Xor xor,
}

/// One row of the table of operators that are counted, and never run.
#[derive(Debug, Clone, Copy)]
pub struct Whole {
    /// ONNX operator type.
    pub name: &'static str,
    /// Its domain; empty for the standard one.
    pub domain: &'static str,
    /// Why it is not run: a phrase that follows a node's name.
    pub why: &'static str,
    /// Builds the operator, as far as it is known, from its attributes.
    read: fn(&Reader) -> Result<Box<dyn Counted>, Refusal>,
    /// Cases, with the shapes and counts that are known of them.
    #[cfg(test)]
    cases: fn() -> Vec<carried::Known>,
}

macro_rules! carried {
    ($($domain:literal $why:ident { $($name:ident $file:ident,)* })*) => {
        /// Operators that are counted, and never run, by domain.
        pub const CARRIED: &[Whole] = &[$($(Whole {
            name: stringify!($name),
            domain: $domain,
            why: carried::$why,
            read: $file::read,
            #[cfg(test)]
            cases: $file::cases,
        },)*)*];
    };
}

carried! {
    "" INTEGERS {
        ConvInteger conv_integer,
        DynamicQuantizeLinear dynamic_quantize_linear,
        MatMulInteger mat_mul_integer,
        QLinearConv q_linear_conv,
        QLinearMatMul q_linear_mat_mul,
    }
    "com.microsoft" FUSED {
        FusedConv fused_conv,
        FusedGemm fused_gemm,
        FusedMatMul fused_mat_mul,
    }
    "com.microsoft" INTEGERS {
        QGemm q_gemm,
    }
}

/// Builds the operator `op_type`. An operator or a form we do not know becomes one that says nothing, so that everything it
/// touches is frozen and carried verbatim; a contradiction is an error.
pub fn read(
    op_type: &str,
    domain: &str,
    opset: i64,
    attributes: &Attributes,
    inputs: usize,
    outputs: usize,
) -> Result<Box<dyn Op>, Refusal> {
    let standard = matches!(domain, "" | "ai.onnx");
    let known = OPERATORS.iter().find(|o| standard && o.name == op_type);
    let whole = |o: &&Whole| o.name == op_type && (o.domain == domain || standard && o.domain.is_empty());
    let whole = CARRIED.iter().find(whole);
    let reader = Reader::new(attributes, opset, inputs, outputs);
    let carried = |o: &Whole| -> Result<Box<dyn Op>, Refusal> {
        Ok(Box::new(Carried::counted(o.why, attributes.clone(), (o.read)(&reader)?)))
    };
    let op = match (known, whole) {
        (None, None) => {
            let of = if domain.is_empty() { String::new() } else { format!(" of domain '{domain}'") };
            return Ok(Box::new(Carried::unknown(format!("operator {op_type}{of} is not supported"))));
        }
        _ if outputs == 0 => return invalid("it has no output"),
        (Some(o), _) => (o.read)(&reader),
        (None, Some(o)) => carried(o),
    };
    match op.and_then(|op| reader.finish().map(|()| op)) {
        Ok(op) => Ok(op),
        Err(Refusal::Unsupported(why)) if known.is_some() => Ok(Box::new(Carried::form(why))),
        Err(Refusal::Unsupported(why)) => Ok(Box::new(Carried::unknown(why))),
        Err(invalid) => Err(invalid),
    }
}
