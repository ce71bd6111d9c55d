//! Readers of sources of samples: of a folder, an array, an archive.
//!
//! *Takes*: a path. *Gives*: a [`Source`] by whichever reader suits it. *Never*: tells a source by its content.

use std::path::Path;

use super::pixel_layout::Target;
use super::source::{Picker, Source};
use super::{Preprocess, array, folder, listing, npz};
use crate::support::files;
use crate::{Error, Result};

/// True where `path` names an image that [`super::BoundDataset::load`] would read out of `folder`.
pub fn is_image_of(path: &Path, folder: &Path) -> bool {
    let image = listing::extension(path).is_some_and(|e| listing::EXTENSIONS.contains(&e.as_str()));
    let mut above =
        path.ancestors().skip(1).take(2).map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
    image && path.exists() && folder.is_dir() && above.any(|p| files::same(p, folder))
}

/// The picked samples of `path` for a network's inputs.
pub(super) fn read(path: &Path, targets: &[Target], pre: &Preprocess, picker: Picker) -> Result<Source> {
    match kind(path)? {
        Kind::Folder => folder::read(path, targets, pre, picker),
        Kind::Npy => array::load(path, targets, pre, picker),
        Kind::Npz => npz::load(path, targets, pre, picker),
    }
}

/// Forms of a source.
pub(super) enum Kind {
    Folder,
    Npy,
    Npz,
}

/// The form of what stands in `path`, by its name. Errors where it is no source.
pub(super) fn kind(path: &Path) -> Result<Kind> {
    const SOURCES: &str =
        "give a .npy or .npz array, a folder of images, or a folder with one sub-folder per class";
    let found = std::fs::metadata(path).map_err(|e| Error::io(path, e, SOURCES))?;
    if found.is_dir() {
        return Ok(Kind::Folder);
    }
    match listing::extension(path).as_deref() {
        Some("npy") => Ok(Kind::Npy),
        Some("npz") => Ok(Kind::Npz),
        Some(e) if listing::EXTENSIONS.contains(&e) => {
            Err(Error::file(path, "is one image, not a set of them", "give the folder that holds the images"))
        }
        _ => Err(Error::file(path, "is no calibration source: neither .npy, .npz nor a folder", SOURCES)),
    }
}
