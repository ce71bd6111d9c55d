//! Labels.
//!
//! *Takes*: an `.npy`, or text with one label per line. *Gives*: one class number per sample of the source. *Never*:
//! pairs labels with samples by luck: counts must agree, and so must names where there are names.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use super::npy::Npy;
use crate::support::files;
use crate::{Error, Result, Setting};

/// Reads `count` labels from `path`; `names` are the samples' file names, for folders.
pub(super) fn read(path: &Path, count: usize, names: Option<&[String]>) -> Result<Vec<u32>> {
    match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("npy") => from_npy(Npy::open(path)?, count),
        Some("txt" | "csv" | "tsv") => {
            let hint = "check the path; labels are .npy, or UTF-8 text";
            let text = files::read_text(path, hint)?;
            from_text(path, &text, count, names)
        }
        _ => Err(Error::file(path, "is no label file", "give .npy, .txt or .csv")),
    }
}

/// Reason and way out where labels are more or fewer than samples.
fn mismatch(labels: usize, count: usize) -> (String, String) {
    (
        format!("holds {labels} labels, the calibration data {count} samples"),
        format!(
            "give one label per sample of the whole source, also when {} takes only some",
            Setting::CalibSize
        ),
    )
}

/// Integers `[n]` or `[n, 1]`, or scores `[n, classes]` whose highest is the label.
pub(super) fn from_npy<R: Read>(array: Npy<R>, count: usize) -> Result<Vec<u32>> {
    let wide = match array.shape[..] {
        [_] | [_, 1] => false,
        [_, classes] if classes > 1 => true,
        _ => {
            let reason = format!("with shape {:?} holds no labels", array.shape);
            return Err(array.fail(reason, "give [n] class numbers, or [n, classes] one-hot"));
        }
    };
    if array.count() != count {
        let (reason, hint) = mismatch(array.count(), count);
        return Err(array.fail(reason, hint));
    }
    let (dtype, subject) = (array.dtype, array.subject());
    if !wide && dtype.is_float() {
        let reason = format!("holds {dtype}, and labels are integers");
        return Err(array.fail(reason, "convert them: labels.astype(numpy.int64)"));
    }
    let mut labels = vec![];
    let all: Vec<usize> = (0..count).collect();
    array.rows(&all, |i, bytes| {
        let mut values = bytes.chunks_exact(dtype.size()).map(|b| dtype.number(b));
        let label = if wide { highest(values) } else { values.next().and_then(whole) };
        let bad = || {
            let what = if wide { "NaN".into() } else { dtype.number(bytes).to_string() };
            let reason = format!("has the label {what} for sample {i}");
            subject.fail(reason, "labels are class numbers from 0 up; leave samples without one out")
        };
        labels.push(label.ok_or_else(bad)?);
        Ok(())
    })?;
    Ok(labels)
}

fn whole(v: f64) -> Option<u32> {
    (0.0..=f64::from(u32::MAX)).contains(&v).then_some(v as u32)
}

/// The place of the highest value (the first of equals); `None` if one is NaN.
fn highest(values: impl Iterator<Item = f64>) -> Option<u32> {
    let mut best: Option<(u32, f64)> = None;
    for (i, v) in (0..).zip(values) {
        if v.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, b)| v > b) {
            best = Some((i, v));
        }
    }
    best.map(|(i, _)| i)
}

fn from_text(path: &Path, text: &str, count: usize, names: Option<&[String]>) -> Result<Vec<u32>> {
    let mut lines: Vec<Line> = vec![];
    let content =
        text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    for (at, line) in content {
        match entry(line.trim()) {
            Some(entry) => lines.push(entry),
            // A header such as `file,label`.
            None if lines.is_empty()
                && line.chars().all(|c| !c.is_ascii_digit())
                && line.contains("label") => {}
            None => {
                let reason = format!("line {}: '{}' ends in no class number", at + 1, line.trim());
                return Err(Error::file(
                    path,
                    reason,
                    "write a label, 'file,label' or 'file label' per line",
                ));
            }
        }
    }
    let named = lines.iter().filter(|line| line.name.is_some()).count();
    let fail = |reason: String, hint: &str| Err(Error::file(path, reason, hint));
    match names {
        _ if named == 0 && lines.len() == count => Ok(lines.into_iter().map(|line| line.label).collect()),
        _ if named == 0 => {
            let (reason, hint) = mismatch(lines.len(), count);
            fail(reason, &hint)
        }
        _ if named < lines.len() => {
            let reason = format!("has file names on {named} of {} lines only", lines.len());
            fail(reason, "name a file on every line, or on none")
        }
        None => fail(
            "names files, but the calibration data are arrays".into(),
            "write one label per line, in order",
        ),
        Some(names) => by_name(path, &lines, names),
    }
}

/// A label, with the file that it is of where one is named.
struct Line<'t> {
    name: Option<&'t str>,
    label: u32,
}

/// `label`, `file,label` or `file label`; a comma, semicolon or tab separates, else blanks.
fn entry(line: &str) -> Option<Line<'_>> {
    if let Ok(label) = line.parse() {
        return Some(Line { name: None, label });
    }
    let (name, label) =
        line.rsplit_once([',', ';', '\t']).or_else(|| line.rsplit_once(char::is_whitespace))?;
    let label = label.trim().trim_matches('"').parse().ok()?;
    Some(Line { name: Some(name.trim().trim_matches('"')), label })
}

/// Matches whole relative names (`cat/1.png`) first, then the last part (`1.png`).
fn by_name(path: &Path, lines: &[Line], names: &[String]) -> Result<Vec<u32>> {
    let (mut whole, mut last) = (HashMap::new(), HashMap::new());
    for &Line { name, label } in lines {
        let name = name.unwrap_or_default().trim_start_matches("./");
        whole.entry(name).or_insert_with(Vec::new).push(label);
        last.entry(last_part(name)).or_insert_with(Vec::new).push(label);
    }
    let mut labels = vec![];
    let mut missing = vec![];
    for name in names {
        let found = whole.get(name.as_str()).or_else(|| last.get(last_part(name)));
        match found.map(Vec::as_slice) {
            Some([label, others @ ..]) => match others.iter().find(|l| *l != label) {
                None => labels.push(*label),
                Some(other) => {
                    let reason = format!("gives '{name}' the labels {label} and {other}");
                    let hint = "write one line per file, with its sub-folder where names repeat";
                    return Err(Error::file(path, reason, hint));
                }
            },
            _ => missing.push(name),
        }
    }
    match missing.first() {
        None => Ok(labels),
        Some(first) => {
            let reason =
                format!("has no label for {} of {} images, first '{first}'", missing.len(), names.len());
            Err(Error::file(
                path,
                reason,
                "write a line for every image, or move the others out of the folder",
            ))
        }
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn array(dtype: &str, shape: &[usize], data: &[u8], count: usize) -> Result<Vec<u32>> {
        let dir = tempfile::tempdir().unwrap();
        read(&save_npy(dir.path(), "y.npy", dtype, shape, data), count, None)
    }

    fn text(content: &str, count: usize, names: Option<&[&str]>) -> Result<Vec<u32>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("y.csv");
        std::fs::write(&path, content).unwrap();
        let names: Option<Vec<String>> = names.map(|n| n.iter().map(|s| s.to_string()).collect());
        read(&path, count, names.as_deref())
    }

    #[test]
    fn integers_of_any_width_are_labels() {
        assert_eq!(array("|u1", &[3], &[0, 9, 255], 3).unwrap(), [0, 9, 255]);
        assert_eq!(array("<i8", &[2, 1], &[5i64, 999].map(i64::to_le_bytes).concat(), 2).unwrap(), [5, 999]);
        assert_eq!(array(">u2", &[1], &[1, 0], 1).unwrap(), [256]);
    }

    #[test]
    fn one_hot_and_scores_give_the_highest() {
        assert_eq!(array("|u1", &[2, 3], &[0, 1, 0, 0, 0, 1], 2).unwrap(), [1, 2]);
        assert_eq!(array("<f4", &[2, 2], &le(&[-1.0, -2.0, 0.2, 0.7]), 2).unwrap(), [0, 1]);
    }

    #[test]
    fn arrays_that_are_no_labels_are_refused() {
        says(&array("|i1", &[3], &[0, 1, 255], 3).unwrap_err(), &["label -1", "sample 2"]);
        says(&array("<f4", &[2, 2], &le(&[0.0, 1.0, f32::NAN, 0.0]), 2).unwrap_err(), &["NaN", "sample 1"]);
        says(&array("<f4", &[2], &le(&[0.0, 1.0]), 2).unwrap_err(), &["float32", "astype"]);
        says(&array("|u1", &[1, 2, 2], &[0; 4], 1).unwrap_err(), &["[1, 2, 2]"]);
        says(&array("|u1", &[3], &[0; 3], 4).unwrap_err(), &["3 labels", "4 samples"]);
    }

    #[test]
    fn one_label_per_line() {
        assert_eq!(text("3\n 1\r\n\n2\n", 3, None).unwrap(), [3, 1, 2]);
        assert_eq!(text("label\n3\n1", 2, None).unwrap(), [3, 1]);
        assert_eq!(text("3\n1", 2, Some(&["b.png", "a.png"])).unwrap(), [3, 1]);
        says(&text("3\n1\n", 3, None).unwrap_err(), &["2 labels", "3 samples"]);
        says(&text("3\ncat\n", 2, None).unwrap_err(), &["line 2", "'cat'"]);
        says(&text("3\n-1\n", 2, None).unwrap_err(), &["line 2", "'-1'"]);
        says(&text("", 1, None).unwrap_err(), &["0 labels"]);
    }

    #[test]
    fn lines_are_matched_by_file_name() {
        let names: &[&str] = &["a.png", "b c.png"];
        assert_eq!(text("b c.png,4\na.png,7\nother.png,1\n", 2, Some(names)).unwrap(), [7, 4]);
        assert_eq!(text("file,label\n\"b c.png\", 4\n./a.png,7", 2, Some(names)).unwrap(), [7, 4]);
        assert_eq!(text("b c.png 4\nsome/a.png 7\n", 2, Some(names)).unwrap(), [7, 4]);
        assert_eq!(text("x/1.png\t4\ny/1.png\t4\n", 2, Some(&["x/1.png", "y/1.png"])).unwrap(), [4, 4]);
    }

    #[test]
    fn names_that_do_not_match_are_refused() {
        let names: &[&str] = &["a.png", "b.png"];
        says(&text("a.png,1\nc.png,2\n", 2, Some(names)).unwrap_err(), &["1 of 2", "'b.png'"]);
        says(&text("a.png,1\n2\n", 2, Some(names)).unwrap_err(), &["1 of 2 lines"]);
        says(&text("a.png,1\na.png,2\nb.png,0\n", 2, Some(names)).unwrap_err(), &["'a.png'", "1 and 2"]);
        says(&text("a.png,1\nb.png,2\n", 2, None).unwrap_err(), &["arrays"]);
    }

    #[test]
    fn other_files_and_missing_ones_are_named() {
        says(&read(Path::new("/no/y.npy"), 1, None).unwrap_err(), &["/no/y.npy"]);
        says(&read(Path::new("/no/y.txt"), 1, None).unwrap_err(), &["/no/y.txt"]);
        says(&read(Path::new("y.json"), 1, None).unwrap_err(), &["y.json", ".csv"]);
    }
}
