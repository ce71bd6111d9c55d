//! The masked original: what a pruned network must equal.
//!
//! A deleted class is zero where it is read, and only there: its weights, and all that activations and divisors make of them on
//! the way, stay as they are.

use super::bias::{Bias, Raising};
use super::node::new_node;
use crate::coupling::Groups;
use crate::error::{Error, Result};
use crate::graph::*;
use crate::tensor::*;
use std::collections::{BTreeMap, HashMap};

/// An operand at which deleted channels are zero in the masked original: a reader's, or a branch's at its addition.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mask {
    /// Name of the node that reads.
    pub node: String,
    /// Its input slot.
    pub input: usize,
    /// The axis of that input.
    pub axis: usize,
    /// The coordinates that stay, in the original numbering; the others are multiplied by zero.
    pub kept: Vec<usize>,
}

/// The operands at which the classes that `kept` marks false are zero: where gates stand.
pub(super) fn masks(graph: &Graph, groups: &Groups, kept: &[bool]) -> Vec<Mask> {
    let one = |site| {
        let classes = groups.at(graph, site);
        let stays = |&i: &usize| classes[i].get().is_none_or(|c| kept[c]);
        let left: Vec<usize> = (0..classes.len()).filter(stays).collect();
        (left.len() < classes.len()).then(|| Mask {
            node: graph.nodes[site.node].name.clone(),
            input: site.slot,
            axis: site.axis,
            kept: left,
        })
    };
    groups.sites(graph).into_iter().filter_map(one).collect()
}

/// The original with the deleted channels multiplied by zero where they are read, and with the biases added: what the small
/// network must equal. Errors where these do not belong to the graph.
pub fn masked(graph: &Graph, masks: &[Mask], biases: &[Bias]) -> Result<Graph> {
    let facts = infer(graph, None)?;
    let mut new = graph.clone();
    let nodes: HashMap<&str, NodeId> =
        graph.nodes.iter().enumerate().rev().map(|(n, node)| (node.name.as_str(), n)).collect();
    let mut raising = Raising::new(&new);
    for b in biases {
        raise(&mut new, &mut raising, &nodes, b)?;
    }
    let mut names = Names::of(&new);
    let mut before: BTreeMap<NodeId, Vec<Node>> = BTreeMap::new();
    for m in masks {
        let foreign = |why: &str| {
            let reason = format!("input {} of '{}' cannot be masked as planned: {why}", m.input, m.node);
            Error::graph(reason, "give the plan together with the network that it was made for")
        };
        let at = *nodes.get(m.node.as_str()).ok_or_else(|| foreign("the network has no such node"))?;
        let read = graph.nodes[at].inputs.get(m.input).copied().flatten();
        let fact = read.and_then(|v| facts.fact[v].as_ref()).ok_or_else(|| foreign("it is not known"))?;
        let size = *fact.shape.get(m.axis).ok_or_else(|| foreign("it has no such axis"))?;
        if !m.kept.is_sorted() || m.kept.last().is_some_and(|&k| k >= size) {
            return Err(foreign("its axis does not have these coordinates"));
        }
        let factor = factor(fact, m);
        let product = multiply(&mut new, &mut names, (at, m.input), factor)?;
        before.entry(at).or_default().push(product);
    }
    new.insert_nodes(before);
    Ok(new)
}

fn raise(graph: &mut Graph, raising: &mut Raising, nodes: &HashMap<&str, NodeId>, b: &Bias) -> Result<()> {
    let foreign = |why: &str| {
        let reason = format!("the bias of '{}' cannot be raised as planned: {why}", b.node);
        Error::graph(reason, "give the plan together with the network that it was made for")
    };
    let at = *nodes.get(b.node.as_str()).ok_or_else(|| foreign("the network has no such node"))?;
    let stored = |slot: usize| graph.initializer((*graph.nodes[at].inputs.get(slot)?)?);
    if stored(2).is_some_and(|t| t.len() != b.added.len()) {
        return Err(foreign("it has another size"));
    }
    let dtype = stored(2).or(stored(1)).map_or(DType::F32, |t| t.dtype());
    raising.raise(graph, at, dtype, &b.added);
    Ok(())
}

/// Ones at the coordinates that stay and zeros at the others, to be broadcast to the operand.
fn factor(fact: &Fact, m: &Mask) -> Tensor {
    let mut shape = vec![1; fact.shape.len() - m.axis];
    shape[0] = fact.shape[m.axis];
    let mut values = vec![0.0f64; shape[0]];
    m.kept.iter().for_each(|&k| values[k] = 1.0);
    Tensor::from_real(fact.dtype, &shape, &values)
}

/// A product of what a node reads and `factor`, which the node reads from now on.
fn multiply(
    graph: &mut Graph,
    names: &mut Names,
    (at, slot): (NodeId, usize),
    factor: Tensor,
) -> Result<Node> {
    let reader = graph.nodes[at].outputs.iter().flatten().next().map(|&v| graph.values[v].name.clone());
    let base = format!("{}_input_{slot}", reader.unwrap_or_else(|| graph.nodes[at].name.clone()));
    let mut value = |wish: String, origin| {
        let name = names.fresh(&wish);
        graph.values.push(Value { name, origin, declared: None });
        graph.values.len() - 1
    };
    let factor = value(format!("{base}_mask"), Origin::Initializer(factor));
    // The origin's node number is set when the node is inserted.
    let out = value(format!("{base}_masked"), Origin::Node(usize::MAX, 0));
    let name = graph.values[out].name.clone();
    let read = graph.nodes[at].inputs[slot].replace(out);
    new_node(name, ("Mul", 13), &Attributes::new(), vec![read, Some(factor)], out)
}
