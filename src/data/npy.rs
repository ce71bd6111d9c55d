//! NumPy's `.npy`, read row by row.
//!
//! *Takes*: a reader and how many bytes it can hold. *Gives*: the dtype, the shape, and the raw bytes of chosen rows
//! (first axis) in C order. *Never*: allocates more than the file can hold, unpickles, or believes a header.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::dtype::DType;
use crate::support::files;
use crate::{Error, Result};

const SAVE_AGAIN: &str = "save it again with numpy.save";
/// Longer headers only occur with structured dtypes (NumPy itself stops at 10,000 bytes).
const LONGEST_HEADER: usize = 1 << 16;

/// The subject of errors: an array of a file.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    path: PathBuf,
    /// `the array`, or `array 'name'` in an archive.
    what: String,
}

impl Subject {
    pub fn fail(&self, reason: impl fmt::Display, hint: impl Into<String>) -> Error {
        Error::file(&self.path, format!("{} {reason}", self.what), hint)
    }

    /// The error of a reader that gave fewer bytes than it was held to.
    fn short(&self, e: io::Error) -> Error {
        let hint = "copy or save it again";
        match e.kind() {
            io::ErrorKind::UnexpectedEof => self.fail("is truncated", hint),
            _ => Error::io(&self.path, e, hint),
        }
    }
}

/// An array whose header has been read and held against the size of its file.
pub(super) struct Npy<R> {
    subject: Subject,
    pub dtype: DType,
    pub shape: Vec<usize>,
    fortran: bool,
    reader: R,
}

impl Npy<BufReader<File>> {
    pub fn open(path: &Path) -> Result<Self> {
        let hint = "check the path and its permissions";
        let file = files::open(path, hint)?;
        let length = file.metadata().map_err(|e| Error::io(path, e, hint))?.len();
        Npy::new(path, "the array".into(), BufReader::new(file), length)
    }
}

impl<R: Read> Npy<R> {
    /// Reads the header. `available` is the number of bytes that `reader` can give. Errors where the header claims more.
    pub fn new(path: &Path, what: String, mut reader: R, available: u64) -> Result<Self> {
        let subject = Subject { path: path.into(), what };
        let fail = |reason: String, hint: &str| subject.fail(reason, hint);
        let cut = |e| subject.short(e);
        let mut start = [0; 8];
        match reader.read_exact(&mut start) {
            Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => return Err(cut(e)),
            Ok(()) if start.starts_with(b"\x93NUMPY") => {}
            _ => return Err(fail("is no .npy: NumPy's mark is missing at its start".into(), SAVE_AGAIN)),
        }
        let mut size = [0; 4];
        let width = if start[6] == 1 { 2 } else { 4 };
        reader.read_exact(&mut size[..width]).map_err(cut)?;
        let length = u32::from_le_bytes(size) as usize;
        if length > LONGEST_HEADER {
            return Err(fail(format!("has a header of {length} bytes"), SAVE_AGAIN));
        }
        let mut header = vec![0; length];
        reader.read_exact(&mut header).map_err(cut)?;
        let header = String::from_utf8_lossy(&header);

        let descr = field(&header, "descr").unwrap_or_default();
        let dtype = quoted(descr).and_then(DType::parse).ok_or_else(|| {
            let descr: String = descr.chars().take(20).collect();
            fail(
                format!("has the unsupported dtype {descr}"),
                "convert it: array.astype(numpy.float32), or uint8",
            )
        })?;
        let bad_shape = || fail("has an unreadable shape in its header".into(), SAVE_AGAIN);
        let shape = field(&header, "shape").and_then(tuple).ok_or_else(bad_shape)?;
        let fortran = field(&header, "fortran_order").is_some_and(|v| v.starts_with("True"));

        let bytes = shape.iter().try_fold(dtype.size() as u64, |n, &d| n.checked_mul(d as u64));
        let held = available.saturating_sub((8 + width + length) as u64);
        if bytes.is_none_or(|b| b > held) {
            let claim = bytes.map_or("more than 2^64".into(), |b| b.to_string());
            let reason = format!("is truncated: {dtype} {shape:?} takes {claim} bytes, the file has {held}");
            return Err(fail(reason, "copy or save it again"));
        }
        Ok(Self { subject, dtype, shape, fortran, reader })
    }

    /// An array in memory: `reader` gives its bytes in C order.
    pub fn held(what: String, dtype: DType, shape: Vec<usize>, reader: R) -> Self {
        Self { subject: Subject { path: "memory".into(), what }, dtype, shape, fortran: false, reader }
    }

    /// An error about this array.
    pub fn fail(&self, reason: impl fmt::Display, hint: impl Into<String>) -> Error {
        self.subject.fail(reason, hint)
    }

    /// The subject of errors, for when the array itself is being read.
    pub fn subject(&self) -> Subject {
        self.subject.clone()
    }

    /// Elements along the first axis.
    pub fn count(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Elements of a row.
    pub fn row(&self) -> usize {
        self.shape.get(1..).unwrap_or_default().iter().product()
    }

    /// Bytes that [`Npy::rows`] holds at a time: a row, or the whole array where the rows are not stored one after another.
    pub fn unpacked(&self) -> u64 {
        let rows = if self.fortran && self.shape.len() > 1 { self.count() + 1 } else { 1 };
        (rows as u64).saturating_mul((self.row() * self.dtype.size()) as u64)
    }

    /// Gives the bytes of rows `picks` (ascending, below `count`) to `row`, with their numbers, in C order.
    pub fn rows(mut self, picks: &[usize], mut row: impl FnMut(usize, &[u8]) -> Result<()>) -> Result<()> {
        let rest = self.shape.get(1..).unwrap_or_default().to_vec();
        let bytes = rest.iter().product::<usize>() * self.dtype.size();
        if self.fortran && self.shape.len() > 1 {
            let mut all = vec![0; self.count() * bytes];
            self.reader.read_exact(&mut all).map_err(|e| self.subject.short(e))?;
            let offsets = fortran_offsets(&rest);
            let mut buffer = vec![0; bytes];
            for &i in picks {
                for (to, at) in buffer.chunks_exact_mut(self.dtype.size()).zip(&offsets) {
                    let from = (at * self.count() + i) * self.dtype.size();
                    to.copy_from_slice(&all[from..from + self.dtype.size()]);
                }
                row(i, &buffer)?;
            }
            return Ok(());
        }
        let mut buffer = vec![0; bytes];
        let mut picks = picks.iter().copied().peekable();
        for i in 0..self.count() {
            if picks.peek().is_none() {
                break;
            }
            self.reader.read_exact(&mut buffer).map_err(|e| self.subject.short(e))?;
            if picks.next_if_eq(&i).is_some() {
                row(i, &buffer)?;
            }
        }
        Ok(())
    }
}

/// The text after `'key':` in a header.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn quoted(s: &str) -> Option<&str> {
    Some(s.strip_prefix('\'')?.split_once('\'')?.0)
}

fn tuple(s: &str) -> Option<Vec<usize>> {
    let (inside, _) = s.strip_prefix('(')?.split_once(')')?;
    let axes = inside.split(',').map(str::trim).filter(|a| !a.is_empty());
    axes.map(|a| a.trim_end_matches('L').parse().ok()).collect()
}

/// Offsets in Fortran order of a row's elements, taken in C order.
fn fortran_offsets(axes: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0];
    let mut stride = 1;
    for &axis in axes {
        let step = stride;
        offsets = offsets.iter().flat_map(|&o| (0..axis).map(move |i| o + i * step)).collect();
        stride *= axis;
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use half::f16;

    fn open(bytes: &[u8]) -> Result<Npy<&[u8]>> {
        Npy::new(Path::new("a.npy"), "the array".into(), bytes, bytes.len() as u64)
    }

    fn numbers(bytes: &[u8], picks: &[usize]) -> Vec<f64> {
        let array = open(bytes).unwrap();
        let (dtype, mut all) = (array.dtype, vec![]);
        let sink = |_, row: &[u8]| {
            all.extend(row.chunks(dtype.size()).map(|b| dtype.number(b)));
            Ok(())
        };
        array.rows(picks, sink).unwrap();
        all
    }

    #[test]
    fn every_dtype_is_read_in_both_byte_orders() {
        let one = |descr: &str, data: &[u8]| numbers(&npy(descr, &[1], data), &[0])[0];
        assert_eq!(one("|b1", &[1]), 1.0);
        assert_eq!(one("|u1", &[200]), 200.0);
        assert_eq!(one("|i1", &[200]), -56.0);
        assert_eq!(one("<u2", &[1, 2]), 513.0);
        assert_eq!(one(">u2", &[1, 2]), 258.0);
        assert_eq!(one(">i2", &(-3i16).to_be_bytes()), -3.0);
        assert_eq!(one("<i4", &(-70_000i32).to_le_bytes()), -70_000.0);
        assert_eq!(one(">i8", &(-5i64).to_be_bytes()), -5.0);
        assert_eq!(one("<u8", &5u64.to_le_bytes()), 5.0);
        assert_eq!(one("<f2", &f16::from_f32(0.5).to_le_bytes()), 0.5);
        assert_eq!(one(">f4", &1.25f32.to_be_bytes()), 1.25);
        assert_eq!(one("<f8", &(-1e300f64).to_le_bytes()), -1e300);
    }

    // numpy.save of [[1, 2], [3, 4]] as float32, numpy 2.
    #[test]
    fn files_of_numpy_are_read() {
        let mut bytes =
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }".to_vec();
        bytes.resize(127, b' ');
        bytes.push(b'\n');
        bytes.extend([1.0f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat());
        assert_eq!(numbers(&bytes, &[1]), [3.0, 4.0]);
    }

    #[test]
    fn fortran_order_gives_the_same_rows() {
        // a[i, j, k] = 100 i + 10 j + k with shape [2, 2, 3], first index fastest.
        let mut data = vec![];
        for k in 0..3 {
            for j in 0..2 {
                data.extend([10 * j + k, 100 + 10 * j + k]);
            }
        }
        let bytes = npy_with("'|u1'", "True", "(2, 2, 3)", &data);
        assert_eq!(numbers(&bytes, &[0]), [0., 1., 2., 10., 11., 12.]);
        assert_eq!(numbers(&bytes, &[1]), [100., 101., 102., 110., 111., 112.]);
    }

    #[test]
    fn picked_rows_come_with_their_numbers() {
        let bytes = npy("|u1", &[5, 2], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let mut seen = vec![];
        open(&bytes)
            .unwrap()
            .rows(&[1, 4], |i, row| {
                seen.push((i, row.to_vec()));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, [(1, vec![2, 3]), (4, vec![8, 9])]);
    }

    #[test]
    fn a_header_that_claims_too_much_is_refused_before_anything_is_allocated() {
        let fail = |bytes: &[u8], words: &[&str]| says(&open(bytes).map(|_| ()).unwrap_err(), words);
        let lie = npy_with("'<f8'", "False", "(4000000000000, 1000)", &[0; 16]);
        fail(&lie, &["truncated", "32000000000000000 bytes", "the file has 16"]);
        let overflow = npy_with("'<f8'", "False", "(18446744073709551615, 16)", &[]);
        fail(&overflow, &["truncated", "2^64"]);
        let mut long = b"\x93NUMPY\x02\x00".to_vec();
        long.extend(u32::MAX.to_le_bytes());
        fail(&long, &["header of 4294967295 bytes"]);
    }

    #[test]
    fn damaged_files_are_errors_at_every_length() {
        let whole = npy("<f4", &[2, 3], &[1; 24]);
        open(&whole).unwrap();
        for n in 0..whole.len() {
            let e = open(&whole[..n]).map(|_| ()).unwrap_err();
            says(&e, &["a.npy", if n < 8 { "no .npy" } else { "truncated" }]);
        }
    }

    #[test]
    fn foreign_content_is_named() {
        let fail = |bytes: &[u8], words: &[&str]| says(&open(bytes).map(|_| ()).unwrap_err(), words);
        fail(b"0.1, 0.2, 0.3\n0.4, 0.5, 0.6\n", &["no .npy", "numpy.save"]);
        fail(&npy("|O", &[1], &[0; 8]), &["unsupported dtype '|O'", "astype"]);
        fail(&npy("<c8", &[1], &[0; 8]), &["unsupported dtype '<c8'"]);
        fail(&npy("<f16", &[1], &[0; 16]), &["unsupported dtype '<f16'"]);
        fail(&npy_with("[('a', '<f4')]", "False", "(1,)", &[0; 4]), &["unsupported dtype [('a'"]);
        fail(&npy_with("'<f4'", "False", "(-1,)", &[0; 4]), &["shape"]);
        fail(&npy_with("'<f4'", "False", "7", &[0; 4]), &["shape"]);
    }
}
