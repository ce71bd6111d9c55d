//! A model: its network, and the file around it.
//!
//! Takes: what [`super::load`] found, and graphs in place of the one that it found. Gives: what the file says of itself, the
//! facts of its graph, and the file with another graph in it. Never: changes what a graph does not mention.

use super::external::Folder;
use super::kind::{self, Kind};
use super::shapes::Inputs;
use super::{computed, external, functions, patch, share};
use crate::error::Result;
use crate::graph::{Fact, Facts, Graph, ValueId, infer};
use onnx_protobuf::ModelProto;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model: its graph, and the file around it.
#[derive(Debug, Clone)]
pub struct Model {
    /// The network.
    pub graph: Graph,
    /// The file, with a token of each large initializer, whose elements the graph holds.
    pub(super) proto: ModelProto,
    /// Calls of the model's own functions and of branches, which `proto` has expanded, one set after the other.
    pub(super) calls: Vec<Vec<functions::Call>>,
    pub(super) path: PathBuf,
    /// Bytes of the message that it was read from.
    pub(super) bytes: u64,
    pub(super) folder: Folder,
    pub(super) opset: i64,
    pub(super) inputs: Inputs,
    /// Facts of the inputs at other sizes of the open axes at which the network runs too.
    pub(super) elsewhere: Vec<Vec<Fact>>,
}

impl Model {
    /// Where the model was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opset version of the standard operators.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// All operator sets: domain (empty for the standard one) and version.
    pub fn opsets(&self) -> impl Iterator<Item = (&str, i64)> {
        self.proto.opset_import.iter().map(|o| (o.domain.as_str(), o.version))
    }

    /// Version of the file format.
    pub fn ir_version(&self) -> i64 {
        self.proto.ir_version
    }

    /// The program that wrote the model, with its version; empty where it does not say.
    pub fn producer(&self) -> String {
        format!("{} {}", self.proto.producer_name, self.proto.producer_version).trim().to_owned()
    }

    /// What was done to the model after its export, as far as it bars the way.
    pub fn kind(&self) -> Option<Kind> {
        kind::of(self.proto.graph.get_or_default())
    }

    /// The model's metadata entries.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.proto.metadata_props.iter().map(|e| (e.key.as_str(), e.value.as_str()))
    }

    /// True where the file leaves the first axis of input `k` (as in `graph.inputs`) open, so that batches of any size
    /// fit.
    pub fn input_is_symbolic_batch(&self, k: usize) -> bool {
        self.inputs.is_batch_open(k)
    }

    /// The axes of input `k` that the file leaves open, by name; none where it states a size.
    pub fn open_axes(&self, k: usize) -> &[Option<String>] {
        self.inputs.open.get(k).map_or(&[], Vec::as_slice)
    }

    /// Types, shapes and constants at the inputs' declared sizes, and at other sizes of the axes that the file leaves open.
    pub fn facts(&self) -> Result<Facts> {
        self.facts_of(&self.graph)
    }

    /// As [`Model::facts`], of a graph with this one's inputs.
    pub fn facts_of(&self, graph: &Graph) -> Result<Facts> {
        let mut facts = infer(graph, None)?;
        for other in &self.elsewhere {
            facts.elsewhere.push(Arc::new(infer(graph, Some(other))?));
        }
        Ok(facts)
    }

    /// Names of the values whose shapes the file declares otherwise than they are.
    pub fn false_declarations(&self) -> Result<Vec<String>> {
        let facts = self.facts()?;
        let mut proto = self.proto.graph.get_or_default().clone();
        Ok(patch::correct(&mut proto, &self.graph, &facts))
    }

    /// The file with its open sizes stated as they are taken here: batch 1 unless it was given otherwise.
    pub fn with_fixed_sizes(mut self) -> Result<Self> {
        let facts = infer(&self.graph, None)?;
        if let Some(proto) = self.proto.graph.as_mut() {
            patch::fix(proto, &self.graph, &facts);
        }
        self.inputs.open.iter_mut().flatten().for_each(|axis| *axis = None);
        self.elsewhere.clear();
        Ok(self)
    }

    /// The file with `graph` in place of its own, changed only where the graphs differ.
    pub fn with_graph(&self, graph: Graph) -> Result<Self> {
        let file = |graph: &Graph| computed::join(&share::join(graph));
        let (mut graph, old) = (file(&graph), file(&self.graph));
        let calls = self.calls_that_stay(&old, &mut graph)?;
        let proto = patch::apply(&self.proto, &old, &mut graph, &|g| self.facts_of(g))?;
        Ok(Self {
            graph,
            proto,
            calls,
            path: self.path.clone(),
            bytes: self.bytes,
            folder: self.folder.clone(),
            opset: self.opset,
            inputs: self.inputs.clone(),
            elsewhere: self.elsewhere.clone(),
        })
    }

    /// The calls that may stand in a file with `graph` in place of `old`: an If may where its branch, and all that its branches
    /// read, is as it was. Conditions of the others alone are taken out of `graph`.
    fn calls_that_stay(&self, old: &Graph, graph: &mut Graph) -> Result<Vec<Vec<functions::Call>>> {
        let mut calls = self.calls.clone();
        if graph.conditions.is_empty() {
            return Ok(calls);
        }
        let facts = |graph: &Graph| -> Result<HashMap<String, Option<Fact>>> {
            let names = graph.values.iter().map(|value| value.name.clone());
            Ok(names.zip(infer(graph, None)?.fact).collect())
        };
        let (before, after) = (facts(old)?, facts(graph)?);
        let proto = patch::apply(&self.proto, old, &mut graph.clone(), &|g| self.facts_of(g))?;
        let mut gone = Vec::new();
        for set in &mut calls {
            set.retain(|call| {
                let Some(condition) = call.condition() else { return true };
                let same = call.reads().iter().all(|name| before.get(*name) == after.get(*name));
                let stays = same && call.is_whole(proto.graph.get_or_default());
                gone.extend((!stays).then(|| condition.to_owned()));
                stays
            });
        }
        let kept: HashSet<&str> = calls.iter().flatten().filter_map(functions::Call::condition).collect();
        let gone = gone.iter().filter(|name| !kept.contains(name.as_str()));
        let values: Vec<ValueId> = gone.filter_map(|name| graph.value_named(name)).collect();
        graph.conditions.retain(|v| !values.contains(v));
        *graph = computed::without(graph.clone(), values);
        Ok(calls)
    }

    /// The Ifs in whose place the branch stands that they take in any case.
    pub fn decided(&self) -> Vec<String> {
        self.calls.iter().flatten().filter_map(functions::Call::decided).collect()
    }

    /// The files that the model was read from: its own, and those of its external data.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = external::files(&self.proto, &self.folder);
        found.push(self.path.clone());
        found
    }
}
