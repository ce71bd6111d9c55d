//! Shape inference and constant folding, in one pass.
//!
//! Takes: a graph and the facts of its inputs. Gives: [`Facts`]: type, shape and (where it does not depend on the
//! network's inputs) value of everything.
//! Never: changes the graph; folded values serve the analysis and the executor, not the file.

use super::op::{Diff, Fact, Io, Linear, Op, Operand};
use super::tensor::{Array, Data, Tensor, volume};
use super::{Graph, Node, Origin, Refusal, ValueId};
use crate::error::{Error, Result};
use std::sync::Arc;

/// Largest constant that folding produces, in elements: a malicious ConstantOfShape must not exhaust memory.
const LARGEST_FOLDED: usize = 1 << 26;

/// What is known about every value, by value number, and about every node, by node number.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Type and shape, where known.
    pub fact: Vec<Option<Fact>>,
    /// Value, where it is a constant.
    pub constant: Vec<Option<Arc<Tensor>>>,
    /// Why a node could not be analysed.
    pub trouble: Vec<Option<String>>,
    /// The same network at other sizes of the axes that its file leaves open; empty where it leaves none open.
    pub elsewhere: Vec<Arc<Facts>>,
}

impl Facts {
    /// Shape of a value, where known.
    pub fn shape(&self, value: ValueId) -> Option<&[usize]> {
        self.fact[value].as_ref().map(|f| f.shape.as_slice())
    }

    /// Facts of the inputs of `graph`, in their order; `None` if one is unknown.
    pub fn inputs(&self, graph: &Graph) -> Option<Vec<Fact>> {
        graph.inputs.iter().map(|&v| self.fact[v].clone()).collect()
    }

    /// True if the network runs here as it runs at the sizes of `base`: every value has the same type and number of axes, and the
    /// same nodes are not understood.
    pub fn resembles(&self, base: &Self) -> bool {
        let like = |(a, b): (&Option<Fact>, &Option<Fact>)| match (a, b) {
            (Some(a), Some(b)) => a.dtype == b.dtype && a.shape.len() == b.shape.len(),
            (None, None) => true,
            _ => false,
        };
        let troubled = |facts: &Self| facts.trouble.iter().map(Option::is_some).collect::<Vec<_>>();
        troubled(self) == troubled(base) && self.fact.iter().zip(&base.fact).all(like)
    }

    /// True if an axis of a value has the same size at all known sizes of the open axes.
    pub fn is_closed(&self, value: ValueId, axis: usize) -> bool {
        let size = |facts: &Self| facts.shape(value).and_then(|shape| shape.get(axis).copied());
        self.elsewhere.iter().all(|other| size(other) == size(self))
    }

    /// True if all results of a node are constants: it is computed before the network runs.
    pub fn is_folded(&self, node: &Node) -> bool {
        node.outputs.iter().flatten().all(|&v| self.constant[v].is_some())
    }

    /// The operands of a node by slot; `None` for the whole if one that is present has no known fact.
    pub fn operands<'a>(&'a self, node: &Node) -> Option<Vec<Option<Operand<'a>>>> {
        node.inputs
            .iter()
            .map(|slot| match slot {
                None => Some(None),
                Some(v) => {
                    let fact = self.fact[*v].as_ref()?;
                    Some(Some(Operand { fact, value: self.constant[*v].as_deref() }))
                }
            })
            .collect()
    }

    /// A node as a layer with a constant weight, if it is one.
    pub fn linear(&self, node: &Node) -> Option<Linear> {
        let (x, y) = self.operands(node).zip(self.results(node))?;
        (!self.is_folded(node)).then(|| node.op.linear(&Io { x: &x, y: &y }))?
    }

    /// Facts of a node's results by slot (a placeholder where a result is not wanted); `None` if one is unknown.
    pub fn results(&self, node: &Node) -> Option<Vec<Fact>> {
        let nothing = || Fact::new(super::DType::F32, [0]);
        node.outputs
            .iter()
            .map(|slot| slot.map_or_else(|| Some(nothing()), |v| self.fact[v].clone()))
            .collect()
    }
}

/// Infers types, shapes and constants. `inputs` gives the facts of the network's inputs, in their order; `None`
/// takes what the file declares. Errors where the model contradicts an operator's definition.
pub fn infer(graph: &Graph, inputs: Option<&[Fact]>) -> Result<Facts> {
    survey(graph, inputs, &mut |node, reason| {
        let hint = "export the model again; onnx.checker with full_check=True shows what is wrong";
        Err(Error::node(&node.name, &node.op_type, reason, hint))
    })
}

/// As [`infer`], for a graph in the making: what does not fit yet is trouble like any other.
pub fn infer_unfinished(graph: &Graph, inputs: Option<&[Fact]>) -> Result<Facts> {
    survey(graph, inputs, &mut |_, _| Ok(()))
}

fn survey(
    graph: &Graph,
    inputs: Option<&[Fact]>,
    contradiction: &mut dyn FnMut(&Node, &str) -> Result<()>,
) -> Result<Facts> {
    let mut facts = Facts {
        fact: graph.values.iter().map(|_| None).collect(),
        constant: vec![None; graph.values.len()],
        trouble: vec![None; graph.nodes.len()],
        elsewhere: Vec::new(),
    };
    for (v, value) in graph.values.iter().enumerate() {
        if let Origin::Initializer(t) = &value.origin {
            facts.fact[v] = Some(Fact::new(t.dtype(), t.shape.clone()));
            facts.constant[v] = Some(t.clone());
        }
    }
    for (k, &v) in graph.inputs.iter().enumerate() {
        facts.fact[v] = match inputs {
            Some(given) => given.get(k).cloned(),
            None => graph.values[v].declared.clone(),
        };
    }
    for (n, node) in graph.nodes.iter().enumerate() {
        match results(node, &facts) {
            Ok(found) => {
                for (slot, v) in node.outputs.iter().enumerate() {
                    if let (Some(v), Some(fact)) = (v, found.get(slot)) {
                        facts.fact[*v] = Some(fact.clone());
                    }
                }
                fold(node, &mut facts);
            }
            Err(refusal) => {
                if let Refusal::Invalid(reason) = &refusal {
                    contradiction(node, reason)?;
                }
                let reason = refusal.reason().to_owned();
                facts.trouble[n] = Some(reason);
                for v in node.outputs.iter().flatten() {
                    facts.fact[*v] = graph.values[*v].declared.clone();
                }
            }
        }
    }
    Ok(facts)
}

fn results(node: &Node, facts: &Facts) -> Result<Vec<Fact>, Refusal> {
    let Some(operands) = facts.operands(node) else {
        return super::unsupported("the shape of one of its inputs is not known");
    };
    node.op.infer(&operands)
}

/// Computes the node's results if all inputs are constants (or only their shapes matter).
fn fold(node: &Node, facts: &mut Facts) {
    let shape_only = matches!(node.op_type.as_str(), "Shape" | "Size");
    let constant = |v: &ValueId| facts.constant[*v].is_some();
    if !shape_only && !node.inputs.iter().flatten().all(constant) {
        return;
    }
    let Some(wanted) = facts.results(node) else { return };
    if wanted.iter().any(|f| volume(&f.shape) > LARGEST_FOLDED) {
        return;
    }
    if let Some(stored) = stored_constant(node) {
        if let Some(v) = node.outputs.first().copied().flatten() {
            facts.constant[v] = Some(Arc::new(stored));
        }
        return;
    }
    let x: Vec<Option<Array<f64>>> = node
        .inputs
        .iter()
        .map(|slot| {
            slot.map(|v| match &facts.constant[v] {
                Some(t) if !shape_only => t.to_array(),
                _ => Array { shape: facts.shape(v).unwrap_or_default().to_vec(), data: Vec::new() },
            })
        })
        .collect();
    let x: Vec<Option<&Array<f64>>> = x.iter().map(Option::as_ref).collect();
    let mut y: Vec<Array<f64>> = wanted.iter().map(|f| Array::zeros(&f.shape)).collect();
    Diff::<f64>::forward(node.op.as_ref() as &dyn Op, &x, &mut y);
    for ((slot, fact), y) in node.outputs.iter().zip(wanted).zip(y) {
        if let Some(v) = slot {
            let data = Data::from_real(fact.dtype, &y.data);
            facts.constant[*v] = Some(Arc::new(Tensor { shape: fact.shape, data }));
        }
    }
}

/// The tensor of a Constant node, exactly as stored.
fn stored_constant(node: &Node) -> Option<Tensor> {
    match node.op.attributes().remove("value") {
        Some(super::Attr::Tensor(t)) if node.op_type == "Constant" => Some(t),
        _ => None,
    }
}
