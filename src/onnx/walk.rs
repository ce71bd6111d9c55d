//! Every tensor of a model, wherever it stands: initializers, attributes, subgraphs, functions, training graphs. And the graphs of
//! one node.
//!
//! Takes: a model. Gives: references, in the order of the file. Never: skips one; the tensors' data files are counted
//! and written by this list.

use onnx_protobuf::{AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};

macro_rules! walker {
    ($model:ident $graph:ident $node:ident $attribute:ident $sparse:ident, $iter:ident $as:ident, ($($m:tt)?)) => {
        /// All tensors of a model.
        pub fn $model(model: &$($m)? ModelProto) -> Vec<&$($m)? TensorProto> {
            let mut out = Vec::new();
            if let Some(g) = model.graph.$as() {
                $graph(g, &mut out);
            }
            for f in model.functions.$iter() {
                f.node.$iter().for_each(|n| $node(n, &mut out));
                f.attribute_proto.$iter().for_each(|a| $attribute(a, &mut out));
            }
            for t in model.training_info.$iter() {
                t.initialization.$as().into_iter().for_each(|g| $graph(g, &mut out));
                t.algorithm.$as().into_iter().for_each(|g| $graph(g, &mut out));
            }
            out
        }

        fn $graph<'a>(graph: &'a $($m)? GraphProto, out: &mut Vec<&'a $($m)? TensorProto>) {
            out.extend(graph.initializer.$iter());
            graph.sparse_initializer.$iter().for_each(|s| $sparse(s, out));
            graph.node.$iter().for_each(|n| $node(n, out));
        }

        /// All tensors of a node.
        pub fn $node<'a>(node: &'a $($m)? NodeProto, out: &mut Vec<&'a $($m)? TensorProto>) {
            node.attribute.$iter().for_each(|a| $attribute(a, out));
        }

        fn $attribute<'a>(a: &'a $($m)? AttributeProto, out: &mut Vec<&'a $($m)? TensorProto>) {
            out.extend(a.t.$as());
            out.extend(a.tensors.$iter());
            a.sparse_tensor.$as().into_iter().for_each(|s| $sparse(s, out));
            a.sparse_tensors.$iter().for_each(|s| $sparse(s, out));
            a.g.$as().into_iter().for_each(|g| $graph(g, out));
            a.graphs.$iter().for_each(|g| $graph(g, out));
        }

        fn $sparse<'a>(s: &'a $($m)? SparseTensorProto, out: &mut Vec<&'a $($m)? TensorProto>) {
            out.extend(s.values.$as());
            out.extend(s.indices.$as());
        }
    };
}

walker!(tensors in_graph in_node in_attribute in_sparse, iter as_ref, ());
walker!(tensors_mut in_graph_mut in_node_mut in_attribute_mut in_sparse_mut, iter_mut as_mut, (mut));

/// The graphs in a node's attributes.
pub fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|a| a.g.as_ref().into_iter().chain(&a.graphs))
}
