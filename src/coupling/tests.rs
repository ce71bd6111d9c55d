use super::*;
use crate::graph::*;
use crate::ops::Net;
use crate::support::index::OptIndex;
use crate::tensor::Tensor;

/// Classes along an axis, as numbers; -1 where frozen.
fn classes(groups: &Groups, v: ValueId, axis: usize) -> Vec<i64> {
    groups.axis(v, axis).iter().map(|c| c.get().map_or(-1, |c| c as i64)).collect()
}

/// 2 → 3 → 2 channels: the numbers of input, middle value and output.
fn chain() -> (Graph, Facts, [ValueId; 3]) {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 4, 4]);
    let a = net.conv(x, &[3, 2, 1, 1], 1);
    let y = net.conv(a, &[2, 3, 1, 1], 1);
    let (graph, facts) = net.done(&[y]);
    (graph, facts, [x, a, y])
}

#[test]
fn a_channel_is_one_class_where_it_is_made_and_read() {
    let (graph, facts, [x, a, y]) = chain();
    let groups = group(Network::new(&graph, &facts), Residual::Tie);
    let [first, second] = [0, 1].map(|n: NodeId| graph.nodes[n].inputs[1].unwrap());
    for (v, axis) in [(a, 1), (first, 0), (second, 1)] {
        assert_eq!(classes(&groups, v, axis), [0, 1, 2]);
    }
    for (v, axis, size) in [(x, 1, 2), (first, 1, 2), (y, 1, 2), (a, 2, 4)] {
        assert_eq!(groups.axis(v, axis), vec![OptIndex::NONE; size]);
    }
    assert_eq!(groups.sites(&graph), [Site { node: 1, slot: 0, axis: 1 }]);
    assert_eq!(groups.print(), "free   Conv_0 x3\nfrozen Conv_1 x2: it is an output of the network\n");
}

#[test]
fn places_in_groups_are_classes() {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 4, 4]);
    let a = net.conv(x, &[4, 2, 1, 1], 1);
    let b = net.conv(a, &[6, 2, 1, 1], 2);
    let y = net.conv(b, &[2, 6, 1, 1], 1);
    let (graph, facts) = net.done(&[y]);
    let groups = group(Network::new(&graph, &facts), Residual::Tie);
    assert_eq!(classes(&groups, a, 1), [0, 1, 0, 1]);
    assert_eq!(classes(&groups, b, 1), [2, 3, 4, 2, 3, 4]);
}

/// By reading: the numbers of classes of trunk and branch, and what a deleted channel of the sum takes with it.
#[test]
fn an_addition_has_readings() {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 4, 4]);
    let trunk = net.conv(x, &[3, 2, 1, 1], 1);
    let branch = net.conv(trunk, &[3, 3, 1, 1], 1);
    let sum = net.plain("Add", &[trunk, branch]);
    let y = net.conv(sum, &[2, 3, 1, 1], 1);
    let (graph, facts) = net.done(&[y]);
    let tie = group(Network::new(&graph, &facts), Residual::Tie);
    assert_eq!((classes(&tie, branch, 1), classes(&tie, sum, 1)), (vec![0, 1, 2], vec![0, 1, 2]));
    assert!(tie.expands.is_empty() && tie.implied.is_empty());
    let expand = group(Network::new(&graph, &facts), Residual::Expand);
    assert_eq!(classes(&expand, trunk, 1), classes(&expand, sum, 1));
    assert_ne!(classes(&expand, branch, 1), classes(&expand, sum, 1));
    assert_eq!(expand.expands, [Site { node: 2, slot: 1, axis: 1 }]);
    let pairs = expand.axis(sum, 1).iter().zip(expand.axis(branch, 1));
    let pairs: Vec<_> = pairs.map(|(t, b)| (t.get().unwrap(), b.get().unwrap())).collect();
    assert_eq!(expand.implied, pairs);
}

#[test]
fn a_group_that_is_refused_is_frozen_and_the_others_are_numbered_anew() {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 4, 4]);
    let a = net.conv(x, &[3, 2, 1, 1], 1);
    let b = net.conv(a, &[4, 3, 1, 1], 1);
    let y = net.conv(b, &[2, 4, 1, 1], 1);
    let (graph, facts) = net.done(&[y]);
    let mut groups = group(Network::new(&graph, &facts), Residual::Tie);
    assert_eq!(classes(&groups, b, 1), [3, 4, 5, 6]);
    groups.restrict(|g| if g.name == "Conv_0" { Err("asked to stay".into()) } else { Ok(()) });
    assert_eq!(classes(&groups, a, 1), [-1; 3]);
    assert_eq!(classes(&groups, b, 1), [0, 1, 2, 3]);
    assert_eq!((groups.classes.len(), groups.groups.len(), groups.derived.len()), (4, 1, 4));
    assert_eq!(groups.groups[0].classes, [0, 1, 2, 3]);
    assert!(groups.print().contains("frozen Conv_0 x3: it is asked to stay"));
}

/// A Softmax over channels says nothing of them.
#[test]
fn what_an_operator_leaves_unsaid_is_frozen_with_its_name() {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 4, 4]);
    let a = net.conv(x, &[3, 2, 1, 1], 1);
    let s = net.node("Softmax", Writer::default().put("axis", 1), &[a]);
    let y = net.conv(s, &[2, 3, 1, 1], 1);
    let (graph, facts) = net.done(&[y]);
    let groups = group(Network::new(&graph, &facts), Residual::Auto);
    assert!(groups.classes.is_empty());
    assert!(groups.frozen.iter().any(|f| f.name == "Conv_0" && f.node.as_deref() == Some("Softmax_1")));
}

/// Only one channel is left of a layer: its axis would be empty.
#[test]
fn a_class_that_is_a_whole_axis_stays() {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 4, 4]);
    let a = net.conv(x, &[1, 2, 1, 1], 1);
    let y = net.conv(a, &[2, 1, 1, 1], 1);
    let (graph, facts) = net.done(&[y]);
    let groups = group(Network::new(&graph, &facts), Residual::Tie);
    assert!(groups.classes.is_empty());
    assert_eq!(groups.frozen[0].why, "would be left without a channel");
}

/// A filter of zeros without a bias, and a channel that is read by zeros only.
#[test]
fn dead_are_channels_of_zeros_and_those_read_by_zeros() {
    let mut net = Net::default();
    let x = net.input(&[1, 1, 4, 4]);
    let filters = net.constant(Tensor::floats(&[3, 1, 1, 1], vec![1.0, 0.0, 2.0]));
    let a = net.plain("Conv", &[x, filters]);
    let r = net.plain("Relu", &[a]);
    let readers = net.constant(Tensor::floats(&[2, 3, 1, 1], vec![1.0, 1.0, 0.0, 1.0, 1.0, 0.0]));
    let y = net.plain("Conv", &[r, readers]);
    let (graph, facts) = net.done(&[y]);
    let groups = group(Network::new(&graph, &facts), Residual::Tie);
    assert_eq!(groups.dead(Network::new(&graph, &facts)), [false, true, true]);
}
