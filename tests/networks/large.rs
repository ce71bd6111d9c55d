//! Networks of many nodes, and values that many nodes use again: analysed and cut in one ordered pass, on a test's small stack.

use autobot_onnx::internals::coupling::Residual;
use autobot_onnx::internals::graph::{self, Network};
use autobot_onnx::internals::onnx::{self, Model};
use autobot_onnx::internals::plan::{self, Search};
use autobot_onnx::internals::pruner::{self, Analysis, Options, Unit};
use autobot_onnx::internals::rewrite;
use onnx_protobuf::{Message, ModelProto, NodeProto, TensorProto};
use std::path::Path;

/// A network under construction, on the first nodes of a fixture.
struct Net {
    proto: ModelProto,
}

impl Net {
    /// With an input `image` of 3 channels.
    fn new() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/shared_weight/model.onnx");
        let mut proto = ModelProto::parse_from_bytes(&std::fs::read(path).unwrap()).unwrap();
        let graph = proto.graph.as_mut().unwrap();
        (graph.node, graph.initializer, graph.value_info) = Default::default();
        graph.output.truncate(1);
        Self { proto }
    }

    fn node(&mut self, op_type: &str, inputs: &[&str], output: &str) -> String {
        self.proto.graph.as_mut().unwrap().node.push(NodeProto {
            op_type: op_type.into(),
            input: inputs.iter().map(|i| (*i).into()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        });
        output.into()
    }

    fn store(&mut self, name: &str, shape: &[usize]) -> String {
        let n: usize = shape.iter().product();
        self.proto.graph.as_mut().unwrap().initializer.push(TensorProto {
            name: name.into(),
            dims: shape.iter().map(|&d| d as i64).collect(),
            data_type: 1,
            float_data: (0..n).map(|k| ((k * 7 + name.len() + 3) % 11) as f32 / 20.0 - 0.2).collect(),
            ..TensorProto::default()
        });
        name.into()
    }

    /// A 1×1 convolution.
    fn conv(&mut self, x: &str, cin: usize, cout: usize, name: &str) -> String {
        let w = self.store(&format!("{name}.w"), &[cout, cin, 1, 1]);
        self.node("Conv", &[x, &w], name)
    }

    /// The network, with a last convolution of 6 channels behind it.
    fn read(mut self, x: &str) -> Model {
        let name = self.proto.graph.output[0].name.clone();
        let w = self.store("last.w", &[2, 6, 1, 1]);
        self.node("Conv", &[x, &w], &name);
        onnx::parse(&self.proto.write_to_bytes().unwrap(), Path::new("large.onnx"), &[]).unwrap()
    }
}

/// Analyses a network in a reading and cuts half of what can be cut.
fn cut(model: &Model, residual: Residual) -> Analysis {
    let facts = model.facts().unwrap();
    let network = Network::new(&model.graph, &facts);
    let options = Options { residual, ..Options::default() };
    let analysis = pruner::analyse(network, &options, Unit::Macs).unwrap();
    let fixed = vec![false; analysis.kept_at_min.len()];
    let search = Search::new(&analysis.groups, &analysis.cost, options.limits, fixed);
    let target = (analysis.macs_total + search.smallest().cost) / 2;
    let kept = search.meet(&plan::l1(network, &analysis.groups), target).unwrap().kept;
    let done = rewrite::rewrite(network, &analysis.groups, &kept, model.opset()).unwrap();
    let facts = network.facts_of(&done.graph).unwrap();
    assert!(!graph::print(Network::new(&done.graph, &facts)).is_empty());
    rewrite::masked(&model.graph, &done.masks, &[]).unwrap();
    model.with_graph(done.graph).unwrap();
    analysis
}

#[test]
fn values_that_are_used_again_and_again_are_looked_at_once() {
    // x·sigmoid(x): with k of them in a row there are 2^k ways back.
    for k in [24, 40] {
        let mut net = Net::new();
        let mut x = net.conv("image", 3, 6, "first");
        for i in 0..k {
            let s = net.node("Sigmoid", &[&x], &format!("sigmoid{i}"));
            x = net.node("Mul", &[&x, &s], &format!("silu{i}"));
        }
        let other = net.conv("image", 3, 6, "other");
        x = net.node("Add", &[&x, &other], "add");
        let analysis = cut(&net.read(&x), Residual::Auto);
        assert!(!analysis.groups.classes.is_empty());
    }
}

#[test]
fn twenty_thousand_nodes_in_a_row_take_no_stack() {
    let mut net = Net::new();
    let mut x = net.conv("image", 3, 6, "first");
    for i in 0..20_000 {
        x = net.node(["Relu", "Abs", "Tanh"][i % 3], &[&x], &format!("row{i}"));
    }
    let other = net.conv("image", 3, 6, "other");
    x = net.node("Add", &[&x, &other], "add");
    for residual in [Residual::Auto, Residual::Expand] {
        assert!(!cut(&net_of(&net, &x), residual).groups.classes.is_empty());
    }
}

/// The same network again, to be read.
fn net_of(net: &Net, x: &str) -> Model {
    Net { proto: net.proto.clone() }.read(x)
}

#[test]
fn a_residual_trunk_of_thousands_of_additions_is_cut() {
    let mut net = Net::new();
    let mut x = net.conv("image", 3, 6, "first");
    for i in 0..2_000 {
        let y = net.conv(&x, 6, 4, &format!("reduce{i}"));
        let y = net.node("Relu", &[&y], &format!("relu{i}"));
        let y = net.conv(&y, 4, 6, &format!("branch{i}"));
        x = net.node("Add", &[&x, &y], &format!("add{i}"));
    }
    for residual in [Residual::Select, Residual::Expand, Residual::Tie] {
        let analysis = cut(&net_of(&net, &x), residual);
        assert!(analysis.groups.groups.len() >= 2_000, "{residual:?}");
    }
}
