//! What is done about lost accuracy, once the pruned network is proved.

use super::choose::task;
use super::{Events, Finetune, Options, Recover, some_of};
use crate::coupling::Groups;
use crate::data::{Augment, BoundDataset};
use crate::error::Result;
use crate::exec::Aims;
use crate::exec::Pool;
use crate::gates::{Agreement, HeldOut, Session, Trained};
use crate::graph::*;
use crate::recover::{self, Epoch, Fitted, Hint, State, Tuned, Update};
use crate::rewrite::{self, Cuts};
use crate::tensor::*;
use crate::verify;

/// Share of the updates over which the rate of the finetuning rises.
const WARM_UP: f64 = 0.05;

/// Weight of the features behind the last convolutions beside the task.
const HINT: f64 = 1.0;

/// Images that choose the best epoch, at the most.
const JUDGES: usize = 512;

/// The pruned network with other weights.
#[derive(Debug)]
pub struct Recovered {
    /// Its graph.
    pub graph: Graph,
    /// What became of its layers.
    pub layers: Vec<Fitted>,
    /// Agreement with the unpruned network on held-out images, after the fits.
    pub fitted: Agreement,
    /// How its weights were trained, where they were.
    pub tuned: Option<Finetuned>,
}

/// How weights were trained, and what that brought.
#[derive(Debug)]
pub struct Finetuned {
    /// The losses by epoch; the first entry is the state before any.
    pub epochs: Vec<Epoch>,
    /// The entry whose weights were taken.
    pub best: usize,
    /// The learning rate after the warm-up.
    pub lr: f64,
    /// How images were changed.
    pub augment: Augment,
    /// Agreement with the unpruned network on held-out images, after it.
    pub agreement: Agreement,
}

/// What was learned before the weights were trained: with it and a [`State`] a run goes on where it was cut off.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resume {
    /// The training of the gates (gates only).
    pub trained: Option<Trained>,
    /// κ per level of the compensation.
    pub levels: Vec<f64>,
    /// What became of the layers in closed form.
    pub layers: Vec<Fitted>,
    /// Agreement with the unpruned network after that.
    pub fitted: Agreement,
    /// Every constant that is another one since, by its name: weights and biases, and running means, which are not trained.
    pub changed: Vec<(String, Tensor)>,
}

/// What the pruned network is mended with.
pub(super) struct Recovery<'a> {
    pub graph: &'a Graph,
    pub facts: &'a Facts,
    pub groups: &'a Groups,
    /// Where the networks are judged.
    pub aims: &'a Aims,
    pub data: &'a BoundDataset,
    /// Images to learn on.
    pub training: &'a [usize],
    /// Images that nothing is learned on.
    pub held_out_outputs: &'a HeldOut,
    pub pool: &'a Pool,
    pub options: &'a Options,
    /// What is to be done: in a stage before the last not what the options say.
    pub how: Recover,
}

impl Recovery<'_> {
    /// Fits the layers of `small`, and trains its weights if that is wanted; goes on from `state` if there is one.
    pub fn run(
        &self,
        small: &Graph,
        kept: &[bool],
        mut before: Resume,
        state: Option<State>,
        events: &mut dyn Events,
    ) -> Result<Recovered> {
        let Self { graph: big, facts, groups, data, training, pool, .. } = *self;
        let seed = self.options.seed;
        let mut judges = some_of(training, (training.len() / 10).min(JUDGES), seed ^ 1 << 33);
        if judges.is_empty() {
            judges = training.to_vec();
        }
        let images: Vec<usize> = match judges.len() < training.len() {
            true => training.iter().copied().filter(|i| judges.binary_search(i).is_err()).collect(),
            false => training.to_vec(),
        };
        let mut graph = small.clone();
        if state.is_none() {
            let progress = &mut |done, of| events.fitted(done, of);
            (graph, before.layers) =
                recover::reconstruct((big, facts), small, (groups, kept), (data, training), pool, progress)?;
            before.fitted = self.agreement(&graph)?;
            before.changed = rewrite::changed(small, &graph);
        } else {
            rewrite::change(&mut graph, &before.changed)?;
        }
        let fitted = before.fitted;
        let Recover::Finetune(how) = self.how else {
            return Ok(Recovered { graph, layers: before.layers, fitted, tuned: None });
        };
        let small_facts = verify::facts_like(big, facts, &graph)?;
        let cuts = Cuts::new(groups, kept);
        // Where outputs are no class scores they say enough.
        let classes = self.aims.classes;
        let hint = Hint::find((big, facts), (&graph, &small_facts), &cuts).filter(|_| classes);
        let watched: Vec<ValueId> = hint.iter().map(|h| h.value).collect();
        let teacher = Session::trainable((big, facts), self.aims.parts(), &[], &watched, data, pool)?;
        let augment = how.changes(data.side().filter(|_| classes));
        let settings = self.settings(&teacher, how, augment, &images);
        let mut watcher = Keeping { before: &before, events };
        let tuned = recover::finetune(
            (&graph, &small_facts),
            (&teacher, hint.as_ref()),
            (&images, &judges),
            &settings,
            state,
            &mut watcher,
        )?;
        let agreement = self.agreement(&tuned.graph)?;
        let Tuned { graph, epochs, best } = tuned;
        let tuned = Some(Finetuned { epochs, best, lr: settings.lr, augment, agreement });
        Ok(Recovered { graph, layers: before.layers, fitted, tuned })
    }

    /// How well a pruned network agrees with the unpruned one.
    pub fn agreement(&self, pruned: &Graph) -> Result<Agreement> {
        let facts = verify::facts_like(self.graph, self.facts, pruned)?;
        let other = Session::plain((pruned, &facts), self.aims, self.data, self.pool)?;
        let whole = || Session::plain((self.graph, self.facts), self.aims, self.data, self.pool);
        let whole = if self.held_out_outputs.asks() { Some(whole()?) } else { None };
        Ok(self.held_out_outputs.agreement(whole.as_ref(), &other, None))
    }

    fn settings(
        &self,
        teacher: &Session,
        how: Finetune,
        augment: Augment,
        images: &[usize],
    ) -> recover::Settings {
        let labels = (how.labels > 0.0).then_some((0.0, 1.0 - how.labels));
        recover::Settings {
            epochs: how.epochs,
            batch_size: how.batch_size,
            method: how.method,
            lr: how.rate(augment.mixes()),
            warm_up: WARM_UP,
            weight_decay: how.weight_decay,
            task: task(teacher, self.options, labels, how.temperature, images),
            hint: HINT,
            augment: Some(augment),
            seed: self.options.seed,
        }
    }
}

/// Hands a training's state on together with what came before it.
struct Keeping<'a> {
    before: &'a Resume,
    events: &'a mut dyn Events,
}

impl recover::Watcher for Keeping<'_> {
    fn update(&mut self, update: &Update, epochs: &[Epoch]) {
        self.events.tuned(update, epochs);
    }

    fn keep(&mut self, state: &State) -> Result<()> {
        self.events.keep(self.before, state)
    }
}
