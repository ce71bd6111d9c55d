//! Small networks built by hand, for unit tests.

use crate::graph::*;
use crate::ops;
use crate::support::random::Draw;
use crate::tensor::*;

/// A graph in the making: values are called v0, v1, …, nodes by their operator and number.
#[derive(Debug)]
pub struct Net {
    pub graph: Graph,
    pub draw: Draw,
}

impl Default for Net {
    fn default() -> Self {
        Self { graph: Graph::default(), draw: Draw::new(7, 0) }
    }
}

impl Net {
    fn value(&mut self, origin: Origin, declared: Option<Fact>) -> ValueId {
        let name = format!("v{}", self.graph.values.len());
        self.graph.values.push(Value { name, origin, declared });
        self.graph.values.len() - 1
    }

    /// An input of 32-bit numbers.
    pub fn input(&mut self, shape: &[usize]) -> ValueId {
        let x = self.value(Origin::Input, Some(Fact::new(DType::F32, shape)));
        self.graph.inputs.push(x);
        x
    }

    pub fn constant(&mut self, t: Tensor) -> ValueId {
        self.value(Origin::Initializer(t), None)
    }

    /// A constant of the numbers 1, 2, 3, …
    pub fn counted(&mut self, shape: &[usize]) -> ValueId {
        let data = (1..=volume(shape)).map(|x| x as f32).collect();
        self.constant(Tensor::floats(shape, data))
    }

    /// The first result of a node, as of opset 17.
    pub fn node(&mut self, op_type: &str, attributes: Writer, inputs: &[ValueId]) -> ValueId {
        let op = ops::read(op_type, "", 17, &attributes.done(), inputs.len(), 1).unwrap();
        let n = self.graph.nodes.len();
        let y = self.value(Origin::Node(n, 0), None);
        self.graph.nodes.push(Node {
            name: format!("{op_type}_{n}"),
            op_type: op_type.into(),
            op: op.into(),
            inputs: inputs.iter().map(|&v| Some(v)).collect(),
            outputs: vec![Some(y)],
            captured: Vec::new(),
            source: None,
        });
        y
    }

    /// A node without attributes.
    pub fn plain(&mut self, op_type: &str, inputs: &[ValueId]) -> ValueId {
        self.node(op_type, Writer::default(), inputs)
    }

    /// A convolution with counted weights and no bias.
    pub fn conv(&mut self, x: ValueId, weight: &[usize], groups: usize) -> ValueId {
        let w = self.counted(weight);
        self.node("Conv", Writer::default().put("group", groups as i64), &[x, w])
    }

    /// The network that gives these values, checked, with its facts.
    pub fn done(mut self, outputs: &[ValueId]) -> (Graph, Facts) {
        self.graph.outputs = outputs.to_vec();
        self.graph.check().unwrap();
        let facts = infer(&self.graph, None).unwrap();
        (self.graph, facts)
    }
}
