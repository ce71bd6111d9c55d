//! Bytes and files → [`Model`].
//!
//! Takes: a path, or bytes; sizes that the file leaves open. Gives: a model whose graph has no calls of its own functions, no
//! decided branches and no shared constants. Never: panics on any input; touches the file.

use super::external::{self, Folder};
use super::shapes::{InputShape, Inputs};
use super::{LARGEST, Model, branches, computed, functions, guard, message, share, sniff, walk};
use crate::error::{Error, Result};
use crate::graph::{Fact, Graph, ValueId, infer};
use crate::support::files;
use onnx_protobuf::{Message, ModelProto};
use std::path::{Path, PathBuf};

/// Opset versions of the standard domain that are read. Older ones give a BatchNormalization, a Reshape or a Dropout
/// another form; newer ones than the latest known are read too, operator by operator.
const OLDEST_OPSET: i64 = 7;

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

/// A model from its message; `bytes` is the size of the message as it was read.
fn assemble(mut proto: ModelProto, bytes: u64, path: &Path, given: &[InputShape]) -> Result<Model> {
    let folder = Folder::of(path);
    for t in walk::tensors(&proto).into_iter().filter(|t| external::is_external(t)) {
        folder.check(t).map_err(|fault| fault.of(format_args!("tensor '{}'", t.name), path))?;
    }
    let opset = opset(&proto, path)?;
    let stated = branches::stated(proto.graph.get_or_default());
    hold(&mut proto, &stated, &folder, path)?;
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
    let (mut graph, mut inputs) = super::read::graph(graph, path, &folder, opset, given)?;
    while let Some(conditions) = decided(&graph, &inputs) {
        hold(&mut proto, &conditions, &folder, path)?;
        let more = functions::expand(&mut proto, &conditions);
        if more.is_empty() {
            break;
        }
        calls.push(more);
        (graph, inputs) = super::read::graph(proto.graph.get_or_default(), path, &folder, opset, given)?;
    }
    message::lighten(&mut proto, &graph);
    let names = graph.names();
    let conditions = calls.iter().flatten().filter_map(functions::Call::condition);
    graph.conditions = conditions.filter_map(|name| names.get(name).copied()).collect();
    computed::part(&mut graph);
    share::part(&mut graph);
    let elsewhere = other_sizes(&graph, &inputs);
    Ok(Model { graph, proto, calls, path: path.to_owned(), bytes, folder, opset, inputs, elsewhere })
}

/// Brings the external data of decided Ifs into the message: a branch that stands in the graph has its constants there. Errors
/// name the tensor.
fn hold(
    proto: &mut ModelProto,
    conditions: &branches::Conditions,
    folder: &Folder,
    path: &Path,
) -> Result<()> {
    let nodes = proto.graph.as_mut().into_iter().flat_map(|g| &mut g.node);
    for node in nodes.filter(|node| branches::taken(node, conditions).is_some()) {
        let mut tensors = Vec::new();
        walk::in_node_mut(node, &mut tensors);
        for t in tensors.into_iter().filter(|t| external::is_external(t)) {
            let bytes = folder.bytes(t);
            let bytes = bytes.map_err(|fault| fault.of(format_args!("tensor '{}'", t.name), path))?;
            external::forget(t);
            t.raw_data = bytes;
        }
    }
    Ok(())
}

/// Conditions of Ifs that do not depend on the network's input, nor on open sizes; `None` where there are none.
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

/// Facts of the inputs at other sizes of the open axes: one set where the network runs with all of them changed, else the sets that
/// it runs with of changed first axes and of changed others.
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

/// Bytes → message. Errors say what the bytes look like instead.
fn decode(bytes: &[u8], path: &Path) -> Result<ModelProto> {
    if bytes.is_empty() {
        return Err(Error::file(path, "the file is empty", "export or download the model again"));
    }
    let refuse = |reason: String, hint: &str| match sniff::sniff(bytes) {
        Some(found) => Error::file(path, format!("this is {}, not an ONNX model", found.kind), found.hint),
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
