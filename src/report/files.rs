//! Files that are replaced as a whole.
//!
//! Takes: a path, bytes. Gives: a file with these bytes, or the one that was there before. Never: half a file.

use crate::error::{Error, Result};
use std::io::Write;
use std::path::Path;

/// What helps where a file cannot be written.
pub const ROOM: &str = "free some space, or write to another folder";

/// Writes a file: complete, or not at all.
pub fn replace(path: &Path, bytes: &[u8], hint: &str) -> Result<()> {
    let fail = |e: std::io::Error| Error::io(path, e, hint);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.prefix(".autobot-onnx-").tempfile_in(folder).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(fail)?;
    file.persist(path).map_err(|e| fail(e.error)).map(|_| ())
}
