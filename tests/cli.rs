//! The program as its users meet it: what it writes, prints and refuses.

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/behind.rs"]
mod behind;
#[path = "cli/digests.rs"]
mod digests;
#[path = "cli/measure.rs"]
mod measure;
#[path = "cli/odd_input.rs"]
mod odd_input;
#[path = "cli/rewrite.rs"]
mod rewrite;
#[path = "cli/success.rs"]
mod success;

use assert_cmd::Command;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file of `models/`.
fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
}

/// The program, to be run in `folder`.
fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autobot-onnx"));
    command.current_dir(folder);
    command
}

/// Flags for the digits' images and labels.
fn digits(command: &mut Command) -> &mut Command {
    let images = model("digits_calib_images.npy");
    let labels = model("digits_calib_labels.npy");
    command.arg("--calib").arg(images).arg("--labels").arg(labels).args(["--mean", "0.5", "--std", "0.5"])
}

/// Flags for a training that is over at once.
const SHORT: [&str; 4] = ["--batches", "6", "--batch-size", "32"];

/// Names and contents of all files in a folder.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.map(|p| (p.clone(), std::fs::read(&p).unwrap_or_default())).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
