//! The programs in `examples/` run to their end.

#[path = "../examples/arrays.rs"]
mod arrays;
#[path = "../examples/latency.rs"]
mod latency;
#[path = "../examples/report.rs"]
#[allow(dead_code, reason = "its main takes an argument")]
mod report;
#[path = "../examples/several_targets.rs"]
mod several_targets;

use std::path::Path;
use std::process::Command;

#[test]
fn images_in_memory() {
    arrays::main().unwrap();
}

#[test]
fn several_targets_of_one_training() {
    several_targets::main().unwrap();
}

#[test]
fn a_time_as_the_target() {
    latency::main().unwrap();
}

#[test]
fn a_report_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("run.json");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/digits_chain.onnx");
    let mut program = Command::new(env!("CARGO_BIN_EXE_autobot-onnx"));
    program.arg(model).arg(folder.path().join("out.onnx"));
    let done =
        program.args(["--target-flops", "50%", "--criterion", "l1", "--json"]).arg(&json).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = report::summary(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert!(said.contains(" of 394560 MACs (") && said.contains("proved: true"), "{said}");
}
