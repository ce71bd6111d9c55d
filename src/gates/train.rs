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

/// How the α to keep is chosen among those after 60 % of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpointing {
    /// The lowest loss of a single batch (paper).
    Batch,
    /// The lowest task loss of the network that the plan would give, over a few hundred images, at several checkpoints.
    #[default]
    Plan,
}

/// The share of the updates after which α may be kept.
const EARLY: f64 = 0.6;

/// Checkpoints that [`Checkpointing::Plan`] compares, and the images it compares them on. What is behind on the first of these is
/// not looked at on the rest.
const CHECKPOINTS: usize = 10;
const CHECK_IMAGES: usize = 384;
const FIRST_IMAGES: usize = 128;

/// Rate of Adam on the levels, in units of a channel's root mean square.
const LEVEL_RATE: f64 = 0.02;

/// Updates of the levels alone, once the plan stands: one for so many updates of the gates.
const GATES_PER_LEVEL: usize = 4;

/// What training needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Number of updates, at the most.
    pub batches: usize,
    /// Whether to make fewer where the plan settles: then these are 60 % of the updates.
    pub until_settled: bool,
    /// Images per update.
    pub batch_size: usize,
    /// Learning rate of Adam.
    pub lr: f64,
    /// Weight of the budget term.
    pub beta: f64,
    /// Weight of the hardness term.
    pub gamma: f64,
    /// What to keep, as the cost counts it.
    pub target: f64,
    /// Seed of the order of the images and of the augmentation.
    pub seed: u64,
    /// Crops and flips, if wanted.
    pub augment: Option<Augment>,
    /// What the outputs are judged by.
    pub task: Objective,
    /// How the α to keep is chosen.
    pub choice: Checkpointing,
    /// Where the levels of a learned compensation start; none without one.
    pub levels: Vec<f64>,
    /// Every so many updates it is measured what pruning would give; 0: never.
    pub trace: usize,
    /// Images on which that is measured.
    pub traced: Vec<usize>,
}

impl Settings {
    /// Updates of [`train_compensation`] after so many of the gates.
    pub fn compensation_steps(&self, updates: usize) -> usize {
        if self.levels.is_empty() { 0 } else { updates.div_ceil(GATES_PER_LEVEL) }
    }
}

/// One update, as it is shown and reported.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// 1, 2, …
    pub step: usize,
    /// Objective term.
    pub task: f64,
    /// Budget term (before β).
    pub budget: f64,
    /// Hardness term (before γ).
    pub hardness: f64,
    /// MACs, or predicted nanoseconds, at soft widths.
    #[serde(alias = "soft_macs")]
    pub soft_cost: f64,
    /// How much the update changed the ranking of the channels: the normalised Kendall tau distance of α before and after,
    /// mean over groups.
    pub dissimilarity: f64,
}

/// What training gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// α per class; infinite where a class has no trainable gate (it stays).
    pub alpha: Vec<f64>,
    /// κ per level of a learned compensation.
    pub levels: Vec<f64>,
    /// All updates.
    pub history: Vec<Record>,
    /// By update of the gates, how much it changed the ranking of each group's channels (see [`Record::dissimilarity`]).
    pub changes: Vec<Vec<f32>>,
    /// What pruning would have given on the way.
    pub trace: Vec<Traced>,
    /// The update whose α were kept.
    pub best: usize,
    /// The update after which the plan had settled, where training waited for that.
    pub settled: Option<usize>,
    /// What they were trained to keep, as the cost counts it (unknown of gates from files of former versions).
    pub target: Option<f64>,
    /// And before that, where they were trained further for another target.
    pub before: Option<f64>,
}

/// What pruning would have given after an update.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Traced {
    /// The update.
    pub step: usize,
    /// Agreement of the network that its plan gives with the unpruned one.
    pub agreement: Agreement,
}

/// What is watched while gates are trained.
pub struct Watching<'w, 'a> {
    /// What would be kept at some α.
    pub plan: &'w dyn Fn(&[f64]) -> Vec<bool>,
    /// The network to begin with, where it is not the whole one.
    pub left: Option<Resumed<'a>>,
    /// The network without what is not kept; none where closed gates stay in it.
    pub smaller: Option<Rebuild<'w, 'a>>,
    /// Called after every update, with the updates there will be.
    pub progress: &'w mut dyn FnMut(&Record, usize),
}

/// Trains the gates on the images `list`, from those of a training before if there was one.
pub fn train<'a>(
    session: &Session<'a>,
    groups: &Groups,
    cost: &Cost,
    list: &[usize],
    settings: &Settings,
    before: Option<&Trained>,
    watching: Watching<'_, 'a>,
) -> Trained {
    let n = groups.classes.len();
    let Watching { plan, left, smaller, progress } = watching;
    let mut alpha = before.map_or_else(|| vec![gate::start(); n], |b| b.alpha.clone());
    let gated = |g: &Group| g.classes.iter().copied().filter(|&c| session.trainable[c]).collect::<Vec<_>>();
    let by_group: Vec<Vec<usize>> = groups.groups.iter().map(gated).collect();
    let masks: Vec<Vec<usize>> = by_group.iter().filter(|g| !g.is_empty()).cloned().collect();
    let (mut changes, mut trace) = (Vec::new(), Vec::new());
    let full = cost.soft(&vec![1.0; n]);
    let mut levels = before.map_or(&settings.levels, |b| &b.levels).clone();
    let mut adam = Adam::new(n, settings.lr);
    let mut adam_levels = Adam::new(levels.len(), LEVEL_RATE);
    let mut order = Order::new(list, settings.seed);
    let mut history = Vec::with_capacity(settings.batches);
    let mut best = ([f64::INFINITY; 2], alpha.clone(), levels.clone(), 0);
    let validation = ValidationSet::new(session, list, settings);
    let traced = HeldOut::new(session, if settings.trace > 0 { &settings.traced } else { &[] });
    let asked = settings.trace > 0 || settings.task.needs_teacher();
    let mut network = ShrinkingNetwork::new(session, asked, left, n);
    let mut stopping = EarlyStopping::new(&alpha);
    let (mut step, mut end, mut settled_at) = (0, settings.batches, None);
    let would_keep = |network: &ShrinkingNetwork, alpha: &[f64]| plan(&network.ranked(alpha));
    while step < end {
        step += 1;
        let images = order.next(settings.batch_size);
        let lambda: Vec<f64> = (0..n).map(|c| network.lambda(c, alpha[c])).collect();
        let sessions = [session, network.session()];
        let (task, mut gradient) =
            task_gradient(sessions, &images, &[&lambda[..], &levels].concat(), settings, step as u64);
        let gradient_levels = gradient.split_off(n);
        let soft = cost.soft(&lambda);
        let (budget, slope) = loss::budget(soft, settings.target, full);
        cost.gradient(&lambda, settings.beta * slope, &mut gradient);
        let hardness = loss::hardness(&lambda, &masks, settings.gamma, &mut gradient);
        let total = task + settings.beta * budget + settings.gamma * hardness;
        let late = step as f64 > EARLY * end as f64;
        let every = (2 * end / (5 * CHECKPOINTS)).max(1);
        match settings.choice {
            Checkpointing::Batch if late && total < best.0[1] || best.3 == 0 => {
                best = ([total; 2], network.ranked(&alpha), levels.clone(), step);
            }
            Checkpointing::Plan if late && (end - step).is_multiple_of(every) => {
                let ranked = network.ranked(&alpha);
                let lambda = hard(&network.left(&plan(&ranked)), &levels);
                if let Some(loss) = validation.better(network.session(), &lambda, best.0) {
                    best = (loss, ranked, levels.clone(), step);
                }
            }
            _ => {}
        }
        let former = alpha.clone();
        for (c, (g, l)) in gradient.iter_mut().zip(&lambda).enumerate() {
            *g = if network.trains(c) { *g * l * (1.0 - l) } else { 0.0 };
        }
        adam.update(&mut alpha, &gradient);
        (0..n).filter(|&c| !network.trains(c)).for_each(|c| alpha[c] = former[c]);
        let changed = ranking::dissimilarities(&former, &alpha, &by_group);
        let dissimilarity = changed.iter().sum::<f64>() / masks.len().max(1) as f64;
        changes.push(changed.into_iter().map(|d| d as f32).collect());
        adam_levels.update(&mut levels, &gradient_levels);
        let record = Record { step, task, budget, hardness, soft_cost: soft, dissimilarity };
        history.push(record);
        if settings.trace > 0 && (step.is_multiple_of(settings.trace) || step == end) {
            let kept = network.left(&would_keep(&network, &alpha));
            let lambda = hard(&kept, &levels);
            let agreement = traced.agreement(Some(session), network.session(), Some(&lambda));
            trace.push(Traced { step, agreement });
        }
        if step.is_multiple_of(early_stopping::every(settings.batch_size))
            && (settings.until_settled || smaller.is_some())
        {
            let kept = would_keep(&network, &alpha);
            if let Some(smaller) = smaller {
                network.maybe_shrink(&kept, &alpha, (groups, cost), smaller);
            }
            if settings.until_settled && settled_at.is_none() && stopping.observe(kept, &alpha, &masks) {
                settled_at = Some(step);
                end = end.min((step as f64 / EARLY).ceil() as usize);
            }
        }
        progress(&record, end);
    }
    let (_, mut alpha, levels, best) = best;
    for (a, trainable) in alpha.iter_mut().zip(&session.trainable) {
        if !trainable {
            *a = f64::INFINITY;
        }
    }
    let (target, before) = (Some(settings.target), before.and_then(|b| b.target));
    Trained { alpha, levels, history, changes, trace, best, settled: settled_at, target, before }
}

/// How much higher the task loss is with the plan `kept` than with everything, over some of the images `list`.
pub fn loses(session: &Session, list: &[usize], settings: &Settings, kept: &[bool], levels: &[f64]) -> f64 {
    let validation = ValidationSet::new(session, list, settings);
    let of = |kept: &[bool]| validation.loss(session, &hard(kept, levels));
    of(kept) - of(&vec![true; kept.len()])
}

/// The vector of λ and κ for a plan: 1 where a class stays, 0 where it goes, and the levels behind.
pub fn hard(kept: &[bool], levels: &[f64]) -> Vec<f32> {
    let lambda = kept.iter().map(|&k| f32::from(u8::from(k)));
    lambda.chain(levels.iter().map(|&l| l as f32)).collect()
}

/// Trains the levels alone, for a plan that stands, at a rate that falls to zero as half a cosine: of the second session, which
/// may have the plan's network in place of the first one's. `progress` hears the task loss of every update.
pub fn train_compensation(
    sessions: [&Session; 2],
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
        let parameters = [&lambda[..], levels].concat();
        let number = (settings.batches + step + 1) as u64;
        let (task, gradient) = task_gradient(sessions, &images, &parameters, settings, number);
        adam.rate = LEVEL_RATE * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * step as f64 / steps as f64));
        adam.update(levels, &gradient[lambda.len()..]);
        progress(task);
    }
}

/// Objective loss of a batch and its gradient with respect to λ and κ. Chunks are summed in their order. The first session has the
/// unpruned network, whose outputs teach where the task needs that, the second the one to be trained.
fn task_gradient(
    [whole, session]: [&Session; 2],
    images: &[usize],
    lambda: &[f64],
    settings: &Settings,
    step: u64,
) -> (f64, Vec<f64>) {
    let lambda: Vec<f32> = lambda.iter().map(|&l| l as f32).collect();
    let seed = settings.seed ^ (step << 32);
    let augment = settings.augment.as_ref().map(|augment| Augmentation { augment, seed });
    let teacher = taught(whole, images, augment, &settings.task);
    let weight = 1.0 / images.len() as f64;
    let parts = session.each(images, augment, |chunk| {
        let program = chunk.program;
        chunk.workspace.forward(program, Some(&lambda));
        let some = &teacher[chunk.positions.clone()];
        let (total, gradients) = session.loss(chunk, images, some, weight, &settings.task);
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

/// By image, the unpruned network's targets; nothing where the task does not need them.
fn taught(
    whole: &Session,
    images: &[usize],
    augment: Option<Augmentation>,
    task: &Objective,
) -> Vec<Vec<Array<f32>>> {
    if task.needs_teacher() { whole.outputs_of(images, augment) } else { vec![Vec::new(); images.len()] }
}

/// Images to judge plans on, with what the unpruned network gives.
struct ValidationSet<'s> {
    images: Vec<usize>,
    teacher: Vec<Vec<Array<f32>>>,
    task: &'s Objective,
}

impl<'s> ValidationSet<'s> {
    /// Some of the images `list`.
    fn new(whole: &Session, list: &[usize], settings: &'s Settings) -> Self {
        let mut draw = Draw::new(settings.seed, 4);
        let mut chosen = draw.subset(list.len(), CHECK_IMAGES);
        // The first of them are to be like the others.
        draw.shuffle(&mut chosen);
        let images: Vec<usize> = chosen.into_iter().map(|i| list[i]).collect();
        let teacher = taught(whole, &images, None, &settings.task);
        Self { images, teacher, task: &settings.task }
    }

    /// The task loss at λ and κ.
    fn loss(&self, session: &Session, lambda: &[f32]) -> f64 {
        self.part(session, lambda, 0..self.images.len())
    }

    /// The task loss at λ and κ on the first images and on all of them, where neither is more than `best`.
    fn better(&self, session: &Session, lambda: &[f32], best: [f64; 2]) -> Option<[f64; 2]> {
        let (first, all) = (FIRST_IMAGES.min(self.images.len()), self.images.len());
        let loss = self.part(session, lambda, 0..first);
        if loss > best[0] {
            return None;
        }
        let whole = loss + self.part(session, lambda, first..all);
        (whole < best[1]).then_some([loss, whole])
    }

    /// The share that some of the images have in the task loss.
    fn part(&self, session: &Session, lambda: &[f32], some: Range<usize>) -> f64 {
        let weight = 1.0 / self.images.len().max(1) as f64;
        let (images, teacher) = (&self.images[some.clone()], &self.teacher[some]);
        session.task_loss((images, teacher), Some(lambda), weight, self.task)
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
