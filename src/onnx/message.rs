//! The message that a model is written as.
//!
//! Takes: a model, whose graph holds the elements of its large initializers. Gives: the message with them, and its size. Never: gives
//! more bytes than protobuf allows.

use super::fault::Fault;
use super::patch::constants;
use super::{LARGEST, Model, external, functions, tensor, walk};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::Tensor;
use onnx_protobuf::{Message, ModelProto, TensorProto};
use std::path::Path;

/// Leaves but a token of each large initializer that `graph` holds.
pub fn lighten(proto: &mut ModelProto, graph: &Graph) {
    let held = constants(graph);
    for t in proto.graph.as_mut().into_iter().flat_map(|g| &mut g.initializer) {
        held.get(t.name.as_str()).into_iter().for_each(|tensor| tensor::lighten(t, tensor));
    }
}

impl Model {
    /// The model as one self-contained message, with external data moved inside. Errors above 2 GiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        encode(&inlined(self)?, &self.path)
    }

    /// As [`Self::to_bytes`]; `None` above 2 GiB, which is more than one message may take.
    pub fn message(&self) -> Result<Option<Vec<u8>>> {
        let proto = inlined(self)?;
        if proto.compute_size() > LARGEST { Ok(None) } else { encode(&proto, &self.path).map(Some) }
    }

    /// Bytes that the model takes, with those of its initializers that stand in other files; up to some bytes of framing.
    pub fn size(&self) -> u64 {
        // What is new of an external tensor waits in the message.
        let elsewhere = |t: &TensorProto| external::is_external(t) && t.raw_data.is_empty();
        let message = if self.calls.iter().all(Vec::is_empty) {
            self.proto.compute_size()
        } else {
            let mut proto = self.proto.clone();
            collapse(&mut proto, self);
            proto.compute_size()
        };
        message + elements(self, |t, tensor| tensor::is_light(t, tensor) || elsewhere(t))
    }

    /// Bytes of its initializers that stand in other files.
    pub fn external_size(&self) -> u64 {
        elements(self, |t, _| external::is_external(t))
    }

    /// Bytes that it was read from: of the file, and of its external data.
    pub fn file_size(&self) -> u64 {
        self.bytes + self.external_size()
    }

    /// True if the file calls functions that it defines itself.
    pub fn calls_functions(&self) -> bool {
        let mut proto = self.proto.clone();
        collapse(&mut proto, self);
        functions::are_called(&proto)
    }
}

/// The file with all its elements.
pub fn whole(model: &Model) -> ModelProto {
    let mut proto = model.proto.clone();
    let held = constants(&model.graph);
    for t in proto.graph.as_mut().into_iter().flat_map(|g| &mut g.initializer) {
        if let Some(tensor) = held.get(t.name.as_str()).filter(|tensor| tensor::is_light(t, tensor)) {
            tensor::store(t, tensor);
        }
    }
    collapse(&mut proto, model);
    proto
}

/// Puts the calls back that were expanded, the last first.
fn collapse(proto: &mut ModelProto, model: &Model) {
    model.calls.iter().rev().for_each(|calls| functions::collapse(proto, calls));
}

/// Bytes of the initializers that `count` picks.
fn elements(model: &Model, count: impl Fn(&TensorProto, &Tensor) -> bool) -> u64 {
    let held = constants(&model.graph);
    let bytes = |t: &TensorProto| {
        let tensor = held.get(t.name.as_str()).filter(|tensor| count(t, tensor))?;
        Some((tensor.len() * tensor.dtype().size()) as u64)
    };
    model.proto.graph.iter().flat_map(|g| &g.initializer).filter_map(bytes).sum()
}

/// The file with all its elements, also from other files.
fn inlined(model: &Model) -> Result<ModelProto> {
    let mut proto = whole(model);
    for t in walk::tensors_mut(&mut proto).into_iter().filter(|t| external::is_external(t)) {
        let bytes = model.folder.bytes(t);
        t.raw_data = bytes.map_err(|fault| fault.of(format_args!("tensor '{}'", t.name), &model.path))?;
        external::forget(t);
    }
    Ok(proto)
}

/// True if some tensor has its elements in another file.
pub fn has_external(proto: &ModelProto) -> bool {
    walk::tensors(proto).into_iter().any(external::is_external)
}

/// Bytes of a message. Errors where protobuf does not allow its size.
pub fn encode(proto: &ModelProto, path: &Path) -> Result<Vec<u8>> {
    check_size(proto, path)?;
    proto.write_to_bytes().map_err(|e| Fault::new(e.to_string()).of("it cannot be encoded", path))
}

/// The size of the message. Errors where protobuf does not allow it.
pub fn check_size(proto: &ModelProto, path: &Path) -> Result<u64> {
    let size = proto.compute_size();
    if size > LARGEST {
        let hint = "save the model you start from with its weights beside it: \
                    onnx.save(..., save_as_external_data=True)";
        return Err(Error::file(
            path,
            "the model takes more than 2 GiB, which protobuf does not allow",
            hint,
        ));
    }
    Ok(size)
}
