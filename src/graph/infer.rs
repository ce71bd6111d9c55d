//! Shape inference and constant folding, in one pass.
//!
//! Takes: a graph and the facts of its inputs. Gives: [`Facts`]: type, shape and (where it does not depend on the
//! network's inputs) value of everything.
//! Never: changes the graph; folded values serve the analysis and the executor, not the file.

use super::fact::Fact;
use super::hints::Linear;
use super::io::{Io, Operand, Port};
use super::{Graph, Node, NodeId, Origin, Refusal, ValueId, computed};
use crate::error::{Error, Result};
use crate::setting::Setting;
use crate::tensor::{Array, Elements, Tensor, checked_volume, too_large, volume};
use ndarray::{ArrayViewD, aview0};
use std::sync::Arc;

/// Most elements that folding one node takes and gives: a malicious ConstantOfShape must exhaust neither memory nor patience.
const LARGEST_FOLDED: usize = 1 << 26;
/// As [`LARGEST_FOLDED`], for a file that stores next to nothing.
const LEAST_FOLDED: usize = 1 << 22;
/// Most elements that all folded nodes give together, beside a few times what the file itself stores.
const ALL_FOLDED: usize = 1 << 26;
/// Folded elements for each that the file stores.
const FOLDED_PER_STORED: usize = 4;
/// Most multiply-accumulates of one folded node.
const FOLDED_OPERATIONS: f64 = 4e9;

/// Most coordinates of all axes of all values: the analysis of channels keeps some bytes for each.
const MOST_COORDINATES: usize = 1 << 25;

/// What is known about every value, by value number, and about every node, by node number.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Type and shape, where known.
    pub fact: Vec<Option<Fact>>,
    /// Value, where it is a constant.
    pub constant: Vec<Option<Tensor>>,
    /// True where it is computed, and known to have no element below zero.
    pub never_negative: Vec<bool>,
    /// Why a node could not be analysed, or is not run.
    pub refusals: Vec<Option<String>>,
    /// Facts at other sizes of the axes that the network's file leaves open; empty where it leaves none open.
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

    /// True if the network runs here as it runs at the sizes of `base`: values have equal types and numbers of axes, and
    /// the nodes that are not understood are equal.
    pub fn resembles(&self, base: &Self) -> bool {
        let like = |(a, b): (&Option<Fact>, &Option<Fact>)| match (a, b) {
            (Some(a), Some(b)) => a.dtype == b.dtype && a.shape.len() == b.shape.len(),
            (None, None) => true,
            _ => false,
        };
        let refused = |facts: &Self| facts.refusals.iter().map(Option::is_some).collect::<Vec<_>>();
        refused(self) == refused(base) && self.fact.iter().zip(&base.fact).all(like)
    }

    /// True if an axis of a value has one size at all known sizes of the open axes.
    pub fn is_closed(&self, value: ValueId, axis: usize) -> bool {
        let size = |facts: &Self| facts.shape(value).and_then(|shape| shape.get(axis).copied());
        self.elsewhere.iter().all(|other| size(other) == size(self))
    }

    /// Images that go through the network at a time: the size of the inputs' first axis. It is 1 where an input with several
    /// axes begins so; else what the input with the most axes begins with, if an output begins so, too.
    pub fn batch(&self, graph: &Graph) -> usize {
        let shapes = || graph.inputs.iter().filter_map(|&v| self.shape(v));
        if shapes().any(|s| s.len() > 1 && s[0] == 1) {
            return 1;
        }
        let first_of_most = shapes().rev().max_by_key(|s| s.len());
        let Some(&size) = first_of_most.and_then(<[usize]>::first) else { return 1 };
        let follows = |&v: &ValueId| self.shape(v).is_none_or(|s| s.first() == Some(&size));
        if graph.outputs.iter().any(follows) { size } else { 1 }
    }

    /// True if the first axis of an input runs over images. Other inputs (a camera's matrix, a threshold, a weight that is
    /// given from outside) have one value for a whole run.
    pub fn is_batched(&self, graph: &Graph, input: ValueId) -> bool {
        self.shape(input).and_then(<[usize]>::first) == Some(&self.batch(graph))
    }

    /// True if all results of a node are constants: no run computes it.
    pub fn is_folded(&self, node: &Node) -> bool {
        node.outputs.iter().flatten().all(|&v| self.constant[v].is_some())
    }

    /// True if a node's multiply-accumulates are known: it is understood, or carried by an operator that tells its results.
    pub fn is_counted(&self, n: NodeId, node: &Node) -> bool {
        let carried = |x: Vec<_>| matches!(node.op.infer(&x), Err(Refusal::Carried { .. }));
        self.refusals[n].is_none() || self.operands(node).is_some_and(carried)
    }

    /// The operands of a node by slot; `None` for the whole if one that is present has no known fact.
    pub fn operands<'a>(&'a self, node: &Node) -> Option<Vec<Option<Operand<'a>>>> {
        node.inputs
            .iter()
            .map(|slot| match slot {
                None => Some(None),
                Some(v) => {
                    let fact = self.fact[*v].as_ref()?;
                    let operand = Operand::new(fact, self.constant[*v].as_ref());
                    Some(Some(operand.never_negative(self.never_negative[*v])))
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
        // Operators relate their operands to their first result, whether it is wanted or not.
        let unwanted = |slot: usize| match slot {
            0 => node.op.infer(&self.operands(node)?).ok()?.into_iter().next(),
            _ => Some(Fact::new(crate::tensor::DType::F32, [0])),
        };
        let fact = |(slot, v): (usize, &Option<ValueId>)| match v {
            Some(v) => self.fact[*v].clone(),
            None => unwanted(slot),
        };
        node.outputs.iter().enumerate().map(fact).collect()
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

/// As [`infer`], for a graph in the making: a contradiction is a refusal like any other.
pub fn infer_unfinished(graph: &Graph, inputs: Option<&[Fact]>) -> Result<Facts> {
    survey(graph, inputs, &mut |_, _| Ok(()))
}

/// The pass over the graph; `contradiction` decides what becomes of a node that contradicts its operator's definition.
fn survey(
    graph: &Graph,
    inputs: Option<&[Fact]>,
    contradiction: &mut dyn FnMut(&Node, &str) -> Result<()>,
) -> Result<Facts> {
    let mut facts = Facts {
        fact: graph.values.iter().map(|_| None).collect(),
        constant: vec![None; graph.values.len()],
        never_negative: vec![false; graph.values.len()],
        refusals: vec![None; graph.nodes.len()],
        elsewhere: Vec::new(),
    };
    for (v, value) in graph.values.iter().enumerate() {
        if let Origin::Initializer(t) = &value.origin {
            facts.fact[v] = Some(Fact::new(t.dtype(), t.shape().to_vec()));
            facts.constant[v] = Some(t.clone());
        }
    }
    for (k, &v) in graph.inputs.iter().enumerate() {
        facts.fact[v] = match inputs {
            Some(given) => given.get(k).cloned(),
            None => graph.values[v].declared.clone(),
        };
    }
    let mut sizes = Sizes::new(graph, &facts)?;
    for (n, node) in graph.nodes.iter().enumerate() {
        match results(node, &facts).and_then(|found| sizes.add(found)) {
            Ok(found) => {
                for (slot, v) in node.outputs.iter().enumerate() {
                    if let (Some(v), Some(fact)) = (v, found.get(slot)) {
                        facts.fact[*v] = Some(fact.clone());
                    }
                }
                let signs = facts.operands(node).is_some_and(|x| node.op.never_negative(&x));
                node.outputs.iter().flatten().for_each(|&v| facts.never_negative[v] = signs);
                fold(node, &mut facts, &mut sizes);
            }
            Err(refusal) => {
                if let Refusal::Invalid(reason) = &refusal {
                    contradiction(node, reason)?;
                }
                facts.refusals[n] = Some(refusal.reason().to_owned());
                for (slot, v) in node.outputs.iter().enumerate() {
                    let Some(v) = *v else { continue };
                    let known = refusal.results().get(slot).or(graph.values[v].declared.as_ref());
                    facts.fact[v] =
                        sizes.add(known.into_iter().cloned().collect()).ok().and_then(|mut f| f.pop());
                }
            }
        }
    }
    Ok(facts)
}

/// Facts of a node's results. Errors where it is not understood.
fn results(node: &Node, facts: &Facts) -> Result<Vec<Fact>, Refusal> {
    let Some(operands) = facts.operands(node) else {
        return super::unsupported("the shape of one of its inputs is not known");
    };
    node.op.infer(&operands)
}

/// Budgets of a graph's analysis.
struct Sizes {
    /// Coordinates of the values so far.
    coordinates: usize,
    /// Elements that folding may still give.
    to_fold: usize,
    /// Elements that folding one node may take and give.
    one_fold: usize,
}

impl Sizes {
    /// Budgets left beside the inputs and the stored constants. Errors where they alone are too large.
    fn new(graph: &Graph, facts: &Facts) -> Result<Self> {
        let stored: usize = facts.constant.iter().flatten().map(|t| t.len()).sum();
        let granted = stored.saturating_mul(FOLDED_PER_STORED);
        let mut sizes = Self {
            coordinates: 0,
            to_fold: granted.saturating_add(ALL_FOLDED),
            one_fold: granted.clamp(LEAST_FOLDED, LARGEST_FOLDED),
        };
        for (value, fact) in graph.values.iter().zip(&facts.fact) {
            sizes.add(fact.iter().cloned().collect()).map_err(|refusal| {
                let hint = format!("state smaller sizes: {} NAME:1,3,224,224", Setting::InputShape);
                Error::graph(format!("'{}': {}", value.name, refusal.reason()), hint)
            })?;
        }
        Ok(sizes)
    }

    /// Counts facts in, or refuses them.
    fn add(&mut self, facts: Vec<Fact>) -> Result<Vec<Fact>, Refusal> {
        for fact in &facts {
            if checked_volume(&fact.shape).is_none() {
                return super::invalid(too_large(&fact.shape));
            }
            self.coordinates += fact.shape.iter().sum::<usize>();
            if self.coordinates > MOST_COORDINATES {
                return super::invalid(format!(
                    "with its shape {:?} the network's values have more than 2^25 coordinates (sizes of all axes, \
                     added up)",
                    fact.shape
                ));
            }
        }
        Ok(facts)
    }
}

/// Multiply-accumulates and other counted operations of a node at its present sizes.
fn operations(node: &Node, facts: &Facts, results: &[Fact]) -> f64 {
    let Some(x) = facts.operands(node) else { return 0.0 };
    let io = Io { x: &x, y: results };
    let size = |port: Port, axis: usize| {
        let shape = match port {
            Port::In(slot) => io.input(slot).unwrap_or_default(),
            Port::Out(slot) => io.output(slot),
        };
        shape.get(axis).map_or(1.0, |&size| size as f64)
    };
    let product =
        |p: &super::Product| p.widths.iter().map(|a| size(a.port, a.axis)).product::<f64>() * p.coefficient;
    node.op.cost(&io).all().iter().map(product).sum()
}

/// Computes the node's results if all inputs are constants (or only their shapes matter).
fn fold(node: &Node, facts: &mut Facts, sizes: &mut Sizes) {
    let shape_only = node.op.needs_shapes_only();
    let constant = |v: &ValueId| facts.constant[*v].is_some();
    if !shape_only && !node.inputs.iter().flatten().all(constant) {
        return;
    }
    let Some(wanted) = facts.results(node) else { return };
    let given: usize = wanted.iter().map(|f| volume(&f.shape)).sum();
    let taken: usize = match shape_only {
        true => 0,
        false => node.inputs.iter().flatten().filter_map(|&v| facts.shape(v)).map(volume).sum(),
    };
    let stored = node.op.stored();
    if given.max(taken) > sizes.one_fold && stored.is_none() || given > sizes.to_fold {
        return;
    }
    if operations(node, facts, &wanted) > FOLDED_OPERATIONS {
        return;
    }
    sizes.to_fold -= given;
    if let Some(stored) = stored {
        if let Some(v) = node.outputs.first().copied().flatten() {
            facts.constant[v] = Some(stored.into_owned());
        }
        return;
    }
    let Some(y) = folded(node, facts, &wanted, shape_only) else { return };
    for ((slot, fact), y) in node.outputs.iter().zip(wanted).zip(y) {
        if let Some(v) = slot {
            facts.constant[*v] = Some(Tensor::from_real(fact.dtype, &fact.shape, y.elements()));
        }
    }
}

/// The node's results, of constants, or of operands of which only the shapes matter; `None` where it cannot be run.
fn folded(node: &Node, facts: &Facts, y: &[Fact], shape_only: bool) -> Option<Vec<Array<f64>>> {
    let operands = facts.operands(node)?;
    let kernel = node.op.bind(&Io { x: &operands, y }).ok()?;
    let constant = |o: &Operand| o.value.filter(|_| !shape_only).map(Tensor::to_array::<f64>);
    let values: Vec<Option<Array<f64>>> = operands.iter().map(|o| constant(o.as_ref()?)).collect();
    // An operand of which only the shape is read needs no memory.
    let unread = aview0(&0.0);
    let mut x: Vec<Option<ArrayViewD<f64>>> = Vec::with_capacity(values.len());
    for (operand, value) in operands.iter().zip(&values) {
        x.push(match (operand, value) {
            (None, _) => None,
            (_, Some(value)) => Some(value.view()),
            (Some(operand), None) => Some(unread.broadcast(operand.fact.shape.as_slice())?),
        });
    }
    Some(computed(&*kernel, &x, y))
}
