//! Constants that several operands share in the file.
//!
//! Exporters store equal constants once (identity scales, zero biases), and onnx deduplicators do: sharing storage is no tie.
//! Takes: a graph as it stands in the file. Gives: one in which every reader has a constant of its own ([`part`]), and back
//! ([`join`]): one constant again for all readers whose constants are equal. Weights that layers share on purpose (both
//! branches of a siamese network, the levels of a detector's head) stay one, with what belongs to these layers.
//! Never: changes what a file says where nothing was cut.

use crate::graph::{Attr, Fact, Graph, Names, NodeId, Operand, Origin, Value, ValueId};
use crate::tensor::{DType, Tensor};
use std::collections::{HashMap, HashSet};

/// Gives every reader of a shared constant a constant of its own, and lists them in [`Graph::copies`].
pub fn part(graph: &mut Graph) {
    let stored = stored(graph);
    let mut readers: HashMap<ValueId, Vec<(NodeId, usize)>> = HashMap::new();
    for (n, node) in graph.nodes.iter().enumerate().filter(|(n, _)| !stored.passes.contains(n)) {
        for (slot, &v) in node.inputs.iter().enumerate() {
            if let Some(root) = v.and_then(|v| stored.root[v]) {
                readers.entry(root).or_default().push((n, slot));
            }
        }
    }
    let pinned: HashSet<ValueId> = graph
        .nodes
        .iter()
        .flat_map(|n| &n.captured)
        .chain(&graph.outputs)
        .filter_map(|&v| stored.root[v])
        .collect();
    readers.retain(|root, readers| readers.len() > usize::from(!pinned.contains(root)));
    if readers.is_empty() {
        return;
    }
    let kinds = kinds(graph, &stored);
    let mut names = Names::of(graph);
    let mut roots: Vec<ValueId> = readers.keys().copied().collect();
    roots.sort_unstable();
    for root in roots {
        let Some(tensor) = tensor(graph, root).filter(has_channels) else { continue };
        // Readers of one kind keep sharing. The first kind reads what the file has, unless more than nodes do.
        let mut copies: HashMap<(u32, usize, Option<ValueId>), Option<ValueId>> = HashMap::new();
        for &(n, slot) in &readers[&root] {
            let Some(v) = graph.nodes[n].inputs[slot] else { continue };
            let first = copies.is_empty() && !pinned.contains(&root);
            let copy = *copies.entry((kinds[n], slot, Some(v))).or_insert_with(|| {
                (!first).then(|| {
                    let reader =
                        graph.nodes[n].outputs.iter().flatten().next().map(|&y| &graph.values[y].name);
                    let wish = format!("{}_{}", graph.values[v].name, reader.unwrap_or(&graph.nodes[n].name));
                    let origin = Origin::Initializer(tensor.clone());
                    graph.values.push(Value { name: names.fresh(&wish), origin, declared: None });
                    graph.values.len() - 1
                })
            });
            if let Some(copy) = copy {
                graph.nodes[n].inputs[slot] = Some(copy);
                graph.copies.insert(copy, v);
            }
        }
    }
}

/// Tensors by their bytes, each with the value that stands for it.
type ByBytes = HashMap<Vec<u8>, Vec<(ValueId, Tensor)>>;

/// The graph as a file has it: readers whose constants are equal share one.
pub fn join(graph: &Graph) -> Graph {
    let mut joined = graph.clone();
    let stored = stored(graph);
    // By stored constant: its own tensor, and those that copies of it have been given, with the value that stands for each.
    let mut written: HashMap<ValueId, ByBytes> = HashMap::new();
    let mut instead: HashMap<ValueId, ValueId> = HashMap::new();
    for (&copy, &file) in &graph.copies {
        let (Some(root), Some(own)) = (stored.root[file], graph.initializer(copy)) else { continue };
        let known = written.entry(root).or_insert_with(|| {
            tensor(graph, root).map(|t| (t.to_bytes(), vec![(root, t)])).into_iter().collect()
        });
        let known = known.entry(own.to_bytes()).or_default();
        match known.iter().find(|(_, t)| t == own) {
            Some(&(v, _)) => _ = instead.insert(copy, if v == root { file } else { v }),
            None => known.push((copy, own.clone())),
        }
    }
    for v in joined.nodes.iter_mut().flat_map(|n| &mut n.inputs).flatten() {
        *v = instead.get(v).copied().unwrap_or(*v);
    }
    joined.copies.clear();
    joined.remove_values(&instead.into_keys().collect());
    joined
}

/// The stores of a graph's constants.
struct Stored {
    /// By value: the initializer or the Constant node's result that it is or passes on; `None` for what is computed.
    root: Vec<Option<ValueId>>,
    /// Nodes that pass constants on.
    passes: HashSet<NodeId>,
}

fn stored(graph: &Graph) -> Stored {
    let mut root: Vec<Option<ValueId>> = vec![None; graph.values.len()];
    let mut passes = HashSet::new();
    for (v, value) in graph.values.iter().enumerate() {
        if let Origin::Initializer(_) = value.origin {
            root[v] = Some(v);
        }
    }
    for (n, node) in graph.nodes.iter().enumerate() {
        let [Some(y)] = node.outputs[..] else { continue };
        match (node.op_type.as_str(), &node.inputs[..]) {
            ("Constant", []) => root[y] = Some(y),
            ("Identity", [Some(x)]) if is_identity(graph, n) => {
                root[y] = root[*x];
                if root[y].is_some() {
                    passes.insert(n);
                }
            }
            _ => {}
        }
    }
    Stored { root, passes }
}

/// True for the standard operator, not one of another domain that is called like it.
fn is_identity(graph: &Graph, n: NodeId) -> bool {
    let fact = Fact::new(DType::F32, [2]);
    let operand = Operand::new(&fact, None);
    graph.nodes[n].op.infer(&[Some(operand)]).is_ok_and(|found| found == [fact.clone()])
}

/// The tensor of an initializer or of a Constant node.
fn tensor(graph: &Graph, v: ValueId) -> Option<Tensor> {
    match &graph.values[v].origin {
        Origin::Initializer(t) => Some(t.clone()),
        Origin::Node(n, _) => match graph.nodes[*n].op.attributes().remove("value") {
            Some(Attr::Tensor(t)) => Some(t),
            _ => None,
        },
        Origin::Input | Origin::Carried => None,
    }
}

/// True for constants that are sliced (sizes and indices are restated), and have something to slice.
fn has_channels(t: &Tensor) -> bool {
    (t.dtype().is_float() || t.dtype().size() == 1) && t.shape().iter().any(|&n| n > 1)
}

/// True for learned weights: a matrix at least, and not one number throughout.
fn is_matrix(t: &Tensor) -> bool {
    t.shape().iter().filter(|&&n| n > 1).count() > 1 && !t.is_uniform()
}

/// By node, a number that is equal where one function is computed with equal weights. Matrices alone decide where there are some,
/// else operator, attributes and operands.
fn kinds(graph: &Graph, stored: &Stored) -> Vec<u32> {
    let mut matrix: HashMap<ValueId, bool> = HashMap::new();
    let mut known: HashMap<String, u32> = HashMap::new();
    let mut kinds: Vec<u32> = Vec::with_capacity(graph.nodes.len());
    for (n, node) in graph.nodes.iter().enumerate() {
        let root = |slot: &Option<ValueId>| slot.and_then(|v| stored.root[v]);
        let roots: Vec<Option<ValueId>> = node.inputs.iter().map(root).collect();
        let matrices: Vec<Option<ValueId>> = roots
            .iter()
            .map(|root| {
                root.filter(|&r| {
                    *matrix.entry(r).or_insert_with(|| graph.initializer(r).is_some_and(is_matrix))
                })
            })
            .collect();
        let computed = |(slot, root): (&Option<ValueId>, &Option<ValueId>)| match (slot, root) {
            (None, _) => "-".to_owned(),
            (_, Some(root)) => format!("c{root}"),
            (Some(v), None) => match graph.values[*v].origin {
                Origin::Node(p, k) => format!("n{}.{k}", kinds[p]),
                _ => format!("v{v}"),
            },
        };
        let key = if super::computed::is_constant(node) || !node.captured.is_empty() {
            format!("#{n}")
        } else if matrices.iter().any(Option::is_some) {
            format!("{} {matrices:?}", node.op_type)
        } else {
            let inputs: Vec<String> = node.inputs.iter().zip(&roots).map(computed).collect();
            format!("{} {} {:?}", node.op_type, inputs.join(" "), node.op.attributes())
        };
        let next = known.len() as u32;
        kinds.push(*known.entry(key).or_insert(next));
    }
    kinds
}
