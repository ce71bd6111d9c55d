//! The run that a kept training belongs to: hashes of everything that shapes it.
//!
//! Takes: graph, images, options. Gives: an [`Identity`], equal on all machines. Never: opens a file.

use super::{Options, Target};
use crate::data::BoundDataset;
use crate::graph::{Attr, Graph, Origin, ValueId};
use crate::support::hash::Hash;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Hashes of everything that shapes a kept training, as hexadecimal text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// The nodes, their attributes, and all stored numbers.
    pub network: String,
    /// The calibration data as the network takes them, with their labels.
    pub images: String,
    /// The options.
    pub options: String,
}

impl Identity {
    /// A run: its target, every option that shapes the result, and `gates`, the file of gates that it was given.
    pub fn of_run(
        graph: &Graph,
        opset: i64,
        data: &BoundDataset,
        target: Target,
        options: &Options,
        gates: Option<&[u8]>,
    ) -> Self {
        // Neither threads nor traces shape the result.
        let options = format!("{target:?} {:?}", Options { threads: 0, trace: 0, ..options.clone() });
        let version = env!("CARGO_PKG_VERSION");
        let mut hash = Hash::default();
        hash.text(version).text(&options).bytes(gates.unwrap_or_default());
        let mut images = Hash::default();
        images.text(&data.digest()).number(data.len());
        Self { network: network(graph, opset), images: images.done(), options: hash.done() }
    }

    /// Trained gates: the network, the images, and the options that say what a gate is.
    pub fn of_gates(graph: &Graph, opset: i64, data: &BoundDataset, options: &Options) -> Self {
        let Options { residual, exclude, only, compensation, .. } = options;
        let mut hash = Hash::default();
        hash.text(&format!("{residual:?} {exclude:?} {only:?} {compensation:?}"));
        Self { network: network(graph, opset), images: data.digest(), options: hash.done() }
    }

    /// The first part in which another identity differs, in words.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let parts = [
            (self.network == other.network, "another network"),
            (self.options == other.options, "other options"),
            (self.images == other.images, "other images, labels or preprocessing"),
        ];
        parts.into_iter().find(|(same, _)| !same).map(|(_, what)| what)
    }
}

fn network(graph: &Graph, opset: i64) -> String {
    let mut hash = Hash::default();
    hash.text(&opset.to_string());
    for node in &graph.nodes {
        hash.text(&node.name).text(&node.op_type);
        for (name, value) in node.op.attributes() {
            hash.text(&name);
            match &value {
                Attr::Tensor(t) => tensor(&mut hash, t),
                other => {
                    hash.text(&format!("{other:?}"));
                }
            }
        }
        values(&mut hash, &node.inputs);
        values(&mut hash, &node.outputs);
    }
    for value in &graph.values {
        hash.text(&value.name);
        match &value.origin {
            Origin::Initializer(t) => tensor(&mut hash, t),
            Origin::Input => {
                hash.text(&format!("{:?}", value.declared));
            }
            Origin::Node(..) | Origin::Carried => {}
        }
    }
    for &v in &graph.outputs {
        hash.number(v);
    }
    hash.done()
}

fn tensor(hash: &mut Hash, t: &Tensor) {
    hash.text(t.dtype().name()).number(t.shape().len());
    for &n in t.shape() {
        hash.number(n);
    }
    hash.bytes(&t.to_bytes());
}

fn values(hash: &mut Hash, all: &[Option<ValueId>]) {
    hash.number(all.len());
    for v in all {
        hash.number(v.map_or(0, |v| v + 1));
    }
}
