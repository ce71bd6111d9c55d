//! Changes to a file after its export that bar the way to pruning.
//!
//! Takes: a model's nodes. Gives: a [`Kind`], with what to do instead. Never: refuses anything.

use onnx_protobuf::{GraphProto, NodeProto};
use std::collections::HashSet;

/// A change to a file after its export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its weights or values are integers.
    Quantised,
    /// onnxruntime has put its own operators in, which suit one processor.
    Optimised,
}

impl Kind {
    /// A phrase on the change, and on the file to prune instead.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Quantised => "quantised: prune the float model, then quantise",
            Self::Optimised => {
                "optimised by onnxruntime for one processor: prune the original, or one saved at ENABLE_BASIC"
            }
        }
    }
}

/// Operators that onnxruntime's optimiser makes, in its domain.
const FUSED: [&str; 9] = [
    "BiasGelu",
    "FastGelu",
    "BiasSoftmax",
    "BiasAdd",
    "BiasDropout",
    "SkipLayerNormalization",
    "EmbedLayerNormalization",
    "NhwcConv",
    "NhwcMaxPool",
];

/// Operators that compute with integers in place of real numbers.
const INTEGER: [&str; 8] = [
    "QuantizeLinear",
    "DynamicQuantizeLinear",
    "ConvInteger",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "MatMulNBits",
    "QGemm",
];

/// The change that a graph shows; quantisation first.
pub fn of(graph: &GraphProto) -> Option<Kind> {
    let weights: HashSet<&str> =
        graph.initializer.iter().filter(|t| t.dims.len() > 1).map(|t| t.name.as_str()).collect();
    let quantised = |n: &NodeProto| {
        let stored = n.input.first().is_some_and(|x| weights.contains(x.as_str()));
        INTEGER.contains(&n.op_type.as_str())
            || n.op_type.starts_with("QLinear")
            || n.op_type == "DequantizeLinear" && stored
    };
    if graph.node.iter().any(quantised) {
        return Some(Kind::Quantised);
    }
    let optimised = |n: &NodeProto| match n.domain.as_str() {
        "com.microsoft.nchwc" | "com.ms.internal.nhwc" => true,
        "com.microsoft" => n.op_type.starts_with("Fused") || FUSED.contains(&n.op_type.as_str()),
        _ => false,
    };
    graph.node.iter().any(optimised).then_some(Kind::Optimised)
}

#[cfg(test)]
mod tests {
    use super::*;
    use onnx_protobuf::TensorProto;

    fn graph(nodes: &[(&str, &str, &str)]) -> GraphProto {
        let node = |&(domain, op_type, input): &(&str, &str, &str)| NodeProto {
            domain: domain.into(),
            op_type: op_type.into(),
            input: vec![input.into()],
            ..NodeProto::default()
        };
        let weight = TensorProto { name: "w".into(), dims: vec![4, 3, 3, 3], ..TensorProto::default() };
        GraphProto {
            node: nodes.iter().map(node).collect(),
            initializer: vec![weight],
            ..GraphProto::default()
        }
    }

    #[test]
    fn what_was_done_to_a_file_is_seen_by_its_operators() {
        let of = |nodes: &[(&str, &str, &str)]| of(&graph(nodes));
        assert_eq!(of(&[("", "Conv", "x"), ("", "Relu", "y")]), None);
        // Pixels that are scaled by the network itself.
        assert_eq!(of(&[("", "DequantizeLinear", "image"), ("", "Conv", "x")]), None);
        assert_eq!(of(&[("", "DequantizeLinear", "w")]), Some(Kind::Quantised));
        for op_type in
            ["QuantizeLinear", "ConvInteger", "QLinearConv", "QLinearMatMul", "DynamicQuantizeLinear"]
        {
            assert_eq!(of(&[("", op_type, "x")]), Some(Kind::Quantised), "{op_type}");
        }
        assert_eq!(of(&[("com.microsoft", "FusedConv", "x")]), Some(Kind::Optimised));
        assert_eq!(of(&[("com.microsoft.nchwc", "Conv", "x")]), Some(Kind::Optimised));
        assert_eq!(of(&[("com.microsoft", "Inverse", "x")]), None);
        let both = [("com.microsoft", "FusedConv", "x"), ("com.microsoft", "QLinearAdd", "x")];
        assert_eq!(of(&both), Some(Kind::Quantised));
    }
}
