//! Several sizes from one training: the gates that were trained for a size are trained further for the next one.
//!
//!     cargo run --release --example several_targets

use autobot_onnx::data::Calibration;
use autobot_onnx::gates::Trained;
use autobot_onnx::onnx;
use autobot_onnx::pruner::{Observer, Options, Pruner, Target};

/// Hands gates from one run to the next.
#[derive(Default)]
struct HandOn(Option<Trained>);

impl Observer for HandOn {
    fn gates(&mut self) -> Option<Trained> {
        self.0.take()
    }
    fn trained(&mut self, gates: &Trained) {
        self.0 = Some(gates.clone());
    }
}

pub fn main() -> autobot_onnx::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/digits_chain.onnx");
    let mut options = Options::new(Target::Share(0.7));
    options.batches = Some(40); // so that the example is over soon
    let mut pruner = Pruner::new(onnx::read(path.as_ref(), &[])?, options)?;
    let images = Calibration::synthetic(&pruner.inputs()?, 256, 1); // yours: Calibration::load
    let mut gates = HandOn::default();
    // From the most to the least: gates go on closing.
    for share in [0.7, 0.5, 0.3] {
        let target = pruner.aim(Target::Share(share))?;
        let done = pruner.run(&images, &mut gates)?;
        let (kept, difference) = (done.outcome.plan.cost, done.verdict.relative);
        println!("asked for {target} MACs: {kept} are left, proved to {difference:.1e}");
    }
    Ok(())
}
