//! Nodes said in operators that a runtime takes less time for.
//!
//! Takes: a network. Gives: the graph with forms ([`Form`]) in the place of nodes that have one, and their list. Names of values
//! that nodes read or give stay; the last step has the node's name. Never: replaces a node whose form differs between the sizes
//! of the axes that the file leaves open, or one that makes probabilities of the network's own answers.

use super::node::new_node;
use crate::error::Result;
use crate::graph::*;
use crate::tensor::DType;

/// A node that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Replaced {
    /// Its name.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// The operators in its place, in their order.
    pub by: Vec<String>,
}

/// The graph with forms for a runtime, in operators of version `opset`, and what they replace.
pub fn in_forms(network: Network, opset: i64) -> Result<(Graph, Vec<Replaced>)> {
    let old = network.graph;
    let mut new = Graph { nodes: Vec::new(), ..old.clone() };
    let mut names = Names::of(old);
    let mut replaced = Vec::new();
    for (n, node) in old.nodes.iter().enumerate() {
        let Some(form) = form(network, n, opset) else {
            new.nodes.push(node.clone());
            continue;
        };
        let by = form.steps.iter().map(|step| step.op_type.to_owned()).collect();
        replaced.push(Replaced { node: node.name.clone(), operator: node.op_type.clone(), by });
        put(&mut new, &mut names, node, form)?;
    }
    new.number_outputs();
    Ok((new, replaced))
}

/// The form of a node; none where it has none, or others elsewhere.
fn form(Network { graph, facts }: Network, n: NodeId, opset: i64) -> Option<Form> {
    let node = &graph.nodes[n];
    let at = |facts: &Facts| {
        let (x, y) = facts.operands(node).zip(facts.results(node))?;
        let computed = facts.refusals[n].is_none() && !facts.is_folded(node);
        let mut all = x.iter().flatten().map(|x| x.fact).chain(&y);
        let single = all.all(|fact| !fact.dtype.is_float() || fact.dtype == DType::F32);
        node.op.form(&Io { x: &x, y: &y }, opset).filter(|_| computed && single)
    };
    let here = at(facts)?;
    // Class scores are known by what makes probabilities of them.
    let is_answer =
        node.op.logits().is_some() && node.outputs.iter().flatten().any(|v| graph.outputs.contains(v));
    let one = node.outputs.iter().flatten().count() == 1 && node.captured.is_empty();
    (one && !is_answer && facts.elsewhere.iter().all(|other| at(other).as_ref() == Some(&here)))
        .then_some(here)
}

/// Puts the steps of a form in the place of `node`.
fn put(new: &mut Graph, names: &mut Names, node: &Node, form: Form) -> Result<()> {
    let Form { opset, constants, steps } = form;
    let Some(result) = node.outputs.iter().flatten().next().copied() else { return Ok(()) };
    let base = new.values[result].name.clone();
    let mut value = |new: &mut Graph, wish: String, origin| {
        new.values.push(Value { name: names.fresh(&wish), origin, declared: None });
        new.values.len() - 1
    };
    let constants: Vec<ValueId> = constants
        .into_iter()
        .map(|t| value(new, format!("{base}_constant"), Origin::Initializer(t)))
        .collect();
    let (count, mut results) = (steps.len(), Vec::new());
    for (k, step) in steps.into_iter().enumerate() {
        let is_last = k + 1 == count;
        let out = match is_last {
            true => result,
            false => {
                value(new, format!("{base}_{}", step.op_type.to_lowercase()), Origin::Node(usize::MAX, 0))
            }
        };
        let name = if is_last { node.name.clone() } else { new.values[out].name.clone() };
        let inputs: Vec<Option<ValueId>> = step
            .inputs
            .iter()
            .map(|term| match *term {
                Term::Operand(slot) => node.inputs.get(slot).copied().flatten(),
                Term::Constant(c) => constants.get(c).copied(),
                Term::Step(s) => results.get(s).copied(),
            })
            .collect();
        new.nodes.push(new_node(name, (step.op_type, opset), &step.attributes, inputs, out)?);
        results.push(out);
    }
    Ok(())
}
