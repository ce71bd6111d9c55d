//! Closed-form recovery: it leaves alone what is right already, repairs what can be repaired, makes no layer worse on images
//! that it was not fitted on, and gives the same bits on any number of threads.

use super::{NetworkFile, Residual, ours, random_plan, single, stored};
use autobot_onnx::internals::coupling::Groups;
use autobot_onnx::internals::data::Subset;
use autobot_onnx::internals::exec::Pool;
use autobot_onnx::internals::graph::{Graph, Origin};
use autobot_onnx::internals::recover::{Fitted, reconstruct};
use autobot_onnx::internals::{rewrite, verify};
use std::path::Path;

const IMAGES: usize = 256;

/// The pruned graph, and what recovery makes of it.
fn recovered(
    network: &NetworkFile,
    groups: &Groups,
    kept: &[bool],
    threads: usize,
) -> (Graph, Graph, Vec<Fitted>) {
    let small = rewrite::rewrite(network.network(), groups, kept, network.model.opset()).unwrap().graph;
    let list: Vec<usize> = (0..IMAGES).collect();
    let pool = Pool::new(threads).unwrap();
    let (fitted, layers) = reconstruct(
        network.network(),
        groups,
        kept,
        &small,
        Subset { data: &network.data(IMAGES, 3), indices: &list },
        &pool,
        &mut |_, _| (),
    )
    .unwrap();
    (small, fitted, layers)
}

#[test]
fn what_is_whole_is_left_alone() {
    for network in ours() {
        let (groups, _) = network.groups(Residual::Select);
        let (small, fitted, layers) = recovered(&network, &groups, &vec![true; groups.classes.len()], 2);
        assert!(layers.iter().all(|l| l.ridge.is_none()), "{}: {layers:?}", network.name);
        assert!(stored(&small) == stored(&fitted), "{}", network.name);
    }
}

#[test]
fn no_layer_gets_worse_and_no_shape_changes() {
    let mut improved = 0;
    for network in ours() {
        let (groups, cost) = network.groups(Residual::Select);
        let plan = random_plan(&network, &groups, &cost, 0.6, 5);
        let (small, fitted, layers) = recovered(&network, &groups, &plan.kept, 2);
        for l in &layers {
            assert!(l.after <= l.before && l.after.is_finite(), "{}: {l:?}", network.name);
        }
        improved += layers.iter().filter(|l| l.after < 0.8 * l.before).count();
        let facts = |g: &Graph| network.network().facts_of(g).unwrap();
        assert_eq!(facts(&small).fact, facts(&fitted).fact, "{}", network.name);
    }
    assert!(improved > 20, "only {improved} layers were matched clearly better");
}

#[test]
fn a_channel_that_another_one_repeats_is_not_missed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut network = NetworkFile::read(&root.join("fixtures/residual/model.onnx"));
    let mut graph = network.model.graph.clone();
    for name in ["one.a.w", "one.a.b"] {
        let v = graph.value_named(name).unwrap();
        let old = graph.initializer(v).unwrap().clone();
        let mut values: Vec<f64> = old.to_real();
        let size = values.len() / old.shape()[0];
        values.copy_within(0..size, size);
        graph.values[v].origin = Origin::Initializer(old.with_values(old.shape(), &values));
    }
    network.model = network.model.with_graph(graph).unwrap();
    network.facts = network.model.facts().unwrap();
    let (groups, _) = network.groups(Residual::Expand);
    let repeated = network.model.graph.value_named("one.a.out").unwrap();
    let mut kept = vec![true; groups.classes.len()];
    kept[groups.axis(repeated, 1)[1].get().unwrap()] = false;
    let (small, fitted, _) = recovered(&network, &groups, &kept, 2);
    let samples = network.samples(4, 9);
    let targets = network.targets();
    let far = |graph: &Graph| {
        let whole = network.network();
        verify::compare(whole.into(), &[], graph, &targets, &samples, &single()).unwrap().difference.relative
    };
    let (before, after) = (far(&small), far(&fitted));
    assert!(before > 1e-2 && after < 1e-3, "off by {before:.1e} before, {after:.1e} afterwards");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let network = NetworkFile::read(&root.join("models/digits_residual.onnx"));
    let (groups, cost) = network.groups(Residual::Select);
    let plan = random_plan(&network, &groups, &cost, 0.5, 2);
    let one = recovered(&network, &groups, &plan.kept, 1);
    assert!(one.2.iter().any(|l| l.ridge.is_some()));
    for threads in [2, 3] {
        let other = recovered(&network, &groups, &plan.kept, threads);
        assert!(stored(&one.1) == stored(&other.1) && one.2 == other.2, "{threads} threads");
    }
}
