//! Weights that stand in files of their own, beside the model.
//!
//! Takes: the entries `location`, `offset`, `length` of a tensor. Gives: its bytes; and on the way back one new data file
//! for all of them. The checksum is of a whole file and optional, so it is neither checked nor kept.
//! Never: follows a path out of the model's folder; reads or allocates more than the file holds; writes to a file
//! that the model was read from.

use super::fault::Fault;
use super::walk;
use crate::support::memory;
use crate::tensor::{DType, checked_volume};
use onnx_protobuf::{ModelProto, StringStringEntryProto, TensorProto};
use protobuf::EnumOrUnknown;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

pub use onnx_protobuf::tensor_proto::DataLocation;

/// True where the tensor's elements are in another file.
pub fn is_external(t: &TensorProto) -> bool {
    t.data_location == EnumOrUnknown::from(DataLocation::EXTERNAL)
}

/// Makes a tensor internal. Its bytes are the caller's affair.
pub fn forget(t: &mut TensorProto) {
    t.data_location = DataLocation::DEFAULT.into();
    t.external_data.clear();
}

/// The place of a tensor's bytes in a data file.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    offset: u64,
    length: u64,
}

/// The folder of a model, in which its data files are.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder that the file `model` stands in.
    pub fn of(model: &Path) -> Self {
        let parent = model.parent().filter(|p| !p.as_os_str().is_empty());
        Self(parent.unwrap_or(Path::new(".")).to_owned())
    }

    /// Checks that the bytes of an external tensor are there, without reading them.
    pub fn check(&self, t: &TensorProto) -> Result<(), Fault> {
        if !t.raw_data.is_empty() {
            return Err(Fault::new("it has data both in the model and in another file"));
        }
        self.place(t).map(|_| ())
    }

    /// The data file of an external tensor.
    pub fn file_of(&self, t: &TensorProto) -> Result<PathBuf, Fault> {
        self.resolve(entry(t, "location").unwrap_or_default())
    }

    /// The bytes of an external tensor: new ones that wait in the message, else the data file's.
    pub fn bytes(&self, t: &TensorProto) -> Result<Vec<u8>, Fault> {
        if !t.raw_data.is_empty() {
            return Ok(t.raw_data.clone());
        }
        let place = self.place(t)?;
        if let Some(wanted) = expected(t).filter(|&n| n != place.length) {
            let reason = format!("its shape takes {wanted} bytes, its entry 'length' says {}", place.length);
            return Err(Fault::new(reason));
        }
        let fail = |why: String| Fault::new(format!("{}: {why}", place.path.display()));
        let mut bytes = Vec::new();
        let room = place.length <= memory::limit()
            && usize::try_from(place.length).is_ok_and(|n| bytes.try_reserve_exact(n).is_ok());
        if !room {
            return Err(fail(format!("{} bytes do not fit this machine's memory", place.length)));
        }
        let mut fill = || -> std::io::Result<usize> {
            let mut file = File::open(&place.path)?;
            file.seek(SeekFrom::Start(place.offset))?;
            file.take(place.length).read_to_end(&mut bytes)
        };
        match fill() {
            Ok(n) if n as u64 == place.length => Ok(bytes),
            Ok(_) => Err(fail("the file became shorter while it was read".into())),
            Err(e) => Err(fail(e.to_string())),
        }
    }

    /// Resolves and checks the tensor's entries. Without a length, as many bytes as the shape takes are
    /// meant, or the rest of the file.
    fn place(&self, t: &TensorProto) -> Result<Place, Fault> {
        let location = entry(t, "location").unwrap_or_default();
        let path = self.resolve(location)?;
        let (offset, length) = (number(t, "offset")?, number(t, "length")?);
        let hint = "copy the whole data file beside the model, or export both again";
        let meta = path.metadata().map_err(|e| Fault::new(format!("'{location}': {e}")).hint(hint))?;
        if !meta.is_file() {
            return Err(Fault::new(format!("'{location}' is not a regular file")).hint(hint));
        }
        let offset = offset.unwrap_or(0);
        let length = length.or_else(|| expected(t)).unwrap_or(meta.len().saturating_sub(offset));
        if offset.checked_add(length).is_none_or(|end| end > meta.len()) {
            let reason = format!(
                "{length} bytes at offset {offset} are said to be in '{location}', which has {} bytes",
                meta.len()
            );
            return Err(Fault::new(reason).hint(hint));
        }
        Ok(Place { path, offset, length })
    }

    /// The data file called `location`, which must be inside the folder, links followed.
    fn resolve(&self, location: &str) -> Result<PathBuf, Fault> {
        let hint = "put the data file into the model's folder and save the model again with onnx.save, \
                    save_as_external_data=True and a plain file name as location";
        let outside = |why: &str| {
            Fault::new(format!("its data are said to be in '{location}', which {why} the model's folder"))
                .hint(hint)
        };
        let inside = |c: Component| matches!(c, Component::Normal(_) | Component::CurDir);
        if location.is_empty() {
            return Err(Fault::new("its data are in another file that is not named").hint(hint));
        }
        if location.contains('\0') || !Path::new(location).components().all(inside) {
            return Err(outside("may not lead out of"));
        }
        let found = |p: &Path| {
            p.canonicalize().map_err(|e| {
                let hint = "copy the data file beside the model; both belong together";
                Fault::new(format!("its data file '{location}' cannot be opened: {e}")).hint(hint)
            })
        };
        let (folder, path) = (found(&self.0)?, found(&self.0.join(location))?);
        if path.starts_with(&folder) { Ok(path) } else { Err(outside("is a link that leads out of")) }
    }
}

/// The data files of a model, each once.
pub fn files(proto: &ModelProto, folder: &Folder) -> Vec<PathBuf> {
    let tensors = walk::tensors(proto).into_iter().filter(|t| is_external(t));
    let found: BTreeSet<PathBuf> = tensors.filter_map(|t| folder.file_of(t).ok()).collect();
    found.into_iter().collect()
}

/// Bytes that the tensor's type and shape take; `None` for types that we do not hold.
fn expected(t: &TensorProto) -> Option<u64> {
    let dtype = DType::from_onnx(t.data_type)?;
    let shape = t.dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<Vec<usize>>>()?;
    Some(checked_volume(&shape)? as u64 * dtype.size() as u64)
}

/// The bytes of its data file that a tensor takes, by its entries.
pub fn range(t: &TensorProto) -> Result<std::ops::Range<usize>, Fault> {
    let entry = |key: &str| Ok::<_, Fault>(number(t, key)?.unwrap_or(0) as usize);
    let (offset, length) = (entry("offset")?, entry("length")?);
    Ok(offset..offset.saturating_add(length))
}

/// Value of one of a tensor's entries on its data file.
fn entry<'a>(t: &'a TensorProto, key: &str) -> Option<&'a str> {
    t.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str())
}

/// As [`entry`], as a number. Errors where it is none.
fn number(t: &TensorProto, key: &str) -> Result<Option<u64>, Fault> {
    let parse = |text: &str| {
        text.parse().map_err(|_| Fault::new(format!("the entry '{key}' of its data file is '{text}'")))
    };
    entry(t, key).map(parse).transpose()
}

/// Alignment in a data file, in bytes: large tensors begin on a page, so that a runtime can map them, small ones on a cache line.
fn alignment(length: usize) -> u64 {
    if length >= 1 << 16 { 4096 } else { 64 }
}

/// Appends tensors to a new data file.
pub struct Appender<'a, W> {
    /// The file.
    pub out: W,
    /// Its name, as the model will state it.
    pub name: &'a str,
    /// Bytes written so far.
    pub written: u64,
}

impl<W: Write> Appender<'_, W> {
    /// Writes `bytes` and makes `t` point to them.
    pub fn append(&mut self, t: &mut TensorProto, bytes: &[u8]) -> std::io::Result<()> {
        let offset = self.written.next_multiple_of(alignment(bytes.len()));
        let gap = (offset - self.written) as usize;
        self.out.write_all(&[0u8; 4096][..gap])?;
        self.out.write_all(bytes)?;
        self.written = offset + bytes.len() as u64;
        t.raw_data.clear();
        t.external_data.retain(|e| !["location", "offset", "length", "checksum"].contains(&e.key.as_str()));
        for (key, value) in [
            ("location", self.name.to_owned()),
            ("offset", offset.to_string()),
            ("length", bytes.len().to_string()),
        ] {
            let entry =
                StringStringEntryProto { key: key.into(), value, ..StringStringEntryProto::default() };
            t.external_data.push(entry);
        }
        Ok(())
    }
}
