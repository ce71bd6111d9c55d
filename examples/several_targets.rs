//! Several sizes from one training: the gates that were trained for a size are trained further for the next one.
//!
//!     cargo run --release --example several_targets

use autobot_onnx::{Dataset, Model, Options, Pruner, Silent, Target};

pub fn main() -> autobot_onnx::Result<()> {
    let model = Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/models/digits_chain.onnx"))?;
    let images = Dataset::synthetic(256, 1); // yours: Dataset::open
    let targets = [0.7, 0.5, 0.3].map(Target::macs_share);
    // So few updates that the example is over soon.
    let pruner = Pruner::new(targets[0]).options(Options { batches: Some(40), ..Options::default() });
    for pruned in pruner.run_each(&targets, &model, &images, &mut Silent)? {
        let report = pruned.report();
        let (target, kept) = (report.macs_target().unwrap_or_default(), report.macs_after());
        println!("asked for {target} MACs: {kept} are left, proved to {:.1e}", report.difference());
    }
    Ok(())
}
