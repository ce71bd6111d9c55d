//! ONNX files: the only module that knows protobuf.
//!
//! Takes: bytes, or a path. Gives: a [`Model`], whose graph the rest of the program works on; and its file with another
//! graph in it.
//! Never: loses what it does not understand (fields, attributes, metadata, doc strings travel along untouched); panics on
//! any input; leaves a half-written file; touches the file it read.

mod attribute;
mod branches;
mod computed;
mod external;
mod fault;
mod functions;
mod guard;
mod inline;
mod kind;
mod load;
mod message;
mod model;
mod patch;
mod read;
mod run;
mod shapes;
mod share;
mod sniff;
mod tensor;
mod walk;
mod write;

#[cfg(test)]
mod tests;

pub use kind::Kind;
pub use load::{data_files, parse, read};
pub use model::Model;
pub use shapes::InputShape;
pub use write::Written;

/// Largest message that protobuf allows, in bytes.
const LARGEST: u64 = i32::MAX as u64;
