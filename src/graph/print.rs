//! The graph as stable text: goldens and bug reports share it.

use super::{Attr, Network, ValueId};
use std::fmt::Write;

/// One line per input, initializer, node and output, in order, with types and shapes where known.
pub fn print(Network { graph, facts }: Network) -> String {
    let mut out = String::new();
    let typed = |v: ValueId| match &facts.fact[v] {
        Some(f) => format!("{} {}{:?}", graph.values[v].name, f.dtype.name(), f.shape),
        None => format!("{} ?", graph.values[v].name),
    };
    for &v in &graph.inputs {
        let _ = writeln!(out, "input  {}", typed(v));
    }
    for v in 0..graph.values.len() {
        if graph.initializer(v).is_some() {
            let _ = writeln!(out, "init   {}", typed(v));
        }
    }
    for node in &graph.nodes {
        let name = |v: &Option<ValueId>| v.map_or("-", |v| graph.values[v].name.as_str()).to_owned();
        let inputs: Vec<String> = node.inputs.iter().map(name).collect();
        let outputs: Vec<String> = node.outputs.iter().flatten().map(|&v| typed(v)).collect();
        let attributes: Vec<String> = node
            .op
            .attributes()
            .iter()
            .map(|(k, v)| match v {
                Attr::Int(i) => format!("{k}={i}"),
                Attr::Float(f) => format!("{k}={f}"),
                Attr::Str(s) => format!("{k}={s}"),
                Attr::Ints(i) => format!("{k}={i:?}"),
                Attr::Tensor(t) => format!("{k}={}{:?}", t.dtype().name(), t.shape()),
                other => format!("{k}={other:?}"),
            })
            .collect();
        let attributes =
            if attributes.is_empty() { String::new() } else { format!(" {{{}}}", attributes.join(" ")) };
        let (op, inputs, outputs) = (&node.op_type, inputs.join(", "), outputs.join(", "));
        let _ = writeln!(out, "node   {}: {op}({inputs}){attributes} -> {outputs}", node.name);
    }
    for &v in &graph.outputs {
        let _ = writeln!(out, "output {}", typed(v));
    }
    out
}
