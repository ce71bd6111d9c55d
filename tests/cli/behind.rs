//! Files that cannot be run, learned or counted from end to end: what is said of them, and what comes of the flags that are offered.

use super::{program, text};
use autobot_onnx::internals::onnx;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn network(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/networks/behind/{name}.onnx"))
}

fn inspected(name: &str) -> String {
    let folder = TempDir::new().unwrap();
    let assert = program(folder.path()).arg("inspect").arg(network(name)).assert().success();
    text(&assert.get_output().stdout)
}

/// Standard output where it went well, else the error.
fn pruned(folder: &TempDir, name: &str, flags: &[&str]) -> Result<String, String> {
    let mut command = program(folder.path());
    command.arg(network(name)).args(["out.onnx", "--batches", "2"]).args(flags);
    let output = command.output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() { Ok(out) } else { Err(err) }
}

#[test]
fn what_gates_cannot_learn_is_said_and_the_way_out_works() {
    let said = inspected("unknown_between");
    for line in [
        "unlearned 16 channels of 'after1': gates cannot learn what is behind 'dcn' (DeformConv), which has no gradient",
        "reach     nothing by gates; with --criterion l1 or random down to",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let folder = TempDir::new().unwrap();
    let refused = pruned(&folder, "unknown_between", &["--target-flops", "70%"]).unwrap_err();
    assert!(refused.contains("'dcn' (DeformConv)") && refused.contains("--criterion l1"), "{refused}");
    for criterion in ["l1", "random"] {
        let told =
            pruned(&folder, "unknown_between", &["--target-flops", "70%", "--criterion", criterion]).unwrap();
        assert!(told.contains("verified  pass") && told.contains("not measured in tract"), "{told}");
        assert!(told.contains("DeformConv"), "tract's reason is the operator: {told}");
    }
}

#[test]
fn quantised_files_are_told_what_to_prune_in_their_place() {
    for name in ["quantised", "quantised_while_running", "integer_convolutions", "unread_weights"] {
        let said = inspected(name);
        assert!(said.contains("kind      quantised: prune the float model, then quantise"), "{name}: {said}");
    }
    assert!(!inspected("dequantised_pixels").contains("quantised:"));
    let folder = TempDir::new().unwrap();
    let refused = pruned(&folder, "quantised", &["--target-flops", "60%"]).unwrap_err();
    assert!(refused.contains("prune the float model") && refused.contains("--criterion l1"), "{refused}");
    pruned(&folder, "quantised", &["--target-flops", "60%", "--criterion", "l1"]).unwrap();
    let refused = pruned(&folder, "integer_convolutions", &["--target-flops", "60%"]).unwrap_err();
    assert!(refused.contains("QLinearConv") && refused.contains("prune the float model"), "{refused}");
}

#[test]
fn counts_that_are_not_known_are_no_zeros() {
    let said = inspected("saved_for_one_processor");
    assert!(said.contains("size      MACs unknown") && said.contains("ENABLE_BASIC"), "{said}");
    assert!(!said.contains(" 0 MACs") && !said.contains("0.00 %"), "{said}");
    assert!(inspected("unknown_between").contains("without 1 node whose MACs are unknown"));
}

#[test]
fn integers_and_fused_operators_are_counted_and_left_as_they_are() {
    for (name, macs, operators, node, why) in [
        ("integer_convolutions", "295.57 k", "QLinearConv (2)", "qconv0", "computes with integers"),
        (
            "quantised_while_running",
            "73.76 k",
            "ConvInteger (1), DynamicQuantizeLinear (1)",
            "first",
            "computes with integers",
        ),
        ("fused", "2.15 M", "FusedConv (1)", "fused", "is fused by onnxruntime"),
    ] {
        let said = inspected(name);
        for line in [
            format!("size      {macs} MACs,"),
            format!("whole     {operators}: each {why}, and is left as it is"),
            format!(": '{node}' {why}"),
        ] {
            assert!(said.contains(&line), "{line}: {said}");
        }
        assert!(!said.contains("unknown") && !said.contains("not supported"), "{said}");
    }
}

#[test]
fn files_that_only_tract_can_run_are_compared_there() {
    let folder = TempDir::new().unwrap();
    let verify = |name: &str| {
        let file = network(name);
        let output = program(folder.path()).arg("verify").args([&file, &file]).output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, said) = verify("integer_convolutions");
    assert!(code == Some(0) && said.contains("tract     max |big − small| is 0"), "{said}");
    let (code, said) = verify("saved_for_one_processor");
    assert!(code == Some(2) && said.contains("neither our executor nor tract"), "{said}");
    assert!(said.contains("ENABLE_BASIC"), "{said}");
}

#[test]
fn weights_that_nothing_reads_are_carried_or_left_out() {
    let said = inspected("unread_weights");
    assert!(
        said.contains("unread    1 initializer (9")
            && said.contains("that nothing reads")
            && said.contains("--drop-unused"),
        "{said}"
    );
    let folder = TempDir::new().unwrap();
    let flags = ["--target-flops", "60%", "--criterion", "l1"];
    let has_it = || {
        let graph = onnx::read(&folder.path().join("out.onnx"), &[]).unwrap().graph;
        graph.value_named("w1").map(|v| graph.initializer(v).unwrap().shape().to_vec())
    };
    pruned(&folder, "unread_weights", &flags).unwrap();
    assert_eq!(has_it(), Some(vec![16, 16, 3, 3]));
    pruned(&folder, "unread_weights", &[&flags[..], &["--drop-unused"]].concat()).unwrap();
    assert_eq!(has_it(), None);
}

#[test]
fn numbers_that_an_input_does_not_take_are_named() {
    let folder = TempDir::new().unwrap();
    let npy = |name: &str, kind: &str, shape: &str, data: &[u8]| {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        std::fs::write(folder.path().join(name), bytes).unwrap();
    };
    let tokens = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokens/model.onnx");
    let run = |flags: &[&str]| {
        let mut command = program(folder.path());
        let command = command.arg(&tokens).args(["out.onnx", "--target-flops", "60%", "--batches", "2"]);
        let output = command.args(flags).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let ids = |id: i64| (0..40).flat_map(|k| if k == 27 { id } else { k }.to_le_bytes()).collect::<Vec<u8>>();
    npy("good.npy", "<i8", "(2, 20)", &ids(127));
    npy("bad.npy", "<i8", "(2, 20)", &ids(128));
    let (code, said) = run(&["--calib", "good.npy"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["--calib", "bad.npy"]);
    assert!(code == Some(2) && said.contains("128 in sample 1") && said.contains("from 0 to 127"), "{said}");
    let (code, said) = run(&["--calib", "good.npy", "--mean", "0.5"]);
    assert!(code == Some(2) && said.contains("--mean") && said.contains("whole numbers"), "{said}");
}
