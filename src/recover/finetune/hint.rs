//! A value inside the network that is to stay as the unpruned network has it.
//!
//! Class scores alone say little of an image; the picture of features that they are made from says much more (Romero et al.,
//! "FitNets", arXiv 1412.6550).

use crate::exec::loss;
use crate::graph::*;
use crate::rewrite::Cuts;
use crate::tensor::*;

/// A value that both networks compute.
#[derive(Debug, Clone, PartialEq)]
pub struct Hint {
    /// Number of the value in both graphs.
    pub value: ValueId,
    /// Its shape in the unpruned network, of one image.
    shape: Shape,
    /// Its coordinates in the unpruned network that are left, by axis.
    left: Vec<Vec<usize>>,
}

impl Hint {
    /// The last picture of features whose resolution falls: the operand of a strided convolution or a pool. `None` where there
    /// is none.
    pub(crate) fn find(original: Network, small: Network, cuts: &Cuts) -> Option<Self> {
        let images = original.graph.inputs.first().and_then(|&v| original.shape(v)?.first().copied())?;
        original.graph.nodes.iter().rev().find_map(|node| {
            let (x, y) = ((*node.inputs.first()?)?, (*node.outputs.first()?)?);
            let (before, after) = (original.shape(x)?, original.shape(y)?);
            let pixels = |shape: &[usize]| volume(shape.get(2..).unwrap_or_default());
            // A product over the last axis changes no resolution.
            let mixes = original.linear(node).is_some_and(|l| !l.window);
            let falls = before.len() > 2 && !mixes && pixels(after) < pixels(before);
            let inner = |n: Network| n.graph.producer(x).is_some() && n.constant(x).is_none();
            if !falls || !inner(original) || !inner(small) {
                return None;
            }
            let (left, shape) = (cuts.shape(x, before), small.shape(x)?);
            if shape != left || left[0] != before[0] || !before[0].is_multiple_of(images.max(1)) {
                return None;
            }
            let mut shape = before.to_vec();
            shape[0] /= images.max(1);
            let left = shape.iter().enumerate().map(|(axis, &size)| cuts.left(x, axis, size)).collect();
            Some(Self { value: x, shape, left })
        })
    }

    /// The coordinates that are left, out of the unpruned network's value `whole` of one image.
    pub(super) fn select(&self, whole: &[f32]) -> Vec<f32> {
        // After the last axis that loses coordinates all is in one piece.
        let cut = |axis: &usize| self.left[*axis].len() < self.shape[*axis];
        let axes = (0..self.shape.len()).rev().find(cut).map_or(0, |last| last + 1);
        let inner = volume(&self.shape[axes..]);
        let mut places = vec![0];
        for (size, left) in self.shape.iter().zip(&self.left).take(axes) {
            places = places.iter().flat_map(|p| left.iter().map(move |i| p * size + i)).collect();
        }
        places.into_iter().flat_map(|p| &whole[p * inner..(p + 1) * inner]).copied().collect()
    }
}

/// Squared difference of one image's value relative to the square of the wanted one, and its gradient times `weight` into `dx`.
pub(super) fn miss(x: &[f32], taught: &[f32], weight: f64, dx: &mut [f32]) -> f64 {
    let square = taught.iter().map(|t| f64::from(t * t)).sum::<f64>() / taught.len().max(1) as f64;
    loss::squared_error(x, taught, square, weight, dx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coupling::{Residual, group};
    use crate::{onnx, rewrite};
    use std::path::Path;

    /// With the weights that were there, the operand of the last pool is a part of the unpruned network's.
    #[test]
    fn a_hint_is_found_in_a_pruned_network_and_is_part_of_the_original_value() {
        let model = onnx::read(Path::new("models/digits_residual.onnx"), &[]).unwrap();
        let facts = model.facts().unwrap();
        let groups = group(Network::new(&model.graph, &facts), Residual::Tie);
        let kept: Vec<bool> = (0..groups.classes.len()).map(|c| c % 3 != 0).collect();
        let small = rewrite::rewrite(Network::new(&model.graph, &facts), &groups, &kept, model.opset())
            .unwrap()
            .graph;
        let small_facts = infer(&small, facts.inputs(&model.graph).as_deref()).unwrap();
        let cuts = Cuts::new(&groups, &kept);
        let hint = Hint::find(Network::new(&model.graph, &facts), Network::new(&small, &small_facts), &cuts)
            .unwrap();
        let (before, after) = (facts.shape(hint.value).unwrap(), small_facts.shape(hint.value).unwrap());
        assert!(after[1] < before[1], "the plan was to cut it: {before:?} {after:?}");
        let pixels = volume(&before[2..]);
        let whole: Vec<f32> = (0..volume(before)).map(|i| (i / pixels) as f32).collect();
        let selected = hint.select(&whole);
        assert_eq!(selected.len(), volume(after));
        let channels: Vec<usize> = selected.chunks(pixels).map(|c| c[0] as usize).collect();
        assert_eq!(channels, cuts.kept(hint.value, 1).unwrap());
    }
}
