//! State of a training: everything that the next update depends on.

use super::Method;
use crate::tensor::Array;
use serde::{Deserialize, Serialize};

/// Losses of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean loss over the epoch's updates; none before the first.
    pub loss: Option<f64>,
    /// Loss over the held-out images, at its end.
    pub judged: f64,
}

/// A training between two updates.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Updates made.
    pub step: usize,
    /// The weights, by parameter.
    pub weights: Vec<Vec<f32>>,
    /// The optimiser's moments, by parameter.
    pub moments: Vec<Vec<Vec<f32>>>,
    /// The weights at the end of the best epoch.
    pub best: Vec<Vec<f32>>,
    /// Number of that epoch; 0 is the start.
    pub best_epoch: usize,
    /// Epochs that ended, after an entry for the state at the start.
    pub epochs: Vec<Epoch>,
    /// Mean loss over the updates of the current epoch, so far.
    pub loss: f64,
}

impl State {
    /// The state at the start; `judged` is the loss over the held-out images.
    pub(super) fn new(weights: Vec<Vec<f32>>, method: Method, judged: f64) -> Self {
        let zeros = |w: &Vec<f32>| vec![vec![0.0; w.len()]; method.moments()];
        Self {
            step: 0,
            moments: weights.iter().map(zeros).collect(),
            best: weights.clone(),
            weights,
            best_epoch: 0,
            epochs: vec![Epoch { loss: None, judged }],
            loss: 0.0,
        }
    }

    /// True if this is a state of a network with these parameters.
    pub(super) fn fits(&self, parameters: &[Array<f32>], method: Method) -> bool {
        let n = parameters.len();
        let counts = [self.weights.len(), self.best.len(), self.moments.len()] == [n; 3];
        let sizes = |(k, p): (usize, &Array<f32>)| {
            let mut all = [&self.weights[k], &self.best[k]].into_iter().chain(&self.moments[k]);
            self.moments[k].len() == method.moments() && all.all(|a| a.len() == p.len())
        };
        counts && parameters.iter().enumerate().all(sizes) && self.best_epoch < self.epochs.len()
    }

    /// Ends an epoch, with the loss over the held-out images. A `candidate` is the best so far if that loss is no higher than
    /// the former best one's.
    pub(super) fn end_epoch(&mut self, judged: f64, candidate: bool) {
        if candidate && judged <= self.epochs[self.best_epoch].judged {
            self.best.clone_from(&self.weights);
            self.best_epoch = self.epochs.len();
        }
        self.epochs.push(Epoch { loss: Some(std::mem::take(&mut self.loss)), judged });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_candidate_is_taken_and_the_start_where_none_is_as_good() {
        let begin = || State::new(vec![vec![0.0]], Method::AdamW, 1.0);
        let after = |epochs: &[(f64, bool)]| {
            let mut state = begin();
            for (k, &(judged, candidate)) in epochs.iter().enumerate() {
                state.weights = vec![vec![k as f32 + 1.0]];
                state.end_epoch(judged, candidate);
            }
            (state.best_epoch, state.best[0][0])
        };
        assert_eq!(after(&[(0.5, true), (0.7, true)]), (1, 1.0));
        assert_eq!(after(&[(0.5, false), (0.7, true)]), (2, 2.0));
        assert_eq!(after(&[(0.5, false), (1.1, true)]), (0, 0.0));
        assert_eq!(after(&[(0.5, true), (0.5, true)]), (2, 2.0));
    }
}
