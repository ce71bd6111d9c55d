//! What is said to be reachable is reached: exactly, and proved like any other result.

use super::{ALL, Residual, ours};
use autobot_onnx::internals::pruner::{self, Criterion, Options, Silent, Start, Target, Task, Unit};
use autobot_onnx::internals::verify::TOLERANCE;

#[test]
fn the_smallest_target_can_be_met_and_nothing_below_it() {
    for network in ours() {
        for residual in ALL {
            let data = network.data(16, 1);
            let options = &Options { criterion: Criterion::L1, residual, ..Options::default() };
            let analysis = pruner::analyse(network.network(), options, Unit::Macs).unwrap();
            let at = |macs: u64| {
                let (aim, opset) = (analysis.aim(Target::Macs(macs))?, network.model.opset());
                let task = Task { network: network.network(), opset, aim: &aim, data: &data, options };
                pruner::prune(&task, &mut Start::default(), &mut Silent)
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
            let options = Options { residual, ..Options::default() };
            pruner::analyse(network.network(), &options, Unit::Macs).unwrap().macs_min
        };
        let (auto, tie) = (reach(Residual::Auto), reach(Residual::Tie));
        assert!(auto <= tie, "{}: {auto} MACs where {tie} can be reached", network.name);
    }
}
