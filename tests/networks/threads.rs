//! Same seed, same data, any number of threads: the same gates to the last bit.

use super::NetworkFile;
use autobot_onnx::internals::coupling::Residual;
use autobot_onnx::internals::data::{BoundDataset, InputSpec, Preprocess};
use autobot_onnx::internals::exec::Pool;
use autobot_onnx::internals::pruner::{self, Criterion, Options, Silent, Start, Target, Task, Unit};
use std::path::Path;

fn train(threads: usize, freeze: bool) -> (Vec<u64>, Vec<bool>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let network = NetworkFile::read(&root.join("digits_residual.onnx"));
    let inputs = [InputSpec { name: "image".into(), shape: vec![1, 1, 8, 8], ..InputSpec::default() }];
    let pre = Preprocess { mean: vec![0.5], std: vec![0.5], ..Preprocess::default() };
    let (images, labels) = (root.join("digits_calib_images.npy"), root.join("digits_calib_labels.npy"));
    let data = BoundDataset::load(&images, Some(&labels), &inputs, &pre, Some(300), 1).unwrap();
    let mut options = Options::default();
    (options.threads, options.batches, options.criterion) = (threads, Some(200), Criterion::Gates);
    options.freeze = freeze;
    options.residual = Residual::Expand;
    let analysis = pruner::analyse(network.network(), &options, Unit::Macs).unwrap();
    let (aim, opset) = (analysis.aim(Target::Share(0.3)).unwrap(), network.model.opset());
    let task = Task { network: network.network(), opset, aim: &aim, data: &data, options: &options };
    let done = pruner::prune(&task, &mut Start::default(), &mut Silent).unwrap();
    assert_eq!(Pool::new(threads).unwrap().len(), threads);
    (done.trained.unwrap().alpha.iter().map(|a| a.to_bits()).collect(), done.plan.kept)
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let one = train(1, true);
    assert!(one.1.contains(&false));
    for threads in [2, 3] {
        assert!(train(threads, true) == one, "{threads} threads give other gates than one");
    }
}

/// Gates that closed for good stand still, below all others; most of the plan is what it is where they go on.
#[test]
fn closed_gates_stand_still_and_the_plan_is_nearly_the_same() {
    let (frozen, free) = (train(2, true), train(2, false));
    assert!(frozen.0 != free.0, "no gate closed for good");
    let lowest = |open: bool| {
        let of = frozen.0.iter().zip(&frozen.1).filter(|(_, kept)| **kept == open);
        of.map(|(a, _)| f64::from_bits(*a)).fold(f64::INFINITY, f64::min)
    };
    assert!(lowest(false) < lowest(true));
    let other = frozen.1.iter().zip(&free.1).filter(|(a, b)| a != b).count();
    assert!(other * 10 <= frozen.1.len(), "{other} of {} classes", frozen.1.len());
}
