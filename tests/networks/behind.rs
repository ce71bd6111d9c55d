//! Networks that cannot be run or learned from end to end: integer inputs and values, operators without gradient, operators that are
//! not known. What can be cut there is cut, and proved; what gates cannot learn is said before anything is promised.

use super::{NetworkFile, files_below};
use autobot_onnx::internals::pruner::{
    self, Analysis, Criterion, Options, Outcome, Silent, Start, Target, Task, Unit,
};
use autobot_onnx::internals::verify::TOLERANCE;
use std::path::Path;

fn networks() -> Vec<NetworkFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [
        files_below(&root.join("tests/networks/behind")),
        ["pixels", "tokens", "mask_input", "divisor", "masked_channels", "split_uneven"]
            .map(|name| root.join(format!("fixtures/{name}/model.onnx")))
            .to_vec(),
    ];
    files.concat().iter().map(|p| NetworkFile::read(p)).collect()
}

fn network(name: &str) -> NetworkFile {
    networks().into_iter().find(|n| n.name == name).unwrap_or_else(|| panic!("no network {name}"))
}

fn options(criterion: Criterion) -> Options {
    Options { criterion, batches: Some(2), ..Options::default() }
}

fn analysis(network: &NetworkFile, criterion: Criterion) -> Analysis {
    pruner::analyse(network.network(), &options(criterion), Unit::Macs).unwrap()
}

fn prune(network: &NetworkFile, criterion: Criterion, target: Target) -> autobot_onnx::Result<Outcome> {
    let (analysis, options, data) = (analysis(network, criterion), &options(criterion), network.data(16, 1));
    let (aim, opset) = (analysis.aim(target)?, network.model.opset());
    let task = Task { network: network.network(), opset, aim: &aim, data: &data, options };
    pruner::prune(&task, &mut Start::default(), &mut Silent)
}

#[test]
fn what_is_said_to_be_reachable_is_reached_by_every_criterion() {
    for network in networks() {
        for criterion in [Criterion::Gates, Criterion::L1, Criterion::Random] {
            let name = format!("{} ({criterion:?})", network.name);
            let Analysis { macs_min: least, groups, .. } = analysis(&network, criterion);
            if groups.classes.is_empty() {
                continue;
            }
            let done =
                prune(&network, criterion, Target::Macs(least)).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(done.plan.cost, least, "{name}");
            assert!(done.proof.difference.relative <= TOLERANCE, "{name}: {:?}", done.proof.difference);
            assert!(least == 0 || prune(&network, criterion, Target::Macs(least - 1)).is_err(), "{name}");
        }
    }
}

#[test]
fn criteria_without_gradients_cut_behind_what_has_none() {
    // Smallest share by gates and by weights; the node that is named.
    let known = [
        ("unknown_between", 1.0, 0.7, Some("dcn")),
        ("norm_train", 0.7, 0.5, Some("batchnormalization_7")),
        ("fused", 0.8, 0.5, Some("fused")),
        ("unpool", 0.7, 0.3, Some("maxpool_5")),
        ("scan", 0.6, 0.3, Some("scan_6")),
        ("quantised", 1.0, 0.1, Some("quantizelinear_7")),
        ("quantised_while_running", 1.0, 0.3, Some("quantise")),
        ("pixels", 0.1, 0.1, None),
        ("nhwc_pixels", 0.1, 0.1, None),
        ("dequantised_pixels", 0.1, 0.1, None),
        ("tokens", 0.1, 0.1, None),
        ("mask_input", 0.1, 0.1, None),
    ];
    for (name, by_gates, by_weights, node) in known {
        let network = network(name);
        let [gates, weights] = [Criterion::Gates, Criterion::L1].map(|c| analysis(&network, c));
        let share = |a: &Analysis| a.macs_min as f64 / a.macs_total as f64;
        assert!(share(&gates) <= by_gates, "{name}: {} by gates", share(&gates));
        assert!(share(&weights) <= by_weights, "{name}: {} by weights", share(&weights));
        assert!(weights.unlearned.is_empty());
        let named = gates.unlearned.iter().find_map(|u| u.node.as_deref());
        assert_eq!(named.is_some(), node.is_some() && share(&weights) < share(&gates), "{name}: {named:?}");
        if named.is_some() {
            assert_eq!(named, node, "{name}");
        }
    }
}

#[test]
fn operators_that_are_not_run_are_counted_whole() {
    let first = 8 * 3 * 9 * 64;
    for (name, whole, all) in [
        ("integer_convolutions", (12 * 3 + 16 * 12) * 9 * 144 + 16 * 5, None),
        ("quantised_while_running", first, Some(first + (12 * 8 * 9 + 6 * 12) * 64 + 6 * 5)),
        ("fused", 16 * 16 * 9 * 256, Some(((12 * 3 + 16 * 12 + 2 * 16 * 16 + 12 * 16) * 9) * 256 + 12 * 5)),
    ] {
        let network = network(name);
        let analysis = analysis(&network, Criterion::L1);
        let cost = |kept| analysis.cost.hard(&vec![kept; analysis.groups.classes.len()]);
        assert_eq!((cost(false), cost(true)), (whole, all.unwrap_or(whole)), "{name}");
    }
}

#[test]
fn a_target_that_only_other_criteria_reach_names_the_node_in_the_way() {
    let said =
        prune(&network("unknown_between"), Criterion::Gates, Target::Share(0.7)).unwrap_err().to_string();
    for word in ["'dcn'", "DeformConv", "gradient", "`criterion` l1"] {
        assert!(said.contains(word), "{said}");
    }
    prune(&network("unknown_between"), Criterion::L1, Target::Share(0.7)).unwrap();
}

#[test]
fn channels_that_a_mask_kills_go_first_under_every_criterion() {
    let network = network("masked_channels");
    for criterion in [Criterion::Gates, Criterion::L1, Criterion::Random] {
        let analysis = analysis(&network, criterion);
        let dead = analysis.dead.iter().filter(|dead| **dead).count();
        assert_eq!(dead, 8, "{criterion:?}");
        let done = prune(&network, criterion, Target::Share(0.5)).unwrap();
        for (c, dead) in analysis.dead.iter().enumerate() {
            assert_eq!(done.plan.kept[c], !dead, "{criterion:?}: channel {c}");
        }
        // Nothing is lost.
        assert!(done.agreement.unwrap().relative_error < 1e-6, "{criterion:?}");
    }
}

/// Zero filters behind which a bias is below zero, a zero scale, a zero column: through ReLUs, a depthwise convolution and a pool.
/// What stays a constant other than zero is not killed, nor what a later bias wakes.
#[test]
fn what_constants_kill_is_followed_to_the_readers() {
    let network = network("killed_channels");
    let (graph, analysis) = (&network.model.graph, analysis(&network, Criterion::L1));
    let read = graph.value_named("p").unwrap();
    let classes = analysis.groups.axis(read, 1);
    let dead: Vec<usize> = (0..8).filter(|&i| analysis.dead[classes[i].get().unwrap()]).collect();
    assert_eq!(dead, [1, 5, 7]);
    let done = prune(&network, Criterion::Random, Target::Share(0.7)).unwrap();
    assert!(dead.iter().all(|&i| !done.plan.kept[classes[i].get().unwrap()]));
    let few = prune(&network, Criterion::Random, Target::Share(0.8)).unwrap();
    assert!(few.agreement.unwrap().relative_error < 1e-6);
}

#[test]
fn channels_are_zero_by_whatever_makes_them_so() {
    for (name, dead) in [
        ("where_mask", 3),
        ("concat_zeros", 4),
        ("padded_channels", 5),
        ("prelu_gelu_dead", 1),
        ("divisors", 0),
    ] {
        let analysis = analysis(&network(name), Criterion::L1);
        assert_eq!(analysis.dead.iter().filter(|dead| **dead).count(), dead, "{name}");
    }
}

#[test]
fn weights_that_nothing_reads_are_in_no_group_and_no_count() {
    let network = network("unread_weights");
    let graph = &network.model.graph;
    let unread: Vec<&str> = graph.unread().into_iter().map(|v| graph.values[v].name.as_str()).collect();
    assert_eq!(unread, ["w1"]);
    let analysis = analysis(&network, Criterion::L1);
    assert_eq!(analysis.groups.classes.len(), 16);
    // The 8-bit weights of the first layer, the floats of the second, biases, and a scale for each of 16 channels and for all.
    assert_eq!(graph.parameters(), 16 * 16 * 9 + 8 * 16 * 9 + 16 + 8 + 16 + 1);
    let done = prune(&network, Criterion::L1, Target::Share(0.5)).unwrap();
    let w1 = graph.value_named("w1").unwrap();
    assert_eq!(done.graph().initializer(w1), graph.initializer(w1));
    let mut without = done.graph().clone();
    without.leave_out(w1);
    let small = network.model.with_graph(without).unwrap();
    let again = autobot_onnx::internals::onnx::parse(&small.to_bytes().unwrap(), &network.path, &[]).unwrap();
    assert!(again.graph.value_named("w1").is_none() && again.graph.value_named("w2").is_some());
}

#[test]
fn whole_numbers_are_served_below_what_they_index() {
    let ends = |name: &str| -> Vec<String> {
        let n = network(name);
        let specs = autobot_onnx::internals::gates::inputs(n.network()).unwrap();
        specs.into_iter().map(|s| s.values.to_string()).collect()
    };
    assert_eq!(ends("tokens"), ["whole numbers from 0 to 127"]);
    assert_eq!(ends("mask_input"), ["real numbers", "whole numbers from 0 to 1"]);
    assert_eq!(ends("pixels"), ["whole numbers from 0 to 255"]);
    assert_eq!(ends("divisor"), ["real numbers"]);
}
