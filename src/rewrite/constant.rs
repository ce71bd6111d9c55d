//! Stored constants: initializers and Constant nodes alike.

use super::node::read_op;
use crate::error::{Error, Result};
use crate::graph::*;
use crate::tensor::*;
use std::sync::Arc;

/// The stored tensor of an initializer or of a Constant node.
pub(super) fn constant(graph: &Graph, v: ValueId) -> Option<Tensor> {
    match &graph.values[v].origin {
        Origin::Initializer(t) => Some(t.clone()),
        Origin::Node(n, _) if graph.nodes[*n].is_stored() => {
            let mut attributes = graph.nodes[*n].op.attributes();
            match attributes.remove("value").or_else(|| attributes.remove("value_floats")) {
                Some(Attr::Tensor(t)) => Some(t),
                Some(Attr::Floats(f)) => Some(Tensor::floats(&[f.len()], f)),
                _ => None,
            }
        }
        Origin::Node(..) | Origin::Input | Origin::Carried => None,
    }
}

/// Replaces the tensor of an initializer or of a Constant node.
pub(super) fn set_constant(graph: &mut Graph, v: ValueId, change: impl Fn(&Tensor) -> Tensor) -> Result<()> {
    match constant(graph, v) {
        Some(old) => store(graph, v, change(&old)),
        None => Ok(()),
    }
}

/// Makes `v` a stored constant: a new initializer, or its node a Constant node.
pub fn store(graph: &mut Graph, v: ValueId, new: Tensor) -> Result<()> {
    if let Origin::Node(n, _) = graph.values[v].origin {
        let node = &mut graph.nodes[n];
        let attributes = Writer::default().put("value", new).done();
        node.op = Arc::from(read_op(&node.name, "Constant", 13, &attributes, 0)?);
        node.op_type = "Constant".into();
        node.inputs.clear();
    } else {
        graph.values[v].origin = Origin::Initializer(new);
    }
    Ok(())
}

/// The stored constants of `new` that are others in `old`, of which it is a copy, by their names: bit for bit.
pub fn changed(old: &Graph, new: &Graph) -> Vec<(String, Tensor)> {
    let bits = |t: &Tensor| (t.shape().to_vec(), t.dtype(), t.to_bytes());
    let one = |v: ValueId| {
        let t = constant(new, v)?;
        let same = constant(old, v).is_some_and(|before| bits(&before) == bits(&t));
        (!same).then(|| (new.values[v].name.clone(), t))
    };
    (0..new.values.len()).filter_map(one).collect()
}

/// Gives stored constants other values, by their names.
pub fn change(graph: &mut Graph, constants: &[(String, Tensor)]) -> Result<()> {
    for (name, new) in constants {
        let v = graph.value_named(name).filter(|&v| {
            constant(graph, v).is_some_and(|old| old.shape() == new.shape() && old.dtype() == new.dtype())
        });
        let Some(v) = v else {
            let reason = format!("the network has no constant '{name}' of shape {:?}", new.shape());
            return Err(Error::graph(reason, "give the file that was made for this network"));
        };
        store(graph, v, new.clone())?;
    }
    Ok(())
}
