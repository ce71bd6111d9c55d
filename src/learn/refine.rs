//! Refinement of a plan: exchanges channels while that lowers the task loss of the network that is really written.
//!
//! The gates were judged half open; a plan has them at 0 and 1. At those, one backward pass gives for every class what opening
//! or closing it would change to first order. The best exchanges at equal cost are tried together, and kept only if the loss
//! over a fixed set of images falls.

use super::Session;
use super::train::{Settings, task_gradient, task_loss};
use crate::cost::Cost;

/// Rounds at the most.
const ROUNDS: usize = 12;
/// Share of the classes that the first round may exchange; a round that does not help halves it.
const SHARE: f64 = 0.02;

/// What a refinement did.
#[derive(Debug, Clone, PartialEq)]
pub struct Refined {
    /// Scores of the classes, from which the plan follows.
    pub score: Vec<f64>,
    /// Task loss before and after, over the images.
    pub loss: [f64; 2],
    /// Rounds that helped.
    pub accepted: usize,
}

/// Refines the plan that `plan` makes of `score`, on the images `list`.
pub fn refine(
    session: &Session,
    cost: &Cost,
    list: &[usize],
    settings: &Settings,
    score: &[f64],
    plan: &dyn Fn(&[f64]) -> Vec<bool>,
) -> Refined {
    let n = score.len();
    let mut kept = plan(score);
    let mut loss = task_loss(session, list, &hard(&kept), settings);
    let mut done = Refined { score: rank(&kept, score), loss: [loss, loss], accepted: 0 };
    let mut exchange = (SHARE * n as f64).ceil() as usize;
    let mut gradient: Option<Vec<f64>> = None;
    for _ in 0..ROUNDS {
        let lambda: Vec<f64> = hard(&kept).into_iter().map(f64::from).collect();
        let worth = gradient.get_or_insert_with(|| {
            let (_, gradient) = task_gradient(session, list, &lambda, settings, 0);
            let mut price = vec![0.0; n];
            cost.gradient(&lambda, 1.0, &mut price);
            gradient.iter().zip(price).map(|(g, p)| -g / p.max(1.0)).collect()
        });
        let next = exchanged(&kept, worth, exchange);
        let new = plan(&next);
        let new_loss =
            if new == kept { f64::INFINITY } else { task_loss(session, list, &hard(&new), settings) };
        if new_loss < loss {
            (kept, loss) = (new, new_loss);
            done = Refined { score: next, loss: [done.loss[0], loss], accepted: done.accepted + 1 };
            gradient = None;
        } else if exchange > 1 {
            exchange /= 2;
        } else {
            break;
        }
    }
    done
}

fn hard(kept: &[bool]) -> Vec<f32> {
    kept.iter().map(|&k| f32::from(u8::from(k))).collect()
}

/// Scores that keep what is kept, in the order of `score`.
fn rank(kept: &[bool], score: &[f64]) -> Vec<f64> {
    let bounded = |s: f64| if s.is_finite() { s.tanh() } else { 1.0 };
    kept.iter().zip(score).map(|(&k, &s)| bounded(s) + if k { 4.0 } else { 0.0 }).collect()
}

/// Scores by worth, with the `count` closed classes of the highest worth moved up and the `count` open ones of the lowest
/// worth moved down.
fn exchanged(kept: &[bool], worth: &[f64], count: usize) -> Vec<f64> {
    let mut open: Vec<usize> = (0..kept.len()).filter(|&c| kept[c]).collect();
    let mut closed: Vec<usize> = (0..kept.len()).filter(|&c| !kept[c]).collect();
    open.sort_by(|&a, &b| worth[a].total_cmp(&worth[b]).then(a.cmp(&b)));
    closed.sort_by(|&a, &b| worth[b].total_cmp(&worth[a]).then(a.cmp(&b)));
    // Places from the top: open classes by falling worth, with the newly opened ones among them; then the rest.
    let opened = closed.iter().take(count);
    let mut score = vec![0.0; kept.len()];
    for (place, &c) in open.iter().enumerate() {
        score[c] = if place < count { 1.0 } else { 3.0 };
        score[c] += place as f64 / kept.len() as f64;
    }
    closed.iter().enumerate().for_each(|(place, &c)| score[c] = 0.9 - place as f64 / kept.len() as f64);
    opened.enumerate().for_each(|(place, &c)| score[c] = 2.9 - place as f64 / kept.len() as f64);
    score
}
