//! What the program writes, byte for byte: SHA-256 of the small file for every demo network, criterion and recovery, on the portable
//! kernels, whose results are the same on any CPU and any number of threads.
//!
//! After a change of arithmetic that is worth other bytes, which its commit explains: `UPDATE_FIXTURES=1 cargo test --release --test
//! cli digests`.

use super::{digits, model, program};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;

const NETWORKS: [&str; 4] = ["chain", "concat", "depthwise", "residual"];
const CRITERIA: [&[&str]; 2] = [&["gates", "--batches", "6", "--batch-size", "16"], &["l1"]];
const RECOVERIES: [&[&str]; 3] = [&["none"], &["reconstruct"], &["finetune", "--epochs", "2"]];

#[test]
fn digests_of_written_files_are_the_committed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = String::new();
    for network in NETWORKS {
        for criterion in CRITERIA {
            for recovery in RECOVERIES {
                let mut command = program(folder.path());
                command.env("AUTOBOT_KERNELS", "portable").arg(model(&format!("digits_{network}.onnx")));
                command.args(["out.onnx", "--target-flops", "50%", "--calib-size", "128", "--criterion"]);
                digits(command.args(criterion).arg("--recover").args(recovery)).assert().success();
                let out = folder.path().join("out.onnx");
                let digest = Sha256::digest(std::fs::read(&out).unwrap());
                let _ = writeln!(found, "{network} {} {} {digest:x}", criterion[0], recovery[0]);
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/digests.txt");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        return std::fs::write(path, found).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    let changed: Vec<_> = found.lines().zip(committed.lines()).filter(|(a, b)| a != b).collect();
    assert!(changed.is_empty() && found.lines().count() == committed.lines().count(), "{changed:#?}");
}
