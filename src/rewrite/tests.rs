use super::*;
use crate::coupling::{Residual, group};
use crate::exec::ReferenceInterpreter;
use crate::ops::Net;

/// A network and its groups.
struct Given {
    graph: Graph,
    facts: Facts,
    groups: Groups,
}

impl Given {
    fn of((graph, facts): (Graph, Facts), residual: Residual) -> Self {
        let groups = group(Network::new(&graph, &facts), residual);
        Self { graph, facts, groups }
    }

    /// All classes but those of coordinates of an axis.
    fn without(&self, v: ValueId, axis: usize, gone: &[usize]) -> Vec<bool> {
        let mut kept = vec![true; self.groups.classes.len()];
        gone.iter().for_each(|&i| kept[self.groups.axis(v, axis)[i].get().unwrap()] = false);
        kept
    }

    fn rewrite(&self, kept: &[bool]) -> Rewritten {
        rewrite(Network::new(&self.graph, &self.facts), &self.groups, kept, 17).unwrap()
    }
}

/// What a network gives for an input of 1, 2, 3, …
fn outputs(graph: &Graph) -> Vec<f64> {
    let facts = infer(graph, None).unwrap();
    let shape = facts.shape(graph.inputs[0]).unwrap();
    let x = array(shape, (1..=volume(shape)).map(|x| x as f64).collect());
    let targets = &graph.outputs;
    let network = ReferenceInterpreter { network: Network::new(graph, &facts).into(), targets };
    network.outputs(&[x], &[]).unwrap().iter().flatten().copied().collect()
}

fn reals(graph: &Graph, v: ValueId) -> Vec<f64> {
    graph.initializer(v).unwrap().to_real()
}

/// 2 → 4 → 2 channels: the numbers of the middle value and of the layers' weights.
fn chain() -> (Given, ValueId, [ValueId; 2]) {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 2, 2]);
    let a = net.conv(x, &[4, 2, 1, 1], 1);
    let middle = net.plain("Relu", &[a]);
    let y = net.conv(middle, &[2, 4, 1, 1], 1);
    let weights = [a, y].map(|v| net.graph.nodes[net.graph.producer(v).unwrap()].inputs[1].unwrap());
    (Given::of(net.done(&[y]), Residual::Tie), middle, weights)
}

#[test]
fn a_layer_loses_rows_and_its_reader_columns() {
    let (given, middle, [first, second]) = chain();
    let done = given.rewrite(&given.without(middle, 1, &[1, 2]));
    assert_eq!(reals(&done.graph, first), [1.0, 2.0, 7.0, 8.0]);
    assert_eq!(reals(&done.graph, second), [1.0, 4.0, 5.0, 8.0]);
    let sliced = |v: ValueId, axis: usize| Sliced {
        initializer: given.graph.values[v].name.clone(),
        axis,
        kept: vec![0, 3],
        readers: Vec::new(),
    };
    assert_eq!(done.sliced, [sliced(first, 0), sliced(second, 1)]);
    assert!(done.restated.is_empty());
    let facts = infer(&done.graph, None).unwrap();
    assert_eq!(facts.shape(middle), Some(&[1, 2, 2, 2][..]));
}

#[test]
fn nothing_deleted_is_nothing_changed() {
    let (given, ..) = chain();
    let done = given.rewrite(&[true; 4]);
    assert_eq!(
        print(Network::new(&done.graph, &given.facts)),
        print(Network::new(&given.graph, &given.facts))
    );
    assert!(done.sliced.is_empty() && done.masks.is_empty());
}

#[test]
fn a_mask_stands_where_a_deleted_channel_is_read() {
    let (given, middle, _) = chain();
    let done = given.rewrite(&given.without(middle, 1, &[1, 2]));
    let reader = given.graph.nodes.last().unwrap().name.clone();
    assert_eq!(done.masks, [Mask { node: reader, input: 0, axis: 1, kept: vec![0, 3] }]);
    let whole = masked(&given.graph, &done.masks, &[]).unwrap();
    let product = &whole.nodes[whole.nodes.len() - 2];
    assert_eq!((product.op_type.as_str(), product.inputs[0]), ("Mul", Some(middle)));
    assert_eq!(reals(&whole, product.inputs[1].unwrap()), [1.0, 0.0, 0.0, 1.0]);
    assert_eq!(outputs(&whole), outputs(&done.graph));
    assert_ne!(outputs(&whole), outputs(&given.graph));
}

#[test]
fn a_mask_of_another_network_is_refused() {
    let (given, ..) = chain();
    let reader = given.graph.nodes.last().unwrap().name.clone();
    let refused = |node: &str, axis: usize, kept: &[usize]| {
        let mask = Mask { node: node.into(), input: 0, axis, kept: kept.to_vec() };
        masked(&given.graph, &[mask], &[]).unwrap_err().to_string()
    };
    assert!(refused("other", 1, &[0]).contains("no such node"));
    assert!(refused(&reader, 4, &[0]).contains("no such axis"));
    assert!(refused(&reader, 1, &[0, 4]).contains("these coordinates"));
    assert!(refused(&reader, 1, &[3, 0]).contains("these coordinates"));
}

/// Two groups of three outputs each: a place in the groups goes from both, and there are two groups still.
#[test]
fn a_grouped_convolution_loses_a_place_of_every_group() {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 2, 2]);
    let a = net.conv(x, &[4, 2, 1, 1], 1);
    let b = net.conv(a, &[6, 2, 1, 1], 2);
    let y = net.conv(b, &[2, 6, 1, 1], 1);
    let grouped = net.graph.nodes[1].inputs[1].unwrap();
    let given = Given::of(net.done(&[y]), Residual::Tie);
    let mut kept = given.without(b, 1, &[1]);
    kept.iter_mut().zip(given.without(a, 1, &[0])).for_each(|(kept, other)| *kept &= other);
    let done = given.rewrite(&kept);
    let [a, b] = [a, b].map(|v| infer(&done.graph, None).unwrap().shape(v).unwrap()[1]);
    assert_eq!((a, b), (2, 4));
    assert_eq!(reals(&done.graph, grouped), [2.0, 6.0, 8.0, 12.0]);
    assert_eq!(done.graph.nodes[1].op.attributes().get("group"), Some(&Attr::Int(2)));
    assert_eq!(outputs(&masked(&given.graph, &done.masks, &[]).unwrap()), outputs(&done.graph));
}

#[test]
fn a_depthwise_convolution_loses_groups() {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 2, 2]);
    let a = net.conv(x, &[4, 2, 1, 1], 1);
    let b = net.conv(a, &[4, 1, 1, 1], 4);
    let y = net.conv(b, &[2, 4, 1, 1], 1);
    let depthwise = net.graph.nodes[1].inputs[1].unwrap();
    let given = Given::of(net.done(&[y]), Residual::Tie);
    let done = given.rewrite(&given.without(b, 1, &[2]));
    assert_eq!(reals(&done.graph, depthwise), [1.0, 2.0, 4.0]);
    assert_eq!(done.graph.nodes[1].op.attributes().get("group"), Some(&Attr::Int(3)));
    assert_eq!(outputs(&masked(&given.graph, &done.masks, &[]).unwrap()), outputs(&done.graph));
}

/// Layers with one weight are tied by it: it is sliced once, for both.
#[test]
fn a_shared_weight_is_sliced_once() {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 2, 2]);
    let w = net.counted(&[4, 2, 1, 1]);
    let a = net.plain("Conv", &[x, w]);
    let turned = net.plain("Neg", &[x]);
    let b = net.plain("Conv", &[turned, w]);
    let ends = [a, b].map(|v| net.conv(v, &[2, 4, 1, 1], 1));
    let given = Given::of(net.done(&ends), Residual::Tie);
    assert_eq!(given.groups.classes.len(), 4);
    let done = given.rewrite(&given.without(a, 1, &[0]));
    assert_eq!(reals(&done.graph, w), [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    assert_eq!(done.sliced.iter().filter(|s| s.axis == 0).count(), 1);
    let facts = infer(&done.graph, None).unwrap();
    assert_eq!([a, b].map(|v| facts.shape(v).unwrap()[1]), [3, 3]);
    assert_eq!(outputs(&masked(&given.graph, &done.masks, &[]).unwrap()), outputs(&done.graph));
}

#[test]
fn a_branch_is_scattered_to_the_width_of_its_trunk() {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 2, 2]);
    let trunk = net.conv(x, &[4, 2, 1, 1], 1);
    let branch = net.conv(trunk, &[4, 4, 1, 1], 1);
    let sum = net.plain("Add", &[trunk, branch]);
    let y = net.conv(sum, &[2, 4, 1, 1], 1);
    let given = Given::of(net.done(&[y]), Residual::Expand);
    let done = given.rewrite(&given.without(branch, 1, &[0, 2]));
    let facts = infer(&done.graph, None).unwrap();
    assert_eq!([trunk, branch, sum].map(|v| facts.shape(v).unwrap()[1]), [4, 2, 4]);
    let gather = done.graph.nodes.iter().find(|n| n.op_type == "Gather").unwrap();
    assert_eq!(done.graph.initializer(gather.inputs[1].unwrap()).unwrap().to_ints(), [2, 0, 2, 1]);
    assert_eq!(outputs(&masked(&given.graph, &done.masks, &[]).unwrap()), outputs(&done.graph));
}

#[test]
fn a_bias_that_layers_share_is_raised_for_one_of_them() {
    let mut net = Net::default();
    let x = net.input(&[1, 2, 2, 2]);
    let bias = net.counted(&[2]);
    let [one, other] = [(); 2].map(|()| {
        let w = net.counted(&[2, 2, 1, 1]);
        net.plain("Conv", &[x, w, bias])
    });
    let given = Given::of(net.done(&[one, other]), Residual::Tie);
    let mut done = given.rewrite(&vec![true; given.groups.classes.len()]);
    let kept = vec![true; given.groups.classes.len()];
    let amounts = [(0, vec![0.5, -1.0])];
    let added =
        add_biases(&mut done, Network::new(&given.graph, &given.facts), &given.groups, &kept, &amounts)
            .unwrap();
    let [raised, left] = [0, 1].map(|n: NodeId| done.graph.nodes[n].inputs[2].unwrap());
    assert_eq!((reals(&done.graph, raised), reals(&done.graph, left)), (vec![1.5, 1.0], vec![1.0, 2.0]));
    assert_eq!((left, added.len()), (bias, 1));
    assert_eq!((added[0].node.as_str(), &added[0].added[..]), ("Conv_0", &[0.5, -1.0][..]));
    let whole = masked(&given.graph, &[], &added).unwrap();
    assert_eq!(outputs(&whole), outputs(&done.graph));
}

#[test]
fn a_mean_that_is_subtracted_from_a_layer_takes_the_place_of_a_bias() {
    let of_both = |shared: bool| {
        let mut net = Net::default();
        let x = net.input(&[1, 2, 2, 2]);
        let w = net.counted(&[3, 2, 1, 1]);
        let y = net.plain("Conv", &[x, w]);
        let [scale, bias, mean, variance] = [(); 4].map(|()| net.counted(&[3]));
        let normalised = net.plain("BatchNormalization", &[y, scale, bias, mean, variance]);
        let ends = if shared { vec![normalised, y] } else { vec![normalised] };
        let given = Given::of(net.done(&ends), Residual::Tie);
        let kept = vec![true; given.groups.classes.len()];
        let mut done = given.rewrite(&kept);
        let network = Network::new(&given.graph, &given.facts);
        let amounts = [(0, vec![0.5, 0.0, -1.0])];
        let added = add_biases(&mut done, network, &given.groups, &kept, &amounts).unwrap();
        let whole = masked(&given.graph, &[], &added).unwrap();
        assert_eq!(outputs(&whole), outputs(&done.graph));
        assert_ne!(outputs(&whole), outputs(&given.graph));
        (done.graph.nodes[0].inputs.len(), reals(&done.graph, mean))
    };
    assert_eq!(of_both(false), (2, vec![0.5, 2.0, 4.0]), "no bias; the mean 1, 2, 3 is lowered");
    assert_eq!(of_both(true), (3, vec![1.0, 2.0, 3.0]), "something else reads what is normalised");
}

/// What was learned of the small network stands in the wide one at its coordinates; what was deleted is as it was.
#[test]
fn weights_of_a_small_network_go_back_to_their_places() {
    let (given, middle, [first, second]) = chain();
    let kept = given.without(middle, 1, &[1]);
    let mut small = given.rewrite(&kept).graph;
    store(&mut small, first, Tensor::floats(&[3, 2, 1, 1], vec![-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]))
        .unwrap();
    let (wide, _) = widen(Network::new(&given.graph, &given.facts), &given.groups, &kept, &small).unwrap();
    assert_eq!(reals(&wide, first), [-1.0, -2.0, 3.0, 4.0, -3.0, -4.0, -5.0, -6.0]);
    assert_eq!(reals(&wide, second), reals(&given.graph, second));
}

mod shapes {
    use crate::ops::Net;
    use crate::rewrite::shape_arithmetic::sources;
    use crate::tensor::Tensor;

    /// The choices for a node of constant operands at two sets of sizes, with what its result must be.
    fn choices(
        op_type: &str,
        operands: &[[&[i64]; 2]],
        want: [&[f64]; 2],
    ) -> Vec<Vec<(usize, Vec<Vec<f64>>)>> {
        let mut net = Net::default();
        let inputs: Vec<usize> = operands.iter().map(|x| net.constant(Tensor::ints(x[0]))).collect();
        net.plain(op_type, &inputs);
        let stated: Vec<_> = operands.iter().map(|x| Some(x.map(Tensor::ints).to_vec())).collect();
        sources(&net.graph.nodes[0], &stated, &want.map(<[f64]>::to_vec))
    }

    #[test]
    fn a_literal_is_divided_out_before_a_size() {
        // 12 = 3 · 4 and 24 = 6 · 4, of which the 4 must be a 2.
        let found = choices("Mul", &[[&[3], &[6]], [&[4], &[4]]], [&[6.0], &[12.0]]);
        assert_eq!(found[0], [(1, vec![vec![2.0], vec![2.0]])]);
        // No whole number makes 7 of 3.
        assert!(choices("Mul", &[[&[3], &[3]], [&[4], &[4]]], [&[7.0], &[7.0]]).is_empty());
    }
}
