//! A graph together with what is known of its values: what nearly every stage takes.

use super::{Fact, Facts, Graph, Linear, Node, Operand, ValueId, infer};
use crate::error::Result;
use crate::tensor::Tensor;

/// A graph and its facts, borrowed: the facts are of this very graph, at the input sizes that it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Network<'a> {
    /// Values and nodes.
    pub graph: &'a Graph,
    /// Types, shapes and constants, by the graph's numbers.
    pub facts: &'a Facts,
}

impl<'a> Network<'a> {
    /// The two as one; `facts` must have been inferred of `graph`.
    pub fn new(graph: &'a Graph, facts: &'a Facts) -> Self {
        Self { graph, facts }
    }

    /// Shape of a value, where known.
    pub fn shape(self, value: ValueId) -> Option<&'a [usize]> {
        self.facts.shape(value)
    }

    /// Value of a constant, stored or folded.
    pub fn constant(self, value: ValueId) -> Option<&'a Tensor> {
        self.facts.constant[value].as_ref()
    }

    /// Operands of a node by slot; `None` for the whole if one that is present has no known fact.
    pub fn operands(self, node: &Node) -> Option<Vec<Option<Operand<'a>>>> {
        self.facts.operands(node)
    }

    /// A node as a layer with a constant weight, if it is one.
    pub fn linear(self, node: &Node) -> Option<Linear> {
        self.facts.linear(node)
    }

    /// Facts of the inputs, in their order; `None` if one is unknown.
    pub fn inputs(self) -> Option<Vec<Fact>> {
        self.facts.inputs(self.graph)
    }

    /// Facts of another graph with the inputs of this one, at this one's input sizes. Errors where an operator's definition
    /// contradicts them.
    pub fn facts_of(self, other: &Graph) -> Result<Facts> {
        infer(other, self.inputs().as_deref())
    }
}
