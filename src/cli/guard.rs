//! Checks on the places that are to be written, before anything runs.
//!
//! Takes: outputs and inputs by flag. Gives: nothing, or a refusal. Never: leaves anything behind.

use super::console::Console;
use super::flags::Misuse;
use anyhow::Result;
use autobot_onnx::Error;
use autobot_onnx::internals::data;
use autobot_onnx::internals::onnx::{self, Model};
use autobot_onnx::internals::support::files;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A path that was typed, with the name of its argument.
pub type Named<'a> = (&'a str, &'a Path);

const OWN_NAME: &str = "give it a name of its own";

/// Checks that every output can be written and is neither an input nor another output; clears away what killed runs left
/// beside them.
pub fn outputs(outputs: &[Named], inputs: &[Named], console: Console) -> Result<()> {
    for (k, &(what, path)) in outputs.iter().enumerate() {
        let clash = inputs.iter().chain(&outputs[..k]).find(|(_, other)| files::same(path, other));
        if let Some((other, _)) = clash {
            let reason = format!("{} is the same file as {other}", path.display());
            return Err(Misuse::new(what, reason, OWN_NAME).into());
        }
        if inputs.iter().any(|(_, folder)| data::is_image_of(path, folder)) {
            let reason = format!("{} is one of the images", path.display());
            return Err(Misuse::new(what, reason, OWN_NAME).into());
        }
        writable(path)?;
    }
    let folders: BTreeSet<&Path> = outputs.iter().map(|(_, path)| files::folder(path)).collect();
    for folder in folders {
        match files::sweep(folder) {
            0 => {}
            n => console
                .note(&format!("removed what killed runs left half written in {} ({n})", folder.display())),
        }
    }
    Ok(())
}

/// Checks that no output is a file of the weights of a model: of one that is read, of one that an output `models` replaces, or of
/// what is made of `source` and written there; and that none holds already what its flag does not write.
pub fn weights(outputs: &[Named], read: &[&Model], models: &[&Path], source: Option<&Model>) -> Result<()> {
    let mut held: Vec<(PathBuf, &Path)> = Vec::new();
    for model in read {
        held.extend(model.files().into_iter().map(|f| (f, model.path())));
    }
    for model in models {
        held.extend(onnx::data_files(model).into_iter().map(|f| (f, *model)));
    }
    for &(what, path) in outputs {
        let clash = held.iter().find(|(file, _)| files::same(file, path)).map(|(_, model)| *model);
        let wanted = models.iter().find(|model| source.is_some_and(|s| s.may_write(model, path))).copied();
        if let Some(model) = clash.or(wanted) {
            let reason = format!("{} is for the weights of {}", path.display(), model.display());
            return Err(Misuse::new(what, reason, OWN_NAME).into());
        }
        replaceable(what, path)?;
    }
    Ok(())
}

/// A report may take the place of a report, and not of anything else that somebody may need.
fn replaceable(what: &str, path: &Path) -> Result<(), Misuse> {
    let (begins, kind) = match what {
        "--report" => (b'<', "page"),
        "--json" | "--save-gates" | "--calibrate" => (b'{', "JSON"),
        _ => return Ok(()),
    };
    let mut first = [begins];
    let _ = std::fs::File::open(path).and_then(|mut f| f.read(&mut first));
    if first != [begins] {
        let reason = format!("{} is there, and is no {kind}: it would be lost", path.display());
        return Err(Misuse::new(what, reason, "give another name, or remove that file first"));
    }
    Ok(())
}

fn writable(path: &Path) -> autobot_onnx::Result<()> {
    if path.is_dir() || path.file_name().is_none() {
        return Err(Error::file(path, "is a folder", "give the name of a file in it"));
    }
    if path.metadata().is_ok_and(|m| !m.is_file()) {
        return Err(Error::file(
            path,
            "is no regular file, and would be replaced by one",
            "give the name of a file",
        ));
    }
    let hint = "write to a folder that exists and that you may write to";
    // A file that is gone as soon as it was made: permissions alone do not tell (read-only file systems, lists).
    match files::beside(path) {
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
        let refused = |p: &Path| outputs(&[("OUT", p)], &[("IN", &file)], Console { quiet: true }).is_err();
        assert!(refused(&file) && refused(&detour));
        #[cfg(unix)]
        {
            let link = dir.path().join("b.onnx");
            std::os::unix::fs::symlink(&file, &link).unwrap();
            std::fs::hard_link(&file, dir.path().join("d.onnx")).unwrap();
            assert!(refused(&link) && refused(&dir.path().join("d.onnx")));
            assert!(refused(Path::new("/dev/null")));
        }
        assert!(!refused(&dir.path().join("c.onnx")));
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
    }

    #[test]
    fn two_outputs_need_two_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        assert!(outputs(&[("OUT", &path), ("--json", &path)], &[], Console { quiet: true }).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
