//! Choices of a few images of many.

use crate::data::BoundDataset;
use crate::error::Result;
use crate::gates;
use crate::graph::*;
use crate::support::random::Draw;
use crate::tensor::*;
use crate::tract::Sample;

/// A seeded choice of `n` images (all, if there are fewer).
pub(super) fn some_of(list: &[usize], n: usize, seed: u64) -> Vec<usize> {
    let chosen = Draw::new(seed, 3).subset(list.len(), n.min(list.len()));
    chosen.into_iter().map(|i| list[i]).collect()
}

/// Inputs of noise, one for each of `n` images.
pub(super) fn noise(network: Network, n: usize, seed: u64) -> Result<Vec<Sample>> {
    let data = BoundDataset::synthetic(&gates::inputs(network)?, n, seed);
    Ok(samples(network, &data, &(0..n).collect::<Vec<_>>()))
}

/// Inputs of the network made of the first four images of `list` (fewer, if there are fewer), in full batches.
pub fn samples(Network { graph, facts }: Network, data: &BoundDataset, list: &[usize]) -> Vec<Sample> {
    (0..list.len().min(4))
        .map(|i| {
            let one = |(k, &v): (usize, &ValueId)| {
                let mut x = Array::zeros(facts.shape(v).unwrap_or_default());
                // A fixed batch larger than one is filled with consecutive images.
                let batch = if facts.is_batched(graph, v) { facts.batch(graph) } else { 1 };
                let len = x.len() / batch.max(1);
                for (b, row) in x.elements_mut().chunks_exact_mut(len.max(1)).enumerate() {
                    data.write(k, list[(i + b) % list.len()], None, row);
                }
                x
            };
            graph.inputs.iter().enumerate().map(one).collect()
        })
        .collect()
}
