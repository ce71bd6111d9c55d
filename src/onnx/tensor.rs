//! `TensorProto` and [`Tensor`].
//!
//! Takes: a tensor in any of the forms the standard allows (raw bytes, typed lists, a place in another file).
//! Gives: typed elements; and the way back, into the form the tensor had.
//! Never: allocates what the dimensions claim unless the file holds that many bytes; changes a name or a doc string.

use super::external::{self, Folder};
use super::fault::Fault;
use crate::tensor::{DType, Element, Shape, Tensor, checked_volume, too_large, volume};
use half::{bf16, f16};
use onnx_protobuf::TensorProto;

/// The tensor's elements; `None` for types that we do not hold (strings, complex numbers, eight bits and fewer).
pub fn read(t: &TensorProto, folder: &Folder) -> Result<Option<Tensor>, Fault> {
    if t.segment.is_some() {
        let hint = "save the model again with onnx.save: no current exporter writes segments";
        return Err(Fault::new("it is stored in segments, which is not supported").hint(hint));
    }
    let Some(dtype) = DType::from_onnx(t.data_type) else { return Ok(None) };
    let shape = shape(&t.dims)?;
    if external::is_external(t) {
        raw(dtype, &shape, &folder.bytes(t)?).map(Some)
    } else if t.raw_data.is_empty() {
        typed(t, dtype, &shape).map(Some)
    } else {
        raw(dtype, &shape, &t.raw_data).map(Some)
    }
}

/// The dimensions, of a volume that can be held.
fn shape(dims: &[i64]) -> Result<Shape, Fault> {
    let shape: Option<Shape> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape = shape.ok_or_else(|| Fault::new(format!("its shape {dims:?} has a negative size")))?;
    match checked_volume(&shape) {
        Some(_) => Ok(shape),
        None => Err(Fault::new(too_large(&shape))),
    }
}

/// A tensor from little-endian bytes, which must fill the shape.
fn raw(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Tensor, Fault> {
    let (name, found, wanted) = (dtype.name(), bytes.len(), volume(shape) * dtype.size());
    Tensor::from_bytes(dtype, shape, bytes).map_err(|_| {
        Fault::new(format!(
            "its shape takes {} {name} elements, {wanted} bytes; {found} are stored",
            volume(shape)
        ))
    })
}

/// The list that the standard assigns to the type. Narrow integers and half floats share `int32_data`.
fn typed(t: &TensorProto, dtype: DType, shape: &[usize]) -> Result<Tensor, Fault> {
    let ints = &t.int32_data;
    match dtype {
        DType::F32 => filled(shape, t.float_data.clone()),
        DType::F64 => filled(shape, t.double_data.clone()),
        DType::I64 => filled(shape, t.int64_data.clone()),
        DType::U64 => filled(shape, t.uint64_data.clone()),
        DType::U32 => filled(shape, t.uint64_data.iter().map(|&v| v as u32).collect()),
        DType::I32 => filled(shape, ints.clone()),
        DType::I16 => filled(shape, ints.iter().map(|&v| v as i16).collect()),
        DType::I8 => filled(shape, ints.iter().map(|&v| v as i8).collect()),
        DType::U16 => filled(shape, ints.iter().map(|&v| v as u16).collect()),
        DType::U8 => filled(shape, ints.iter().map(|&v| v as u8).collect()),
        DType::Bool => filled(shape, ints.iter().map(|&v| v != 0).collect()),
        DType::F16 => filled(shape, ints.iter().map(|&v| f16::from_bits(v as u16)).collect()),
        DType::BF16 => filled(shape, ints.iter().map(|&v| bf16::from_bits(v as u16)).collect()),
    }
}

/// A tensor from a list, which must fill the shape.
fn filled<E: Element>(shape: &[usize], values: Vec<E>) -> Result<Tensor, Fault> {
    let (volume, found) = (volume(shape), values.len());
    if found != volume {
        return Err(Fault::new(format!("its shape {shape:?} takes {volume} elements, {found} are stored")));
    }
    Ok(Tensor::new(shape, values))
}

/// Replaces type, dimensions and elements, in the form that `t` had. New bytes of an external tensor wait in
/// `raw_data` until the model is written.
pub fn store(t: &mut TensorProto, tensor: &Tensor) {
    let lists = t.raw_data.is_empty() && has_lists(t);
    t.dims = tensor.shape().iter().map(|&d| d as i64).collect();
    t.data_type = tensor.dtype().onnx();
    t.raw_data.clear();
    clear_lists(t);
    if lists {
        store_typed(t, tensor);
    } else {
        t.raw_data = tensor.to_bytes();
        if t.raw_data.is_empty() {
            external::forget(t);
        }
    }
}

/// Fewest elements of a tensor that the graph holds in the message's place.
const LARGE: usize = 1024;

/// Leaves one element of `t` as a token of its form, where `tensor` holds the rest and gives it back bit by bit.
pub fn lighten(t: &mut TensorProto, tensor: &Tensor) {
    let lists = [
        t.float_data.is_empty(),
        t.double_data.is_empty(),
        t.int64_data.is_empty(),
        t.uint64_data.is_empty(),
        t.int32_data.is_empty(),
    ];
    let forms = lists.into_iter().chain([t.raw_data.is_empty()]).filter(|empty| !empty).count();
    // A truth value may be stored as any number but 0.
    let exact = tensor.dtype() != DType::Bool && forms == 1;
    if tensor.len() < LARGE || external::is_external(t) || !exact {
        return;
    }
    if !t.raw_data.is_empty() {
        t.raw_data = vec![0];
        return;
    }
    // Narrow integers share a wider list, which may hold what they do not.
    match tensor {
        Tensor::F32(_) => t.float_data = vec![0.0],
        Tensor::F64(_) => t.double_data = vec![0.0],
        Tensor::I64(_) => t.int64_data = vec![0],
        Tensor::I32(_) => t.int32_data = vec![0],
        _ => {}
    }
}

/// True if `t` is a token of `tensor`.
pub fn is_light(t: &TensorProto, tensor: &Tensor) -> bool {
    let lists = [t.float_data.len(), t.double_data.len(), t.int64_data.len(), t.int32_data.len()];
    let whole: usize = t.dims.iter().map(|&d| d as usize).product();
    whole >= LARGE && tensor.len() == whole && t.raw_data.len().max(lists.into_iter().sum()) == 1
}

/// True if elements are stored in typed lists.
fn has_lists(t: &TensorProto) -> bool {
    !(t.float_data.is_empty()
        && t.double_data.is_empty()
        && t.int64_data.is_empty()
        && t.uint64_data.is_empty()
        && t.int32_data.is_empty())
}

fn clear_lists(t: &mut TensorProto) {
    t.float_data.clear();
    t.double_data.clear();
    t.int64_data.clear();
    t.uint64_data.clear();
    t.int32_data.clear();
}

/// Stores the elements in the list that the standard assigns to their type.
fn store_typed(t: &mut TensorProto, tensor: &Tensor) {
    match tensor {
        Tensor::F32(v) => t.float_data = v.iter().copied().collect(),
        Tensor::F64(v) => t.double_data = v.iter().copied().collect(),
        Tensor::I64(v) => t.int64_data = v.iter().copied().collect(),
        Tensor::U64(v) => t.uint64_data = v.iter().copied().collect(),
        Tensor::U32(v) => t.uint64_data = v.iter().map(|&v| v.into()).collect(),
        Tensor::I32(v) => t.int32_data = v.iter().copied().collect(),
        Tensor::I16(v) => t.int32_data = v.iter().map(|&v| v.into()).collect(),
        Tensor::I8(v) => t.int32_data = v.iter().map(|&v| v.into()).collect(),
        Tensor::U16(v) => t.int32_data = v.iter().map(|&v| v.into()).collect(),
        Tensor::U8(v) => t.int32_data = v.iter().map(|&v| v.into()).collect(),
        Tensor::Bool(v) => t.int32_data = v.iter().map(|&v| v.into()).collect(),
        Tensor::F16(v) => t.int32_data = v.iter().map(|v| v.to_bits().into()).collect(),
        Tensor::BF16(v) => t.int32_data = v.iter().map(|v| v.to_bits().into()).collect(),
    }
}

/// A new tensor called `name`, as raw bytes.
pub fn fresh(name: &str, tensor: &Tensor) -> TensorProto {
    let mut t = TensorProto { name: name.to_owned(), ..TensorProto::default() };
    store(&mut t, tensor);
    t
}

/// True for one value, or for minus infinity and one other.
fn is_mask(t: &Tensor) -> bool {
    let v = t.to_real::<f64>();
    let other = v.iter().find(|x| x.is_finite());
    v.len() == 1 && !v[0].is_nan() || v.iter().all(|x| *x == f64::NEG_INFINITY || Some(x) == other)
}

/// Errors on the first element that no weight may be: NaN anywhere, and an infinity except as the one element of a bound (the
/// maximum of a Clip, the filler of a Pad) or beside a single other value (a mask).
pub fn check_finite(t: &Tensor) -> Result<(), Fault> {
    let found = match t {
        Tensor::F32(v) => v.iter().position(|v| !v.is_finite()),
        Tensor::F64(v) => v.iter().position(|v| !v.is_finite()),
        Tensor::F16(v) => v.iter().position(|v| !v.is_finite()),
        Tensor::BF16(v) => v.iter().position(|v| !v.is_finite()),
        _ => None,
    };
    let Some(index) = found.filter(|_| !is_mask(t)) else { return Ok(()) };
    let value = t.to_real::<f64>()[index];
    let name = if value.is_nan() { "NaN" } else { "infinity" };
    let hint = "training has diverged or the export went wrong: take an earlier checkpoint and export it";
    Err(Fault::new(format!("the weights contain {name}, first at element {index} of {:?}", t.shape()))
        .hint(hint))
}
