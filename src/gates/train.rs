//! The training loop (paper, section "Learning"): Adam on α, L = task + β·budget + γ·hardness. The levels of a learned
//! compensation are trained beside α, by the task alone, and once more when it is settled which channels stay.

use super::early_stopping::{self, EarlyStopping};
use super::optim::Adam;
use super::shrinking::{Rebuild, Resumed, ShrinkingNetwork};
use super::{Agreement, HeldOut, Session, gate, ranking};
use crate::cost::Cost;
use crate::coupling::{Group, Groups};
use crate::data::{Augment, Augmentation};
use crate::exec::{Objective, loss};
use crate::support::random::Draw;
use crate::tensor::{Array, Elements};
use std::ops::Range;

/// Choice of the α to keep, among the last 40 % of the updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpointing {
    /// The lowest loss of a single batch (paper).
    Batch,
    /// The lowest task loss of the plan's network over a few hundred images, at several checkpoints.
    #[default]
    Plan,
}

/// Share of the updates after which α may be kept.
const EARLY: f64 = 0.6;

/// Number of checkpoints that [`Checkpointing::Plan`] compares.
const CHECKPOINTS: usize = 10;

/// Number of images on which checkpoints are compared.
const CHECK_IMAGES: usize = 384;

/// Number of these that are evaluated first: a checkpoint that is worse on them is dropped.
const FIRST_IMAGES: usize = 128;

/// Rate of Adam on the levels, in units of a channel's root mean square.
const LEVEL_RATE: f64 = 0.02;

/// Updates of the gates for each update of the levels alone, once the plan stands.
const GATES_PER_LEVEL: usize = 4;

/// Settings of a training of gates.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest number of updates.
    pub batches: usize,
    /// Early stopping: the updates until the plan has settled are 60 % of all.
    pub until_settled: bool,
    /// Images per update.
    pub batch_size: usize,
    /// Learning rate of Adam.
    pub lr: f64,
    /// Weight of the budget term.
    pub beta: f64,
    /// Weight of the hardness term.
    pub gamma: f64,
    /// Amount to keep, in the unit of the cost.
    pub target: f64,
    /// Seed of the order of the images and of the augmentation.
    pub seed: u64,
    /// Crops and flips, if wanted.
    pub augment: Option<Augment>,
    /// Loss of the outputs.
    pub objective: Objective,
    /// Choice of the α to keep.
    pub checkpointing: Checkpointing,
    /// Initial levels of a learned compensation; none without one.
    pub levels: Vec<f64>,
    /// True if levels are trained once more when it is settled which channels stay; fits that follow make that needless.
    pub levels_again: bool,
    /// Updates from one measurement of the plan's network to the next; 0: none is made.
    pub trace: usize,
    /// Images of these measurements.
    pub traced: Vec<usize>,
}

impl Settings {
    /// Number of updates of [`train_compensation`] after `updates` of the gates.
    pub fn compensation_steps(&self, updates: usize) -> usize {
        if self.levels.is_empty() || !self.levels_again { 0 } else { updates.div_ceil(GATES_PER_LEVEL) }
    }
}

/// One update, as it is shown and reported.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// 1, 2, …
    pub step: usize,
    /// Task term.
    pub task: f64,
    /// Budget term (before β).
    pub budget: f64,
    /// Hardness term (before γ).
    pub hardness: f64,
    /// MACs, or predicted nanoseconds, at soft widths.
    #[serde(alias = "soft_macs")]
    pub soft_cost: f64,
    /// Change of the channels' ranking: the normalised Kendall tau distance of α before the update and after it, mean over
    /// groups.
    pub dissimilarity: f64,
}

/// Trained gates, and the record of their training.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// α per class; infinite where a class has no trainable gate (it stays).
    pub alpha: Vec<f64>,
    /// κ per level of a learned compensation.
    pub levels: Vec<f64>,
    /// All updates.
    pub history: Vec<Record>,
    /// Change of the ranking of each group's channels, by update of the gates (see [`Record::dissimilarity`]).
    pub changes: Vec<Vec<f32>>,
    /// Measurements of the plan's network on the way.
    pub trace: Vec<Traced>,
    /// The update whose α were kept.
    pub best: usize,
    /// The update after which the plan had settled, where training waited for that.
    pub settled: Option<usize>,
    /// Amount that they were trained to keep, in the unit of the cost (unknown of gates from files of former versions).
    pub target: Option<f64>,
    /// Amount that an earlier training kept, where they were trained further for another target.
    pub previous_target: Option<f64>,
}

/// The plan's network after an update.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Traced {
    /// The update.
    pub step: usize,
    /// Agreement of the plan's network with the unpruned one.
    pub agreement: Agreement,
}

/// Callbacks of a training, and the network to begin with.
pub struct Watching<'w, 'a> {
    /// Kept flag per class in the plan at some α.
    pub plan: &'w dyn Fn(&[f64]) -> Vec<bool>,
    /// The network to begin with, where it is not the original.
    pub left: Option<Resumed<'a>>,
    /// Makes the network without closed classes; none where they stay in it.
    pub smaller: Option<Rebuild<'w, 'a>>,
    /// Called after every update, with the number of updates there will be.
    pub progress: &'w mut dyn FnMut(&Record, usize),
}

/// Trains the gates on the images `list`, from the gates of an earlier training if there was one.
pub fn train<'a>(
    session: &Session<'a>,
    groups: &Groups,
    cost: &Cost,
    list: &[usize],
    settings: &Settings,
    before: Option<&Trained>,
    watching: Watching<'_, 'a>,
) -> Trained {
    let mut training = Training::new(session, groups, cost, list, settings, before, watching);
    let mut step = 0;
    while step < training.end {
        step += 1;
        let record = training.update(step);
        training.trace(step);
        training.observe_plan(step);
        (training.watching.progress)(&record, training.end);
    }
    training.finish(before.and_then(|b| b.target))
}

/// α and κ to be kept.
struct Best {
    /// Loss on the first validation images and on all; with [`Checkpointing::Batch`] the batch's, twice.
    loss: [f64; 2],
    /// α, with the closed classes below all others.
    alpha: Vec<f64>,
    levels: Vec<f64>,
    /// The update; 0 before the first.
    step: usize,
}

/// A training of gates between two updates.
struct Training<'t, 'w, 'a> {
    session: &'t Session<'a>,
    groups: &'t Groups,
    cost: &'t Cost,
    settings: &'t Settings,
    watching: Watching<'w, 'a>,
    /// The network without the classes that closed.
    network: ShrinkingNetwork<'t, 'a>,
    /// Classes with trainable gates, by group.
    by_group: Vec<Vec<usize>>,
    /// The groups among them that have such classes.
    gated: Vec<Vec<usize>>,
    /// Cost of the original.
    full: f64,
    alpha: Vec<f64>,
    levels: Vec<f64>,
    adam: Adam,
    adam_levels: Adam,
    order: Order,
    /// Number of the last update.
    end: usize,
    stopping: EarlyStopping,
    settled: Option<usize>,
    validation: ValidationSet<'t>,
    best: Best,
    traced: HeldOut,
    history: Vec<Record>,
    changes: Vec<Vec<f32>>,
    trace: Vec<Traced>,
}

impl<'t, 'w, 'a> Training<'t, 'w, 'a> {
    fn new(
        session: &'t Session<'a>,
        groups: &'t Groups,
        cost: &'t Cost,
        list: &[usize],
        settings: &'t Settings,
        before: Option<&Trained>,
        mut watching: Watching<'w, 'a>,
    ) -> Self {
        let n = groups.classes.len();
        let alpha = before.map_or_else(|| vec![gate::start(); n], |b| b.alpha.clone());
        let levels = before.map_or(&settings.levels, |b| &b.levels).clone();
        let gated =
            |g: &Group| g.classes.iter().copied().filter(|&c| session.trainable[c]).collect::<Vec<_>>();
        let by_group: Vec<Vec<usize>> = groups.groups.iter().map(gated).collect();
        let asked = settings.trace > 0 || settings.objective.needs_teacher();
        Self {
            session,
            groups,
            cost,
            settings,
            validation: ValidationSet::new(session, list, settings),
            traced: HeldOut::new(session, if settings.trace > 0 { &settings.traced } else { &[] }),
            network: ShrinkingNetwork::new(session, asked, watching.left.take(), n),
            watching,
            gated: by_group.iter().filter(|g| !g.is_empty()).cloned().collect(),
            by_group,
            full: cost.soft(&vec![1.0; n]),
            adam: Adam::new(n, settings.lr),
            adam_levels: Adam::new(levels.len(), LEVEL_RATE),
            order: Order::new(list, settings.seed),
            end: settings.batches,
            stopping: EarlyStopping::new(&alpha),
            settled: None,
            best: Best { loss: [f64::INFINITY; 2], alpha: alpha.clone(), levels: levels.clone(), step: 0 },
            alpha,
            levels,
            history: Vec::with_capacity(settings.batches),
            changes: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// One update of α and κ on a batch. The loss is that of the gates at hand, which may be kept, not of the updated ones.
    fn update(&mut self, step: usize) -> Record {
        let (n, settings) = (self.alpha.len(), self.settings);
        let images = self.order.next(settings.batch_size);
        let lambda: Vec<f64> = (0..n).map(|c| self.network.lambda(c, self.alpha[c])).collect();
        let sessions = Distillation { teacher: self.session, student: self.network.session() };
        let gates = [&lambda[..], &self.levels].concat();
        let (task, mut gradient) = sessions.gradient(&images, &gates, settings, step as u64);
        let gradient_levels = gradient.split_off(n);
        let soft_cost = self.cost.soft(&lambda);
        let (budget, slope) = loss::budget(soft_cost, settings.target, self.full);
        self.cost.gradient(&lambda, settings.beta * slope, &mut gradient);
        let hardness = loss::hardness(&lambda, &self.gated, settings.gamma, &mut gradient);
        self.keep_best(step, task + settings.beta * budget + settings.gamma * hardness);
        let dissimilarity = self.descend(&lambda, gradient);
        self.adam_levels.update(&mut self.levels, &gradient_levels);
        let record = Record { step, task, budget, hardness, soft_cost, dissimilarity };
        self.history.push(record);
        record
    }

    /// Keeps the gates at hand if they are the best so far: by `loss`, which is the batch's, or by the loss of their plan.
    fn keep_best(&mut self, step: usize, loss: f64) {
        let late = step as f64 > EARLY * self.end as f64;
        let every = (2 * self.end / (5 * CHECKPOINTS)).max(1);
        match self.settings.checkpointing {
            Checkpointing::Batch if late && loss < self.best.loss[1] || self.best.step == 0 => {
                let alpha = self.network.ranked(&self.alpha);
                self.best = Best { loss: [loss; 2], alpha, levels: self.levels.clone(), step };
            }
            Checkpointing::Plan if late && (self.end - step).is_multiple_of(every) => {
                let alpha = self.network.ranked(&self.alpha);
                let lambda = hard(&self.network.left(&(self.watching.plan)(&alpha)), &self.levels);
                if let Some(loss) = self.validation.better(self.network.session(), &lambda, self.best.loss) {
                    self.best = Best { loss, alpha, levels: self.levels.clone(), step };
                }
            }
            _ => {}
        }
    }

    /// Updates α by dL/dλ; gives how much that changed the ranking (see [`Record::dissimilarity`]).
    fn descend(&mut self, lambda: &[f64], mut gradient: Vec<f64>) -> f64 {
        let former = self.alpha.clone();
        for (c, (g, l)) in gradient.iter_mut().zip(lambda).enumerate() {
            *g = if self.network.trains(c) { *g * l * (1.0 - l) } else { 0.0 };
        }
        self.adam.update(&mut self.alpha, &gradient);
        (0..former.len()).filter(|&c| !self.network.trains(c)).for_each(|c| self.alpha[c] = former[c]);
        let changed = ranking::dissimilarities(&former, &self.alpha, &self.by_group);
        let dissimilarity = changed.iter().sum::<f64>() / self.gated.len().max(1) as f64;
        self.changes.push(changed.into_iter().map(|d| d as f32).collect());
        dissimilarity
    }

    /// Kept flag per class in the plan at the present α.
    fn would_keep(&self) -> Vec<bool> {
        (self.watching.plan)(&self.network.ranked(&self.alpha))
    }

    /// Measures the agreement of the present plan's network, where an update is traced.
    fn trace(&mut self, step: usize) {
        let every = self.settings.trace;
        if every > 0 && (step.is_multiple_of(every) || step == self.end) {
            let lambda = hard(&self.network.left(&self.would_keep()), &self.levels);
            let agreement = self.traced.agreement(Some(self.session), self.network.session(), Some(&lambda));
            self.trace.push(Traced { step, agreement });
        }
    }

    /// Every few updates: takes closed classes out of the network, and brings the end nearer where the plan has settled.
    fn observe_plan(&mut self, step: usize) {
        let until_settled = self.settings.until_settled;
        if !step.is_multiple_of(early_stopping::every(self.settings.batch_size))
            || !(until_settled || self.watching.smaller.is_some())
        {
            return;
        }
        let kept = self.would_keep();
        if let Some(smaller) = self.watching.smaller {
            self.network.maybe_shrink(&kept, &self.alpha, self.groups, self.cost, smaller);
        }
        if until_settled && self.settled.is_none() && self.stopping.observe(kept, &self.alpha, &self.gated) {
            self.settled = Some(step);
            self.end = self.end.min((step as f64 / EARLY).ceil() as usize);
        }
    }

    /// The best gates; `previous_target` is the target of an earlier training, if there was one.
    fn finish(self, previous_target: Option<f64>) -> Trained {
        let Best { mut alpha, levels, step, .. } = self.best;
        for (a, trainable) in alpha.iter_mut().zip(&self.session.trainable) {
            if !trainable {
                *a = f64::INFINITY;
            }
        }
        Trained {
            alpha,
            levels,
            history: self.history,
            changes: self.changes,
            trace: self.trace,
            best: step,
            settled: self.settled,
            target: Some(self.settings.target),
            previous_target,
        }
    }
}

/// Increase of the task loss by the plan `kept`, over some of the images `list`.
pub fn loses(session: &Session, list: &[usize], settings: &Settings, kept: &[bool], levels: &[f64]) -> f64 {
    let validation = ValidationSet::new(session, list, settings);
    let of = |kept: &[bool]| validation.loss(session, &hard(kept, levels));
    of(kept) - of(&vec![true; kept.len()])
}

/// The vector of λ and κ for a plan: 1 where a class stays, 0 where it goes, then the levels.
pub fn hard(kept: &[bool], levels: &[f64]) -> Vec<f32> {
    let lambda = kept.iter().map(|&k| f32::from(u8::from(k)));
    lambda.chain(levels.iter().map(|&l| l as f32)).collect()
}

/// Trains the levels alone, for a plan that stands, at a rate that falls to zero as half a cosine. The student may be the
/// plan's own network. `progress` hears the task loss of every update.
pub fn train_compensation(
    sessions: Distillation,
    list: &[usize],
    settings: &Settings,
    kept: &[bool],
    levels: &mut [f64],
    steps: usize,
    progress: &mut dyn FnMut(f64),
) {
    let lambda: Vec<f64> = kept.iter().map(|&k| f64::from(u8::from(k))).collect();
    let mut adam = Adam::new(levels.len(), LEVEL_RATE);
    let mut order = Order::new(list, settings.seed ^ 1 << 32);
    for step in 0..steps {
        let images = order.next(settings.batch_size);
        let gates = [&lambda[..], levels].concat();
        let number = (settings.batches + step + 1) as u64;
        let (task, gradient) = sessions.gradient(&images, &gates, settings, number);
        adam.rate = LEVEL_RATE * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * step as f64 / steps as f64));
        adam.update(levels, &gradient[lambda.len()..]);
        progress(task);
    }
}

/// Two sessions over the same images.
#[derive(Clone, Copy)]
pub struct Distillation<'s, 'a> {
    /// The unpruned network, whose outputs teach where the objective needs them.
    pub teacher: &'s Session<'a>,
    /// The gated network that is trained: the unpruned one or a smaller one made of it.
    pub student: &'s Session<'a>,
}

impl Distillation<'_, '_> {
    /// Task loss of a batch and its gradient with respect to `gates`: λ, then κ. `step` is the number of the draw that changes
    /// the images. Chunks are summed in their order.
    fn gradient(&self, images: &[usize], gates: &[f64], settings: &Settings, step: u64) -> (f64, Vec<f64>) {
        let lambda: Vec<f32> = gates.iter().map(|&l| l as f32).collect();
        let augment = settings.augment.as_ref().map(|a| a.seeded(settings.seed ^ (step << 32)));
        let teacher = taught(self.teacher, images, augment, &settings.objective);
        let weight = 1.0 / images.len() as f64;
        let parts = self.student.each(images, augment, |chunk| {
            let program = chunk.program;
            chunk.workspace.forward(program, Some(&lambda));
            let some = &teacher[chunk.positions.clone()];
            let (total, gradients) = self.student.loss(chunk, images, some, weight, &settings.objective);
            for (t, g) in gradients.iter().enumerate() {
                chunk.workspace.target_gradient(program, t).copy_from_slice(g.elements());
            }
            let mut gradient = vec![0.0f32; lambda.len()];
            chunk.workspace.backward(program, &lambda, &mut gradient);
            (total, gradient)
        });
        let mut gradient = vec![0.0f64; lambda.len()];
        let mut total = 0.0;
        for (loss, part) in parts {
            total += loss;
            gradient.iter_mut().zip(part).for_each(|(g, p)| *g += f64::from(p));
        }
        (total, gradient)
    }
}

/// Targets of the unpruned network by image; empty where the objective does not need them.
fn taught(
    original: &Session,
    images: &[usize],
    augment: Option<Augmentation>,
    objective: &Objective,
) -> Vec<Vec<Array<f32>>> {
    match objective.needs_teacher() {
        true => original.outputs_of(images, augment),
        false => vec![Vec::new(); images.len()],
    }
}

/// Images to compare plans on, with the unpruned network's targets.
struct ValidationSet<'s> {
    images: Vec<usize>,
    teacher: Vec<Vec<Array<f32>>>,
    objective: &'s Objective,
}

impl<'s> ValidationSet<'s> {
    /// Some of the images `list`.
    fn new(original: &Session, list: &[usize], settings: &'s Settings) -> Self {
        let mut draw = Draw::new(settings.seed, 4);
        let mut chosen = draw.subset(list.len(), CHECK_IMAGES);
        // The first of them are to be like the others.
        draw.shuffle(&mut chosen);
        let images: Vec<usize> = chosen.into_iter().map(|i| list[i]).collect();
        let teacher = taught(original, &images, None, &settings.objective);
        Self { images, teacher, objective: &settings.objective }
    }

    /// Task loss at λ and κ.
    fn loss(&self, session: &Session, lambda: &[f32]) -> f64 {
        self.part(session, lambda, 0..self.images.len())
    }

    /// Task loss at λ and κ on the first images and on all of them; none where either is worse than `best`.
    fn better(&self, session: &Session, lambda: &[f32], best: [f64; 2]) -> Option<[f64; 2]> {
        let (first, all) = (FIRST_IMAGES.min(self.images.len()), self.images.len());
        let loss = self.part(session, lambda, 0..first);
        if loss > best[0] {
            return None;
        }
        let total = loss + self.part(session, lambda, first..all);
        (total < best[1]).then_some([loss, total])
    }

    /// Part of the task loss that some of the images make up.
    fn part(&self, session: &Session, lambda: &[f32], some: Range<usize>) -> f64 {
        let weight = 1.0 / self.images.len().max(1) as f64;
        let (images, teacher) = (&self.images[some.clone()], &self.teacher[some]);
        session.task_loss(images, teacher, Some(lambda), weight, self.objective)
    }
}

/// Images in a seeded random order, reshuffled when all were seen.
pub(super) struct Order {
    left: Vec<usize>,
    all: Vec<usize>,
    draw: Draw,
}

impl Order {
    pub(super) fn new(list: &[usize], seed: u64) -> Self {
        Self { left: Vec::new(), all: list.to_vec(), draw: Draw::new(seed, 0) }
    }

    /// The next `n` images (fewer only if there are fewer in all).
    pub(super) fn next(&mut self, n: usize) -> Vec<usize> {
        let n = n.min(self.all.len());
        if self.left.len() < n {
            self.left = self.all.clone();
            self.draw.shuffle(&mut self.left);
        }
        self.left.split_off(self.left.len() - n)
    }
}
