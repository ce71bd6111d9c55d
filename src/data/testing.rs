//! Builders for this module's tests.

use std::path::{Path, PathBuf};

use super::{BoundDataset, InputSpec, Preprocess};
use crate::{Error, Result};

/// The only input, called `x`.
pub fn spec(shape: &[usize]) -> Vec<InputSpec> {
    vec![InputSpec { name: "x".into(), shape: shape.into(), ..InputSpec::default() }]
}

pub fn load(path: &Path, labels: Option<&Path>, shape: &[usize], pre: &Preprocess) -> Result<BoundDataset> {
    BoundDataset::load(path, labels, &spec(shape), pre, None, 0)
}

/// Sample `i` of the first input.
pub fn sample(calib: &BoundDataset, i: usize, len: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; len];
    calib.write(0, i, None, &mut out);
    out
}

/// The message holds every one of `words`, and a way out.
#[track_caller]
pub fn says(error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words.iter().chain(&["way out: "]) {
        assert!(text.contains(word), "'{word}' is missing in:\n{text}");
    }
    assert!(!text.trim_end().ends_with("way out:"), "no way out in:\n{text}");
}

pub fn npy_with(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

pub fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let axes: String = shape.iter().map(|d| format!("{d}, ")).collect();
    npy_with(&format!("'{descr}'"), "False", &format!("({axes})"), data)
}

pub fn save_npy(dir: &Path, name: &str, descr: &str, shape: &[usize], data: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, npy(descr, shape, data)).unwrap();
    path
}

/// An archive of `(name, bytes of an .npy)`.
pub fn save_npz(dir: &Path, arrays: &[(&str, Vec<u8>)]) -> PathBuf {
    use std::io::Write;
    let path = dir.join("data.npz");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    path
}

pub fn le(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A PNG of one colour; its extension may be another format's.
pub fn save_image(path: &Path, width: u32, height: u32, colour: [u8; 3]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(width, height, image::Rgb(colour)).save(path).unwrap();
}
