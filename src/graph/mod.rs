//! The intermediate representation: graph, constants, attributes, and the questions every operator answers.
//!
//! Invariants: a [`Graph`] is acyclic, sorted and never changed in place. Analysis results ([`Facts`]) stand
//! beside it, by value number. Never: knows protobuf or any operator by name.

mod attributes;
mod evaluate;
mod hints;
mod infer;
mod kernel;
mod network;
mod op;
mod print;
mod structure;

pub use attributes::{Attr, Attributes, Reader, Refusal, Writer, invalid, unsupported};
pub use evaluate::{computed, views};
pub use hints::{Hints, Instructions, Inverse, Limit, Normalisation};
pub use infer::{Facts, infer, infer_unfinished};
pub use kernel::{Compute, InputGradients, Inputs, Kernel, Results, ResultsMut, optional, present, wanted};
pub use network::Network;
pub use op::{
    Axis, Couplings, Fact, Io, Keep, Linear, Op, Operand, Operands, Port, Product, Resized, Work, input,
    need, output,
};
pub use print::print;
pub use structure::{Graph, Names, Node, NodeId, Origin, Value, ValueId};
