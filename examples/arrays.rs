//! Prunes a network with images from memory, and runs what comes out on them.
//!
//!     cargo run --release --example arrays

use autobot_onnx::data::{Calibration, Preprocess};
use autobot_onnx::onnx;
use autobot_onnx::pruner::{Criterion, Observer, Options, Pruner, Recover, Target};
use ndarray::Array4;

struct Quiet;
impl Observer for Quiet {}

pub fn main() -> autobot_onnx::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/digits_residual.onnx");
    let mut options = Options::new(Target::Share(0.6));
    options.criterion = Criterion::L1; // Criterion::Gates, the default, trains for a minute or so
    options.recover = Recover::Reconstruct;
    let pruner = Pruner::new(onnx::read(path.as_ref(), &[])?, options)?;

    // Pixels as a camera or a decoder gives them; mean and std are what the network was trained with.
    let pixels = Array4::from_shape_fn((64, 8, 8, 1), |(n, y, x, _)| ((n * 31 + y * x * 7) % 256) as u8);
    let usual = Preprocess { mean: vec![0.5], std: vec![0.5], ..Preprocess::default() };
    let images = Calibration::from_arrays(&pruner.inputs()?, &[pixels.into()], None, &usual)?;

    let done = pruner.run(&images, &mut Quiet)?;
    println!("{} of {} MACs are left", done.outcome.plan.cost, pruner.analysis().macs_total);
    println!("masked and small differ by {:.1e} of the output's range", done.verdict.relative);
    let Some(pruned) = done.pruned else { return Ok(()) };

    let mut x = Array4::zeros((1, 1, 8, 8));
    images.write(0, 0, None, x.as_slice_mut().unwrap_or_default());
    let [big, small] = [pruner.model(), pruned.model()].map(|m| m.run(&[x.view().into_dyn()]));
    println!("logits of the first image before: {}\nand after: {}", big?[0], small?[0]);
    Ok(())
}
