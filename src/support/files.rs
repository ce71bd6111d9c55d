//! Files: replaced as a whole, told apart by what they are and not by their names, opened only where they end.
//!
//! Takes: paths, bytes. Gives: a file with these bytes, or the one that it was to replace. Invariants: a file on its way is
//! locked while its run lives, so that what a killed run left can be told from it. Never: half a file; waits for a pipe.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Way out where a file cannot be written.
pub const ROOM: &str = "free some space, or write to another folder";

/// Beginning of the names of files on their way.
const ON_ITS_WAY: &str = ".autobot-onnx-";

/// Writes a file: complete, or not at all.
pub fn replace(path: &Path, bytes: &[u8], hint: &str) -> Result<()> {
    let fail = |e: std::io::Error| Error::io(path, e, hint);
    let mut file = beside(path).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(fail)?;
    file.persist(path).map_err(|e| fail(e.error)).map(|_| ())
}

/// A file on its way to `path`, in its folder, with the permissions of any new file; gone when it is dropped.
pub fn beside(path: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.prefix(ON_ITS_WAY);
    loop {
        let file = builder.tempfile_in(folder(path))?;
        // A sweep that came between its making and its lock has removed it. Where nothing can be locked nothing is swept.
        if file.as_file().lock().is_err() || file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes from `folder` the files that killed runs left on their way. Gives their number.
pub fn sweep(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let ours = |e: &std::fs::DirEntry| {
        e.file_name().to_string_lossy().starts_with(ON_ITS_WAY) && e.file_type().is_ok_and(|t| t.is_file())
    };
    entries.flatten().filter(ours).filter(|e| remove_unlocked(&e.path())).count()
}

/// Removes a file that no living run holds.
fn remove_unlocked(path: &Path) -> bool {
    // The lock is held until the file is gone.
    match File::options().write(true).open(path) {
        Ok(file) => file.try_lock().is_ok() && std::fs::remove_file(path).is_ok(),
        Err(_) => false,
    }
}

/// The folder that a path names a file of.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// True where two paths lead to one file: by another way, through links, or under another name of it.
pub fn same(a: &Path, b: &Path) -> bool {
    let equal = |a: Option<PathBuf>, b: Option<PathBuf>| a.is_some() && a == b;
    a == b || equal(real(a), real(b)) || identity(a).is_some_and(|id| Some(id) == identity(b))
}

/// Where a path leads, through links; for a file that does not exist yet, by its folder.
fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| Some(folder(path).canonicalize().ok()?.join(path.file_name()?)))
}

/// Device and number of the file that a path leads to.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}

/// Opens a file to be read: not a pipe, a device or another thing that may never end.
pub fn open(path: &Path, hint: &str) -> Result<File> {
    let meta = std::fs::metadata(path).map_err(|e| Error::io(path, e, hint))?;
    if !meta.is_file() {
        return Err(Error::file(path, "this is not a regular file", hint));
    }
    File::open(path).map_err(|e| Error::io(path, e, hint))
}

/// The bytes of a file.
pub fn read(path: &Path, hint: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, hint)?.read_to_end(&mut bytes).map_err(|e| Error::io(path, e, hint))?;
    Ok(bytes)
}

/// The text of a file.
pub fn read_text(path: &Path, hint: &str) -> Result<String> {
    let mut text = String::new();
    open(path, hint)?.read_to_string(&mut text).map_err(|e| Error::io(path, e, hint))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_swept_and_what_lives_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join(".autobot-onnx-123456");
        std::fs::write(&left, "half").unwrap();
        std::fs::write(dir.path().join("other"), "x").unwrap();
        std::fs::create_dir(dir.path().join(".autobot-onnx-folder")).unwrap();
        let mut living = beside(&dir.path().join("new")).unwrap();
        assert_eq!(sweep(dir.path()), 1);
        assert!(!left.exists() && living.path().exists() && dir.path().join("other").exists());
        living.write_all(b"whole").unwrap();
        living.persist(dir.path().join("new")).unwrap();
        assert_eq!(
            (sweep(dir.path()), std::fs::read(dir.path().join("new")).unwrap()),
            (0, b"whole".to_vec())
        );
    }

    #[cfg(unix)]
    #[test]
    fn one_file_is_known_under_all_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("a"), "x").unwrap();
        std::fs::write(at("b"), "x").unwrap();
        std::fs::hard_link(at("a"), at("hard")).unwrap();
        std::os::unix::fs::symlink("a", at("soft")).unwrap();
        assert!(same(&at("a"), &at("hard")) && same(&at("a"), &at("soft")) && same(&at("hard"), &at("soft")));
        assert!(!same(&at("a"), &at("b")) && !same(&at("new"), &at("newer")));
        assert!(same(&at("new"), &dir.path().join(".").join("new")));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe.npy");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let refused = read(&pipe, "give a file").unwrap_err().to_string();
        assert!(refused.contains("not a regular file"), "{refused}");
        assert!(read_text(Path::new("/dev/zero"), "give a file").is_err());
    }
}
