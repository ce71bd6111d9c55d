//! Prunes a network with images from memory, and runs what comes out on them.
//!
//!     cargo run --release --example arrays

use autobot_onnx::{Criterion, Dataset, Model, Options, Pruner, Recover, Target};
use ndarray::Array4;

pub fn main() -> autobot_onnx::Result<()> {
    let model = Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/models/digits_residual.onnx"))?;
    // Pixels as a camera or a decoder gives them; mean and std are what the network was trained with.
    let pixels = Array4::from_shape_fn((64, 8, 8, 1), |(n, y, x, _)| ((n * 31 + y * x * 7) % 256) as u8);
    let images = Dataset::from_array(pixels.view())?.normalise(&[0.5], &[0.5])?;

    // Criterion::Gates, the default, trains for a minute or so.
    let options = Options { criterion: Criterion::L1, recover: Recover::Reconstruct, ..Options::default() };
    let pruned = Pruner::new(Target::macs_share(0.6)).options(options).run(&model, &images)?;
    let report = pruned.report();
    println!("{} of {} MACs are left", report.macs_after(), report.macs_before());
    println!("masked and small differ by {:.1e} of the output's range", report.difference());

    // The network's own layout and values: [n, c, h, w], normalised.
    let x = Array4::from_shape_fn((1, 1, 8, 8), |(_, _, y, x)| {
        (f32::from(pixels[(0, y, x, 0)]) / 255.0 - 0.5) / 0.5
    });
    let [big, small] = [&model, pruned.model()].map(|m| m.run(&[x.view()]));
    println!("logits of the first image before: {}\nand after: {}", big?[0], small?[0]);
    Ok(())
}
