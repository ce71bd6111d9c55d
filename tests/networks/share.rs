//! Constants that several layers share in a file: each reader has its own channels, and the file keeps what is equal once.

use super::{Residual, fixture, without};
use autobot_onnx::internals::plan::{Limits, Search};
use autobot_onnx::internals::rewrite;
use onnx_protobuf::{Message, ModelProto};

/// Name and length of what a node reads.
fn operand(proto: &ModelProto, node: &str, slot: usize) -> (String, i64) {
    let n = proto.graph.node.iter().find(|n| n.name == node).unwrap();
    let name = n.input[slot].clone();
    let t = proto.graph.initializer.iter().find(|t| t.name == name);
    (name, t.map_or(0, |t| t.dims[0]))
}

#[test]
fn nothing_cut_is_nothing_changed() {
    // Declared shapes that do not hold are corrected.
    for network in super::ours().into_iter().filter(|n| !n.name.starts_with("stale")) {
        let original = std::fs::read(&network.path).unwrap();
        let again = network.model.with_graph(network.model.graph.clone()).unwrap().to_bytes().unwrap();
        let [a, b] = [original, again].map(|bytes| ModelProto::parse_from_bytes(&bytes).unwrap());
        assert!(a == b, "{}", network.name);
    }
}

#[test]
fn layers_that_share_a_bias_are_cut_each_by_itself() {
    let network = fixture("shared_bias");
    let (groups, _) = network.groups(Residual::Tie);
    assert_eq!(
        groups.groups.iter().map(|g| g.classes.len()).collect::<Vec<_>>(),
        [6, 6, 6],
        "{}",
        groups.print()
    );
    let small = without(&network, &|name| usize::from(name == "conv1"));
    assert_eq!(operand(&small, "conv0", 2), ("bias".into(), 6));
    assert_eq!(operand(&small, "conv1", 2).1, 5);
    assert_eq!(operand(&small, "conv2", 2), ("bias".into(), 6));
    let parameters = network.model.graph.parameters();
    assert_eq!(parameters, 6 * 27 + 2 * 6 * 54 + 6 + 4 * 6 + 4);
}

#[test]
fn what_all_readers_keep_stays_one_constant() {
    let network = fixture("shared_norm");
    let all = without(&network, &|_| 2);
    assert_eq!(
        all.graph.initializer.len(),
        ModelProto::parse_from_bytes(&std::fs::read(&network.path).unwrap()).unwrap().graph.initializer.len()
    );
    for k in 0..3 {
        assert_eq!(operand(&all, &format!("bn{k}"), 1), ("ones".into(), 4));
        assert_eq!(operand(&all, &format!("conv{k}"), 2), ("zeros".into(), 4));
    }
    let one = without(&network, &|name| usize::from(name == "conv1"));
    assert_eq!(operand(&one, "bn0", 1), ("ones".into(), 6));
    assert_eq!(operand(&one, "bn2", 4), ("ones".into(), 6));
    let (scale, variance) = (operand(&one, "bn1", 1), operand(&one, "bn1", 4));
    assert_eq!((scale.1, &scale), (5, &variance));
}

#[test]
fn weights_shared_on_purpose_stay_one() {
    let network = fixture("shared_weight");
    assert!(network.model.graph.copies.is_empty(), "{:?}", network.model.graph.copies);
}

#[test]
fn the_plan_tells_which_readers_lose_what() {
    let network = fixture("shared_bias");
    let (groups, cost) = network.groups(Residual::Tie);
    let least = Search::new(&groups, &cost, Limits::default(), vec![false; groups.classes.len()]).smallest();
    let done = rewrite::rewrite(network.network(), &groups, &least.kept, network.model.opset()).unwrap();
    let of_bias = done.sliced.iter().filter(|s| s.initializer == "bias");
    let told: Vec<(&str, usize, usize)> =
        of_bias.map(|s| (s.readers[0].node.as_str(), s.readers[0].input, s.kept.len())).collect();
    assert_eq!(told, [("conv0", 2, 1), ("conv1", 2, 1), ("conv2", 2, 1)]);
    assert!(done.sliced.iter().all(|s| s.readers.is_empty() || s.initializer == "bias"));
}
