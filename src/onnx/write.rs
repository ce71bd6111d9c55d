//! [`Model`] → bytes and files.
//!
//! Takes: a model and a path. Gives: the file, and beside it one data file if the model keeps its weights outside.
//! Never: leaves a half-written file (each is written under a temporary name and renamed, the model last); overwrites what
//! the model was read from, or the data of any model.

use super::external::{self, Appender};
use super::fault::Fault;
use super::message::{check_size, encode, has_external, whole};
use super::{Model, walk};
use crate::error::{Error, Result};
use crate::support::files;
use onnx_protobuf::{Message, ModelProto};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

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

impl Model {
    /// True where `other` may be the name of the data file that stands beside the model once it is written to `path`.
    pub fn may_write(&self, path: &Path, other: &Path) -> bool {
        has_external(&self.proto) && is_data_of(path, other)
    }

    /// Writes the model, and what was in other files into one new file beside it, called like the model with `.data` and
    /// perhaps a number added: no file that is there is changed. A model that was there before is replaced when
    /// everything else is done, and then its data file removed, if it was made here and nobody else mentions it. Nothing is
    /// left behind on an error.
    pub(crate) fn write(&self, path: &Path) -> Result<Written> {
        write(self, path, None)
    }

    /// As [`Model::write`], of a model that was proved as the message `proved`: the file is read back from the disk before it
    /// takes its name. Errors unless it is that message.
    pub(crate) fn write_proved(&self, path: &Path, proved: &[u8]) -> Result<Written> {
        write(self, path, Some(proved))
    }
}

/// Writes the model to `path`; errors where what is read back from the disk is not the message `proved`.
fn write(model: &Model, path: &Path, proved: Option<&[u8]>) -> Result<Written> {
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
fn is_data_of(path: &Path, data: &Path) -> bool {
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
