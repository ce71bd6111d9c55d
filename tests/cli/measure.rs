//! Times that a command measures. The command here says how large a file is: a time that is the same in every run.
#![cfg(unix)]

use super::success::json;
use super::{model, program, text};
use std::path::Path;
use tempfile::TempDir;

/// Bytes in place of milliseconds; every run leaves a line in a file.
const SIZE: &str = "echo >> runs; wc -c < {model}";

fn measured(dir: &Path, command: &str, more: &[&str]) -> assert_cmd::Command {
    let mut prune = program(dir);
    prune.arg(model("digits_residual.onnx")).args(["small.onnx", "--target-latency", "60%"]);
    prune.args(["--batches", "10", "--recover", "none", "--measure", command]).args(more);
    prune
}

#[test]
fn a_target_is_met_as_a_command_measures_it() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    let printed = measured(dir, SIZE, &["--round-to", "1", "--json", "small.json"]).assert().success();
    let printed = text(&printed.get_output().stdout);
    assert!(printed.contains("measured  5") && printed.contains("by a model of what 'echo"), "{printed}");
    let bytes = |path: &Path| std::fs::metadata(path).unwrap().len() as f64;
    let share = bytes(&dir.join("small.onnx")) / bytes(&model("digits_residual.onnx"));
    let predicted = &json(dir, "small.json")["predicted"];
    let found = &predicted["measured"];
    assert_eq!(found["share"].as_f64().unwrap(), found["low"].as_f64().unwrap());
    // Other weights are in the file that was measured, the size is nearly the same.
    assert!((found["share"].as_f64().unwrap() - share).abs() < 0.01, "{share} {found}");
    assert!(share <= 0.6 && share > 0.57, "{share}");
    let tried = predicted["tried"].as_array().unwrap();
    assert!(tried.contains(found) && tried.len() >= 2, "{tried:?}");
}

/// On standard input, and with the plans of a processor that is named.
#[test]
fn a_command_may_read_the_model_from_standard_input() {
    let folder = TempDir::new().unwrap();
    measured(folder.path(), "wc -c", &["--cpu", "cortex-a53", "--round-to", "1"]).assert().success();
}

#[test]
fn gates_that_were_trained_outlive_a_command_that_fails() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    measured(dir, SIZE, &[]).assert().success();
    let runs = std::fs::read_to_string(dir.join("runs")).unwrap().lines().count();
    std::fs::remove_file(dir.join("runs")).unwrap();
    std::fs::remove_file(dir.join("small.onnx")).unwrap();
    // The last run is of a network that was chosen by the gates.
    let command =
        format!("[ $(wc -l < runs || echo 0) -ge {} ] && echo broken >&2 && exit 3; {SIZE}", runs - 1);
    let failed = measured(dir, &command, &[]).assert().code(2);
    let said = text(&failed.get_output().stderr);
    assert!(said.contains("stderr: broken") && said.contains("--gates small.gates.json"), "{said}");
    assert!(!dir.join("small.onnx").exists());
    let again = measured(dir, SIZE, &["--gates", "small.gates.json"]).assert().success();
    // What is trained is the compensation alone.
    let updates = text(&again.get_output().stderr).lines().filter(|l| l.starts_with("training")).count();
    assert!(updates < 5, "{updates}");
}

/// Where nobody names a processor whose tiles could be filled.
#[test]
fn a_command_says_which_widths_are_fast() {
    let folder = TempDir::new().unwrap();
    let prune = measured(folder.path(), SIZE, &["--round-to", "auto"]).assert().success();
    let said = text(&prune.get_output().stdout);
    assert!(said.contains("widths    ns per 1000 MACs of cuts by chance: "), "{said}");
}

#[test]
fn a_command_that_measures_nothing_is_refused_before_anything_is_trained() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    let cases = [
        ("exit 7", "failed (exit status: 7)"),
        ("echo fast", "printed 'fast' at last, which is no number"),
        ("true", "printed nothing"),
        ("echo -1", "printed -1, which is no time"),
        ("no-such-program {model}", "failed (exit status: 127)"),
    ];
    for (command, reason) in cases {
        let said = text(&measured(dir, command, &[]).assert().code(2).get_output().stderr);
        assert!(said.contains(reason) && said.contains("--measure: '"), "{command}: {said}");
        assert!(!said.contains("training"), "{command}: {said}");
    }
    let said = measured(dir, "sleep 1000", &["--measure-timeout", "0.2"]).assert().code(2);
    assert!(text(&said.get_output().stderr).contains("more with --measure-timeout"));
    assert!(std::fs::read_dir(dir).unwrap().next().is_none());
}

#[test]
fn a_time_needs_somebody_who_knows_it() {
    let folder = TempDir::new().unwrap();
    let mut prune = program(folder.path());
    prune.arg(model("digits_residual.onnx")).args(["small.onnx", "--target-latency", "60%"]);
    let said = prune.assert().code(2);
    assert!(text(&said.get_output().stderr).contains("a command with --measure"));
    let mut prune = program(folder.path());
    prune.arg(model("digits_residual.onnx")).args(["small.onnx", "--target-flops", "60%", "--measure", SIZE]);
    let said = prune.assert().code(2);
    assert!(text(&said.get_output().stderr).contains("no time is the target"));
}
