//! Checks on the places that are to be written, before anything runs.
//!
//! Takes: outputs and inputs by flag. Gives: nothing, or what is wrong. Never: leaves anything behind.

use autobot_onnx::{Error, Result};
use std::path::{Path, PathBuf};

/// A path that was typed, with the name of its argument.
pub type Named<'a> = (&'a str, &'a Path);

/// Checks that every output can be written and is neither an input nor another output.
pub fn outputs(outputs: &[Named], inputs: &[Named]) -> Result<()> {
    for (k, &(what, path)) in outputs.iter().enumerate() {
        let clash = inputs.iter().chain(&outputs[..k]).find(|(_, other)| same(path, other));
        if let Some((other, _)) = clash {
            let reason = format!("{} is the same file as {other}", path.display());
            return Err(Error::argument(what, reason, "give it a name of its own"));
        }
        writable(path)?;
    }
    Ok(())
}

fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((real(a), real(b)), (Some(a), Some(b)) if a == b)
}

/// Where a path leads, through links; for a file that does not exist yet, by its folder.
fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| Some(folder(path).canonicalize().ok()?.join(path.file_name()?)))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn writable(path: &Path) -> Result<()> {
    if path.is_dir() || path.file_name().is_none() {
        return Err(Error::file(path, "is a folder", "give the name of a file in it"));
    }
    let hint = "write to a folder that exists and that you may write to";
    // A file that is gone as soon as it was made: permissions alone do not tell (read-only file systems, lists).
    match tempfile::Builder::new().prefix(".autobot-onnx-").tempfile_in(folder(path)) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::io(
            path,
            std::io::Error::new(e.kind(), format!("cannot be written: {}", plain(&e))),
            hint,
        )),
    }
}

/// The system's words without the temporary file's name.
fn plain(e: &std::io::Error) -> String {
    let text = e.to_string();
    match text.split_once(" at path") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_is_an_input_is_found_through_links_and_detours() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.onnx");
        std::fs::write(&file, "x").unwrap();
        let detour = dir.path().join("..").join(dir.path().file_name().unwrap()).join("a.onnx");
        let refused = |p: &Path| outputs(&[("OUT", p)], &[("IN", &file)]).is_err();
        assert!(refused(&file) && refused(&detour));
        #[cfg(unix)]
        {
            let link = dir.path().join("b.onnx");
            std::os::unix::fs::symlink(&file, &link).unwrap();
            assert!(refused(&link));
        }
        assert!(!refused(&dir.path().join("c.onnx")));
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
    }

    #[test]
    fn two_outputs_need_two_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        assert!(outputs(&[("OUT", &path), ("--json", &path)], &[]).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
