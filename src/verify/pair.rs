//! Two networks with the same inputs and outputs, image by image.
//!
//! Takes: both graphs, data. Gives: how far their outputs are apart. Never: needs to know how one was made from the other.

use super::Difference;
use crate::data::BoundDataset;
use crate::error::{Error, Result};
use crate::exec::Aims;
use crate::exec::{Pool, Reach};
use crate::gates::Session;
use crate::graph::{Network, ValueId};
use crate::tensor::{Array, Elements};
use std::collections::BTreeSet;

/// Measured over all images.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Images compared.
    pub images: usize,
    /// Differences of the outputs.
    pub difference: Difference,
    /// Share of images with the same top class (classifiers).
    pub same_class: Option<f64>,
    /// Accuracy of the first and of the second (classifiers with labels).
    pub accuracy: Option<(f64, f64)>,
    /// The node before which the comparison ends, where not all outputs can be computed.
    pub before: Option<String>,
}

/// Compares two networks on all of `data` (a final Softmax is taken off both), as far as they can be run: not at all, where they
/// begin with operators that are not known.
pub fn compare(a: Network, b: Network, data: &BoundDataset, pool: &Pool) -> Result<Option<Compared>> {
    same_interface(a, b)?;
    let aims = |network: Network| Aims::compared(network, |_| true);
    if [a, b].into_iter().any(|n| aims(n).targets.is_empty()) {
        return Ok(None);
    }
    let reach = Reach::computed(a);
    let in_the_way = reach.blocker.iter().flatten().next().map(|&n| a.graph.nodes[n].name.clone());
    let all: Vec<usize> = (0..data.len()).collect();
    let named = |n: Network| -> BTreeSet<String> {
        aims(n).targets.iter().map(|&v| n.graph.values[v].name.clone()).collect()
    };
    // A masked network has products in front of what the other one reads as it is.
    let common: BTreeSet<String> = named(a).intersection(&named(b)).cloned().collect();
    let run = |network: Network| {
        let (graph, mut aims) = (network.graph, aims(network));
        if !common.is_empty() {
            aims.targets.retain(|&v| common.contains(&graph.values[v].name));
        }
        let session = Session::plain(network, &aims, data, pool)?;
        let targets = &session.targets;
        let names: Vec<String> = targets.iter().map(|&v| graph.values[v].name.clone()).collect();
        Ok::<_, Error>((names, session.classes, session.outputs(&all)))
    };
    let (names, classes, a) = run(a)?;
    let (others, _, b) = run(b)?;
    if names != others {
        let reason = format!("one network can be run up to {names:?}, the other up to {others:?}");
        return Err(Error::graph(reason, "compare a network with one that was made from it"));
    }
    let mut difference = Difference::default();
    for (x, y) in a.iter().zip(&b).flat_map(|(a, b)| a.iter().zip(b)) {
        difference.add(x.elements(), y.elements());
    }
    let top = |rows: &[Vec<Array<f32>>]| rows.iter().map(|r| argmax(r[0].elements())).collect::<Vec<_>>();
    let (a, b) = (top(&a), top(&b));
    let share = |equal: &dyn Fn(usize) -> bool| {
        all.iter().filter(|&&i| equal(i)).count() as f64 / all.len().max(1) as f64
    };
    let right = |tops: &[usize], labels: &[u32]| share(&|i| tops[i] == labels[i] as usize);
    Ok(Some(Compared {
        images: all.len(),
        difference,
        same_class: classes.then(|| share(&|i| a[i] == b[i])),
        accuracy: data.labels().filter(|_| classes).map(|l| (right(&a, l), right(&b, l))),
        before: in_the_way,
    }))
}

/// Errors unless inputs and outputs have the same names and shapes.
fn same_interface(a: Network, b: Network) -> Result<()> {
    let list = |n: Network, ports: &[ValueId]| {
        let port = |&v: &ValueId| format!("{} {:?}", n.graph.values[v].name, n.shape(v).unwrap_or_default());
        ports.iter().map(port).collect::<Vec<_>>().join(", ")
    };
    let ports = |n: Network| [("inputs", list(n, &n.graph.inputs)), ("outputs", list(n, &n.graph.outputs))];
    for ((what, a), (_, b)) in ports(a).into_iter().zip(ports(b)) {
        if a != b {
            let reason = format!("the two networks have different {what}: {a} and {b}");
            return Err(Error::graph(reason, "compare a network with one that was made from it"));
        }
    }
    Ok(())
}

fn argmax(row: &[f32]) -> usize {
    (0..row.len()).reduce(|best, i| if row[i] > row[best] { i } else { best }).unwrap_or(0)
}
