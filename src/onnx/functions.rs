//! Functions that a model defines for itself, and branches that it takes in any case: calls are replaced by what they compute, and
//! put back on writing.
//!
//! Takes: a model as the file has it. Gives: one without these calls, and the list of them ([`expand`]); and back
//! ([`collapse`]): a call whose nodes are as they were is written as it was, any other by its nodes. An If whose condition is a
//! constant counts as a call of its branch.
//! Never: expands a call that it cannot put back, or whose body another version of the standard operators could compute otherwise.

use super::branches::{self, Conditions};
use super::inline::{instance, is_plain};
use super::walk::subgraphs;
use crate::graph::Names;
use onnx_protobuf::{FunctionProto, GraphProto, ModelProto, NodeProto};
use std::collections::{HashMap, HashSet};

/// Most nodes that all calls together become: functions that call others twice grow without bounds.
const MOST_NODES: usize = 200_000;

/// Deepest nesting of calls in calls.
const DEEPEST: usize = 64;

/// A call of a function, and the nodes that stand for it.
#[derive(Debug, Clone)]
pub struct Call {
    node: NodeProto,
    body: Vec<NodeProto>,
}

/// A function's name: domain, name, overload.
type Key<'a> = (&'a str, &'a str, &'a str);

fn key(f: &FunctionProto) -> Key<'_> {
    (&f.domain, &f.name, &f.overload)
}

fn called(node: &NodeProto) -> Key<'_> {
    (&node.domain, &node.op_type, &node.overload)
}

/// Replaces the calls in the graph of `model` by what they compute, and Ifs by the branches that they take by `conditions`. None
/// is replaced where they grow too large, or where a call does not suit its function.
pub fn expand(model: &mut ModelProto, conditions: &Conditions) -> Vec<Call> {
    let Some(graph) = model.graph.as_ref() else { return Vec::new() };
    let chosen = graph.node.iter().any(|n| branches::taken(n, conditions).is_some());
    if model.functions.is_empty() && !chosen {
        return Vec::new();
    }
    let mut expansion = Expansion::of(model, graph);
    let (mut calls, mut nodes) = (Vec::new(), Vec::new());
    for node in &graph.node {
        if expansion.function(node).is_none() && branches::taken(node, conditions).is_none() {
            nodes.push(node.clone());
            continue;
        }
        let Some(body) = expansion.body(node, conditions) else { return Vec::new() };
        nodes.extend(body.iter().cloned());
        if body[..] != [node.clone()] {
            calls.push(Call { node: node.clone(), body });
        }
    }
    if !calls.is_empty()
        && let Some(graph) = model.graph.as_mut()
    {
        graph.node = nodes;
    }
    calls
}

/// The calls of one graph on their way to nodes.
struct Expansion<'m> {
    /// Functions whose bodies can stand in the graph.
    usable: HashMap<Key<'m>, &'m FunctionProto>,
    /// Names of the graph's values, old and new.
    names: Names,
    /// Nodes that calls have become so far.
    grown: usize,
}

impl<'m> Expansion<'m> {
    fn of(model: &'m ModelProto, graph: &GraphProto) -> Self {
        let version = |domain: &str| {
            let standard = |d: &str| matches!(d, "" | "ai.onnx");
            let same = |d: &str| d == domain || standard(d) && standard(domain);
            model.opset_import.iter().find(|o| same(&o.domain)).map(|o| o.version)
        };
        // A later definition of a name is the one that counts.
        let functions: HashMap<Key, &FunctionProto> = model.functions.iter().map(|f| (key(f), f)).collect();
        let is_usable =
            |f: &FunctionProto| !matches!(f.domain.as_str(), "" | "ai.onnx") && is_plain(f, &version);
        let usable = functions.into_iter().filter(|(_, f)| is_usable(f)).collect();
        Self { usable, names: names(graph).into_iter().collect(), grown: 0 }
    }

    /// The usable function that a node calls.
    fn function(&self, node: &NodeProto) -> Option<&'m FunctionProto> {
        self.usable.get(&called(node)).copied()
    }

    /// The nodes that stand for `node`, calls within calls expanded; `None` where all of them grow too large, or where a call does
    /// not suit its function.
    fn body(&mut self, node: &NodeProto, conditions: &Conditions) -> Option<Vec<NodeProto>> {
        let mut body = Vec::new();
        let mut conditions = conditions.clone();
        // To be expanded, the next one last, with the number of calls that each stands in.
        let mut open = vec![(node.clone(), 0)];
        while let Some((node, depth)) = open.pop() {
            let inner = match (self.function(&node), branches::taken(&node, &conditions)) {
                _ if depth >= DEEPEST => None,
                (Some(f), _) => Some(instance(f, &node, &mut self.names)?),
                (None, Some(branch)) => branches::instance(&node, branch, &mut self.names),
                (None, None) => None,
            };
            match inner {
                Some(inner) => {
                    self.grown += inner.len();
                    conditions.extend(inner.iter().filter_map(branches::constant));
                    open.extend(inner.into_iter().rev().map(|n| (n, depth + 1)));
                }
                None => body.push(node),
            }
            if self.grown > MOST_NODES {
                return None;
            }
        }
        Some(body)
    }
}

/// Puts the calls back whose nodes are as they were, and takes out functions that nothing calls any more.
pub fn collapse(model: &mut ModelProto, calls: &[Call]) {
    if calls.is_empty() {
        return;
    }
    let Some(graph) = model.graph.as_mut() else { return };
    let place: HashMap<&str, usize> = (graph.node.iter().enumerate())
        .flat_map(|(n, node)| node.output.iter().filter(|o| !o.is_empty()).map(move |o| (o.as_str(), n)))
        .collect();
    // By first node of a call that is whole: the call.
    let whole: HashMap<usize, &Call> = (calls.iter())
        .filter_map(|call| Some((*place.get(call.first()?)?, call)))
        .filter(|(first, call)| call.stands_at(graph, *first))
        .collect();
    let inner: HashSet<&str> = whole.values().flat_map(|c| c.hidden()).collect();
    let used_outside = {
        let mut used: HashSet<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
        let mut n = 0;
        while n < graph.node.len() {
            match whole.get(&n) {
                Some(call) => n += call.body.len(),
                None => {
                    reads(&graph.node[n], &mut used);
                    n += 1;
                }
            }
        }
        used.into_iter().filter(|name| inner.contains(name)).map(str::to_owned).collect::<HashSet<String>>()
    };
    let stays = |call: &Call| !call.hidden().any(|name| used_outside.contains(name));
    let mut nodes = Vec::with_capacity(graph.node.len());
    let mut n = 0;
    while n < graph.node.len() {
        match whole.get(&n).filter(|call| stays(call)) {
            Some(call) => {
                nodes.push(call.node.clone());
                n += call.body.len();
            }
            None => {
                nodes.push(graph.node[n].clone());
                n += 1;
            }
        }
    }
    graph.node = nodes;
    drop_uncalled(model, calls);
}

/// True if the graph of a model calls functions that the model defines.
pub fn are_called(model: &ModelProto) -> bool {
    let functions: HashSet<Key> = model.functions.iter().map(key).collect();
    let mut found = false;
    let graph = model.graph.get_or_default();
    graph.node.iter().for_each(|n| callees(n, &mut |k| found |= functions.contains(&k)));
    found
}

impl Call {
    /// The condition of an If in whose place a branch stands; `None` for a call of a function.
    pub fn condition(&self) -> Option<&str> {
        self.node.input.first().filter(|_| self.node.op_type == "If").map(String::as_str)
    }

    /// The first result of its nodes.
    fn first(&self) -> Option<&str> {
        let first = self.body.first()?;
        first.output.iter().find(|o| !o.is_empty()).map(String::as_str)
    }

    /// True where its nodes follow one another from node `first` on.
    fn stands_at(&self, graph: &GraphProto, first: usize) -> bool {
        graph.node.get(first..first + self.body.len()) == Some(&self.body[..])
    }

    /// True where its nodes stand in a graph as they were.
    pub fn is_whole(&self, graph: &GraphProto) -> bool {
        let makes = |n: &NodeProto| self.first().is_some_and(|name| n.output.iter().any(|o| o == name));
        graph.node.iter().position(makes).is_some_and(|first| self.stands_at(graph, first))
    }

    /// Names that the node and its subgraphs read, also of subgraphs' own values included.
    pub fn reads(&self) -> HashSet<&str> {
        let mut used = HashSet::new();
        reads(&self.node, &mut used);
        used
    }

    /// The name of an If in whose place a branch stands; `None` for a call of a function.
    pub fn decided(&self) -> Option<String> {
        let output = self.node.output.iter().find(|o| !o.is_empty())?;
        let name = if self.node.name.is_empty() { output } else { &self.node.name };
        (self.node.op_type == "If").then(|| name.clone())
    }

    /// Names that only the nodes of the call know.
    fn hidden(&self) -> impl Iterator<Item = &str> {
        let seen: HashSet<&str> = self.node.output.iter().map(String::as_str).collect();
        let made = self.body.iter().flat_map(|n| &n.output).map(String::as_str);
        made.filter(move |name| !name.is_empty() && !seen.contains(name))
    }
}

/// Takes out functions that were called by what is expanded now, and by nothing any more.
fn drop_uncalled(model: &mut ModelProto, calls: &[Call]) {
    let own = |k: Key| (k.0.to_owned(), k.1.to_owned(), k.2.to_owned());
    let bodies: HashMap<_, Vec<_>> = (model.functions.iter())
        .map(|f| {
            let mut inner = Vec::new();
            f.node.iter().for_each(|n| callees(n, &mut |k| inner.push(own(k))));
            (own(key(f)), inner)
        })
        .collect();
    let reached = |from: Vec<(String, String, String)>| {
        let (mut found, mut open) = (HashSet::new(), from);
        while let Some(k) = open.pop() {
            if let Some(inner) = bodies.get(&k)
                && found.insert(k)
            {
                open.extend(inner.iter().cloned());
            }
        }
        found
    };
    let before = reached(calls.iter().map(|c| own(called(&c.node))).collect());
    let mut left = Vec::new();
    let graph = model.graph.get_or_default();
    graph.node.iter().for_each(|n| callees(n, &mut |k| left.push(own(k))));
    for t in &model.training_info {
        let graphs = t.initialization.iter().chain(t.algorithm.iter());
        graphs.flat_map(|g| &g.node).for_each(|n| callees(n, &mut |k| left.push(own(k))));
    }
    let after = reached(left);
    model.functions.retain(|f| !before.contains(&own(key(f))) || after.contains(&own(key(f))));
}

/// Calls `found` for a node's operator and for all in its subgraphs. The parser bounds how deep subgraphs nest.
fn callees(node: &NodeProto, found: &mut dyn FnMut(Key)) {
    found(called(node));
    for g in subgraphs(node) {
        g.node.iter().for_each(|n| callees(n, found));
    }
}

/// Names that a node reads, its subgraphs included.
fn reads<'a>(node: &'a NodeProto, used: &mut HashSet<&'a str>) {
    used.extend(node.input.iter().map(String::as_str));
    for g in subgraphs(node) {
        used.extend(g.output.iter().map(|o| o.name.as_str()));
        g.node.iter().for_each(|n| reads(n, used));
    }
}

/// All names of values in a graph and its subgraphs.
fn names(graph: &GraphProto) -> HashSet<String> {
    let mut found: HashSet<String> = HashSet::new();
    found.extend(graph.input.iter().chain(&graph.output).chain(&graph.value_info).map(|i| i.name.clone()));
    found.extend(graph.initializer.iter().map(|t| t.name.clone()));
    for node in &graph.node {
        found.extend(node.input.iter().chain(&node.output).cloned());
        subgraphs(node).for_each(|g| found.extend(names(g)));
    }
    found
}
