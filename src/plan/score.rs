//! Scores that need no data: the group-L1 norm and chance, as baselines for the learned gates.

use crate::coupling::{Groups, NONE};
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
        let data = t.to_real::<f64>();
        for axis in 0..t.shape().len() {
            let classes = groups.axis(v, axis);
            if classes.iter().all(|&c| c == NONE) {
                continue;
            }
            let inner = volume(&t.shape()[axis + 1..]);
            for (i, w) in data.iter().enumerate() {
                let c = classes[i / inner % classes.len()];
                if c != NONE {
                    sum[c as usize] += w.abs();
                    count[c as usize] += 1.0;
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
