//! `TensorProto` and [`Tensor`].
//!
//! Takes: a tensor in any of the forms the standard allows (raw bytes, typed lists, a place in another file).
//! Gives: typed elements; and the way back, into the form the tensor had.
//! Never: allocates what the dimensions claim before it has seen that many bytes; changes a name or a doc string.

use super::external::{self, Folder};
use super::fault::Fault;
use crate::tensor::{DType, Data, Shape, Tensor, checked_volume, too_large};
use half::{bf16, f16};
use onnx_protobuf::TensorProto;

/// The tensor's elements; `None` for types that we do not hold (strings, complex numbers, eight bits and fewer).
pub fn read(t: &TensorProto, folder: &Folder) -> Result<Option<Tensor>, Fault> {
    if t.segment.is_some() {
        let hint = "save the model again with onnx.save: no current exporter writes segments";
        return Err(Fault::new("it is stored in segments, which is not supported").hint(hint));
    }
    let Some(dtype) = DType::from_onnx(t.data_type) else { return Ok(None) };
    let (shape, volume) = shape(&t.dims)?;
    let data = if external::is_external(t) {
        raw(dtype, volume, &folder.bytes(t)?)?
    } else if t.raw_data.is_empty() {
        typed(t, dtype)
    } else {
        raw(dtype, volume, &t.raw_data)?
    };
    if data.len() != volume {
        let reason = format!("its shape {shape:?} takes {volume} elements, {} are stored", data.len());
        return Err(Fault::new(reason));
    }
    Ok(Some(Tensor { shape, data }))
}

/// Dimensions and number of elements.
fn shape(dims: &[i64]) -> Result<(Shape, usize), Fault> {
    let shape: Option<Shape> = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape = shape.ok_or_else(|| Fault::new(format!("its shape {dims:?} has a negative size")))?;
    let volume = checked_volume(&shape).ok_or_else(|| Fault::new(too_large(&shape)))?;
    Ok((shape, volume))
}

fn raw(dtype: DType, volume: usize, bytes: &[u8]) -> Result<Data, Fault> {
    let size = dtype.size();
    if bytes.len() != volume * size {
        let (name, found, wanted) = (dtype.name(), bytes.len(), volume * size);
        let reason = format!("its shape takes {volume} {name} elements, {wanted} bytes; {found} are stored");
        return Err(Fault::new(reason));
    }
    Data::from_bytes(dtype, bytes).ok_or_else(|| Fault::new("its bytes do not divide into elements"))
}

/// The list that the standard assigns to the type. Narrow integers and half floats share `int32_data`.
fn typed(t: &TensorProto, dtype: DType) -> Data {
    let ints = &t.int32_data;
    match dtype {
        DType::F32 => Data::F32(t.float_data.clone()),
        DType::F64 => Data::F64(t.double_data.clone()),
        DType::I64 => Data::I64(t.int64_data.clone()),
        DType::U64 => Data::U64(t.uint64_data.clone()),
        DType::U32 => Data::U32(t.uint64_data.iter().map(|&v| v as u32).collect()),
        DType::I32 => Data::I32(ints.clone()),
        DType::I16 => Data::I16(ints.iter().map(|&v| v as i16).collect()),
        DType::I8 => Data::I8(ints.iter().map(|&v| v as i8).collect()),
        DType::U16 => Data::U16(ints.iter().map(|&v| v as u16).collect()),
        DType::U8 => Data::U8(ints.iter().map(|&v| v as u8).collect()),
        DType::Bool => Data::Bool(ints.iter().map(|&v| v != 0).collect()),
        DType::F16 => Data::F16(ints.iter().map(|&v| f16::from_bits(v as u16)).collect()),
        DType::BF16 => Data::BF16(ints.iter().map(|&v| bf16::from_bits(v as u16)).collect()),
    }
}

/// Replaces type, dimensions and elements, in the form that `t` had. New bytes of an external tensor wait in
/// `raw_data` until the model is written.
pub fn store(t: &mut TensorProto, tensor: &Tensor) {
    let lists = t.raw_data.is_empty() && has_lists(t);
    t.dims = tensor.shape.iter().map(|&d| d as i64).collect();
    t.data_type = tensor.dtype().onnx();
    t.raw_data.clear();
    clear_lists(t);
    if lists {
        store_typed(t, &tensor.data);
    } else {
        t.raw_data = tensor.data.to_bytes();
        if t.raw_data.is_empty() {
            external::forget(t);
        }
    }
}

/// Elements from which on a graph's own copy stands for a tensor's.
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
    if tensor.data.len() < LARGE || external::is_external(t) || !exact {
        return;
    }
    if !t.raw_data.is_empty() {
        t.raw_data = vec![0];
        return;
    }
    // Narrow integers share a wider list, which may hold what they do not.
    match tensor.data {
        Data::F32(_) => t.float_data = vec![0.0],
        Data::F64(_) => t.double_data = vec![0.0],
        Data::I64(_) => t.int64_data = vec![0],
        Data::I32(_) => t.int32_data = vec![0],
        _ => {}
    }
}

/// Is `t` but a token of `tensor`?
pub fn is_light(t: &TensorProto, tensor: &Tensor) -> bool {
    let lists = [t.float_data.len(), t.double_data.len(), t.int64_data.len(), t.int32_data.len()];
    let whole: usize = t.dims.iter().map(|&d| d as usize).product();
    whole >= LARGE && tensor.data.len() == whole && t.raw_data.len().max(lists.into_iter().sum()) == 1
}

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

fn store_typed(t: &mut TensorProto, data: &Data) {
    match data {
        Data::F32(v) => t.float_data = v.clone(),
        Data::F64(v) => t.double_data = v.clone(),
        Data::I64(v) => t.int64_data = v.clone(),
        Data::U64(v) => t.uint64_data = v.clone(),
        Data::U32(v) => t.uint64_data = v.iter().map(|&v| v.into()).collect(),
        Data::I32(v) => t.int32_data = v.clone(),
        Data::I16(v) => t.int32_data = v.iter().map(|&v| v.into()).collect(),
        Data::I8(v) => t.int32_data = v.iter().map(|&v| v.into()).collect(),
        Data::U16(v) => t.int32_data = v.iter().map(|&v| v.into()).collect(),
        Data::U8(v) => t.int32_data = v.iter().map(|&v| v.into()).collect(),
        Data::Bool(v) => t.int32_data = v.iter().map(|&v| v.into()).collect(),
        Data::F16(v) => t.int32_data = v.iter().map(|v| v.to_bits().into()).collect(),
        Data::BF16(v) => t.int32_data = v.iter().map(|v| v.to_bits().into()).collect(),
    }
}

/// A new tensor called `name`, as raw bytes.
pub fn fresh(name: &str, tensor: &Tensor) -> TensorProto {
    let mut t = TensorProto { name: name.to_owned(), ..TensorProto::default() };
    store(&mut t, tensor);
    t
}

/// One value, or minus infinity and one other.
fn is_mask(data: &Data) -> bool {
    let v = data.to_real::<f64>();
    let other = v.iter().find(|x| x.is_finite());
    v.len() == 1 && !v[0].is_nan() || v.iter().all(|x| *x == f64::NEG_INFINITY || Some(x) == other)
}

/// The first element that no weight may be: NaN anywhere, and an infinity except as the one element of a bound
/// (the maximum of a Clip, the filler of a Pad) or beside a single other value (a mask).
pub fn check_finite(t: &Tensor) -> Result<(), Fault> {
    let found = match &t.data {
        Data::F32(v) => v.iter().position(|v| !v.is_finite()),
        Data::F64(v) => v.iter().position(|v| !v.is_finite()),
        Data::F16(v) => v.iter().position(|v| !v.is_finite()),
        Data::BF16(v) => v.iter().position(|v| !v.is_finite()),
        _ => None,
    };
    let Some(index) = found.filter(|_| !is_mask(&t.data)) else { return Ok(()) };
    let value = t.data.to_real::<f64>()[index];
    let name = if value.is_nan() { "NaN" } else { "infinity" };
    let hint = "training has diverged or the export went wrong: take an earlier checkpoint and export it";
    Err(Fault::new(format!("the weights contain {name}, first at element {index} of {:?}", t.shape))
        .hint(hint))
}
