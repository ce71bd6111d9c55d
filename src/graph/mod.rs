//! The intermediate representation: graph, constants, attributes, and the questions every operator answers.
//!
//! Invariants: a [`Graph`] is acyclic, sorted and never changed in place. Analysis results ([`Facts`]) stand
//! beside it, by value number. Never: knows protobuf or any operator by name.

mod attributes;
mod evaluate;
mod fact;
mod form;
mod hints;
mod infer;
mod io;
mod kernel;
mod network;
mod op;
mod print;
mod structure;

pub use attributes::{Attr, Attributes, Reader, Refusal, Writer, invalid, unsupported};
pub use evaluate::{computed, views};
pub use fact::Fact;
pub use form::{Form, Step, Term};
pub use hints::{Hints, Instructions, Inverse, Limit, Linear, Normalisation};
pub use infer::{Facts, infer, infer_unfinished};
pub use io::{Axis, Io, Operand, Operands, Port, input, need, output};
pub use kernel::{Compute, InputGradients, Inputs, Kernel, Results, ResultsMut, optional, present, wanted};
pub use network::Network;
pub use op::{Couplings, Keep, Op, Product, Resized, Work};
pub use print::print;
pub use structure::{Graph, Names, Node, NodeId, Origin, Value, ValueId};
