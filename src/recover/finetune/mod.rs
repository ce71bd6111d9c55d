//! Recovery by training: the pruned network's weights follow the unpruned network's outputs, the labels, or both.
//!
//! Takes: the pruned graph, the unpruned network as teacher, images, [`Settings`]. Gives: the graph with trained weights, and
//! what every epoch brought. Invariants: the result depends on the seed, not on the number of threads, nor on whether the
//! training was cut off and went on from a [`State`]; on the images that judge it is never worse than what it began with.
//! Statistics of BatchNormalization stay as they are. Never: changes the graph's shape.

mod hint;
mod optimizer;
mod parameters;
mod state;
mod teacher;

use crate::data::{Augment, Augmentation};
use crate::error::{Error, Result};
use crate::exec::Objective;
use crate::gates::Session;
use crate::graph::*;
use crate::rewrite;
use crate::setting::Setting;
use crate::support::random::Draw;
use crate::tensor::*;
use half::slice::HalfFloatSliceExt;
pub use hint::Hint;
pub use optimizer::Method;
pub use parameters::parameters;
pub use state::{Epoch, State};
use teacher::{Answer, Teacher};

/// After so many epochs their batches and changes of images come again, in turn: what the unpruned network says to them is known.
/// Mixtures do not: what they teach is that they are new.
pub const CYCLE: usize = 12;

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Passes over the images.
    pub epochs: usize,
    /// Images per update.
    pub batch_size: usize,
    /// How a gradient changes a weight.
    pub method: Method,
    /// Learning rate after the warm-up; it falls to zero as half a cosine.
    pub lr: f64,
    /// Share of the updates over which the rate rises to `lr` in equal steps.
    pub warm_up: f64,
    /// Decay of weights of two or more axes.
    pub weight_decay: f64,
    /// What the outputs are judged by.
    pub task: Objective,
    /// Weight of the hint beside the task.
    pub hint: f64,
    /// Random changes to the images, if wanted.
    pub augment: Option<Augment>,
    /// Seed of the order of the images and of the augmentation.
    pub seed: u64,
}

/// One update, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// 1, 2, …
    pub step: usize,
    /// Updates in all.
    pub steps: usize,
    /// Loss over the update's images.
    pub loss: f64,
    /// Learning rate.
    pub rate: f64,
}

/// Who watches a training.
pub trait Watcher {
    /// Called after every update.
    fn update(&mut self, update: &Update, epochs: &[Epoch]);
    /// Called after every update with all that is needed to go on from there.
    fn keep(&mut self, state: &State) -> Result<()>;
}

/// What training gives.
#[derive(Debug, Clone)]
pub struct Tuned {
    /// The graph with trained weights.
    pub graph: Graph,
    /// The epochs; the first entry is the state before any.
    pub epochs: Vec<Epoch>,
    /// The epoch whose weights were taken.
    pub best: usize,
}

/// Trains the weights of `graph` on `images` to the outputs of `teacher`, and to its value of `hint`, which it must watch;
/// `judges` choose the epoch whose weights are taken. Goes on from `from`, if there is one of this network.
pub fn finetune(
    (graph, facts): (&Graph, &Facts),
    (teacher, hint): (&Session, Option<&Hint>),
    (images, judges): (&[usize], &[usize]),
    settings: &Settings,
    from: Option<State>,
    watcher: &mut dyn Watcher,
) -> Result<Tuned> {
    let parameters = parameters(graph, facts);
    let stored = |&v: &ValueId| facts.constant[v].as_ref().map_or_else(Default::default, |t| t.to_array());
    let weights: Vec<Array<f32>> = parameters.iter().map(stored).collect();
    let decays = |k: usize| if weights[k].ndim() >= 2 { settings.weight_decay as f32 } else { 0.0 };
    let per_epoch = (images.len() / settings.batch_size).max(1);
    let steps = settings.epochs * per_epoch;
    let watched = hint.as_slice().iter().map(|h| h.value).collect::<Vec<_>>();
    let (data, pool) = (teacher.data, teacher.pool);
    let mut session = Session::trainable((graph, facts), teacher.aims(), &parameters, &watched, data, pool)?;
    let mixes = settings.augment.is_some_and(|a| a.mixes());
    let cycle = if mixes { settings.epochs } else { CYCLE };
    let mut taught = Teacher::new(teacher, hint, settings.epochs > cycle);
    let mut state = match from {
        Some(state) if state.fits(&weights, settings.method) => state,
        Some(_) => {
            let reason = "what was kept of the training has other weights than the network";
            return Err(Error::argument(Setting::Checkpoint, reason, "remove the file to begin anew"));
        }
        None => {
            let start = judge(&session, &mut taught, judges, &settings.task);
            State::new(weights.iter().map(|w| w.elements().to_vec()).collect(), settings.method, start)
        }
    };
    session.set_parameters(state.weights.iter().map(Vec::as_slice));
    let mut order = Vec::new();
    while state.step < steps {
        let drawn = state.step % (cycle * per_epoch);
        let (epoch, at) = (drawn / per_epoch, drawn % per_epoch);
        if at == 0 || order.is_empty() {
            order = images.to_vec();
            Draw::new(settings.seed, 1 << 16 | epoch as u64).shuffle(&mut order);
        }
        let batch = &order[at * settings.batch_size..((at + 1) * settings.batch_size).min(order.len())];
        let (loss, gradient) = gradient(&session, &mut taught, batch, settings, drawn as u64);
        let rate = rate(state.step, steps, settings);
        state.step += 1;
        for (k, g) in gradient.iter().enumerate() {
            let (w, moments) = (&mut state.weights[k], &mut state.moments[k]);
            settings.method.update(w, g.elements(), moments, rate as f32, decays(k), state.step);
        }
        session.set_parameters(state.weights.iter().map(Vec::as_slice));
        state.loss += loss / per_epoch as f64;
        if at + 1 == per_epoch {
            let judged = judge(&session, &mut taught, judges, &settings.task);
            state.end_epoch(judged);
        }
        watcher.update(&Update { step: state.step, steps, loss, rate }, &state.epochs);
        watcher.keep(&state)?;
    }
    let mut graph = graph.clone();
    for ((&v, w), values) in parameters.iter().zip(&weights).zip(&state.best) {
        let Some(old) = facts.constant[v].as_ref() else { continue };
        rewrite::store(&mut graph, v, old.with_values(w.shape(), values))?;
    }
    Ok(Tuned { graph, best: state.best_epoch(), epochs: state.epochs })
}

/// Rises in equal steps, then falls to zero as half a cosine.
fn rate(step: usize, steps: usize, settings: &Settings) -> f64 {
    let warm_up = (settings.warm_up * steps as f64).round() as usize;
    if step < warm_up {
        return settings.lr * (step + 1) as f64 / warm_up as f64;
    }
    let progress = (step - warm_up) as f64 / (steps - warm_up).max(1) as f64;
    settings.lr * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress))
}

/// Loss over a batch and its gradient by parameter; `drawn` is the number of the draw that changes its images. Chunks are
/// summed in their order.
fn gradient(
    session: &Session,
    teacher: &mut Teacher,
    images: &[usize],
    settings: &Settings,
    drawn: u64,
) -> (f64, Vec<Array<f32>>) {
    let seed = settings.seed ^ ((drawn + 1) << 32);
    let augment = settings.augment.as_ref().map(|augment| Augmentation { augment, seed });
    // Mixtures have no labels.
    let taught = match settings.task.needs_teacher() || augment.is_some_and(|a| a.augment.mixes()) {
        true => teacher.answers(images, augment),
        false => vec![Answer::default(); images.len()],
    };
    let (outputs, hints): (Vec<_>, Vec<_>) = taught.into_iter().map(|a| (a.outputs, a.hint)).unzip();
    let weight = 1.0 / images.len() as f64;
    let parts = session.each(images, augment, |chunk| {
        let program = chunk.program;
        chunk.workspace.forward(program, None);
        let outputs = &outputs[chunk.positions.clone()];
        let (mut loss, mut gradients) = session.loss(chunk, images, outputs, weight, &settings.task);
        let hints = &hints[chunk.positions.clone()];
        for (i, taught) in hints.iter().enumerate().filter(|(_, t)| !t.is_empty()) {
            let t = session.judged;
            let x = chunk.rows(i)[t];
            let dx = &mut gradients[t].elements_mut()[i * x.len()..(i + 1) * x.len()];
            loss += hint::miss(x, &taught.to_f32_vec(), weight * settings.hint, dx);
        }
        for (t, g) in gradients.iter().enumerate() {
            chunk.workspace.target_gradient(program, t).copy_from_slice(g.elements());
        }
        let mut gradient = program.gradients();
        chunk.workspace.backward_parameters(program, &mut gradient);
        (loss, gradient)
    });
    let mut sum = session.program().gradients();
    let mut total = 0.0;
    for (loss, part) in parts {
        total += loss;
        for (s, p) in sum.iter_mut().zip(part) {
            s.elements_mut().iter_mut().zip(p.elements()).for_each(|(s, p)| *s += p);
        }
    }
    (total, sum)
}

/// Mean loss over images, a few at a time: outputs can be large.
fn judge(session: &Session, teacher: &mut Teacher, images: &[usize], task: &Objective) -> f64 {
    let weight = 1.0 / images.len().max(1) as f64;
    let mut part = |some: &[usize]| -> f64 {
        let taught = match task.needs_teacher() {
            true => teacher.answers(some, None).into_iter().map(|a| a.outputs).collect(),
            false => vec![Vec::new(); some.len()],
        };
        session.task_loss((some, &taught), None, weight, task)
    };
    images.chunks(64).map(&mut part).sum()
}
