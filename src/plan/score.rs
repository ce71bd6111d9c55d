//! Scores that need no data: the group-L1 norm and chance, as baselines for the learned gates.

use crate::coupling::Groups;
use crate::graph::*;
use crate::support::random::Draw;
use crate::tensor::*;

/// Mean absolute weight of each class over all its coordinates in weights of two or more axes, relative to the mean of its
/// group (so that layers of different scale can be compared by one threshold).
pub fn l1(Network { graph, facts }: Network, groups: &Groups) -> Vec<f64> {
    let n = groups.classes.len();
    let (mut sum, mut count) = (vec![0.0; n], vec![0.0; n]);
    for v in 0..graph.values.len() {
        let stored = graph.is_stored(v);
        let Some(t) =
            facts.constant[v].as_ref().filter(|t| stored && t.dtype().is_float() && t.shape().len() > 1)
        else {
            continue;
        };
        let weights = t.to_array::<f64>();
        for axis in 0..t.shape().len() {
            let classes = groups.axis(v, axis);
            if classes.iter().all(|c| c.is_none()) {
                continue;
            }
            // In the order of the elements, as several coordinates may be of one class.
            for plane in around(&weights.view(), axis).outer_iter() {
                for (part, class) in plane.outer_iter().zip(classes) {
                    let Some(c) = class.get() else { continue };
                    for w in part {
                        sum[c] += w.abs();
                        count[c] += 1.0;
                    }
                }
            }
        }
    }
    let mut score: Vec<f64> = sum.iter().zip(&count).map(|(s, c)| s / f64::max(*c, 1.0)).collect();
    for group in &groups.groups {
        let mean = group.classes.iter().map(|&c| score[c]).sum::<f64>() / group.classes.len() as f64;
        group.classes.iter().for_each(|&c| score[c] /= mean.max(1e-30));
    }
    score
}

/// Random scores.
pub fn random(groups: &Groups, seed: u64) -> Vec<f64> {
    let mut draw = Draw::new(seed, 1);
    groups.classes.iter().map(|_| f64::from(draw.unit())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coupling::{Residual, group};
    use crate::ops::Net;

    /// Weights 1, 2, … of 2 → 3 channels and of 3 → 1: w[o][i] = 2·o + i + 1, and o + 1.
    fn chain() -> (Graph, Facts, Groups) {
        let mut net = Net::default();
        let x = net.input(&[1, 2, 4, 4]);
        let a = net.conv(x, &[3, 2, 1, 1], 1);
        let y = net.conv(a, &[1, 3, 1, 1], 1);
        let (graph, facts) = net.done(&[y]);
        let groups = group(Network::new(&graph, &facts), Residual::Tie);
        (graph, facts, groups)
    }

    #[test]
    fn l1_is_the_mean_weight_relative_to_the_group() {
        let (graph, facts, groups) = chain();
        // All that a channel is made of, and what reads it.
        let mean = [(1.0 + 2.0 + 1.0) / 3.0, (3.0 + 4.0 + 2.0) / 3.0, (5.0 + 6.0 + 3.0) / 3.0];
        let of_group = mean.iter().sum::<f64>() / 3.0;
        assert_eq!(l1(Network::new(&graph, &facts), &groups), mean.map(|m| m / of_group));
    }

    #[test]
    fn chance_is_that_of_its_seed() {
        let (_, _, groups) = chain();
        assert_eq!(random(&groups, 3), random(&groups, 3));
        assert_ne!(random(&groups, 3), random(&groups, 4));
    }
}
