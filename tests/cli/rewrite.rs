//! Networks in operators that tract takes less time for.

use super::success::{fixture, json};
use super::{program, text};
use predicates::prelude::*;
use tempfile::TempDir;

#[test]
fn a_network_is_written_in_other_operators_and_proved_equal() {
    let folder = TempDir::new().unwrap();
    let mut command = program(folder.path());
    command.arg("rewrite").arg(fixture("slow_in_tract")).arg("out.onnx");
    let printed = text(&command.assert().success().get_output().stdout);
    let expected = [
        "rewritten 1 AveragePool as Conv\n",
        "rewritten 1 Conv as MaxPool, Conv\n",
        "rewritten 1 Elu as Max, Min, Exp, Sub, Mul, Add\n",
        "rewritten 1 LRN as Mul, Conv, Sqrt, Sqrt, Mul, Div\n",
        "rewritten 1 MaxPool as MaxPool, MaxPool\n",
        "rewritten 1 PRelu as Max, Min, Mul, Add\n",
        "rewritten 1 Pow as Sqrt, Sqrt, Mul\n",
        "rewritten 1 Softmax as ReduceMax, Sub, Exp, ReduceSum, Div\n",
        "rewritten 1 Softmax as Slice, Slice, Sub, Sigmoid, Sub, Sigmoid, Concat\n",
        "proof     max |original − rewritten| is ",
        "written   out.onnx\n",
    ];
    expected.into_iter().for_each(|line| assert!(printed.contains(line), "{line} is not in {printed}"));
    let mut verify = program(folder.path());
    verify.arg("verify").arg(fixture("slow_in_tract")).arg("out.onnx").assert().success();
    // What is written needs no more rewriting.
    let mut again = program(folder.path());
    again.args(["rewrite", "out.onnx", "again.onnx"]).assert().success();
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(read("out.onnx") == read("again.onnx"));
}

#[test]
fn a_network_without_slow_operators_stays_as_it_is() {
    let folder = TempDir::new().unwrap();
    let mut command = program(folder.path());
    command.arg("rewrite").arg(fixture("bn_gemm")).arg("out.onnx");
    command.assert().success().stdout(predicate::str::contains("rewritten nothing"));
    let mut verify = program(folder.path());
    verify.arg("verify").arg(fixture("bn_gemm")).arg("out.onnx");
    verify.assert().success().stdout(predicate::str::contains("max |big − small| is 0 of"));
}

#[test]
fn a_rewritten_network_is_pruned_and_can_be_checked() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    let mut prune = program(dir);
    prune.arg(fixture("slow_in_tract")).args(["small.onnx", "--target-flops", "60%", "--rewrite", "tract"]);
    prune.args(["--criterion", "l1", "--json", "small.json"]).assert().success();
    let report = json(dir, "small.json");
    assert_eq!(report["model"]["rewritten"].as_array().unwrap().len(), 9);
    // Shares are of the network that was given.
    let mut inspect = program(dir);
    inspect.arg("inspect").arg(fixture("slow_in_tract")).args(["--json", "given.json"]).assert().success();
    assert_eq!(report["macs_before"], json(dir, "given.json")["model"]["macs"]);
    assert!(report["macs_after"].as_f64().unwrap() <= 0.6 * report["macs_before"].as_f64().unwrap());
    // A band of neighbours loses channels with what it normalises; of LRN they stay whole.
    let sliced = report["sliced"].as_array().unwrap();
    assert!(sliced.iter().any(|s| s["initializer"] == "stem.w"), "{sliced:?}");
    let mut verify = program(dir);
    verify.arg("verify").arg(fixture("slow_in_tract")).args(["small.onnx", "--report", "small.json"]);
    verify.assert().success();
}

#[test]
fn a_time_is_a_share_of_the_time_before() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    let prune = |target: &str| {
        let mut prune = program(dir);
        prune.arg(fixture("slow_in_tract")).args(["small.onnx", "--target-latency", target, "--cpu", "a53"]);
        prune.args(["--criterion", "l1", "--json", "small.json"]);
        prune
    };
    prune("24%").assert().success();
    let predicted = &json(dir, "small.json")["predicted"];
    let ms = |key: &str| predicted[format!("milliseconds_{key}")].as_f64().unwrap();
    assert!(ms("after") <= ms("target") && (ms("target") / ms("before") - 0.24).abs() < 0.01);
    assert!(ms("rewritten") < ms("before"));
    let nothing = predicate::str::contains("nothing has to be cut").and(predicate::str::contains("rewrite"));
    prune("95%").assert().code(2).stderr(nothing);
}

#[test]
fn a_network_on_standard_input_is_timed_and_nothing_else_is_said() {
    let folder = TempDir::new().unwrap();
    let network = std::fs::read(super::model("digits_chain.onnx")).unwrap();
    let mut bench = program(folder.path());
    bench.args(["bench", "-", "--runs", "3", "--seconds", "0"]).write_stdin(network);
    let printed = text(&bench.assert().success().stderr("").get_output().stdout);
    assert!(printed.trim().parse::<f64>().is_ok_and(|ms| ms > 0.0), "{printed}");
    let mut broken = program(folder.path());
    broken.args(["bench", "-"]).write_stdin("no model");
    broken.assert().code(2).stderr(predicate::str::contains("standard input"));
    let mut beside = program(folder.path());
    beside.args(["bench", "-", "other.onnx"]);
    beside.assert().code(2).stderr(predicate::str::contains("give '-' alone"));
}
