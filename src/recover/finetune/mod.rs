//! Recovery by training: the pruned network's weights follow the unpruned network's outputs, the labels, or both.
//!
//! Takes: the pruned graph, the unpruned network as teacher, images, [`Settings`]. Gives: the graph with trained weights, and
//! the losses of every epoch. Invariants: the result depends on the seed, not on the number of threads, nor on whether the
//! training was cut off and went on from a [`State`]; on the held-out images it is never worse than at the start.
//! Statistics of BatchNormalization stay as they are. Never: changes the graph's shape.

mod hint;
mod optimizer;
mod parameters;
mod state;
mod teacher;

use crate::data::{Augment, Split};
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

/// Epochs after which batches and changes of images come again, in turn: by then the unpruned network's answers to them are
/// known. Mixtures never come again: they teach because they are new.
pub const CYCLE: usize = 12;

/// Settings of a finetuning.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Passes over the images.
    pub epochs: usize,
    /// Images per update.
    pub batch_size: usize,
    /// Optimiser.
    pub method: Method,
    /// Learning rate after the warm-up; it falls to zero as half a cosine.
    pub lr: f64,
    /// Share of the updates over which the rate rises to `lr` in equal steps.
    pub warm_up: f64,
    /// Decay of weights of two or more axes.
    pub weight_decay: f64,
    /// Loss of the outputs.
    pub objective: Objective,
    /// Weight of the hint beside the task loss.
    pub hint: f64,
    /// Random changes to the images, if wanted.
    pub augment: Option<Augment>,
    /// The epochs of which the held-out images choose one.
    pub candidates: Candidates,
    /// Seed of the order of the images and of the augmentation.
    pub seed: u64,
}

/// The epochs whose weights may be taken, beside the weights at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidates {
    /// Each of them.
    Every,
    /// The last one.
    Last,
}

/// One update, for watchers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// 1, 2, …
    pub step: usize,
    /// Number of updates in all.
    pub steps: usize,
    /// Loss over the update's images.
    pub loss: f64,
    /// Learning rate.
    pub rate: f64,
}

/// Observer of a finetuning.
pub trait Watcher {
    /// Called after every update.
    fn update(&mut self, update: &Update, epochs: &[Epoch]);
    /// Called after every update with the state to go on from.
    fn keep(&mut self, state: &State) -> Result<()>;
}

/// Trained weights, and the epochs that led to them.
#[derive(Debug, Clone)]
pub struct Tuned {
    /// The graph with trained weights.
    pub graph: Graph,
    /// The epochs; the first entry is the state before any.
    pub epochs: Vec<Epoch>,
    /// The epoch whose weights were taken.
    pub best: usize,
}

/// Trains the weights of a network on the images `split.train` to the outputs of `teacher`, and to its value of `hint`, which
/// it must watch; the held-out images choose the epoch whose weights are taken. Goes on from `from`, if there is a state;
/// errors where that is of another network.
pub fn finetune(
    network: Network,
    teacher: &Session,
    hint: Option<&Hint>,
    split: &Split,
    settings: &Settings,
    from: Option<State>,
    watcher: &mut dyn Watcher,
) -> Result<Tuned> {
    let parameters = parameters(network);
    let mut training = Training::new(network, &parameters, teacher, hint, split, settings)?;
    let mut state = training.begin(from)?;
    while state.step < training.steps {
        let update = training.update(&mut state);
        watcher.update(&update, &state.epochs);
        watcher.keep(&state)?;
    }
    let mut graph = network.graph.clone();
    for ((&v, w), values) in parameters.iter().zip(&training.weights).zip(&state.best) {
        let Some(old) = network.constant(v) else { continue };
        rewrite::store(&mut graph, v, old.with_values(w.shape(), values))?;
    }
    Ok(Tuned { graph, best: state.best_epoch, epochs: state.epochs })
}

/// The student and its teacher, on images.
struct Training<'a> {
    session: Session<'a>,
    teacher: Teacher<'a>,
    /// The student's weights at the start, by parameter.
    weights: Vec<Array<f32>>,
    split: &'a Split,
    settings: &'a Settings,
    /// Number of updates of an epoch.
    per_epoch: usize,
    /// Number of updates in all.
    steps: usize,
    /// Epochs after which draws come again.
    cycle: usize,
    /// The epoch's images in their order.
    order: Vec<usize>,
}

impl<'a> Training<'a> {
    fn new(
        network: Network,
        parameters: &[ValueId],
        teacher: &'a Session<'a>,
        hint: Option<&'a Hint>,
        split: &'a Split,
        settings: &'a Settings,
    ) -> Result<Self> {
        let stored = |&v: &ValueId| network.constant(v).map_or_else(Default::default, |t| t.to_array());
        let watched: Vec<ValueId> = hint.iter().map(|h| h.value).collect();
        let (data, pool, aims) = (teacher.data, teacher.pool, teacher.aims());
        let mixes = settings.augment.is_some_and(|a| a.mixes());
        // A short training holds no answers to changed images: they need the memory of a long one.
        let short = settings.candidates == Candidates::Last;
        let cycle = if mixes || short { settings.epochs } else { CYCLE };
        let per_epoch = (split.train.len() / settings.batch_size).max(1);
        Ok(Self {
            weights: parameters.iter().map(stored).collect(),
            session: Session::trainable(network, &aims, parameters, &watched, data, pool)?,
            teacher: Teacher::new(teacher, hint, settings.epochs, cycle),
            split,
            settings,
            per_epoch,
            steps: settings.epochs * per_epoch,
            cycle,
            order: Vec::new(),
        })
    }

    /// The state to go on from, or that of the weights at hand. Errors where it is of another network.
    fn begin(&mut self, from: Option<State>) -> Result<State> {
        let method = self.settings.method;
        let state = match from {
            Some(state) if state.fits(&self.weights, method) => state,
            Some(_) => {
                let reason = "what was kept of the training has other weights than the network";
                return Err(Error::argument(Setting::Checkpoint, reason, "remove the file to begin anew"));
            }
            None => {
                let loss = self.validation_loss();
                State::new(self.weights.iter().map(|w| w.elements().to_vec()).collect(), method, loss)
            }
        };
        self.session.set_parameters(state.weights.iter().map(Vec::as_slice));
        Ok(state)
    }

    /// One update of the weights; the last of an epoch ends it.
    fn update(&mut self, state: &mut State) -> Update {
        let (settings, per_epoch) = (self.settings, self.per_epoch);
        let drawn = state.step % (self.cycle * per_epoch);
        let (epoch, at) = (drawn / per_epoch, drawn % per_epoch);
        if at == 0 || self.order.is_empty() {
            self.order = self.split.train.clone();
            Draw::new(settings.seed, 1 << 16 | epoch as u64).shuffle(&mut self.order);
        }
        let end = ((at + 1) * settings.batch_size).min(self.order.len());
        let batch = self.order[at * settings.batch_size..end].to_vec();
        let (loss, gradient) = self.gradient(&batch, drawn as u64);
        let rate = rate(state.step, self.steps, settings);
        state.step += 1;
        for (k, g) in gradient.iter().enumerate() {
            let decay = if self.weights[k].ndim() >= 2 { settings.weight_decay as f32 } else { 0.0 };
            let (w, moments) = (&mut state.weights[k], &mut state.moments[k]);
            settings.method.update(w, g.elements(), moments, rate as f32, decay, state.step);
        }
        self.session.set_parameters(state.weights.iter().map(Vec::as_slice));
        state.loss += loss / per_epoch as f64;
        if at + 1 == per_epoch {
            let candidate = settings.candidates == Candidates::Every || state.step == self.steps;
            state.end_epoch(self.validation_loss(), candidate);
        }
        Update { step: state.step, steps: self.steps, loss, rate }
    }

    /// Loss over a batch and its gradient by parameter; `drawn` is the number of the draw that changes its images. Chunks are
    /// summed in their order.
    fn gradient(&mut self, images: &[usize], drawn: u64) -> (f64, Vec<Array<f32>>) {
        let settings = self.settings;
        let augment = settings.augment.as_ref().map(|a| a.seeded(settings.seed ^ ((drawn + 1) << 32)));
        // Mixtures have no labels.
        let taught = match settings.objective.needs_teacher() || augment.is_some_and(|a| a.augment.mixes()) {
            true => self.teacher.answers(images, augment),
            false => vec![Answer::default(); images.len()],
        };
        let (outputs, hints): (Vec<_>, Vec<_>) = taught.into_iter().map(|a| (a.outputs, a.hint)).unzip();
        let (session, weight) = (&self.session, 1.0 / images.len() as f64);
        let parts = session.each(images, augment, |chunk| {
            let program = chunk.program;
            chunk.workspace.forward(program, None);
            let outputs = &outputs[chunk.positions.clone()];
            let (mut loss, mut gradients) = session.loss(chunk, images, outputs, weight, &settings.objective);
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

    /// Mean loss over the held-out images.
    fn validation_loss(&mut self) -> f64 {
        let objective = &self.settings.objective;
        self.session.mean_loss(&self.split.held_out, objective, |some| match objective.needs_teacher() {
            true => self.teacher.answers(some, None).into_iter().map(|a| a.outputs).collect(),
            false => vec![Vec::new(); some.len()],
        })
    }
}

/// Learning rate of an update: it rises in equal steps, then falls to zero as half a cosine.
fn rate(step: usize, steps: usize, settings: &Settings) -> f64 {
    let warm_up = (settings.warm_up * steps as f64).round() as usize;
    if step < warm_up {
        return settings.lr * (step + 1) as f64 / warm_up as f64;
    }
    let progress = (step - warm_up) as f64 / (steps - warm_up).max(1) as f64;
    settings.lr * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress))
}
