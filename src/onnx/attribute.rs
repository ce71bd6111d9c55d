//! `AttributeProto` and [`Attr`].
//!
//! Takes: one attribute. Gives: its value, or [`Attr::Carried`] where only the file understands it; and the way back.
//! Never: changes an attribute's name or doc string, or loses the name of a tensor in it.

use super::external::Folder;
use super::fault::Fault;
use super::tensor;
use crate::graph::Attr;
use onnx_protobuf::AttributeProto;
use onnx_protobuf::attribute_proto::AttributeType;
use protobuf::MessageField;

/// The attribute's value.
pub fn read(a: &AttributeProto, folder: &Folder) -> Result<Attr, Fault> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Ok(match a.type_.enum_value() {
        Ok(AttributeType::INT) => Attr::Int(a.i),
        Ok(AttributeType::FLOAT) => Attr::Float(a.f),
        Ok(AttributeType::STRING) => text(&a.s).map_or(Attr::Carried, Attr::Str),
        Ok(AttributeType::INTS) => Attr::Ints(a.ints.clone()),
        Ok(AttributeType::FLOATS) => Attr::Floats(a.floats.clone()),
        Ok(AttributeType::STRINGS) => {
            let texts: Option<Vec<String>> = a.strings.iter().map(|s| text(s)).collect();
            texts.map_or(Attr::Carried, Attr::Strs)
        }
        Ok(AttributeType::TENSOR) => match a.t.as_ref() {
            Some(t) => tensor::read(t, folder)?.map_or(Attr::Carried, Attr::Tensor),
            None => return Err(Fault::new("it says it holds a tensor and holds none")),
        },
        _ => Attr::Carried,
    })
}

/// Replaces the attribute's value.
pub fn store(a: &mut AttributeProto, value: &Attr) -> Result<(), Fault> {
    let mut old = std::mem::take(a);
    a.name = std::mem::take(&mut old.name);
    a.doc_string = std::mem::take(&mut old.doc_string);
    a.special_fields = std::mem::take(&mut old.special_fields);
    let kind = match value.clone() {
        Attr::Int(v) => {
            a.i = v;
            AttributeType::INT
        }
        Attr::Float(v) => {
            a.f = v;
            AttributeType::FLOAT
        }
        Attr::Str(v) => {
            a.s = v.into_bytes();
            AttributeType::STRING
        }
        Attr::Ints(v) => {
            a.ints = v;
            AttributeType::INTS
        }
        Attr::Floats(v) => {
            a.floats = v;
            AttributeType::FLOATS
        }
        Attr::Strs(v) => {
            a.strings = v.into_iter().map(String::into_bytes).collect();
            AttributeType::STRINGS
        }
        Attr::Tensor(v) => {
            let mut t = old.t.take().unwrap_or_default();
            tensor::store(&mut t, &v);
            a.t = MessageField::some(t);
            AttributeType::TENSOR
        }
        Attr::Carried => return Err(Fault::new("a value that only the file knows cannot be written anew")),
    };
    a.type_ = kind.into();
    Ok(())
}

/// A new attribute.
pub fn fresh(name: &str, value: &Attr) -> Result<AttributeProto, Fault> {
    let mut a = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    store(&mut a, value)?;
    Ok(a)
}
