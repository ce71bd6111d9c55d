//! Calibration data in archives of NumPy arrays.
//!
//! *Takes*: an `.npz`. *Gives*: a [`Source`] with one array per input, found by the input's name, and labels where there
//! are some. *Never*: pairs arrays with inputs by their order, or believes the sizes an archive states.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;
use zip::read::ZipFile;

use super::npy::Npy;
use super::pixel_layout::Target;
use super::several::Several;
use super::source::{Picker, Source};
use super::{Preprocess, labels};
use crate::support::files;
use crate::{Error, Result};

/// Names under which an archive may hold labels.
const LABELS: [&str; 3] = ["labels", "label", "y"];
const SAVE_AGAIN: &str = "save it again with numpy.savez";
/// Deflate packs at most this many bytes into one.
const DEFLATE: u64 = 1032;

pub(super) fn load(path: &Path, targets: &[Target], pre: &Preprocess, picker: Picker) -> Result<Source> {
    let file = files::open(path, SAVE_AGAIN)?;
    let length = file.metadata().map_err(|e| Error::io(path, e, SAVE_AGAIN))?.len();
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|e| Error::file(path, format!("cannot be read as an archive: {e}"), SAVE_AGAIN))?;
    let names: BTreeSet<String> = members(&mut archive);
    let is_input = |name: &str| targets.iter().any(|t| t.name == name);
    let label_name = LABELS.into_iter().find(|l| names.contains(*l) && !is_input(l));
    let data: Vec<&String> = names.iter().filter(|n| Some(n.as_str()) != label_name).collect();

    if names.is_empty() {
        let held: Vec<_> = held(&archive).take(5).map(|n| format!("'{n}'")).collect();
        let reason = match &held[..] {
            [] => "is an empty archive".to_owned(),
            held => format!("holds no NumPy array; it holds: {}", held.join(", ")),
        };
        return Err(Error::file(path, reason, SAVE_AGAIN));
    }

    let mut several = Several::default();
    for target in targets {
        let name = match &data[..] {
            [only] if targets.len() == 1 => only.as_str(),
            _ if names.contains(&target.name) => target.name.as_str(),
            _ => {
                let held: Vec<_> = names.iter().map(String::as_str).collect();
                let reason = format!("has no array '{}'; it holds: {}", target.name, held.join(", "));
                return Err(Error::file(path, reason, "name each array as the network's input"));
            }
        };
        let array = open(&mut archive, path, length, name)?;
        several.add(array, target, pre, Preprocess::applies(target, targets.len()), picker)?;
    }
    let labels = match label_name {
        Some(name) => Some(labels::from_npy(open(&mut archive, path, length, name)?, several.total())?),
        None => None,
    };
    several.source(labels)
}

/// Names of what an archive holds, as far as they can be read.
fn held(archive: &ZipArchive<BufReader<File>>) -> impl Iterator<Item = String> {
    archive.file_names().filter_map(|name| Some(name.ok()?.into_owned()))
}

/// Names of the arrays of an archive, without the ending `.npy`, which some writers leave out.
fn members(archive: &mut ZipArchive<BufReader<File>>) -> BTreeSet<String> {
    let all: Vec<String> = held(archive).collect();
    let is_array = |archive: &mut ZipArchive<_>, name: &str| {
        let mut start = [0; 6];
        archive.by_name(name).is_ok_and(|mut e| e.read_exact(&mut start).is_ok() && start == *b"\x93NUMPY")
    };
    let name = |member: String| match member.strip_suffix(".npy") {
        Some(name) => Some(name.to_owned()),
        None => is_array(archive, &member).then_some(member),
    };
    all.into_iter().filter_map(name).collect()
}

/// The array `name` of an archive whose file has `length` bytes.
fn open<'a>(
    archive: &'a mut ZipArchive<BufReader<File>>,
    path: &Path,
    length: u64,
    name: &str,
) -> Result<Npy<ZipFile<'a, BufReader<File>>>> {
    let what = format!("array '{name}'");
    let bad = |e| Error::file(path, format!("{what} cannot be read: {e}"), SAVE_AGAIN);
    let ending = format!("{name}.npy");
    let member = if held(archive).any(|n| n == ending) { &ending } else { name };
    let entry = archive.by_name(member).map_err(bad)?;
    let most = entry.compressed_size().min(length).saturating_mul(DEFLATE);
    let held = entry.size().min(most);
    Npy::new(path, what, entry, held)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{le, load, npy, npy_with, sample, save_npy, save_npz, says};
    use super::super::{BoundDataset, InputSpec};
    use super::{Path, Preprocess, Result};

    fn raw() -> Preprocess {
        Preprocess { scale: Some(1.0), ..Default::default() }
    }

    fn two_inputs() -> Vec<InputSpec> {
        let named = |name: &str, shape: &[usize]| InputSpec {
            name: name.into(),
            shape: shape.into(),
            ..InputSpec::default()
        };
        vec![named("image", &[1, 1, 1, 2]), named("hint", &[1, 2])]
    }

    fn load_two(path: &Path) -> Result<BoundDataset> {
        let pre = Preprocess { mean: vec![1.0], ..raw() };
        BoundDataset::load(path, None, &two_inputs(), &pre, None, 0)
    }

    #[test]
    fn an_archive_feeds_inputs_by_name_and_the_mean_is_for_images() {
        let dir = tempfile::tempdir().unwrap();
        let arrays = [
            ("hint", npy("<f4", &[2, 2], &le(&[5., 6., 7., 8.]))),
            ("image", npy("|u1", &[2, 1, 2, 1], &[1, 2, 3, 4])),
            ("labels", npy("<i8", &[2], &[4i64, 9].map(i64::to_le_bytes).concat())),
        ];
        let calib = load_two(&save_npz(dir.path(), &arrays)).unwrap();
        let (mut image, mut hint) = ([0.0; 2], [0.0; 2]);
        calib.write(0, 1, None, &mut image);
        calib.write(1, 1, None, &mut hint);
        assert_eq!((image, hint), ([2.0, 3.0], [7.0, 8.0]));
        assert_eq!(calib.labels(), Some(&[4, 9][..]));
    }

    #[test]
    fn a_missing_array_lists_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let array = || npy("|u1", &[1, 1, 2, 1], &[0; 2]);
        let path = save_npz(dir.path(), &[("image", array()), ("other", array())]);
        says(&load_two(&path).unwrap_err(), &["no array 'hint'", "image, other"]);
        let both = save_npz(dir.path(), &[("image", array()), ("hint", npy("<f4", &[2, 2], &[0; 16]))]);
        says(&load_two(&both).unwrap_err(), &["array 'hint'", "2 samples", "1"]);
        let npy_file = save_npy(dir.path(), "x.npy", "|u1", &[1, 1, 2, 1], &[0; 2]);
        says(&load_two(&npy_file).unwrap_err(), &["2 inputs: image, hint", ".npz"]);
    }

    #[test]
    fn a_single_input_takes_the_only_array_or_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let array = |v| npy("|u1", &[1, 1, 1, 1], &[v]);
        let get =
            |arrays: &[(&str, Vec<u8>)]| load(&save_npz(dir.path(), arrays), None, &[1, 1, 1, 1], &raw());
        assert_eq!(sample(&get(&[("arr_0", array(3))]).unwrap(), 0, 1), [3.0]);
        let labelled = get(&[("arr_0", array(3)), ("y", npy("|u1", &[1], &[6]))]).unwrap();
        assert_eq!((sample(&labelled, 0, 1), labelled.labels()), (vec![3.0], Some(&[6][..])));
        assert_eq!(sample(&get(&[("a", array(3)), ("x", array(4))]).unwrap(), 0, 1), [4.0]);
        says(&get(&[("a", array(3)), ("b", array(4))]).unwrap_err(), &["no array 'x'", "a, b"]);
        says(&get(&[]).unwrap_err(), &["empty archive"]);
    }

    /// An archive of members with names as they are.
    fn archive(dir: &Path, members: &[(&str, Vec<u8>)]) -> std::path::PathBuf {
        use std::io::Write;
        let path = dir.join("members.npz");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
        for (name, bytes) in members {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    #[test]
    fn members_without_the_ending_are_arrays_if_they_look_like_them() {
        let dir = tempfile::tempdir().unwrap();
        let members = [("readme", b"text".to_vec()), ("x", npy("|u1", &[1, 1, 1, 1], &[5]))];
        let calib = load(&archive(dir.path(), &members), None, &[1, 1, 1, 1], &raw()).unwrap();
        assert_eq!(sample(&calib, 0, 1), [5.0]);
        let none = archive(dir.path(), &[("a.txt", b"text".to_vec()), ("b.csv", vec![])]);
        let e = load(&none, None, &[1, 1, 1, 1], &raw()).unwrap_err();
        says(&e, &["members.npz", "holds no NumPy array", "'a.txt'", "'b.csv'"]);
    }

    #[test]
    fn what_one_input_lacks_is_left_out_of_all() {
        let dir = tempfile::tempdir().unwrap();
        let arrays = [
            ("hint", npy("<f4", &[3, 2], &le(&[5., 6., f32::NAN, 8., 9., 10.]))),
            ("image", npy("|u1", &[3, 1, 2, 1], &[1, 2, 3, 4, 5, 6])),
            ("y", npy("|u1", &[3], &[7, 8, 9])),
        ];
        let path = save_npz(dir.path(), &arrays);
        says(&load_two(&path).unwrap_err(), &["array 'hint'", "NaN", "sample 1", "`skip_bad`"]);
        let pre = Preprocess { skip_bad: true, ..raw() };
        let calib = BoundDataset::load(&path, None, &two_inputs(), &pre, None, 0).unwrap();
        let (mut image, mut hint) = ([0.0; 2], [0.0; 2]);
        calib.write(0, 1, None, &mut image);
        calib.write(1, 1, None, &mut hint);
        assert_eq!((image, hint, calib.len()), ([5.0, 6.0], [9.0, 10.0], 2));
        assert_eq!(calib.labels(), Some(&[7, 9][..]));
        assert!(
            calib.notes().iter().any(|n| n.contains("1 of 3 samples were left out")),
            "{:?}",
            calib.notes()
        );
    }

    #[test]
    fn damaged_archives_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let noise: Vec<u8> = (0..4000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let path = save_npz(dir.path(), &[("x", npy("|u1", &[1000, 2, 2, 1], &noise))]);
        let whole = std::fs::read(&path).unwrap();
        for n in (0..whole.len()).step_by(97) {
            std::fs::write(&path, &whole[..n]).unwrap();
            says(&load(&path, None, &[1, 1, 2, 2], &raw()).unwrap_err(), &["data.npz"]);
        }
        let mut flipped = whole;
        flipped[600] ^= 0xff;
        std::fs::write(&path, flipped).unwrap();
        says(&load(&path, None, &[1, 1, 2, 2], &raw()).unwrap_err(), &["data.npz"]);
        let lie = npy_with("'<f4'", "False", "(1000000, 1000000)", &[0; 64]);
        let path = save_npz(dir.path(), &[("x", lie)]);
        says(&load(&path, None, &[1, 1000000], &raw()).unwrap_err(), &["array 'x'", "truncated"]);
    }
}
