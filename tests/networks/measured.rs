//! A time that is measured decides over one that is predicted.

use super::Network;
use autobot_onnx::Result;
use autobot_onnx::cost::latency::Cpu;
use autobot_onnx::cost::{Convention, Cost};
use autobot_onnx::coupling::Groups;
use autobot_onnx::graph::Graph;
use autobot_onnx::pruner::{self, Clock, Criterion, Observer, Options, Target};
use autobot_onnx::verify;
use std::path::Path;

/// A machine on which whatever is saved saves half as much as one would think.
struct Slow<'a> {
    network: &'a Network,
    asked: usize,
}

impl Slow<'_> {
    fn of(&self, graph: &Graph) -> f64 {
        let big = &self.network.model.graph;
        let facts = verify::facts_like(big, &self.network.facts, graph).unwrap();
        let macs =
            |graph, facts| Cost::new(graph, facts, &Groups::default(), Convention::Macs).hard(&[]) as f64;
        let share = macs(graph, &facts) / macs(big, &self.network.facts);
        share + (1.0 - share) / 2.0
    }
}

impl Clock for Slow<'_> {
    fn share(&mut self, graph: &Graph) -> Result<f64> {
        self.asked += 1;
        Ok(self.of(graph))
    }
}

impl Observer for Slow<'_> {
    fn clock(&mut self) -> Option<&mut dyn Clock> {
        Some(self)
    }
}

#[test]
fn a_measured_time_is_met() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let network = Network::read(&root.join("models/digits_concat.onnx"));
    let (graph, facts) = (&network.model.graph, &network.facts);
    let mut options = Options::new(Target::TimeShare(0.75));
    options.speed = Some(Cpu::CortexA53.speed());
    (options.criterion, options.batches) = (Criterion::Gates, Some(20));
    let analysis = pruner::analyse(graph, facts, &options).unwrap();
    let mut slow = Slow { network: &network, asked: 0 };
    let data = network.data(64, 1);
    let opset = network.model.opset();
    let done = pruner::prune(graph, facts, &analysis, &data, &options, opset, &mut slow).unwrap();
    let measured = done.measured.unwrap();
    assert!(slow.asked > 1, "what was predicted was enough");
    assert_eq!(done.trained.unwrap().target, Some(done.target as f64));
    assert_eq!(measured, slow.of(&done.rewritten.graph));
    assert!(measured <= 0.75 && measured > 0.65, "{measured}");
}
