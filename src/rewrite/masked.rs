//! The masked original: what a pruned network must equal.

use super::Sliced;
use super::bias::{Bias, raise_bias};
use super::constant::{constant, store};
use crate::error::{Error, Result};
use crate::ir::*;

/// The original with zeros in place of the sliced coordinates and with the biases added: what the small network must
/// equal. Errors where these do not belong to the graph.
pub fn masked(graph: &Graph, sliced: &[Sliced], biases: &[Bias]) -> Result<Graph> {
    let mut new = graph.clone();
    // What nodes make of nothing (ConstantOfShape), computed once.
    let mut computed = None;
    for s in sliced {
        let foreign = |why: &str| {
            let reason = format!("'{}' cannot be masked as planned: {why}", s.initializer);
            Error::graph(reason, "give the plan together with the network that it was made for")
        };
        let v =
            graph.value_named(&s.initializer).ok_or_else(|| foreign("the network has no such constant"))?;
        let stored = match constant(&new, v) {
            Some(t) => Some(t),
            None => {
                if computed.is_none() {
                    computed = Some(infer(graph, None)?);
                }
                computed.as_ref().and_then(|facts| facts.constant[v].as_deref().cloned())
            }
        };
        let t = stored.ok_or_else(|| foreign("it is no constant of the network"))?;
        let size = *t.shape.get(s.axis).ok_or_else(|| foreign("it has no such axis"))?;
        if !s.kept.is_sorted() || s.kept.last().is_some_and(|&k| k >= size) {
            return Err(foreign("its axis does not have these coordinates"));
        }
        let mut values = t.data.to_real::<f64>();
        let inner = volume(&t.shape[s.axis + 1..]);
        let mut changed = false;
        for (i, value) in values.iter_mut().enumerate() {
            if *value != 0.0 && s.kept.binary_search(&(i / inner % size)).is_err() {
                (*value, changed) = (0.0, true);
            }
        }
        if changed {
            store(&mut new, v, t.with_values(&t.shape, &values))?;
        }
    }
    for b in biases {
        let foreign = |why: &str| {
            let reason = format!("the bias of '{}' cannot be raised as planned: {why}", b.node);
            Error::graph(reason, "give the plan together with the network that it was made for")
        };
        let node = new.nodes.iter().position(|n| n.name == b.node);
        let at = node.ok_or_else(|| foreign("the network has no such node"))?;
        let stored = |slot: usize| new.initializer((*new.nodes[at].inputs.get(slot)?)?);
        if stored(2).is_some_and(|t| t.data.len() != b.added.len()) {
            return Err(foreign("it has another size"));
        }
        let dtype = stored(2).or(stored(1)).map_or(DType::F32, |t| t.dtype());
        raise_bias(&mut new, at, dtype, &b.added);
    }
    Ok(new)
}
