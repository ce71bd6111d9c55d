//! The images of a folder, and the classes that its sub-folders stand for.
//!
//! *Takes*: a folder. *Gives*: a [`Listing`]: names of files, sorted, with labels where there is one sub-folder per class. *Never*:
//! opens a file, or looks deeper than one level.

use std::path::Path;

use crate::{Error, Result, Setting};

/// Extensions of image files, in lower case.
pub(super) const EXTENSIONS: [&str; 9] = ["png", "jpg", "jpeg", "bmp", "webp", "pnm", "ppm", "pgm", "pbm"];

/// Extension of a file's name, in lower case.
pub(super) fn extension(path: &Path) -> Option<String> {
    path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase)
}

/// The image files of a source, relative to it and sorted, with `/` between class and file.
pub(super) struct Listing {
    pub files: Vec<String>,
    pub labels: Option<Vec<u32>>,
    pub classes: Option<Vec<String>>,
    pub notes: Vec<String>,
}

/// Names in one folder, without hidden ones, each kind sorted.
#[derive(Default)]
struct Entries {
    images: Vec<String>,
    folders: Vec<String>,
    others: Vec<String>,
}

/// The names in a folder. Errors where one is not UTF-8.
fn entries(path: &Path) -> Result<Entries> {
    let io = |e| Error::io(path, e, "check the folder's permissions");
    let mut found = Entries::default();
    for entry in std::fs::read_dir(path).map_err(io)? {
        let file = entry.map_err(io)?.path();
        let name = match file.file_name().map(|n| n.to_str().ok_or_else(|| n.to_string_lossy())) {
            Some(Ok(name)) if !name.starts_with('.') => name.to_owned(),
            Some(Err(name)) => {
                let reason = format!("holds a name that is not UTF-8: {name}");
                return Err(Error::file(path, reason, "rename it"));
            }
            _ => continue,
        };
        let extension = extension(&file);
        if file.is_dir() {
            found.folders.push(name);
        } else if extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str())) {
            found.images.push(name);
        } else {
            found.others.push(name);
        }
    }
    found.images.sort_unstable();
    found.folders.sort_unstable();
    found.others.sort_unstable();
    Ok(found)
}

/// The images of a folder: by class where two or more sub-folders hold images, or where images lie nowhere else.
pub(super) fn list(path: &Path) -> Result<Listing> {
    let top = entries(path)?;
    let mut inside = vec![];
    for folder in &top.folders {
        inside.push(entries(&path.join(folder))?);
    }
    let full = inside.iter().filter(|e| !e.images.is_empty()).count();
    let by_class = full >= 2 || (full == 1 && top.images.is_empty());
    let mut notes = vec![];
    let mut ignored = |names: &[String], what: &str| match names {
        [] => {}
        [one] => notes.push(format!("{what} was ignored: {one}")),
        [first, ..] => notes.push(format!("{} times {what} was ignored, first: {first}", names.len())),
    };
    ignored(&top.others, "a file that is no image");
    if !by_class {
        ignored(&top.folders, "a sub-folder");
        return match top.images.is_empty() {
            true => Err(nothing(path, &top)),
            false => Ok(Listing { files: top.images, labels: None, classes: None, notes }),
        };
    }
    ignored(&top.images, "an image beside the class folders");
    let (mut files, mut labels) = (vec![], vec![]);
    for ((label, class), within) in (0..).zip(&top.folders).zip(&inside) {
        let prefix =
            |names: &[String]| -> Vec<String> { names.iter().map(|n| format!("{class}/{n}")).collect() };
        ignored(&prefix(&within.others), "a file that is no image");
        ignored(&prefix(&within.folders), "a folder inside a class folder");
        labels.extend(std::iter::repeat_n(label, within.images.len()));
        files.extend(prefix(&within.images));
    }
    let empty: Vec<&str> = top
        .folders
        .iter()
        .zip(&inside)
        .filter(|(_, e)| e.images.is_empty())
        .map(|(f, _)| f.as_str())
        .collect();
    if !empty.is_empty() {
        notes.push(format!("class folders without images keep their class number: {}", empty.join(", ")));
    }
    if misnumbered(&top.folders) {
        notes.push(format!(
            "the class folders are named by numbers, but a class's number is its place in the sorted names \
             (0, 1, 10, 2, …); give {} if the network counts otherwise",
            Setting::Labels
        ));
    }
    Ok(Listing { files, labels: Some(labels), classes: Some(top.folders), notes })
}

/// True where all names are numbers, and some are not their own places.
fn misnumbered(names: &[String]) -> bool {
    let numbers: Option<Vec<usize>> = names.iter().map(|n| n.parse().ok()).collect();
    numbers.is_some_and(|numbers| numbers.iter().enumerate().any(|(i, &n)| i != n))
}

/// The error of a folder without images.
fn nothing(path: &Path, top: &Entries) -> Error {
    let kinds = EXTENSIONS.join(", ");
    let reason = match (&top.others[..], &top.folders[..]) {
        ([], []) => "is an empty folder".to_owned(),
        ([], folders) => format!("holds no images, nor do its sub-folders ({})", folders.join(", ")),
        ([first, ..], _) => format!("holds no images, only files such as {first}"),
    };
    let hint = match top.others.iter().find(|o| o.ends_with(".npy") || o.ends_with(".npz")) {
        Some(array) => format!("give the array itself: {}", path.join(array).display()),
        None => format!("give a folder with images ({kinds}), or with one sub-folder of them per class"),
    };
    Error::file(path, reason, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_named_by_numbers_out_of_order_are_noted() {
        let numbered = |names: &[&str]| misnumbered(&names.iter().map(|s| s.to_string()).collect::<Vec<_>>());
        assert!(!numbered(&["0", "1", "2"]));
        assert!(numbered(&["0", "1", "10", "2"]));
        assert!(numbered(&["1", "2"]));
        assert!(!numbered(&["ape", "bee"]));
    }
}
