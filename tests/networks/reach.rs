//! What is said to be reachable is reached: exactly, and proved like any other result.

use super::{ALL, Residual, ours};
use autobot_onnx::pruner::{self, Criterion, Observer, Options, Target};
use autobot_onnx::verify::TOLERANCE;

struct Silent;

impl Observer for Silent {}

#[test]
fn the_smallest_target_can_be_met_and_nothing_below_it() {
    for network in ours() {
        for residual in ALL {
            let (graph, facts) = (&network.model.graph, &network.facts);
            let data = network.data(16, 1);
            let mut options = Options::new(Target::Share(1.0));
            (options.criterion, options.residual) = (Criterion::L1, residual);
            let analysis = pruner::analyse(graph, facts, &options).unwrap();
            let mut at = |macs: u64| {
                options.target = Target::Macs(macs);
                let opset = network.model.opset();
                pruner::prune(graph, facts, &analysis, &data, &options, opset, &mut Silent)
            };
            let name = format!("{} ({residual:?})", network.name);
            let done = at(analysis.macs_min).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(done.plan.cost, analysis.macs_min, "{name}");
            assert!(done.proof.difference.relative <= TOLERANCE, "{name}: {:?}", done.proof.difference);
            assert!(at(analysis.macs_min - 1).is_err(), "{name}");
        }
    }
}

#[test]
fn the_automatic_reading_reaches_what_the_best_one_reaches() {
    for network in ours() {
        let reach = |residual| {
            let options = Options { residual, ..Options::new(Target::Share(1.0)) };
            pruner::analyse(&network.model.graph, &network.facts, &options).unwrap().macs_min
        };
        let (auto, tie) = (reach(Residual::Auto), reach(Residual::Tie));
        assert!(auto <= tie, "{}: {auto} MACs where {tie} can be reached", network.name);
    }
}
