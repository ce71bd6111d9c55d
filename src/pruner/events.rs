//! The start of a run, and its events, for watchers.
//!
//! Takes: the results of earlier runs. Gives: calls of [`Events`]. Never: lets a watcher change what is computed.

use super::clock::{Comparison, Timekeeper};
use crate::error::Result;
use crate::gates::{Agreement, Record, Trained};
use crate::recover::{Epoch, Fitted, State, Update};
use crate::tensor::Tensor;

/// Results of a run up to its finetuning: with them and a [`State`] it goes on where it was cut off.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resume {
    /// The training of the gates (gates only).
    pub trained: Option<Trained>,
    /// Share of the cut that was left to dependence.
    pub dependent: f64,
    /// κ per level of the compensation.
    pub levels: Vec<f64>,
    /// The layers, fitted in closed form or left alone.
    pub layers: Vec<Fitted>,
    /// Agreement with the unpruned network on held-out images, after the fits.
    pub fitted: Agreement,
    /// Constants that the fits changed, by name: weights and biases, and running means, which are not trained.
    pub changed: Vec<(String, Tensor)>,
}

/// Results of earlier runs that a run starts from; none by default.
#[derive(Default)]
pub struct Start<'a> {
    /// State of a run with this network, these data and options that was cut off: the run goes on from there.
    pub resume: Option<(Resume, State)>,
    /// Gates of an earlier training of this network in this reading: used instead of training where they were trained for this
    /// target or lose nothing at it, and trained further where not.
    pub gates: Option<Trained>,
    /// Measures times on the processor that the target speaks of; without it they are predicted.
    pub clock: Option<Timekeeper<'a>>,
}

/// Observer of a run. Every call is optional.
pub trait Events {
    /// Called after every update of the gates, with the number of updates that are planned: it can become less.
    fn step(&mut self, _record: &Record, _of: usize) {}
    /// Called when training is over.
    fn done(&mut self) {}
    /// Called with the gates of every training, as soon as they are to stay.
    #[doc(hidden)]
    fn trained(&mut self, _gates: &Trained) {}
    /// Called after stage `number` (1, 2, …) of `of`, but for the last.
    fn staged(&mut self, _stage: &Stage, _number: usize, _of: usize) {}
    /// Called after every node that the closed-form recovery has passed: `done` of `of`.
    fn fitted(&mut self, _done: usize, _of: usize) {}
    /// Called after every update of the weights.
    fn tuned(&mut self, _update: &Update, _epochs: &[Epoch]) {}
    /// Called after a planned network was measured beside the original.
    fn measured(&mut self, _comparison: &Comparison) {}
    /// Called before a network of `nodes` nodes is proved in tract.
    fn proving(&mut self, _nodes: usize) {}
    /// Called after every update of the weights with the state to go on from. An error ends the run.
    #[doc(hidden)]
    fn keep(&mut self, _resume: &Resume, _state: &State) -> Result<()> {
        Ok(())
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Events for Silent {}

/// A stage before the last, which is over.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Stage {
    /// Kept MACs.
    pub macs: u64,
    /// Agreement of its network, fitted, with the unpruned one.
    pub agreement: Option<Agreement>,
    /// Largest difference between its network, before the fits, and the masked one, as a share of the output's range.
    pub difference: f64,
}
