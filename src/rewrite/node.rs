//! Nodes that the rewriter makes.

use crate::error::{Error, Result};
use crate::graph::*;
use crate::ops;
use std::sync::Arc;

/// A node with one result, `out`.
pub(super) fn new_node(
    name: String,
    (op_type, opset): (&str, i64),
    attributes: &Attributes,
    inputs: Vec<Option<ValueId>>,
    out: ValueId,
) -> Result<Node> {
    Ok(Node {
        op: Arc::from(read_op(&name, op_type, opset, attributes, inputs.len())?),
        name,
        op_type: op_type.into(),
        inputs,
        outputs: vec![Some(out)],
        captured: Vec::new(),
        source: None,
    })
}

/// An operator of ours, from its attributes.
pub(super) fn read_op(
    name: &str,
    op_type: &str,
    opset: i64,
    attributes: &Attributes,
    inputs: usize,
) -> Result<Box<dyn Op>> {
    ops::read(op_type, "", opset, attributes, inputs, 1).map_err(|e| {
        Error::node(name, op_type, e.reason(), "this is a defect of autobot-onnx: please report it")
    })
}
