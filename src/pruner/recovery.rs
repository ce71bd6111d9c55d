//! Recovery of lost accuracy, once the pruned network is proved.

use super::choose::{LabelShare, objective};
use super::options::Passes;
use super::{Events, Finetune, Options, Recover, Resume, some_of};
use crate::cost::{Convention, Cost};
use crate::coupling::Groups;
use crate::data::{Augment, BoundDataset, Split, Subset};
use crate::error::Result;
use crate::exec::{Aims, Objective, Pool};
use crate::gates::{Agreement, HeldOut, Session};
use crate::graph::*;
use crate::recover::{self, Candidates, Epoch, Fitted, Hint, State, Tuned, Update};
use crate::rewrite::{self, Cuts};
use crate::tensor::volume;

/// Share of the finetuning's updates over which the rate rises.
const WARM_UP: f64 = 0.05;

/// Weight of the hint (features of the last convolutions) beside the task loss.
const HINT: f64 = 1.0;

/// Largest number of images that choose the best epoch.
const VALIDATION_IMAGES: usize = 512;

/// Largest number of images that layers are fitted on in a trial.
const TRIAL_IMAGES: usize = 512;

/// The pruned network with other weights.
#[derive(Debug)]
pub struct Recovered {
    /// Its graph.
    pub graph: Graph,
    /// Its layers, fitted or left alone.
    pub layers: Vec<Fitted>,
    /// Agreement with the unpruned network on held-out images, after the fits.
    pub fitted: Agreement,
    /// The training of its weights, where there was one.
    pub tuned: Option<Finetuned>,
}

/// A finetuning: its settings and what it brought.
#[derive(Debug)]
pub struct Finetuned {
    /// The losses by epoch; the first entry is the state before any.
    pub epochs: Vec<Epoch>,
    /// The entry whose weights were taken.
    pub best: usize,
    /// The learning rate after the warm-up.
    pub lr: f64,
    /// Changes to the images.
    pub augment: Augment,
    /// Agreement with the unpruned network on held-out images, after the finetuning.
    pub agreement: Agreement,
}

/// The original, images and options: everything that a pruned network is recovered with.
pub(super) struct Recovery<'a> {
    pub original: Network<'a>,
    /// The original's groups, which know the biases that came in.
    pub groups: &'a Groups,
    /// Values at which the networks are judged.
    pub aims: &'a Aims,
    pub data: &'a BoundDataset,
    /// Images to learn on, and images that nothing is learned on.
    pub split: &'a Split,
    /// The latter, with the original's outputs.
    pub held_out_outputs: &'a HeldOut,
    pub pool: &'a Pool,
    pub options: &'a Options,
    /// The recovery of this stage; in a stage before the last it differs from the options'.
    pub how: Recover,
}

impl Recovery<'_> {
    /// Fits the layers of `small`, and trains its weights if that is wanted; goes on from `resume` and `state` if there is a
    /// state.
    pub fn run(
        &self,
        small: &Graph,
        kept: &[bool],
        mut resume: Resume,
        state: Option<State>,
        events: &mut dyn Events,
    ) -> Result<Recovered> {
        let Self { original, groups, data, split, pool, .. } = *self;
        let mut graph = small.clone();
        if state.is_none() {
            let progress = &mut |done, of| events.fitted(done, of);
            let images = Subset { data, indices: &split.train };
            (graph, resume.layers) =
                recover::reconstruct(original, groups, kept, small, images, pool, progress)?;
            resume.fitted = self.agreement(&graph)?;
            resume.changed = rewrite::changed(small, &graph);
        } else {
            rewrite::change(&mut graph, &resume.changed)?;
        }
        let fitted = resume.fitted;
        let how = match self.how {
            // A short training that is not asked for is left out where no gradients come back.
            Recover::Finetune(how) if self.aims.learned => how,
            _ => return Ok(Recovered { graph, layers: resume.layers, fitted, tuned: None }),
        };
        let facts = original.facts_of(&graph)?;
        let student = Network::new(&graph, &facts);
        let cuts = Cuts::new(groups, kept);
        // Where outputs are no class scores they say enough.
        let classes = self.aims.classes;
        let hint = Hint::find(original, student, &cuts).filter(|_| classes);
        let watched: Vec<ValueId> = hint.iter().map(|h| h.value).collect();
        let teacher = Session::trainable(original, self.aims, &[], &watched, data, pool)?;
        let Split { train, held_out } =
            if how.is_short() { self.short_split() } else { self.validation_split() };
        // The way back takes twice the way there, and the unpruned network teaches.
        let Passes { images, epochs } = how.passes(train.len(), 3 * work(student) + work(original));
        let split = Split { train: some_of(&train, images, self.options.seed), held_out };
        let augment = how.changes(epochs, data.side(), classes);
        let settings = self.settings(&teacher, how, epochs, augment, &split.train);
        let mut watcher = Keeping { resume: &resume, events };
        let tuned =
            recover::finetune(student, &teacher, hint.as_ref(), &split, &settings, state, &mut watcher)?;
        let agreement = self.agreement(&tuned.graph)?;
        let Tuned { graph, epochs, best } = tuned;
        let tuned = Some(Finetuned { epochs, best, lr: settings.lr, augment, agreement });
        Ok(Recovered { graph, layers: resume.layers, fitted, tuned })
    }

    /// Loss after fits of the layers of `small`, which keeps the classes `kept`, to half of the training images or some of them: on
    /// some of the others, and of those that nothing is learned on. `teacher` is the original.
    pub fn trial(
        &self,
        small: &Graph,
        kept: &[bool],
        teacher: &Session,
        objective: &Objective,
    ) -> Result<f64> {
        let Self { original, groups, data, split, pool, .. } = *self;
        let some = some_of(&split.train, TRIAL_IMAGES.min(split.train.len() / 2), self.options.seed);
        let images = Subset { data, indices: &some };
        let (graph, _) = recover::reconstruct(original, groups, kept, small, images, pool, &mut |_, _| ())?;
        let facts = original.facts_of(&graph)?;
        let student = Session::plain(Network::new(&graph, &facts), self.aims, data, pool)?;
        // Of a few images too few are held out to tell two plans apart.
        let others = split.train.iter().filter(|&i| some.binary_search(i).is_err());
        let judges: Vec<usize> = others.chain(&split.held_out).copied().collect();
        let judges = some_of(&judges, VALIDATION_IMAGES, self.options.seed);
        Ok(student.mean_loss(&judges, objective, |some| teacher.outputs(some)))
    }

    /// All training images; some of those that nothing is learned on judge.
    fn short_split(&self) -> Split {
        let Split { train, held_out } = self.split;
        // They are sorted, and neighbours may be of one class.
        Split { train: train.clone(), held_out: some_of(held_out, VALIDATION_IMAGES, self.options.seed) }
    }

    /// The training images parted: a tenth, at most [`VALIDATION_IMAGES`], chooses the best epoch. With few images all serve both
    /// ends.
    fn validation_split(&self) -> Split {
        let (all, seed) = (&self.split.train, self.options.seed);
        let mut held_out = some_of(all, (all.len() / 10).min(VALIDATION_IMAGES), seed ^ 1 << 33);
        if held_out.is_empty() {
            held_out = all.to_vec();
        }
        let train = match held_out.len() < all.len() {
            true => all.iter().copied().filter(|i| held_out.binary_search(i).is_err()).collect(),
            false => all.to_vec(),
        };
        Split { train, held_out }
    }

    /// Agreement of a pruned network with the original on the held-out images.
    pub fn agreement(&self, pruned: &Graph) -> Result<Agreement> {
        let facts = self.original.facts_of(pruned)?;
        let session = |network| Session::plain(network, self.aims, self.data, self.pool);
        let other = session(Network::new(pruned, &facts))?;
        let original = if self.held_out_outputs.asks() { Some(session(self.original)?) } else { None };
        Ok(self.held_out_outputs.agreement(original.as_ref(), &other, None))
    }

    fn settings(
        &self,
        teacher: &Session,
        how: Finetune,
        epochs: usize,
        augment: Augment,
        images: &[usize],
    ) -> recover::Settings {
        let labels = (how.labels > 0.0).then_some(LabelShare { smoothing: 0.0, distil: 1.0 - how.labels });
        recover::Settings {
            epochs,
            batch_size: how.batch(),
            method: how.method,
            lr: how.rate(augment.mixes(), epochs * images.len() / how.batch()),
            warm_up: WARM_UP,
            weight_decay: how.weight_decay,
            objective: objective(teacher, self.options, labels, how.softness(), images),
            hint: HINT,
            augment: Some(augment),
            candidates: if how.is_short() { Candidates::Last } else { Candidates::Every },
            seed: self.options.seed,
        }
    }
}

/// Multiply-accumulates that take about as long as bringing one element of a value in and out: depthwise networks compute little
/// and move much.
const MOVING: u64 = 32;

/// Work of an inference of one image, in multiply-accumulates.
fn work(network: Network) -> u64 {
    let Network { graph, facts } = network;
    let computed = graph.nodes.iter().filter(|n| !facts.is_folded(n));
    let values = computed.flat_map(|n| n.outputs.iter().flatten());
    let moved: usize = values.filter_map(|&v| facts.shape(v)).map(volume).sum();
    let macs = Cost::new(network, &Groups::default(), Convention::Macs).hard(&[]);
    (macs + MOVING * moved as u64) / facts.batch(graph).max(1) as u64
}

/// Hands the state of a finetuning on, together with the earlier results that a run needs to go on.
struct Keeping<'a> {
    resume: &'a Resume,
    events: &'a mut dyn Events,
}

impl recover::Watcher for Keeping<'_> {
    fn update(&mut self, update: &Update, epochs: &[Epoch]) {
        self.events.tuned(update, epochs);
    }

    fn keep(&mut self, state: &State) -> Result<()> {
        self.events.keep(self.resume, state)
    }
}
