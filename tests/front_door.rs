//! What callers of the library meet: a model and data in, a proved network or an error out.

use autobot_onnx::{Criterion, Dataset, Error, Model, Options, Pruned, Pruner, Result, Silent, Target};
use ndarray::Array4;

fn model(name: &str) -> Model {
    Model::open(format!("{}/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn pruner(target: Target) -> Pruner {
    Pruner::new(target).options(Options { criterion: Criterion::L1, ..Options::default() })
}

fn refused(found: Result<impl Sized>, words: &[&str]) {
    let said = found.err().expect("no error").to_string();
    words.iter().for_each(|word| assert!(said.contains(word), "{word}: {said}"));
}

#[test]
fn what_is_written_is_what_was_run() {
    let (model, data) = (model("digits_chain"), Dataset::synthetic(16, 1));
    let pruned = pruner(Target::macs_share(0.5)).run(&model, &data).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.onnx");
    pruned.write(&path).unwrap();
    let x = Array4::from_shape_fn((1, 1, 8, 8), |(_, _, y, x)| (y * x) as f32 / 49.0);
    let again = Model::from_bytes(&std::fs::read(&path).unwrap()).unwrap();
    let outputs = [pruned.model(), &again].map(|m| m.run(&[x.view()]).unwrap());
    assert_eq!(outputs[0], outputs[1]);
    let ports = |m: &Model| (m.inputs().unwrap(), m.outputs().unwrap());
    assert_eq!(ports(&again), ports(&model));
    let report = pruned.report();
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["macs_after"].as_u64(), Some(report.macs_after()));
    assert!(report.to_html().contains("</html>") && report.to_text().contains("verified"));
}

#[test]
fn several_targets_come_in_the_order_that_was_asked() {
    let (model, data) = (model("digits_chain"), Dataset::synthetic(16, 1));
    let targets = [0.3, 0.7, 0.5].map(Target::macs_share);
    let found = pruner(targets[0]).run_each(&targets, &model, &data, &mut Silent).unwrap();
    let macs: Vec<u64> = found.iter().map(|p: &Pruned| p.report().macs_after()).collect();
    assert!(macs[0] < macs[2] && macs[2] < macs[1], "{macs:?}");
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let (model, data) = (model("digits_chain"), Dataset::synthetic(16, 1));
    let run = |target| pruner(target).run(&model, &data);
    refused(run(Target::macs(1)), &["cannot be reached"]);
    refused(run(Target::macs_share(2.0)), &["more than the network has"]);
    refused(run(Target::milliseconds(1.0)), &["no processor"]);
    let mixed = [Target::macs_share(0.5), Target::time_share(0.5)];
    refused(pruner(mixed[0]).run_each(&mixed, &model, &data, &mut Silent), &["times", "one kind"]);
    let images = || Dataset::from_array(Array4::<u8>::zeros((2, 8, 8, 1))).unwrap();
    let labelled = images().labels([0, 10]).unwrap();
    refused(pruner(mixed[0]).run(&model, &labelled), &["label 10", "10 classes"]);
    refused(images().labels([1]), &["1 labels for 2 samples"]);
    refused(images().normalise(&[0.5], &[0.0]), &["divided"]);
    let wide = Dataset::from_array(Array4::<f32>::zeros((2, 5, 9, 9))).unwrap();
    refused(pruner(mixed[0]).run(&model, &wide), &["way out"]);
    assert!(matches!(Model::from_bytes(b"no model"), Err(Error::File { .. })));
}

#[test]
fn a_model_tells_what_could_be_cut() {
    let inspection = model("digits_residual").inspect(&Options::default()).unwrap();
    assert!(inspection.macs_min() < inspection.macs() / 2);
    assert!(inspection.to_text().contains("MACs") && inspection.to_json().contains("\"channels\""));
}
