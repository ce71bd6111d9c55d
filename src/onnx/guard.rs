//! A scan of the wire format ahead of the parser.
//!
//! The parser (rust-protobuf 3.4.0, which our generated code needs) skips groups by recursion without a limit, so a few
//! megabytes of the byte 0x0b overflow its stack and abort the process (RUSTSEC-2024-0437). ONNX has no groups, so this
//! scan refuses them, together with lengths and numbers that run past their end; of these it says the place.
//!
//! Takes: bytes. Gives: nothing, or the first fault and its offset.
//! Never: recurses, allocates what the file claims, or looks into fields that are not messages: weights and strings may
//! hold any bytes.

use std::fmt;

/// Deepest nesting of messages that the parser accepts; about 33 nested subgraphs.
const DEEPEST: usize = 100;

/// The place at which bytes stop being protobuf, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Damage {
    /// Offset of the field in question.
    pub offset: usize,
    /// Its fault.
    pub what: What,
}

/// Ways to be wrong.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// A field of more bytes than the file has left.
    Truncated { wanted: u64, left: usize },
    /// A field that is longer than the message it stands in, or a number without an end.
    Overlong,
    /// A field of a kind that ONNX does not have.
    Foreign,
    /// More messages within messages than the parser takes.
    Deep,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.what {
            What::Truncated { wanted, left } => {
                write!(f, "the file is cut short: {wanted} bytes should follow at offset {}", self.offset)?;
                write!(f, ", {left} are there")
            }
            What::Overlong => {
                write!(f, "the file is damaged: the field at offset {} runs past its end", self.offset)
            }
            What::Foreign => write!(f, "no ONNX model has a field like the one at offset {}", self.offset),
            What::Deep => {
                write!(f, "at offset {} the model is nested more than {DEEPEST} levels deep", self.offset)
            }
        }
    }
}

/// Messages of onnx.proto, as far as they hold other messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Info,
    Training,
    Annotation,
    Tensor,
    Sparse,
    Shape,
    Type,
    TypedTensor,
    Sequence,
    Map,
    Function,
    /// Holds no messages.
    Leaf,
}

/// The message that field `number` of a message holds; `None` for strings, bytes and numbers.
fn message(kind: Kind, number: u64) -> Option<Kind> {
    use Kind::*;
    Some(match (kind, number) {
        (Model, 7) => Graph,
        (Model, 8 | 14) => Leaf,
        (Model, 20) => Training,
        (Model, 25) => Function,
        (Graph, 1) => Node,
        (Graph, 5) => Tensor,
        (Graph, 11..=13) => Info,
        (Graph, 14) => Annotation,
        (Graph, 15) => Sparse,
        (Graph, 16) => Leaf,
        (Node, 5) => Attribute,
        (Node, 9) => Leaf,
        (Attribute, 5 | 10) => Tensor,
        (Attribute, 6 | 11) => Graph,
        (Attribute, 14 | 15) => Type,
        (Attribute, 22 | 23) => Sparse,
        (Info, 2) => Type,
        (Info, 4) => Leaf,
        (Training, 1 | 2) => Graph,
        (Training, 3 | 4) => Leaf,
        (Annotation, 2) => Leaf,
        (Tensor, 3 | 13 | 16) => Leaf,
        (Sparse, 1 | 2) => Tensor,
        (Shape, 1) => Leaf,
        (Type, 1 | 8) => TypedTensor,
        (Type, 4 | 9) => Sequence,
        (Type, 5) => Map,
        (TypedTensor, 2) => Shape,
        (Sequence, 1) | (Map, 2) => Type,
        (Function, 7) => Node,
        (Function, 9 | 14) => Leaf,
        (Function, 11) => Attribute,
        (Function, 12) => Info,
        _ => return None,
    })
}

/// Checks that the bytes are nested protobuf fields as far as the parser will look at them.
pub fn scan(bytes: &[u8]) -> Result<(), Damage> {
    let mut open = vec![(bytes.len(), Kind::Model)];
    let mut at = 0;
    while let Some(&(end, kind)) = open.last() {
        if at == end {
            open.pop();
            continue;
        }
        let offset = at;
        let fault = |what| Damage { offset, what };
        let left = |at: usize, wanted: u64| match wanted <= (end - at) as u64 {
            true => Ok(at + wanted as usize),
            false if end == bytes.len() => Err(fault(What::Truncated { wanted, left: end - at })),
            false => Err(fault(What::Overlong)),
        };
        let (tag, after) = varint(&bytes[..end], at).ok_or_else(|| fault(What::Overlong))?;
        let number = tag >> 3;
        if number == 0 || tag > u64::from(u32::MAX) {
            return Err(fault(What::Foreign));
        }
        at = match tag & 7 {
            0 => varint(&bytes[..end], after).ok_or_else(|| fault(What::Overlong))?.1,
            1 => left(after, 8)?,
            5 => left(after, 4)?,
            2 => {
                let (length, start) = varint(&bytes[..end], after).ok_or_else(|| fault(What::Overlong))?;
                let next = left(start, length)?;
                match message(kind, number) {
                    Some(_) if open.len() > DEEPEST => return Err(fault(What::Deep)),
                    Some(inner) => {
                        open.push((next, inner));
                        start
                    }
                    None => next,
                }
            }
            _ => return Err(fault(What::Foreign)),
        };
    }
    Ok(())
}

/// A base-128 number and the offset after it; `None` if it has no end within ten bytes.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (k, &byte) in bytes.get(at..)?.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * k as u32).unwrap_or(0);
        if byte < 0x80 {
            return Some((value, at + k + 1));
        }
    }
    None
}
