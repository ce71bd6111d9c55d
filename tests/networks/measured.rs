//! A time that is measured decides over one that is predicted.

use super::NetworkFile;
use autobot_onnx::Result;
use autobot_onnx::internals::cost::latency::Cpu;
use autobot_onnx::internals::cost::{Convention, Cost};
use autobot_onnx::internals::coupling::Groups;
use autobot_onnx::internals::graph::{Graph, Network};
use autobot_onnx::internals::pruner::{
    self, Clock, Comparison, Criterion, Options, Silent, Start, Target, Task, Timekeeper, Unit,
};
use std::path::Path;

/// A machine on which whatever is saved saves half as much as one would think.
struct Slow<'a> {
    network: &'a NetworkFile,
    asked: usize,
}

impl Slow<'_> {
    fn of(&self, graph: &Graph) -> f64 {
        let facts = self.network.network().facts_of(graph).unwrap();
        let macs = |network| Cost::new(network, &Groups::default(), Convention::Macs).hard(&[]) as f64;
        let share = macs(Network::new(graph, &facts)) / macs(self.network.network());
        share + (1.0 - share) / 2.0
    }
}

impl Clock for Slow<'_> {
    fn compare(&mut self, graph: &Graph, wanted: f64) -> Result<Comparison> {
        self.asked += 1;
        let share = self.of(graph);
        Ok(Comparison {
            milliseconds_before: 10.0,
            milliseconds_after: 10.0 * share,
            share,
            low: share,
            high: share,
            rounds: 1,
            wanted,
        })
    }
}

#[test]
fn a_measured_time_is_met() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let network = NetworkFile::read(&root.join("models/digits_concat.onnx"));
    let speed = Some(Cpu::CortexA53.speed());
    let options = Options { speed, criterion: Criterion::Gates, batches: Some(20), ..Options::default() };
    let analysis = pruner::analyse(network.network(), &options, Unit::Time).unwrap();
    let mut slow = Slow { network: &network, asked: 0 };
    let data = network.data(64, 1);
    let (aim, opset) = (analysis.aim(Target::TimeShare(0.75)).unwrap(), network.model.opset());
    let task = Task { network: network.network(), opset, aim: &aim, data: &data, options: &options };
    let mut start = Start { clock: Some(Timekeeper::new(&mut slow)), ..Start::default() };
    let done = pruner::prune(&task, &mut start, &mut Silent).unwrap();
    let measured = done.measured.unwrap();
    assert!(slow.asked > 1, "what was predicted was enough");
    assert_eq!(done.trained.unwrap().target, Some(done.target as f64));
    assert_eq!(measured.share, slow.of(&done.rewritten.graph));
    assert!(measured.meets() && measured.share > 0.70, "{measured:?}");
    assert_eq!(done.comparisons.len(), slow.asked);
    assert!(done.comparisons.contains(&measured));
}
