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
        counts && parameters.iter().enumerate().all(sizes) && !self.epochs.is_empty()
    }

    /// Ends an epoch, with the loss over the held-out images.
    pub(super) fn end_epoch(&mut self, judged: f64) {
        if judged <= self.epochs[self.best_epoch()].judged {
            self.best.clone_from(&self.weights);
        }
        self.epochs.push(Epoch { loss: Some(std::mem::take(&mut self.loss)), judged });
    }

    /// The last of the epochs with the lowest loss.
    pub(super) fn best_epoch(&self) -> usize {
        let mut best = 0;
        for (k, e) in self.epochs.iter().enumerate() {
            if e.judged <= self.epochs[best].judged {
                best = k;
            }
        }
        best
    }
}
