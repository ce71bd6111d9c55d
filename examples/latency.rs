//! A time as the target: predicted for tract on one core of a processor, which need not be this one.
//!
//!     cargo run --release --example latency

use autobot_onnx::cost::latency::Cpu;
use autobot_onnx::data::Calibration;
use autobot_onnx::onnx;
use autobot_onnx::plan::Round;
use autobot_onnx::pruner::{Criterion, Observer, Options, Pruner, Target};

struct Quiet;
impl Observer for Quiet {}

pub fn main() -> autobot_onnx::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/digits_depthwise.onnx");
    let mut options = Options::new(Target::TimeShare(0.7));
    options.speed = Some(Cpu::CortexA53.speed());
    options.criterion = Criterion::L1;
    options.limits.round = Round::Edges; // widths that fill the processor's tiles
    let mut pruner = Pruner::new(onnx::read(path.as_ref(), &[])?, options)?;
    let asked = pruner.aim(Target::TimeShare(0.7))?;
    let images = Calibration::synthetic(&pruner.inputs()?, 64, 1);
    let done = pruner.run(&images, &mut Quiet)?;
    let milliseconds = |ns: u64| ns as f64 / 1e6;
    println!("predicted: {:.3} ms", milliseconds(pruner.analysis().budget_total()));
    println!("asked for: {:.3} ms", milliseconds(asked));
    println!("reached:   {:.3} ms", milliseconds(pruner.analysis().budget().hard(&done.outcome.plan.kept)));
    Ok(())
}
