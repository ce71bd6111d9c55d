//! Same seed, same data, any number of threads: the same gates to the last bit.

use super::Network;
use autobot_onnx::channels::Residual;
use autobot_onnx::grad::Pool;
use autobot_onnx::learn::calib::{Calibration, InputSpec, Preprocess};
use autobot_onnx::pipeline::{self, Criterion, Observer, Options, Target};
use std::path::Path;

struct Silent;

impl Observer for Silent {}

fn train(threads: usize) -> (Vec<u64>, Vec<bool>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let network = Network::read(&root.join("digits_residual.onnx"));
    let (graph, facts) = (&network.model.graph, &network.facts);
    let inputs = [InputSpec { name: "image".into(), shape: vec![1, 1, 8, 8] }];
    let pre = Preprocess { mean: vec![0.5], std: vec![0.5], ..Preprocess::default() };
    let (images, labels) = (root.join("digits_calib_images.npy"), root.join("digits_calib_labels.npy"));
    let data = Calibration::load(&images, Some(&labels), &inputs, &pre, Some(300), 1).unwrap();
    let mut options = Options::new(Target::Share(0.5));
    (options.threads, options.batches, options.criterion) = (threads, Some(5), Criterion::Gates);
    options.residual = Residual::Expand;
    let analysis = pipeline::analyse(graph, facts, &options).unwrap();
    let opset = network.model.opset();
    let done = pipeline::prune(graph, facts, &analysis, &data, &options, opset, &mut Silent).unwrap();
    assert_eq!(Pool::new(threads).unwrap().len(), threads);
    (done.trained.unwrap().alpha.iter().map(|a| a.to_bits()).collect(), done.plan.kept)
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let one = train(1);
    assert!(one.1.contains(&false));
    for threads in [2, 3] {
        assert!(train(threads) == one, "{threads} threads give other gates than one");
    }
}
