//! The training loop (paper, section "Learning"): Adam on α, L = task + β·budget + γ·hardness.

use super::calib::Augment;
use super::optim::Adam;
use super::{Session, Task, gate, loss};
use crate::channels::Groups;
use crate::cost::Cost;
use crate::random::Draw;

/// What training needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Number of updates.
    pub batches: usize,
    /// Images per update.
    pub batch_size: usize,
    /// Learning rate of Adam.
    pub lr: f64,
    /// Weight of the budget term.
    pub beta: f64,
    /// Weight of the hardness term.
    pub gamma: f64,
    /// MACs to keep.
    pub target: f64,
    /// Seed of the order of the images and of the augmentation.
    pub seed: u64,
    /// Crops and flips, if wanted.
    pub augment: Option<Augment>,
    /// What the outputs are judged by.
    pub task: Task,
    /// From this share of the steps on, the task term sees the network that the plan would give (gates at 0 and 1), and its
    /// gradient passes straight through to α; 1 never does.
    pub harden: f64,
    /// Lets the learning rate fall to zero over the last part of the training (cosine); else it is constant.
    pub decay: bool,
    /// Keeps the mean of α over the last steps; else the α of the lowest single-batch loss after 60 % of the steps.
    pub average: bool,
}

/// One update, as it is shown and reported.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Record {
    /// 1, 2, …
    pub step: usize,
    /// Task term.
    pub task: f64,
    /// Budget term (before β).
    pub budget: f64,
    /// Hardness term (before γ).
    pub hardness: f64,
    /// MACs at soft widths.
    pub soft_macs: f64,
}

/// What training gives.
#[derive(Debug, Clone)]
pub struct Trained {
    /// α per class; infinite where a class has no trainable gate (it stays).
    pub alpha: Vec<f64>,
    /// All updates.
    pub history: Vec<Record>,
    /// The update whose α were kept.
    pub best: usize,
}

/// Trains the gates on the images `list`. `plan` says what would be kept at some α. `progress` is called after every update.
pub fn train(
    session: &Session,
    groups: &Groups,
    cost: &Cost,
    list: &[usize],
    settings: &Settings,
    plan: &dyn Fn(&[f64]) -> Vec<bool>,
    progress: &mut dyn FnMut(&Record),
) -> Trained {
    let n = groups.classes.len();
    let mut alpha = vec![gate::start(); n];
    let masks: Vec<Vec<usize>> = groups
        .groups
        .iter()
        .map(|g| g.classes.iter().copied().filter(|&c| session.trainable[c]).collect::<Vec<_>>())
        .filter(|g| !g.is_empty())
        .collect();
    let full = cost.soft(&vec![1.0; n]);
    let mut adam = Adam::new(n, settings.lr);
    let mut order = Order::new(list, settings.seed);
    let mut history = Vec::with_capacity(settings.batches);
    let mut best = (f64::INFINITY, alpha.clone(), 0);
    let mut mean = vec![0.0; n];
    for step in 1..=settings.batches {
        let images = order.next(settings.batch_size);
        let lambda = lambdas(&alpha, &session.trainable);
        let hard = step as f64 > settings.harden * settings.batches as f64;
        let seen = if hard {
            plan(&alpha).iter().map(|&k| f64::from(u8::from(k))).collect()
        } else {
            lambda.clone()
        };
        let (task, mut gradient) = task_gradient(session, &images, &seen, settings, step as u64);
        let soft = cost.soft(&lambda);
        let (budget, slope) = loss::budget(soft, settings.target, full);
        cost.gradient(&lambda, settings.beta * slope, &mut gradient);
        let hardness = loss::hardness(&lambda, &masks, settings.gamma, &mut gradient);
        let total = task + settings.beta * budget + settings.gamma * hardness;
        let record = Record { step, task, budget, hardness, soft_macs: soft };
        if step as f64 > 0.6 * settings.batches as f64 && total < best.0 || best.2 == 0 {
            best = (total, alpha.clone(), step);
        }
        for ((g, l), trainable) in gradient.iter_mut().zip(&lambda).zip(&session.trainable) {
            *g = if *trainable { *g * l * (1.0 - l) } else { 0.0 };
        }
        let progress_made = step as f64 / settings.batches as f64;
        let rate =
            if settings.decay { 0.5 * (1.0 + (std::f64::consts::PI * progress_made).cos()) } else { 1.0 };
        adam.update(&mut alpha, &gradient, rate);
        if settings.average && progress_made > 0.6 {
            mean.iter_mut().zip(&alpha).for_each(|(m, a)| *m += a);
        }
        history.push(record);
        progress(&record);
    }
    if settings.average {
        best = (best.0, mean, settings.batches);
    }
    let mut alpha = best.1;
    for (a, trainable) in alpha.iter_mut().zip(&session.trainable) {
        if !trainable {
            *a = f64::INFINITY;
        }
    }
    Trained { alpha, history, best: best.2 }
}

fn lambdas(alpha: &[f64], trainable: &[bool]) -> Vec<f64> {
    alpha.iter().zip(trainable).map(|(&a, &t)| if t { gate::sigmoid(a) } else { 1.0 }).collect()
}

/// Task loss of a batch and its gradient with respect to λ. Chunks are summed in their order.
fn task_gradient(
    session: &Session,
    images: &[usize],
    lambda: &[f64],
    settings: &Settings,
    step: u64,
) -> (f64, Vec<f64>) {
    let lambda: Vec<f32> = lambda.iter().map(|&l| l as f32).collect();
    let augment = settings.augment.as_ref().map(|a| (a, settings.seed ^ (step << 32)));
    let weight = 1.0 / images.len() as f64;
    let program = &session.program;
    let parts = session.each(images, augment, |chunk| {
        let n = chunk.positions.len();
        let teacher: Vec<Vec<Vec<f32>>> = if settings.task.needs_teacher() {
            chunk.workspace.forward(program, None);
            (0..n)
                .map(|i| session.rows(chunk.workspace, i).into_iter().map(<[f32]>::to_vec).collect())
                .collect()
        } else {
            vec![Vec::new(); n]
        };
        chunk.workspace.forward(program, Some(&lambda));
        let targets = program.target_values.len();
        let mut gradients: Vec<Vec<f32>> =
            (0..targets).map(|t| vec![0.0; chunk.workspace.target(program, t).data.len()]).collect();
        let mut total = 0.0;
        for (i, teacher) in teacher.iter().enumerate() {
            let label = session.data.labels().map(|l| l[images[chunk.positions.start + i]]);
            let x = session.rows(chunk.workspace, i);
            let teacher: Vec<&[f32]> = teacher.iter().map(Vec::as_slice).collect();
            let mut dx: Vec<&mut [f32]> = gradients
                .iter_mut()
                .map(|g| {
                    let len = g.len() / program.batch;
                    &mut g[i * len..(i + 1) * len]
                })
                .collect();
            total += settings.task.loss(&x, &teacher, label, weight, &mut dx);
        }
        for (t, g) in gradients.iter().enumerate() {
            chunk.workspace.target_gradient(program, t).copy_from_slice(g);
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
            for i in (1..self.left.len()).rev() {
                self.left.swap(i, self.draw.below(i + 1));
            }
        }
        self.left.split_off(self.left.len() - n)
    }
}
