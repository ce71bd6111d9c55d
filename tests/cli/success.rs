//! Runs that succeed: files, reports, output.

use super::{SHORT, content, digits, model, program, text};
use assert_cmd::Command;
use autobot_onnx::internals::graph::Network;
use autobot_onnx::internals::onnx::{self, Model};
use autobot_onnx::internals::pruner::{Options, Unit, analyse};
use predicates::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Prunes a demo network into `out`.onnx and .json; gives what was printed.
fn prune(folder: &Path, network: &str, out: &str, more: &[&str]) -> (String, String) {
    let mut command = program(folder);
    command.arg(model(network)).arg(format!("{out}.onnx")).args(["--target-flops", "50%"]).args(SHORT);
    digits(&mut command).args(["--json", &format!("{out}.json")]).args(more);
    let output = command.assert().success().get_output().clone();
    (text(&output.stdout), text(&output.stderr))
}

pub fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

/// What is left of every weight is what the report says of the original's.
fn sliced_as_told(report: &Value, small: &Model) {
    for entry in report["sliced"].as_array().unwrap() {
        let name = entry["initializer"].as_str().unwrap();
        let kept: Vec<u64> = entry["kept"].as_array().unwrap().iter().map(|k| k.as_u64().unwrap()).collect();
        assert!(kept.is_sorted_by(|a, b| a < b), "{name}: {kept:?}");
        let v = small.graph.value_named(name).unwrap();
        let axis = entry["axis"].as_u64().unwrap() as usize;
        assert_eq!(small.graph.initializer(v).unwrap().shape()[axis], kept.len(), "{name} axis {axis}");
    }
}

/// The report and the file agree, and threads do not matter.
fn pruned_well(network: &str) {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    prune(dir, network, "one", &["--recover", "none", "--threads", "1"]);
    prune(dir, network, "two", &["--recover", "none", "--threads", "2"]);
    let file = std::fs::read(dir.join("one.onnx")).unwrap();
    assert_eq!(file, std::fs::read(dir.join("two.onnx")).unwrap(), "one thread or two");
    assert_eq!(content(dir).len(), 4, "two models and two reports");

    let report = json(dir, "one.json");
    let small = onnx::read(&dir.join("one.onnx"), &[]).unwrap();
    sliced_as_told(&report, &small);
    let macs = |key: &str| report[key].as_u64().unwrap();
    let facts = small.facts().unwrap();
    let found =
        analyse(Network::new(&small.graph, &facts), &Options::default(), Unit::Macs).unwrap().macs_total;
    assert_eq!(found, macs("macs_after"));
    assert!(found <= macs("macs_target") && macs("macs_target") == macs("macs_before") / 2);
    assert_eq!(file.len() as u64, macs("bytes_after"));
    assert_eq!(small.graph.parameters() as u64, macs("parameters_after"));
    assert_eq!(report["verification"]["pass"], true);
    assert!(report["verification"]["tract"].is_number());
    // Six updates of the gates, and two of the levels.
    assert_eq!(report["training"]["history"].as_array().unwrap().len(), 8);
    assert_eq!(report["options"]["batches"], 6);

    let mut verify = program(dir);
    verify.arg("verify").arg(model(network)).args(["one.onnx", "--report", "one.json"]);
    verify.assert().success().stdout(predicate::str::contains("verdict   pass"));
}

#[test]
fn a_chain_is_pruned() {
    pruned_well("digits_chain.onnx");
}

#[test]
fn a_residual_network_is_pruned() {
    pruned_well("digits_residual.onnx");
}

#[test]
fn a_network_with_concat_is_pruned() {
    pruned_well("digits_concat.onnx");
}

#[test]
fn a_depthwise_network_is_pruned() {
    pruned_well("digits_depthwise.onnx");
}

#[test]
fn means_go_into_biases_and_the_report_tells() {
    let folder = TempDir::new().unwrap();
    prune(folder.path(), "digits_chain.onnx", "out", &["--compensation", "mean", "--recover", "none"]);
    assert!(!json(folder.path(), "out.json")["biases"].as_array().unwrap().is_empty());
    let mut verify = program(folder.path());
    verify.arg("verify").arg(model("digits_chain.onnx")).args(["out.onnx", "--report", "out.json"]);
    verify.assert().success();
}

#[test]
fn results_are_on_stdout_and_talk_on_stderr() {
    let folder = TempDir::new().unwrap();
    let (out, err) = prune(folder.path(), "digits_residual.onnx", "out", &[]);
    for word in [
        "opset 13",
        "prunable",
        "'/head/Gemm': an output",
        "reach",
        "MACs kept",
        "verified  pass",
        "accuracy",
    ] {
        assert!(out.contains(word), "{word} in {out}");
    }
    assert!(err.contains("training 6/6") && err.contains("soft") && !out.contains("training 6/6"), "{err}");
    assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "colours in a file");
    let (out, err) = prune(folder.path(), "digits_residual.onnx", "out", &["-q"]);
    assert!(err.is_empty() && out.contains("verified  pass") && !out.contains("opset"), "{err} {out}");
}

#[test]
fn without_data_it_works_and_warns() {
    for (criterion, said) in
        [("gates", "warning: no --calib"), ("l1", "note: no --calib"), ("random", "note:")]
    {
        let folder = TempDir::new().unwrap();
        let mut command = program(folder.path());
        command.arg(model("digits_chain.onnx")).args(["out.onnx", "--target-flops", "200k"]).args(SHORT);
        let assert = command.args(["--criterion", criterion]).assert().success();
        assert.stderr(predicate::str::contains(said)).stdout(predicate::str::contains("synthetic"));
        assert!(folder.path().join("out.onnx").exists());
    }
}

#[test]
fn a_dry_run_shows_the_reach_and_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let mut command = program(folder.path());
    command.arg(model("digits_chain.onnx")).args(["out.onnx", "--dry-run", "--target-flops", "0.3"]);
    command
        .assert()
        .success()
        .stdout(predicate::str::contains("reach").and(predicate::str::contains("30.00 %")));
    program(folder.path()).arg(model("digits_chain.onnx")).arg("--dry-run").assert().success();
    assert!(content(folder.path()).is_empty());
}

#[test]
fn an_existing_output_is_replaced() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("out.onnx"), "old").unwrap();
    prune(folder.path(), "digits_chain.onnx", "out", &[]);
    assert!(std::fs::read(folder.path().join("out.onnx")).unwrap().len() > 1000);
}

#[test]
fn excluded_layers_keep_their_channels() {
    let folder = TempDir::new().unwrap();
    prune(folder.path(), "digits_chain.onnx", "out", &["--exclude", "features.1", "--round-to", "4"]);
    let report = json(folder.path(), "out.json");
    for layer in report["layers"].as_array().unwrap() {
        let (before, after) = (&layer["channels_before"], &layer["channels_after"]);
        let excluded = layer["name"].as_str().unwrap().contains("features.1/");
        assert!(if excluded { before == after } else { before == after || after.as_u64().unwrap() % 4 == 0 });
    }
}

#[test]
fn inspect_names_layers_groups_and_reasons() {
    let folder = TempDir::new().unwrap();
    let mut command = program(folder.path());
    command.arg("inspect").arg(model("digits_residual.onnx")).args(["--json", "i.json"]);
    let shown =
        ["714.78 k MACs", "layers", "free: ", "/body/body.1/conv1", "'/head/Gemm': an output of the network"];
    let assert = command.assert().success();
    let out = text(&assert.get_output().stdout);
    shown.iter().for_each(|word| assert!(out.contains(word), "{word} in {out}"));
    let report = json(folder.path(), "i.json");
    assert_eq!(report["model"]["macs"], 714_776);
    let layers: u64 =
        report["layers"].as_array().unwrap().iter().map(|l| l["macs_before"].as_u64().unwrap()).sum();
    assert_eq!(layers, 714_776);
}

#[test]
fn verify_says_no_to_another_network_and_yes_to_the_same() {
    let folder = TempDir::new().unwrap();
    prune(folder.path(), "digits_chain.onnx", "out", &["--recover", "none"]);
    let verify = |more: &[&str]| {
        let mut command = program(folder.path());
        command.arg("verify").arg(model("digits_chain.onnx")).args(more);
        command.assert()
    };
    verify(&["out.onnx"]).code(1).stdout(predicate::str::contains("FAIL"));
    verify(&["out.onnx", "--min-agreement", "0%"]).success();
    verify(&[model("digits_chain.onnx").to_str().unwrap()]).success();
    verify(&[model("digits_residual.onnx").to_str().unwrap(), "--report", "out.json"]).code(1);
}

#[test]
fn the_demo_prunes_and_tests() {
    let folder = TempDir::new().unwrap();
    let mut command = program(folder.path());
    let assert = command.args(["demo", "chain", "small.onnx"]).assert().success();
    assert.stdout(predicate::str::contains("test      99.12 % before").and(predicate::str::contains("pass")));
    assert_eq!(content(folder.path()).len(), 1);
}

#[test]
fn help_explains_the_target() {
    let folder = TempDir::new().unwrap();
    let kept = predicate::str::contains("multiply-accumulates that are KEPT");
    program(folder.path())
        .arg("--help")
        .assert()
        .success()
        .stdout(kept.and(predicate::str::contains("55.8M")));
    program(folder.path()).assert().code(2).stderr(predicate::str::contains("Usage:"));
}

#[test]
fn layers_are_fitted_after_the_pruning() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    let flags = ["--recover", "reconstruct", "--threads"];
    let (shown, _) = prune(dir, "digits_residual.onnx", "one", &[&flags[..], &["1"]].concat());
    prune(dir, "digits_residual.onnx", "two", &[&flags[..], &["2"]].concat());
    assert!(shown.contains("fitted    "), "{shown}");
    let file = std::fs::read(dir.join("one.onnx")).unwrap();
    assert_eq!(file, std::fs::read(dir.join("two.onnx")).unwrap(), "one thread or two");
    let report = json(dir, "one.json");
    let error = |of: &Value| of["agreement"]["relative_error"].as_f64().unwrap();
    assert!(error(&report["recovery"]) < 0.7 * error(&report), "hardly anything was recovered");
    assert!(report["recovery"]["executors"].as_f64().unwrap() <= 1e-4);
    // Six updates of the gates; levels that fits follow are not trained again.
    assert_eq!(report["training"]["history"].as_array().unwrap().len(), 6);
    let mut verify = program(dir);
    verify.arg("verify").arg(model("digits_residual.onnx")).args(["one.onnx", "--report", "one.json"]);
    verify.assert().code(2).stderr(predicate::str::contains("fitted after the pruning"));
}

/// Threads do not matter, and where nobody says it held-out images say whether dependence has a part.
#[test]
fn a_cut_is_made_by_dependence_in_part_or_whole() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    let fitted = |out: &str, more: &[&str]| {
        let flags = [&["--recover", "reconstruct"], more].concat();
        prune(dir, "digits_residual.onnx", out, &flags).0
    };
    fitted("one", &["--criterion", "dependence", "--threads", "1"]);
    fitted("two", &["--criterion", "dependence", "--threads", "2"]);
    let bytes = |name: &str| std::fs::read(dir.join(name)).unwrap();
    assert_eq!(bytes("one.onnx"), bytes("two.onnx"), "one thread or two");
    let report = json(dir, "one.json");
    assert_eq!((report["dependent"].as_f64(), report["training"].is_null()), (Some(1.0), true));
    assert!(report["macs_after"].as_u64() <= report["macs_target"].as_u64());
    let told = fitted("half", &["--dependent", "0.5"]);
    assert!(told.contains("; 50.00 % of the cut by dependence"), "{told}");
    assert!(!fitted("gates", &["--dependent", "0"]).contains("dependence"));
    let share = |name: &str| json(dir, name)["dependent"].as_f64().unwrap();
    fitted("auto", &[]);
    assert_eq!((share("half.json"), share("gates.json")), (0.5, 0.0));
    assert!([0.0, 1.0 / 3.0].contains(&share("auto.json")));
    let same_as = if share("auto.json") == 0.0 { "gates.onnx" } else { "third.onnx" };
    fitted("third", &["--dependent", "0.3333333333333333"]);
    assert_eq!(bytes("auto.onnx"), bytes(same_as));
}

#[test]
fn stages_go_a_part_of_the_way_each_and_the_report_tells_of_the_whole() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    let (shown, said) = prune(dir, "digits_residual.onnx", "one", &["--stages", "2"]);
    assert!(said.contains("stage 1 of 2: ") && shown.contains("the last of 2 stages"), "{said} {shown}");
    let report = json(dir, "one.json");
    let original = onnx::read(Path::new(&model("digits_residual.onnx")), &[]).unwrap();
    let small = onnx::read(&dir.join("one.onnx"), &[]).unwrap();
    sliced_as_told(&report, &small);
    let macs = |of: &Value| of.as_u64().unwrap();
    let [before, after, asked] = ["macs_before", "macs_after", "macs_target"].map(|k| macs(&report[k]));
    let full = |m: &Model| {
        let facts = m.facts().unwrap();
        analyse(Network::new(&m.graph, &facts), &Options::default(), Unit::Macs).unwrap().macs_total
    };
    assert_eq!((full(&original), full(&small)), (before, after));
    assert!(after <= asked && asked == before / 2);
    let stage = &report["stages"][0];
    // Half is kept by keeping 71 % twice.
    let most = (before as f64 * 0.5f64.sqrt()) as u64;
    assert!(macs(&stage["macs"]) > asked && macs(&stage["macs"]) <= most, "{stage}");
    assert!(
        stage["agreement"]["accuracy_before"] == report["agreement"]["accuracy_before"],
        "another network"
    );
    for layer in report["layers"].as_array().unwrap() {
        assert!(macs(&layer["channels_before"]) >= macs(&layer["channels_after"]), "{layer}");
    }
    let sum: u64 = report["layers"].as_array().unwrap().iter().map(|l| macs(&l["macs_before"])).sum();
    assert_eq!(sum, before);

    for more in [&["--gates", "x.json"][..], &["--recover", "none"]] {
        let mut command = program(dir);
        command.arg(model("digits_residual.onnx")).args(["two.onnx", "--target-flops", "50%"]).args(SHORT);
        digits(&mut command).args(["--stages", "2"]).args(more).assert().code(2);
        assert!(!dir.join("two.onnx").exists());
    }
}

#[test]
fn trained_gates_serve_other_targets() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    prune(dir, "digits_residual.onnx", "one", &["--save-gates", "gates.json"]);
    let (_, said) = prune(dir, "digits_residual.onnx", "two", &["--gates", "gates.json"]);
    assert!(!said.contains("training"), "{said}");
    let bytes = |name: &str| std::fs::read(dir.join(name)).unwrap();
    assert!(bytes("one.onnx") == bytes("two.onnx"), "the same gates, another network");
    let mut smaller = program(dir);
    smaller.arg(model("digits_residual.onnx")).args(["three.onnx", "--target-flops", "30%"]);
    digits(&mut smaller).args(["--gates", "gates.json"]).assert().success();
    assert!(bytes("three.onnx").len() < bytes("two.onnx").len());

    let refused = |network: &str, more: &[&str]| {
        let mut command = program(dir);
        command.arg(model(network)).args(["four.onnx", "--target-flops", "50%", "--gates", "gates.json"]);
        digits(&mut command).args(more).assert().code(2).stderr(predicate::str::contains("gates.json"));
    };
    refused("digits_chain.onnx", &[]);
    refused("digits_residual.onnx", &["--residual", "tie"]);
    refused("digits_residual.onnx", &["--calib-size", "999"]);
    let mut damaged = bytes("gates.json");
    damaged[500] ^= 1;
    std::fs::write(dir.join("gates.json"), damaged).unwrap();
    refused("digits_residual.onnx", &["--report", "page.html"]);
    std::fs::write(dir.join("gates.json"), "{").unwrap();
    refused("digits_residual.onnx", &[]);
}

#[test]
fn several_targets_give_a_file_each_from_one_training() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    let mut command = program(dir);
    command.arg(model("digits_residual.onnx")).args(["out.onnx", "--target-flops", "40%,95%,60%"]);
    command.args(["--recover", "none", "--compensation", "none", "--json", "out.json"]);
    let shown = digits(&mut command).assert().success().get_output().clone();
    let shown = text(&shown.stdout);
    assert!(shown.contains("the plan had settled after "), "{shown}");
    assert_eq!(content(dir).len(), 6, "{:?}", content(dir));
    let [most, middle, least] = ["95", "60", "40"].map(|word| json(dir, &format!("out-{word}.json")));
    let training = |report: &Value, key: &str| report["training"][key].clone();
    let updates = |report: &Value| training(report, "changes").as_array().unwrap().len() as u64;
    assert!(training(&most, "before").is_null());
    assert_eq!(updates(&most), (training(&most, "settled").as_u64().unwrap() * 5).div_ceil(3));
    for (report, target) in [(&most, "95"), (&middle, "60"), (&least, "40")] {
        let macs = |key: &str| report[key].as_u64().unwrap();
        assert!(macs("macs_after") <= macs("macs_target"));
        assert!(shown.contains(&format!("written   out-{target}.onnx")), "{shown}");
    }
    assert!(updates(&least) < 800 / 4 + 1 && training(&least, "before").is_number(), "{shown}");

    let mut refused = program(dir);
    refused.arg(model("digits_residual.onnx")).args(["new.onnx", "--target-flops", "40%,60%"]);
    digits(&mut refused).args(["--recover", "finetune", "--checkpoint", "state.safetensors"]);
    refused.assert().code(2).stderr(predicate::str::contains("--checkpoint"));

    // What is measured cannot be found again.
    let mut refused = program(dir);
    refused.arg(model("digits_residual.onnx")).args(["new.onnx", "--target-latency", "60%", "--cpu", "host"]);
    digits(&mut refused).args(["--recover", "finetune", "--checkpoint", "state.safetensors"]);
    refused.assert().code(2).stderr(predicate::str::contains("measured times differ"));
    assert!(!dir.join("new.onnx").exists());
}

/// Flags for a training of weights that takes a few seconds.
const TUNE: [&str; 6] = ["--recover", "finetune", "--epochs", "6", "--checkpoint", "state.safetensors"];

#[test]
fn weights_are_trained_and_a_killed_run_goes_on() {
    goes_on_when_killed("digits_residual.onnx", &TUNE);
}

#[test]
fn a_killed_run_in_stages_goes_on() {
    goes_on_when_killed("digits_residual.onnx", &[&TUNE[..], &["--stages", "2"]].concat());
}

/// With little left the fits move a running mean, which is not trained.
#[test]
fn a_killed_run_goes_on_with_all_that_the_fits_changed() {
    for network in
        ["digits_chain.onnx", "digits_concat.onnx", "digits_depthwise.onnx", "digits_residual.onnx"]
    {
        let flags =
            "--target-flops 25% --round-to 1 --batches 20 --compensation none --recover finetune --epochs 2";
        let flags: Vec<&str> = flags.split(' ').collect();
        goes_on_when_killed(network, &[&flags[..], &["--checkpoint", "state.safetensors"]].concat());
    }
}

/// The command that prunes `network` into `out`.onnx with `flags`.
fn tuning(dir: &Path, network: &str, out: &str, flags: &[&str]) -> Command {
    let mut command = program(dir);
    command.arg(model(network)).arg(format!("{out}.onnx"));
    if !flags.contains(&"--target-flops") {
        command.args(["--target-flops", "50%"]);
    }
    digits(&mut command).args(["--json", &format!("{out}.json")]);
    if !flags.contains(&"--batches") {
        command.args(SHORT);
    }
    command.args(flags);
    command
}

fn goes_on_when_killed(network: &str, flags: &[&str]) {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    let whole = tuning(dir, network, "whole", flags).assert().success().get_output().clone();
    assert!(text(&whole.stdout).contains("tuned     "), "{}", text(&whole.stdout));
    let report = json(dir, "whole.json");
    let epochs = report["recovery"]["tuning"]["epochs"].as_array().unwrap();
    let judged = |k: usize| epochs[k]["judged"].as_f64().unwrap();
    assert!(judged(epochs.len() - 1) < judged(0), "{epochs:?}");
    let state = dir.join("state.safetensors");
    assert!(!state.exists(), "a run that came to its end leaves its state behind");

    // The state is there after the first update: from then on the run may die.
    let again = tuning(dir, network, "again", flags);
    let mut command = std::process::Command::new(again.get_program());
    command.current_dir(dir).args(again.get_args()).arg("-q");
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    while !state.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(state.exists() && !dir.join("again.onnx").exists(), "the run was over before it was killed");
    std::fs::write(dir.join(".autobot-onnx-half"), "what a run leaves that dies while it writes").unwrap();

    let refused = |more: &[&str], word: &str| {
        let mut other = tuning(dir, network, "other", flags);
        other.args(more).assert().code(2).stderr(predicate::str::contains(word));
        assert!(!dir.join("other.onnx").exists());
    };
    refused(&["--seed", "2"], "belongs to a run with other options");
    refused(&["--calib-size", "999"], "belongs to a run with other images");
    refused(&["--scale", "0.0039"], "belongs to a run with other images");
    let kept = std::fs::read(&state).unwrap();
    for at in [9, kept.len() / 3, kept.len() - 1] {
        let mut damaged = kept.clone();
        damaged[at] ^= 4;
        std::fs::write(&state, damaged).unwrap();
        refused(&[], "state.safetensors: is no checkpoint");
    }
    std::fs::write(&state, kept).unwrap();
    let said = tuning(dir, network, "again", flags).assert().success().get_output().clone();
    assert!(text(&said.stderr).contains("going on from"), "{}", text(&said.stderr));
    let bytes = |name: &str| std::fs::read(dir.join(name)).unwrap();
    assert!(bytes("again.onnx") == bytes("whole.onnx"), "{network}: going on changed the result");
    assert!(!state.exists() && !dir.join(".autobot-onnx-half").exists());
}

/// Runs `command` where no file may be larger than `blocks` of 512 bytes.
#[cfg(unix)]
fn with_little_room(dir: &Path, command: &Command, blocks: usize) -> std::process::Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let mut shell = std::process::Command::new("sh");
    shell.current_dir(dir).args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    shell.output().unwrap()
}

#[cfg(unix)]
#[test]
fn what_cannot_be_written_beside_the_network_costs_nothing_else() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    // The state holds the weights four times.
    let flags = ["--recover", "finetune", "--epochs", "1", "--checkpoint", "state", "--target-flops", "80%"];
    tuning(dir, "digits_residual.onnx", "whole", &flags).assert().success();
    let size = std::fs::metadata(dir.join("whole.onnx")).unwrap().len();
    let blocks = size.div_ceil(512) as usize + 8;
    let mut command = tuning(dir, "digits_residual.onnx", "out", &flags);
    let output = with_little_room(dir, command.args(["--save-gates", "gates.json"]), blocks);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("warning: --checkpoint: the run goes on"), "{said}");
    assert!(!dir.join("state").exists() && dir.join("gates.json").exists());
    let bytes = |name: &str| std::fs::read(dir.join(name)).unwrap();
    assert!(bytes("out.onnx") == bytes("whole.onnx"));

    // Reports of 100 updates with what each changed are larger than a network of which little is left.
    let few = ["--recover", "none", "--target-flops", "10%", "--batches", "100", "--batch-size", "8"];
    let mut command = tuning(dir, "digits_residual.onnx", "small", &few);
    command.args(["--save-gates", "small-gates.json", "--report", "small.html"]);
    let output = with_little_room(dir, &command, 60);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("small.json") && said.contains("warning: not written: "), "{said}");
    assert!(dir.join("small.onnx").exists() && !dir.join("small.json").exists());
    let left = content(dir).into_keys().filter(|p| p.to_string_lossy().contains(".autobot"));
    assert_eq!(left.count(), 0);

    // The network itself is not written where it does not fit, and what was trained is kept.
    let mut command = tuning(dir, "digits_residual.onnx", "none", &flags);
    let output = with_little_room(dir, command.args(["--save-gates", "kept.json"]), 70);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(!dir.join("none.onnx").exists() && dir.join("kept.json").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_printed_are_no_success() {
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let run = |args: &[&std::ffi::OsStr], out: std::process::Stdio| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_autobot-onnx"));
        command.args(args).stdout(out).stderr(std::process::Stdio::piped()).output().unwrap()
    };
    let network = model("digits_chain.onnx");
    let inspect = ["inspect".as_ref(), network.as_os_str()];
    let output = run(&inspect, full().into());
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("the results cannot be written to standard output"));
    assert_eq!(run(&["--help".as_ref()], full().into()).status.code(), Some(3));
    // Whoever closes the pipe has heard enough.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = run(&inspect, writer.into());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn times_are_measured_side_by_side() {
    let folder = TempDir::new().unwrap();
    let names = ["digits_chain.onnx", "digits_residual.onnx"];
    let mut command = program(folder.path());
    command.arg("bench").args(names.map(model)).args(["--runs", "3", "--seconds", "0", "--warm-up", "0"]);
    let shown = predicate::str::contains("3 rounds").and(predicate::str::contains("OptMatMul"));
    command.args(["--layers", "--json", "times.json"]).assert().success().stdout(shown);
    let report = json(folder.path(), "times.json");
    assert_eq!(report["rounds"], 3);
    let models = report["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    for (m, name) in models.iter().zip(names) {
        assert!(m["path"].as_str().unwrap().ends_with(name));
        let ms = &m["timing"]["milliseconds"];
        let [low, median, high] = ["low", "median", "high"].map(|k| ms[k].as_f64().unwrap());
        assert!(0.0 < low && low <= median && median <= high);
        assert!(m["layers"].as_array().unwrap().iter().all(|l| l["milliseconds"].as_f64().unwrap() >= 0.0));
    }
    assert_eq!(models[0]["timing"]["speedup"]["median"], 1.0);
}

#[test]
fn the_page_of_a_run_needs_nothing_but_itself() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    let more = ["--report", "run.html", "--trace", "10", "--json", "run.json"];
    let mut command = program(dir);
    command.arg(model("digits_residual.onnx")).args(["out.onnx", "--target-flops", "50%"]);
    digits(&mut command).args(SHORT).args(more).assert().success();
    let page = std::fs::read_to_string(dir.join("run.html")).unwrap();
    let report = json(dir, "run.json");
    let training = &report["training"];
    let updates = training["steps"].as_u64().unwrap();
    let trace = training["trace"].as_array().unwrap();
    assert_eq!(trace.len() as u64, updates.div_ceil(10));
    assert!(trace.iter().all(|t| t["agreement"]["images"].as_u64().unwrap() > 0));
    let groups = report["channels"]["groups"].as_array().unwrap().len();
    assert!(training["changes"].as_array().unwrap().iter().all(|c| c.as_array().unwrap().len() == groups));
    // Four plots of the training, one of the layers and one of the finetuning; nothing is fetched.
    assert_eq!(page.matches("<svg").count(), 6);
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("@import"));
    let layer = report["layers"][0]["name"].as_str().unwrap();
    assert!(page.contains(layer) && page.contains("currentColor"));
}

#[test]
fn a_processor_that_was_measured_is_predicted_for() {
    let folder = TempDir::new().unwrap();
    let mut bench = program(folder.path());
    bench.arg("bench").arg(model("digits_residual.onnx")).args(["--runs", "3", "--calibrate", "mine.json"]);
    bench.assert().success().stdout(predicate::str::contains("fitted    "));
    let mut inspect = program(folder.path());
    inspect.arg("inspect").arg(model("digits_residual.onnx")).args([
        "--cpu",
        "mine.json",
        "--json",
        "seen.json",
    ]);
    inspect.assert().success().stdout(predicate::str::contains("predicted"));
    let seen = json(folder.path(), "seen.json");
    assert!(seen["predicted"]["milliseconds_before"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_latency_target_is_met_by_the_file_as_it_is_written() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    for residual in ["tie", "expand", "select"] {
        let mut command = program(dir);
        command.arg(model("digits_residual.onnx")).arg("out.onnx").args([
            "--target-latency",
            "60%",
            "--cpu",
            "a53",
        ]);
        command.args(["--criterion", "l1", "--json", "out.json", "--residual", residual]);
        command.assert().success().stdout(predicate::str::contains("predicted"));
        let report = json(dir, "out.json");
        let ms = |key: &str| report["predicted"][format!("milliseconds_{key}")].as_f64().unwrap();
        assert!(ms("after") <= ms("target") && ms("target") < 0.61 * ms("before"), "{residual}");
        assert!(report["macs_target"].is_null() && report["predicted"]["cpu"] == "cortex-a53");
        // Seen on its own the file is predicted to take what was said of it.
        let mut inspect = program(dir);
        inspect
            .args(["inspect", "out.onnx", "--cpu", "cortex-a53", "--json", "seen.json"])
            .assert()
            .success();
        let seen = json(dir, "seen.json")["predicted"]["milliseconds_before"].as_f64().unwrap();
        assert!((seen / ms("after") - 1.0).abs() < 1e-9, "{residual}: {seen} {}", ms("after"));
    }
}

/// A file of `fixtures/`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name).join("model.onnx")
}

/// Prunes a fixture without training; gives what was printed.
fn prune_fixture(folder: &Path, name: &str, more: &[&str]) -> String {
    let mut command = program(folder);
    command.arg(fixture(name)).args(["small.onnx", "--target-flops", "70%", "--criterion", "l1"]);
    let output = command.args(["--json", "small.json"]).args(more).assert().success().get_output().clone();
    text(&output.stdout)
}

#[test]
fn where_tract_computes_something_else_it_is_said() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path();
    let warning = "warning   tract and our executor are ";
    let printed = prune_fixture(dir, "deconv_output_shape", &["--recover", "reconstruct"]);
    assert!(printed.contains(warning) && printed.contains("apart on the original"), "{printed}");
    let verification = &json(dir, "small.json")["verification"];
    assert_eq!(verification["disagree"], true);
    assert!(verification["apart"].as_f64().unwrap() > 0.01);

    let path = fixture("deconv_output_shape");
    let mut bench = program(dir);
    bench.arg("bench").arg(&path).args(["--runs", "3", "--seconds", "0", "--json", "bench.json"]);
    bench.assert().success().stdout(predicate::str::contains(warning));
    assert_eq!(json(dir, "bench.json")["models"][0]["disagree"], true);

    let mut verify = program(dir);
    verify.arg("verify").args([&path, &path]);
    verify.assert().success().stdout(predicate::str::contains(warning));

    let printed = prune_fixture(dir, "token_mixer", &[]);
    assert!(!printed.contains(warning), "{printed}");
    assert_eq!(json(dir, "small.json")["verification"]["disagree"], false);
}

#[test]
fn a_last_softmax_that_blows_rounding_up_is_no_failure() {
    let folder = TempDir::new().unwrap();
    let printed = prune_fixture(folder.path(), "sharp_softmax", &["--recover", "reconstruct"]);
    assert!(printed.contains("verified  pass"), "{printed}");
    let verification = &json(folder.path(), "small.json")["verification"];
    let (tract, allowed) = (&verification["tract"], verification["tract_allowed"].as_f64().unwrap());
    assert!(tract.as_f64().unwrap() <= allowed && allowed <= 1e-3, "{verification}");
}
