//! Batch size: the number of images that go through the network at a time.
//!
//! A file is analysed at batch 1. Where every target's first axis follows the batch, a few images are taken together, so
//! that the small matrices of late layers fill the kernels. The choice depends on the network only, never on timing.

use super::{Precision, Program, Workspace};
use crate::error::Result;
use crate::graph::*;
use crate::tensor::Elements;

/// Largest workspace of a batch of more than [`FEW`] images, in bytes: about what the caches of a core keep warm.
const WORKSPACE_BYTES: usize = 64 << 20;
/// Largest batch, in images.
pub const LARGEST: usize = 16;
/// Images that share one pass over the weights though their workspace is larger than [`WORKSPACE_BYTES`].
const FEW: usize = 4;
/// Largest workspace of [`FEW`] images, in bytes.
const FEW_BYTES: usize = 3 << 29;
/// Largest workspace of [`FEW`] images as a multiple of the weights' bytes: fewer weights are hardly worth sharing.
const FEW_WEIGHTS: usize = 9;

/// Facts at `batch` images, if the network allows it: inputs and targets have a first axis of 1, which becomes `batch`.
fn facts_at(Network { graph, facts: base }: Network, targets: &[ValueId], batch: usize) -> Option<Facts> {
    let mut inputs = Vec::new();
    for &v in &graph.inputs {
        let mut fact = base.fact[v].clone()?;
        if fact.shape.first() != Some(&1) {
            return None;
        }
        fact.shape[0] = batch;
        inputs.push(fact);
    }
    let facts = infer(graph, Some(&inputs)).ok()?;
    let follows = |v: &ValueId| match (base.shape(*v), facts.shape(*v)) {
        (Some(one), Some(many)) => {
            one.first() == Some(&1) && many.first() == Some(&batch) && one[1..] == many[1..]
        }
        _ => false,
    };
    let as_asked = facts.refusals == base.refusals && facts.batch(graph) == batch;
    (as_asked && targets.iter().all(follows)).then_some(facts)
}

/// The facts to compile with: at the largest useful batch, of `most` images, at which several give what each gives alone.
pub fn batched(network: Network, targets: &[ValueId], most: usize) -> Result<Facts> {
    let Network { graph, facts: base } = network;
    let single = Program::compile(network, Precision::Exact, targets)?;
    let mut batch = most;
    let few = FEW_BYTES.min(FEW_WEIGHTS * single.constant_bytes).max(WORKSPACE_BYTES);
    let limit = |batch: usize| if batch > FEW { WORKSPACE_BYTES } else { few };
    while batch > 1 && single.workspace_bytes() * batch > limit(batch) {
        batch /= 2;
    }
    if batch <= 1 {
        return Ok(base.clone());
    }
    let Some(facts) = facts_at(network, targets, batch) else { return Ok(base.clone()) };
    let Ok(several) = Program::compile(Network::new(graph, &facts), Precision::Exact, targets) else {
        return Ok(base.clone());
    };
    Ok(if independent(&single, &several) { facts } else { base.clone() })
}

/// True if an image's outputs do not depend on its neighbours in the batch (tried on numbers).
fn independent(single: &Program, several: &Program) -> bool {
    let (mut one, mut many) = (Workspace::new(single), Workspace::new(several));
    let value = |k: usize, i: usize| ((i * 2_654_435_761 + k * 40_503) % 1000) as f32 / 500.0 - 1.0;
    for k in 0..single.inputs.len() {
        many.input(several, k).iter_mut().enumerate().for_each(|(i, x)| *x = value(k, i));
    }
    many.evaluate(several, None);
    let image = several.batch - 1;
    for k in 0..single.inputs.len() {
        let len = single.input_len(k);
        one.input(single, k).iter_mut().enumerate().for_each(|(i, x)| *x = value(k, image * len + i));
    }
    one.evaluate(single, None);
    (0..single.targets.len()).all(|t| {
        let (a, b) = (one.target(single, t), many.target(several, t));
        let (a, b) = (a.elements(), &b.elements()[image * a.len()..]);
        let range = a.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-3 * range)
    })
}
