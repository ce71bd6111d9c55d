//! [`Model`] → bytes and files.
//!
//! Takes: a model and a path. Gives: the file, and beside it one data file if the model keeps its weights outside.
//! Never: leaves a half-written file (each is written under a temporary name and renamed, the model last); overwrites what
//! the model was read from.

use super::external::{self, Appender};
use super::fault::Fault;
use super::patch::constants;
use super::{LARGEST, Model, tensor, walk};
use crate::error::{Error, Result};
use crate::ir::{Graph, Tensor};
use onnx_protobuf::{Message, ModelProto, TensorProto};
use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Leaves but a token of each large initializer that `graph` holds.
pub fn lighten(proto: &mut ModelProto, graph: &Graph) {
    let held = constants(graph);
    for t in proto.graph.as_mut().into_iter().flat_map(|g| &mut g.initializer) {
        held.get(t.name.as_str()).into_iter().for_each(|tensor| tensor::lighten(t, tensor));
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
    proto
}

/// Bytes of the message with all that it refers to.
pub fn size(model: &Model) -> u64 {
    // What is new of an external tensor waits in the message.
    let elsewhere = |t: &TensorProto| external::is_external(t) && t.raw_data.is_empty();
    model.proto.compute_size() + elements(model, |t, tensor| tensor::is_light(t, tensor) || elsewhere(t))
}

/// Bytes that are in other files.
pub fn external_size(model: &Model) -> u64 {
    elements(model, |t, _| external::is_external(t))
}

/// Bytes of the initializers that `count` picks.
fn elements(model: &Model, count: impl Fn(&TensorProto, &Tensor) -> bool) -> u64 {
    let held = constants(&model.graph);
    let bytes = |t: &TensorProto| {
        let tensor = held.get(t.name.as_str()).filter(|tensor| count(t, tensor))?;
        Some((tensor.data.len() * tensor.dtype().size()) as u64)
    };
    model.proto.graph.iter().flat_map(|g| &g.initializer).filter_map(bytes).sum()
}

/// One self-contained message.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>> {
    encode(&inlined(model)?, &model.path)
}

/// One self-contained message, if it fits in one.
pub fn message(model: &Model) -> Result<Option<Vec<u8>>> {
    let proto = inlined(model)?;
    if proto.compute_size() > LARGEST { Ok(None) } else { encode(&proto, &model.path).map(Some) }
}

/// The file with all its elements, those of other files included.
fn inlined(model: &Model) -> Result<ModelProto> {
    let mut proto = whole(model);
    for t in walk::tensors_mut(&mut proto).into_iter().filter(|t| external::is_external(t)) {
        let bytes = model.folder.bytes(t);
        t.raw_data = bytes.map_err(|fault| fault.of(format_args!("tensor '{}'", t.name), &model.path))?;
        external::forget(t);
    }
    Ok(proto)
}

fn has_external(proto: &ModelProto) -> bool {
    walk::tensors(proto).into_iter().any(external::is_external)
}

fn encode(proto: &ModelProto, path: &Path) -> Result<Vec<u8>> {
    check_size(proto, path)?;
    proto.write_to_bytes().map_err(|e| Fault::new(e.to_string()).of("it cannot be encoded", path))
}

/// The size of the message. Errors where protobuf does not allow it.
fn check_size(proto: &ModelProto, path: &Path) -> Result<u64> {
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

/// Writes the model to `path`.
pub fn write(model: &Model, path: &Path) -> Result<u64> {
    let sources = sources(model);
    if path.canonicalize().is_ok_and(|p| sources.contains(&p)) {
        return Err(Error::file(path, "the model is read from this file", "give the output another name"));
    }
    if !has_external(&model.proto) {
        let (temporary, size) = fill(path, &whole(model), &model.path)?;
        persist(temporary, path)?;
        return Ok(size);
    }
    let data = data_path(path, &sources)?;
    let (file, proto, written) = write_data(model, &data)?;
    let (temporary, size) = fill(path, &proto, &model.path)?;
    persist(file, &data)?;
    persist(temporary, path)?;
    Ok(written + size)
}

/// The files that the model was read from.
fn sources(model: &Model) -> BTreeSet<PathBuf> {
    let tensors = walk::tensors(&model.proto).into_iter().filter(|t| external::is_external(t));
    let data = tensors.filter_map(|t| model.folder.file_of(t).ok());
    data.chain(model.path.canonicalize()).collect()
}

/// A name for the data file beside `path` that is none of the sources.
fn data_path(path: &Path, sources: &BTreeSet<PathBuf>) -> Result<PathBuf> {
    let stem = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| {
        Error::file(
            path,
            "a data file is called after the model, and this name is not text",
            "give another name",
        )
    })?;
    let names = std::iter::once(format!("{stem}.data")).chain((1..).map(|k| format!("{stem}.data{k}")));
    let free = |p: &PathBuf| !p.canonicalize().is_ok_and(|p| sources.contains(&p));
    Ok(names.map(|n| path.with_file_name(n)).find(free).unwrap_or_default())
}

/// Writes all external tensors into a temporary file that will be `data`; gives the model that points there.
fn write_data(model: &Model, data: &Path) -> Result<(NamedTempFile, ModelProto, u64)> {
    let fail = |e| Error::io(data, e, "free some space, or write to another folder");
    let file = beside(data)?;
    let mut proto = whole(model);
    let name = data.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let mut appender = Appender { out: BufWriter::new(file), name, written: 0 };
    for t in walk::tensors_mut(&mut proto).into_iter().filter(|t| external::is_external(t)) {
        let bytes = model.folder.bytes(t);
        let bytes = bytes.map_err(|fault| fault.of(format_args!("tensor '{}'", t.name), &model.path))?;
        appender.append(t, &bytes).map_err(fail)?;
    }
    let written = appender.written;
    let file = appender.out.into_inner().map_err(|e| fail(e.into_error()))?;
    Ok((file, proto, written))
}

/// A temporary file in the folder of `path`, with the permissions of any new file.
fn beside(path: &Path) -> Result<NamedTempFile> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let hint = "write to a folder that exists and that you may write to";
    builder.prefix(".autobot-onnx-").tempfile_in(folder).map_err(|e| Error::io(path, e, hint))
}

/// A temporary file that will be `path`, with a model in it that was read from `source`; and its size.
fn fill(path: &Path, proto: &ModelProto, source: &Path) -> Result<(NamedTempFile, u64)> {
    let size = check_size(proto, source)?;
    let fail = |e| Error::io(path, e, "free some space, or write to another folder");
    let mut file = beside(path)?;
    let mut out = BufWriter::new(file.as_file_mut());
    proto.write_to_writer(&mut out).map_err(|e| fail(std::io::Error::other(e)))?;
    out.flush().map_err(fail)?;
    drop(out);
    Ok((file, size))
}

fn persist(file: NamedTempFile, path: &Path) -> Result<()> {
    let hint = "is there a folder of that name? write to another one";
    file.as_file()
        .sync_all()
        .map_err(|e| Error::io(path, e, "free some space, or write to another folder"))?;
    file.persist(path).map_err(|e| Error::io(path, e.error, hint)).map(|_| ())
}
