//! A network that is trained on images goes and comes back.

use super::NetworkFile;
use autobot_onnx::internals::coupling::Residual;
use autobot_onnx::internals::exec::{GatedNetwork, Objective, Pool};
use autobot_onnx::internals::gates::{Checkpointing, Session, Settings, Watching, train};
use autobot_onnx::internals::pruner::gates;
use std::cell::Cell;
use std::path::Path;

fn digits() -> NetworkFile {
    NetworkFile::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/digits_residual.onnx"))
}

#[test]
fn a_network_that_was_let_go_gives_the_same_again() {
    let network = digits();
    let (groups, _) = network.groups(Residual::Expand);
    let (data, pool) = (network.data(40, 3), Pool::new(2).unwrap());
    let aims = network.aims();
    let gates = gates(&network.model.graph, &groups);
    let gated = GatedNetwork { network: network.network(), gates: &gates, bias_terms: &[] };
    let session = Session::new(gated, &groups, &aims, &data, &pool).unwrap();
    let all: Vec<usize> = (0..40).collect();
    let before = session.outputs(&all);
    session.rest();
    assert_eq!(session.outputs(&all), before);
    session.let_go();
    session.let_go();
    assert_eq!(session.outputs(&all), before);
}

/// Where no smaller network can be made, the whole one is trained to the end, as if none had been asked for.
#[test]
fn a_smaller_network_that_cannot_be_made_changes_nothing() {
    let network = digits();
    let (groups, cost) = network.groups(Residual::Expand);
    let (data, pool) = (network.data(64, 3), Pool::new(2).unwrap());
    let aims = network.aims();
    let gates = gates(&network.model.graph, &groups);
    let gated = GatedNetwork { network: network.network(), gates: &gates, bias_terms: &[] };
    let session = Session::new(gated, &groups, &aims, &data, &pool).unwrap();
    let all: Vec<usize> = (0..64).collect();
    let settings = Settings {
        batches: 120,
        until_settled: false,
        batch_size: 16,
        lr: 0.6,
        beta: 6.0,
        gamma: 0.4,
        target: 0.3 * cost.hard(&vec![true; groups.classes.len()]) as f64,
        seed: 1,
        augment: None,
        objective: Objective::Values { variance: session.variances(&all) },
        checkpointing: Checkpointing::Batch,
        levels: Vec::new(),
        levels_again: true,
        trace: 0,
        traced: Vec::new(),
    };
    let asked = Cell::new(0);
    let cannot = |_: &[bool]| {
        asked.set(asked.get() + 1);
        None
    };
    let plan = |alpha: &[f64]| alpha.iter().map(|a| *a > 0.0).collect();
    let trained = |none: bool| {
        let progress = &mut |_: &_, _| {};
        let smaller = none.then_some(&cannot as _);
        let watching = Watching { plan: &plan, left: None, smaller, progress };
        train(&session, &groups, &cost, &all, &settings, None, watching)
    };
    assert!(trained(true) == trained(false));
    assert_eq!(asked.get(), 1, "it is tried once");
}
