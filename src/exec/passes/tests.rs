//! Fused programs against the reference interpreter.

use crate::exec::gated::{GateSpec, GatedNetwork};
use crate::exec::program::{Kind, Precision, Program};
use crate::exec::{BiasTermSpec, ReferenceInterpreter, Workspace};
use crate::graph::*;
use crate::ops;
use crate::support::index::OptIndex;
use crate::tensor::*;
use std::sync::Arc;

/// A graph in the making.
#[derive(Default)]
struct Builder(Graph);

impl Builder {
    fn value(&mut self, origin: Origin, declared: Option<Fact>) -> ValueId {
        let name = format!("v{}", self.0.values.len());
        self.0.values.push(Value { name, origin, declared });
        self.0.values.len() - 1
    }

    fn input(&mut self, shape: &[usize]) -> ValueId {
        let v = self.value(Origin::Input, Some(Fact::new(DType::F32, shape)));
        self.0.inputs.push(v);
        v
    }

    fn constant(&mut self, t: Tensor) -> ValueId {
        self.value(Origin::Initializer(t), None)
    }

    /// A constant of positive numbers without an order.
    fn weight(&mut self, shape: &[usize]) -> ValueId {
        let data = (0..volume(shape)).map(|i| (i * 7 % 11 + 1) as f32 / 8.0);
        self.constant(Tensor::floats(shape, data.collect()))
    }

    fn node(&mut self, op: &str, inputs: &[ValueId], attributes: &[(&str, i64)]) -> ValueId {
        let attributes = attributes.iter().map(|(name, v)| ((*name).to_owned(), Attr::Int(*v))).collect();
        let y = self.value(Origin::Node(self.0.nodes.len(), 0), None);
        self.0.nodes.push(Node {
            name: format!("n{}", self.0.nodes.len()),
            op_type: op.to_owned(),
            op: Arc::from(ops::read(op, "", 17, &attributes, inputs.len(), 1).unwrap()),
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![Some(y)],
            captured: Vec::new(),
            source: None,
        });
        y
    }

    /// The gate of a value along axis 1 at the nodes that read it.
    fn gate(&self, value: ValueId, reader: NodeId, index: &[Option<usize>]) -> GateSpec {
        let slot = self.0.nodes[reader].inputs.iter().position(|v| *v == Some(value)).unwrap();
        let index = index.iter().copied().map(OptIndex::from).collect();
        GateSpec { value, axis: 1, index, readers: vec![(reader, slot)] }
    }
}

/// Compiles a graph, and asserts that the program gives what the interpreter gives.
fn compiled(graph: &Graph, gates: &[GateSpec], bias_terms: &[BiasTermSpec], lambda: &[f32]) -> Program {
    let facts = infer(graph, None).unwrap();
    let (targets, precision) = (&graph.outputs[..], Precision::Exact);
    let network = GatedNetwork { network: Network::new(graph, &facts), gates, bias_terms };
    let program = Program::compile(network, precision, targets).unwrap();
    let mut workspace = Workspace::new(&program);
    let x = workspace.input(&program, 0);
    x.iter_mut().enumerate().for_each(|(i, x)| *x = (i * 5 % 13) as f32 / 4.0 - 1.5);
    let x = array(facts.shape(graph.inputs[0]).unwrap(), x.iter().map(|&x| f64::from(x)).collect());
    workspace.forward(&program, Some(lambda));
    let lambda: Vec<f64> = lambda.iter().map(|&l| f64::from(l)).collect();
    let interpreter = ReferenceInterpreter { network, targets };
    let expected = interpreter.outputs(&[x], &lambda).unwrap();
    for (k, expected) in expected.iter().enumerate() {
        let found = workspace.target(&program, k);
        assert_eq!(found.shape(), expected.shape());
        let near = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs() < 1e-4;
        assert!(found.iter().zip(expected).all(near), "{found:?} {expected:?}");
    }
    program
}

/// trunk = relu(conv(x)), y = relu(trunk + pad(gate(conv(gate(gather(trunk))))))
#[test]
fn a_residual_block_with_a_narrow_branch_is_three_steps() {
    let mut b = Builder::default();
    let x = b.input(&[1, 3, 6, 6]);
    let (w, picked) = (b.weight(&[4, 3, 1, 1]), b.constant(Tensor::ints(&[3, 1])));
    let trunk = b.node("Conv", &[x, w], &[]);
    let trunk = b.node("Relu", &[trunk], &[]);
    let gathered = b.node("Gather", &[trunk, picked], &[("axis", 1)]);
    let w = b.weight(&[3, 2, 1, 1]);
    let branch = b.node("Conv", &[gathered, w], &[]);
    let pads = b.constant(Tensor::ints(&[0, 1, 0, 0, 0, 0, 0, 0]));
    let padded = b.node("Pad", &[branch, pads], &[]);
    let sum = b.node("Add", &[padded, trunk], &[]);
    let y = b.node("Relu", &[sum], &[]);
    b.0.outputs.push(y);
    let gates = [b.gate(gathered, 3, &[Some(0), None]), b.gate(branch, 4, &[Some(1), None, Some(2)])];
    let program = compiled(&b.0, &gates, &[], &[0.5, 0.25, -2.0]);
    let index = |index: &[Option<usize>]| Some(index.iter().copied().map(OptIndex::from).collect::<Vec<_>>());
    let [first, second, third] = &program.steps[..] else { panic!("{} steps", program.steps.len()) };
    let (Kind::Conv(first), Kind::Conv(second)) = (&first.kind, &second.kind) else {
        panic!("no convolutions")
    };
    assert!(first.relu && first.gate.is_none() && first.channel_map.is_none() && !second.relu);
    assert_eq!(second.gate, index(&[Some(0), None]));
    assert_eq!(second.channel_map, index(&[Some(3), Some(1)]));
    let Kind::Sum { channel_map, gate, relu: true } = &third.kind else { panic!("no sum with a ReLU") };
    assert_eq!(*channel_map, index(&[None, Some(0), Some(1), Some(2)]));
    assert_eq!(*gate, index(&[None, Some(1), None, Some(2)]));
}

/// gather(gather(x)) = gather(x)
#[test]
fn gathers_of_channels_are_composed() {
    let mut b = Builder::default();
    let x = b.input(&[1, 3, 6, 6]);
    let (pads, picked) =
        (b.constant(Tensor::ints(&[0, 1, 0, 0, 0, 0, 0, 0])), b.constant(Tensor::ints(&[3, 0, 1])));
    let padded = b.node("Pad", &[x, pads], &[]);
    let y = b.node("Gather", &[padded, picked], &[("axis", 1)]);
    b.0.outputs.push(y);
    let program = compiled(&b.0, &[], &[], &[]);
    let [step] = &program.steps[..] else { panic!("{} steps", program.steps.len()) };
    let Kind::Gather(channel_map) = &step.kind else { panic!("no gather") };
    assert_eq!(channel_map[..], [Some(2), None, Some(0)].map(OptIndex::from));
}

/// norm(conv(gate(x)) + bias term) is a convolution with a bias term; the weights that two convolutions share stay the other's.
#[test]
fn a_batch_normalization_goes_into_weights_bias_and_bias_term() {
    let mut b = Builder::default();
    let x = b.input(&[1, 2, 6, 6]);
    let (w, bias) = (b.weight(&[3, 2, 1, 1]), b.weight(&[3]));
    let [scale, shift, mean, variance] = [0; 4].map(|_| b.weight(&[3]));
    let conv = b.node("Conv", &[x, w, bias], &[]);
    let y = b.node("BatchNormalization", &[conv, scale, shift, mean, variance], &[]);
    let other = b.node("Conv", &[x, w], &[]);
    b.0.outputs.extend([y, other]);
    let gates = [b.gate(x, 0, &[Some(0), None])];
    let level = vec![OptIndex::some(1), OptIndex::NONE];
    let matrix = vec![1.0, 2.0, -1.0, 0.5, 3.0, 0.25];
    let term = BiasTermSpec { node: 0, axis: 1, index: gates[0].index.clone(), level, matrix };
    let program = compiled(&b.0, &gates, &[term], &[0.5, 3.0]);
    assert_eq!(program.steps.len(), 2);
    assert!(program.steps.iter().all(|s| matches!(s.kind, Kind::Conv(_))));
}
