//! [`Model`] → bytes and files.
//!
//! Takes: a model and a path. Gives: the file, and beside it one data file if the model keeps its weights outside.
//! Never: leaves a half-written file (each is written under a temporary name and renamed, the model last); overwrites what
//! the model was read from, or the data of any model.

use super::external::{self, Appender};
use super::fault::Fault;
use super::patch::constants;
use super::{LARGEST, Model, functions, tensor, walk};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::support::files;
use crate::tensor::Tensor;
use onnx_protobuf::{Message, ModelProto, TensorProto};
use std::io::{BufWriter, ErrorKind, Read, Write};
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
    collapse(&mut proto, model);
    proto
}

/// Puts the calls back that were expanded, the last first.
pub fn collapse(proto: &mut ModelProto, model: &Model) {
    model.calls.iter().rev().for_each(|calls| functions::collapse(proto, calls));
}

/// Bytes of the message with all that it refers to.
pub fn size(model: &Model) -> u64 {
    // What is new of an external tensor waits in the message.
    let elsewhere = |t: &TensorProto| external::is_external(t) && t.raw_data.is_empty();
    let message = if model.calls.iter().all(Vec::is_empty) {
        model.proto.compute_size()
    } else {
        let mut proto = model.proto.clone();
        collapse(&mut proto, model);
        proto.compute_size()
    };
    message + elements(model, |t, tensor| tensor::is_light(t, tensor) || elsewhere(t))
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
        Some((tensor.len() * tensor.dtype().size()) as u64)
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

/// Files that were written, and what became of the ones that stood in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the model and of its data file.
    pub bytes: u64,
    /// The data file, where the model keeps its weights outside.
    pub data: Option<PathBuf>,
    /// The data file of the replaced model, where it stays because another file mentions it.
    pub left: Option<PathBuf>,
}

/// Writes the model to `path`; errors where what is read back from the disk is not the message `proved`.
pub fn write(model: &Model, path: &Path, proved: Option<&[u8]>) -> Result<Written> {
    if model.files().iter().any(|source| files::same(source, path)) {
        return Err(Error::file(path, "the model is read from this file", "give the output another name"));
    }
    let old: Vec<PathBuf> = super::data_files(path).into_iter().filter(|d| is_data_of(path, d)).collect();
    let (bytes, data) = match has_external(&model.proto) {
        true => {
            let staged = Staged::new(model, path)?;
            proved.map_or(Ok(()), |proved| check(path, &staged.read_back(path)?, proved))?;
            staged.place(path)?
        }
        false => {
            let (temporary, size) = fill(path, &whole(model), &model.path)?;
            proved.map_or(Ok(()), |proved| check(path, &bytes_of(&temporary, path)?, proved))?;
            persist(temporary, path)?;
            (size, None)
        }
    };
    let mut left = None;
    for old in old {
        match is_mentioned(&old, path) {
            false => drop(std::fs::remove_file(&old)),
            true => left = Some(old),
        }
    }
    Ok(Written { bytes, data, left })
}

/// A model and its data, ready to take their names.
struct Staged {
    data: (PathBuf, NamedTempFile),
    model: NamedTempFile,
    bytes: u64,
}

impl Staged {
    fn new(model: &Model, path: &Path) -> Result<Self> {
        let name = data_path(path)?;
        let (file, proto, written) = write_data(model, &name)?;
        let (temporary, size) = fill(path, &proto, &model.path)?;
        Ok(Self { data: (name, file), model: temporary, bytes: written + size })
    }

    /// The message that is on the disk, with the data moved inside.
    fn read_back(&self, path: &Path) -> Result<Vec<u8>> {
        let bad = |why: String| Fault::new(why).of("what was written cannot be read back", path);
        let mut proto =
            ModelProto::parse_from_bytes(&bytes_of(&self.model, path)?).map_err(|e| bad(e.to_string()))?;
        let data = bytes_of(&self.data.1, &self.data.0)?;
        for t in walk::tensors_mut(&mut proto).into_iter().filter(|t| external::is_external(t)) {
            let range = external::range(t).map_err(|fault| bad(fault.reason))?;
            let bytes = data.get(range).ok_or_else(|| bad(format!("data of '{}' are missing", t.name)))?;
            t.raw_data = bytes.to_vec();
            external::forget(t);
        }
        encode(&proto, path)
    }

    /// Names the data, under a name that no file has, and then the model: at any time in between the model that is replaced has its
    /// own data.
    fn place(self, path: &Path) -> Result<(u64, Option<PathBuf>)> {
        let (name, file) = self.data;
        synced(&file, &name)?;
        let hint = "has another run made it? write to a folder of its own";
        file.persist_noclobber(&name).map_err(|e| Error::io(&name, e.error, hint))?;
        persist(self.model, path).inspect_err(|_| drop(std::fs::remove_file(&name)))?;
        Ok((self.bytes, Some(name)))
    }
}

/// Bytes on the disk of a temporary file that will be `path`.
fn bytes_of(file: &NamedTempFile, path: &Path) -> Result<Vec<u8>> {
    synced(file, path)?;
    std::fs::read(file.path()).map_err(|e| Error::io(path, e, files::ROOM))
}

/// Errors unless the bytes that were read back are the proved ones.
fn check(path: &Path, read: &[u8], proved: &[u8]) -> Result<()> {
    if read == proved {
        return Ok(());
    }
    Err(Error::Verification {
        reason: format!("{}: what the disk gives back is not what was proved", path.display()),
        hint: "nothing was written; check the disk, or write to another one".into(),
    })
}

/// A name for the data file beside `path` that no file has.
fn data_path(path: &Path) -> Result<PathBuf> {
    let stem = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| {
        Error::file(
            path,
            "a data file is called after the model, and this name is not text",
            "give another name",
        )
    })?;
    let names = std::iter::once(format!("{stem}.data")).chain((1..).map(|k| format!("{stem}.data{k}")));
    // A link that leads nowhere has the name too.
    let free = |p: &PathBuf| p.symlink_metadata().is_err();
    Ok(names.map(|n| path.with_file_name(n)).find(free).unwrap_or_default())
}

/// True for the names that [`data_path`] gives beside `path`.
pub fn is_data_of(path: &Path, data: &Path) -> bool {
    let name = |p: &Path| p.file_name().and_then(|n| n.to_str()).map(str::to_owned);
    let (Some(of), Some(name)) = (name(path), name(data)) else { return false };
    let number = name.strip_prefix(&of).and_then(|rest| rest.strip_prefix(".data"));
    number.is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        && files::same(files::folder(path), files::folder(data))
}

/// Most bytes of neighbouring files that are searched for a mention of a data file.
const SEARCHED: u64 = 4 << 30;

/// First bytes of a message that may be a model: the keys of its fields.
const KEYS: [u8; 11] = [0x08, 0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72, 0xa2, 0xca];

/// True where a model beside `data`, or in the folder above, mentions it by name or may do so: a copy of a model reads the data of
/// the one that it was copied from. `model`, which was just written, is not asked.
fn is_mentioned(data: &Path, model: &Path) -> bool {
    let Ok(real) = data.canonicalize() else { return true };
    let Some((name, here)) = real.file_name().and_then(|n| n.to_str()).zip(real.parent()) else {
        return true;
    };
    let plain = data.symlink_metadata().is_ok_and(|m| m.is_file()) && links(data) == 1;
    let mut left = SEARCHED;
    let mut mentions = |path: &Path| {
        let skipped = files::same(path, data) || files::same(path, model) || is_data_of(model, path);
        let mut file = match files::open(path, "") {
            Ok(file) => file,
            // What cannot be read may mention it.
            Err(Error::Io { source, .. }) => return source.kind() != ErrorKind::NotFound,
            Err(_) => return false,
        };
        let mut first = [0];
        if skipped || !file.read_exact(&mut first).is_ok_and(|()| KEYS.contains(&first[0])) {
            return false;
        }
        let (mut bytes, size) = (Vec::new(), file.metadata().map_or(u64::MAX, |m| m.len()));
        let fits = size <= left;
        left = left.saturating_sub(size);
        !fits || file.read_to_end(&mut bytes).is_err() || holds(&bytes, name.as_bytes())
    };
    let mut folders = here.ancestors().take(2).map(std::fs::read_dir);
    !plain || folders.any(|f| f.map_or(true, |entries| entries.flatten().any(|e| mentions(&e.path()))))
}

/// True where `word` stands among the bytes.
fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|w| w == word)
}

/// Names of a file on its volume.
#[cfg(unix)]
fn links(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    path.metadata().map_or(0, |m| m.nlink())
}

#[cfg(not(unix))]
fn links(_: &Path) -> u64 {
    1
}

/// Writes all external tensors into a temporary file that will be `data`; gives the model that points there.
fn write_data(model: &Model, data: &Path) -> Result<(NamedTempFile, ModelProto, u64)> {
    let fail = |e| Error::io(data, e, files::ROOM);
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

/// A temporary file in the folder of `path`.
fn beside(path: &Path) -> Result<NamedTempFile> {
    let hint = "write to a folder that exists and that you may write to";
    files::beside(path).map_err(|e| Error::io(path, e, hint))
}

/// A temporary file that will be `path`, with a model in it that was read from `source`; and its size.
fn fill(path: &Path, proto: &ModelProto, source: &Path) -> Result<(NamedTempFile, u64)> {
    let size = check_size(proto, source)?;
    let fail = |e| Error::io(path, e, files::ROOM);
    let mut file = beside(path)?;
    let mut out = BufWriter::new(file.as_file_mut());
    proto.write_to_writer(&mut out).map_err(|e| fail(std::io::Error::other(e)))?;
    out.flush().map_err(fail)?;
    drop(out);
    Ok((file, size))
}

/// Gives a temporary file its name, once all of it is on the disk.
fn persist(file: NamedTempFile, path: &Path) -> Result<()> {
    let hint = "is there a folder of that name? write to another one";
    synced(&file, path)?;
    file.persist(path).map_err(|e| Error::io(path, e.error, hint)).map(|_| ())
}

/// Waits until all of a file that will be `path` is on the disk.
fn synced(file: &NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().map_err(|e| Error::io(path, e, files::ROOM))
}
