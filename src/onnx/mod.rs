//! ONNX files: the only module that knows protobuf.
//!
//! Takes: bytes, or a path. Gives: a [`Model`], whose graph the rest of the program works on; and the same file with
//! another graph in it.
//! Never: loses what it does not understand (fields, attributes, metadata, doc strings travel along untouched); panics on
//! any input; leaves a half-written file; touches the file it read.

mod attribute;
mod branches;
mod computed;
mod external;
mod fault;
mod functions;
mod guard;
mod kind;
mod patch;
mod read;
mod run;
mod shapes;
mod share;
mod sniff;
mod tensor;
mod walk;
mod write;

#[cfg(test)]
mod tests;

pub use kind::Kind;
pub use shapes::InputShape;
pub use write::Written;

use crate::error::{Error, Result};
use crate::graph::{Fact, Facts, Graph, ValueId, infer};
use crate::support::files;
use external::Folder;
use fault::Fault;
use onnx_protobuf::{Message, ModelProto};
use shapes::Inputs;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opset versions of the standard domain that are read. Older ones give a BatchNormalization, a Reshape or a Dropout
/// another form; newer ones than the latest known are read too, operator by operator.
const OLDEST_OPSET: i64 = 7;

/// More bytes than protobuf allows in one message.
const LARGEST: u64 = i32::MAX as u64;

/// A model: its graph, and the file around it.
#[derive(Debug, Clone)]
pub struct Model {
    /// The network.
    pub graph: Graph,
    /// The file, with but a token of each large initializer: the graph holds its elements.
    proto: ModelProto,
    /// Calls of the model's own functions and of branches, which `proto` has expanded, one set after the other.
    calls: Vec<Vec<functions::Call>>,
    path: PathBuf,
    /// Bytes of the message that it was read from.
    bytes: u64,
    folder: Folder,
    opset: i64,
    inputs: Inputs,
    /// Facts of the inputs at other sizes of the open axes at which the network runs too.
    elsewhere: Vec<Vec<Fact>>,
}

/// Reads the file `path`. `given` states sizes that the file leaves open.
pub fn read(path: &Path, given: &[InputShape]) -> Result<Model> {
    let hint = "give the path of an ONNX model";
    let meta = std::fs::metadata(path).map_err(|e| Error::io(path, e, hint))?;
    if !meta.is_file() {
        return Err(Error::file(path, "this is not a regular file", hint));
    }
    if meta.len() > LARGEST {
        let hint = "save it with its weights beside it: onnx.save(..., save_as_external_data=True)";
        return Err(Error::file(path, "larger than 2 GiB, which protobuf does not allow", hint));
    }
    let bytes = files::read(path, hint)?;
    let (proto, size) = (decode(&bytes, path)?, bytes.len() as u64);
    drop(bytes);
    assemble(proto, size, path, given)
}

/// Reads a model from memory. `path` is named in messages, and its folder is where external data are looked for.
pub fn parse(bytes: &[u8], path: &Path, given: &[InputShape]) -> Result<Model> {
    assemble(decode(bytes, path)?, bytes.len() as u64, path, given)
}

fn assemble(mut proto: ModelProto, bytes: u64, path: &Path, given: &[InputShape]) -> Result<Model> {
    let folder = Folder::of(path);
    for t in walk::tensors(&proto).into_iter().filter(|t| external::is_external(t)) {
        folder.check(t).map_err(|fault| fault.of(format_args!("tensor '{}'", t.name), path))?;
    }
    let opset = opset(&proto, path)?;
    let stated = branches::stated(proto.graph.get_or_default());
    hold(&mut proto, &stated, &folder)
        .map_err(|(name, fault)| fault.of(format_args!("tensor '{name}'"), path))?;
    let mut calls = vec![functions::expand(&mut proto, &stated)];
    let graph = proto.graph.get_or_default();
    if let Some(sparse) = graph.sparse_initializer.first() {
        let name = &sparse.values.get_or_default().name;
        let hint = "store the weights densely: export without sparse tensors";
        return Err(Error::file(
            path,
            format!("initializer '{name}' is sparse, which is not supported"),
            hint,
        ));
    }
    let (mut graph, mut inputs) = read::graph(graph, path, &folder, opset, given)?;
    while let Some(conditions) = decided(&graph, &inputs) {
        hold(&mut proto, &conditions, &folder)
            .map_err(|(name, fault)| fault.of(format_args!("tensor '{name}'"), path))?;
        let more = functions::expand(&mut proto, &conditions);
        if more.is_empty() {
            break;
        }
        calls.push(more);
        (graph, inputs) = read::graph(proto.graph.get_or_default(), path, &folder, opset, given)?;
    }
    write::lighten(&mut proto, &graph);
    let names = graph.names();
    let conditions = calls.iter().flatten().filter_map(functions::Call::condition);
    graph.conditions = conditions.filter_map(|name| names.get(name).copied()).collect();
    computed::part(&mut graph);
    share::part(&mut graph);
    let elsewhere = other_sizes(&graph, &inputs);
    Ok(Model { graph, proto, calls, path: path.to_owned(), bytes, folder, opset, inputs, elsewhere })
}

/// Brings what decided Ifs have in other files into the message: a branch that stands in the graph has its constants there. The error
/// names the tensor.
fn hold(
    proto: &mut ModelProto,
    conditions: &branches::Conditions,
    folder: &Folder,
) -> std::result::Result<(), (String, Fault)> {
    let nodes = proto.graph.as_mut().into_iter().flat_map(|g| &mut g.node);
    for node in nodes.filter(|node| branches::taken(node, conditions).is_some()) {
        let mut tensors = Vec::new();
        walk::in_node_mut(node, &mut tensors);
        for t in tensors.into_iter().filter(|t| external::is_external(t)) {
            let bytes = folder.bytes(t).map_err(|fault| (t.name.clone(), fault))?;
            external::forget(t);
            t.raw_data = bytes;
        }
    }
    Ok(())
}

/// Conditions of Ifs that come out the same whatever the network's input is, and the sizes that are open; none where there are none.
fn decided(graph: &Graph, inputs: &Inputs) -> Option<branches::Conditions> {
    let asked: Vec<_> = graph
        .nodes
        .iter()
        .filter(|n| n.op_type == "If")
        .filter_map(|n| n.inputs.first().copied().flatten())
        .collect();
    let open = inputs.open.iter().flatten().any(Option::is_some);
    let facts = if asked.is_empty() { return None } else { infer(graph, None).ok()? };
    let is_static = computed::statics(graph);
    let one = |v: ValueId| {
        if open && !is_static[v] {
            return None;
        }
        let value = facts.constant[v].as_ref().filter(|t| t.len() == 1)?;
        Some((graph.values[v].name.clone(), value.to_ints()[0] != 0))
    };
    let found: branches::Conditions = asked.into_iter().filter_map(one).collect();
    (!found.is_empty()).then_some(found)
}

/// Facts of the inputs at other sizes of the open axes: one set where the network runs with all of them changed, else what it runs
/// with of changed first axes and of the others.
fn other_sizes(graph: &Graph, inputs: &Inputs) -> Vec<Vec<Fact>> {
    let open = inputs.open.iter().flatten().any(Option::is_some);
    let given = inputs.facts.iter().cloned().collect::<Option<Vec<Fact>>>();
    let Some((given, Ok(base))) = given.filter(|_| open).map(|given| (given, infer(graph, None))) else {
        return Vec::new();
    };
    let runs = |other: &Vec<Fact>| infer(graph, Some(other)).is_ok_and(|facts| facts.resembles(&base));
    let [all, first, others] = inputs.other_sizes(&given).map(|tried| tried.into_iter().find(|o| runs(o)));
    match all {
        Some(all) => vec![all],
        None => first.into_iter().chain(others).collect(),
    }
}

/// The files of the external data of whatever model stands in `path`; none where no model does.
pub fn data_files(path: &Path) -> Vec<PathBuf> {
    let small = std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() <= LARGEST);
    let proto = small.then(|| decode(&files::read(path, "").ok()?, path).ok()).flatten();
    proto.map_or_else(Vec::new, |proto| external::files(&proto, &Folder::of(path)))
}

/// Bytes → message, or what is wrong with them.
fn decode(bytes: &[u8], path: &Path) -> Result<ModelProto> {
    if bytes.is_empty() {
        return Err(Error::file(path, "the file is empty", "export or download the model again"));
    }
    let refuse = |reason: String, hint: &str| match sniff::sniff(bytes) {
        Some(look) => Error::file(path, format!("this is {}, not an ONNX model", look.kind), look.hint),
        None => Error::file(path, reason, hint),
    };
    let hint = "export or download the model again; onnx.checker.check_model must accept it";
    guard::scan(bytes).map_err(|damage| refuse(format!("this is not an ONNX model: {damage}"), hint))?;
    let proto = ModelProto::parse_from_bytes(bytes)
        .map_err(|e| refuse(format!("this is not an ONNX model: {e}"), hint))?;
    if proto.graph.is_none() {
        return Err(refuse("the model has no graph".into(), hint));
    }
    Ok(proto)
}

/// Opset version of the standard domain.
fn opset(proto: &ModelProto, path: &Path) -> Result<i64> {
    let standard = proto.opset_import.iter().find(|o| matches!(o.domain.as_str(), "" | "ai.onnx"));
    match standard.map(|o| o.version) {
        Some(version) if version >= OLDEST_OPSET => Ok(version),
        Some(version) => {
            let hint = "convert it: onnx.save(onnx.version_converter.convert_version(onnx.load('old.onnx'), 13), \
                        'new.onnx')";
            let reason = format!("opset {version} is too old; {OLDEST_OPSET} and newer are supported");
            Err(Error::file(path, reason, hint))
        }
        None => {
            let hint = "export the model again; onnx.checker.check_model shows what the exporter did";
            Err(Error::file(
                path,
                "the model does not say which opset of the standard operators it uses",
                hint,
            ))
        }
    }
}

impl Model {
    /// Where the model was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that it was read from: of the file, and of its external data.
    pub fn file_size(&self) -> u64 {
        self.bytes + self.external_size()
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

    /// The same of a graph with this one's inputs.
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

    /// The same file with the sizes that it leaves open stated as they are taken here: batch 1 unless it was given otherwise.
    pub fn with_fixed_sizes(mut self) -> Result<Self> {
        let facts = infer(&self.graph, None)?;
        if let Some(proto) = self.proto.graph.as_mut() {
            patch::fix(proto, &self.graph, &facts);
        }
        self.inputs.open.iter_mut().flatten().for_each(|axis| *axis = None);
        self.elsewhere.clear();
        Ok(self)
    }

    /// The same file with `graph` in place of its own. Only what differs is changed.
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
    /// read, is as it was. What only decided between those that may not is taken out of `graph`.
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

    /// The model as one self-contained message, with external data moved inside. Errors above 2 GiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        write::to_bytes(self)
    }

    /// True if the file calls functions that it defines itself.
    pub fn calls_functions(&self) -> bool {
        let mut proto = self.proto.clone();
        write::collapse(&mut proto, self);
        functions::are_called(&proto)
    }

    /// The Ifs in whose place the branch stands that they take in any case.
    pub fn decided(&self) -> Vec<String> {
        self.calls.iter().flatten().filter_map(functions::Call::decided).collect()
    }

    /// As [`Self::to_bytes`]; `None` above 2 GiB, which is more than one message may take.
    pub fn message(&self) -> Result<Option<Vec<u8>>> {
        write::message(self)
    }

    /// Bytes that the model takes, with those of its initializers that stand in other files; up to some bytes of framing.
    pub fn size(&self) -> u64 {
        write::size(self)
    }

    /// Bytes of its initializers that stand in other files.
    pub fn external_size(&self) -> u64 {
        write::external_size(self)
    }

    /// The files that the model was read from: its own, and those of its external data.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = external::files(&self.proto, &self.folder);
        found.push(self.path.clone());
        found
    }

    /// True where `other` may be the name of the data file that stands beside the model once it is written to `path`.
    pub fn may_write(&self, path: &Path, other: &Path) -> bool {
        write::has_external(&self.proto) && write::is_data_of(path, other)
    }

    /// Writes the model, and what was in other files into one new file beside it, called like the model with `.data` and
    /// perhaps a number added: no file that is there is changed. A model that was there before is replaced when
    /// everything else is done, and then its data file removed, if it was made here and nobody else mentions it. Nothing is
    /// left behind on an error.
    pub(crate) fn write(&self, path: &Path) -> Result<Written> {
        write::write(self, path, None)
    }

    /// The same of a model that was proved as the message `proved`: what is on the disk is read back before it takes its name, and
    /// must be that.
    pub(crate) fn write_proved(&self, path: &Path, proved: &[u8]) -> Result<Written> {
        write::write(self, path, Some(proved))
    }
}
