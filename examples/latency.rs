//! A time as the target: predicted for tract on one core of a processor, which need not be this one.
//!
//!     cargo run --release --example latency

use autobot_onnx::{Cpu, Criterion, Dataset, Limits, Model, Options, Processor, Pruner, Round, Target};

pub fn main() -> autobot_onnx::Result<()> {
    let model = Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/models/digits_depthwise.onnx"))?;
    // Widths that fill the processor's tiles.
    let limits = Limits { round: Round::Edges, ..Limits::default() };
    let pruned = Pruner::new(Target::time_share(0.7))
        .processor(Processor::Known(Cpu::CortexA53)) // Processor::Host measures on this machine
        .options(Options { criterion: Criterion::L1, limits, ..Options::default() })
        .run(&model, &Dataset::synthetic(64, 1))?;
    let report = pruned.report();
    let show = |what: &str, time: Option<f64>| println!("{what} {:.3} ms", time.unwrap_or(f64::NAN));
    show("predicted:", report.milliseconds_before());
    show("asked for:", report.milliseconds_target());
    show("reached:  ", report.milliseconds_after());
    Ok(())
}
