//! A network compiled with its gates, threads to run it, and calibration images: what training and evaluation share.

use super::gate;
use crate::coupling::Groups;
use crate::data::{Augmentation, BoundDataset};
use crate::error::Result;
use crate::exec::{Aims, Objective, not_run};
use crate::exec::{BiasTermSpec, GateSpec, LARGEST, Pool, Precision, Program, Workspace, batched};
use crate::graph::*;
use crate::tensor::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Everything that is needed to push images through the gated network.
pub struct Session<'a> {
    /// The calibration images.
    pub data: &'a BoundDataset,
    /// Values at which a loss can stand, and those behind them that are only watched.
    pub targets: Vec<ValueId>,
    /// Images of a chunk.
    pub batch: usize,
    /// True where target 0 holds class scores.
    pub classes: bool,
    /// The first so many targets are judged; those behind them are only watched.
    pub judged: usize,
    /// For each class: has it a gate whose effect reaches a target?
    pub trainable: Vec<bool>,
    /// The threads that work.
    pub pool: &'a Pool,
    /// The gated network, while it is wanted.
    program: Mutex<Option<Arc<Program>>>,
    /// Compiles it, where it can be let go.
    make: Option<Make<'a>>,
    workspaces: Vec<Mutex<Workspace>>,
}

type Make<'a> = Box<dyn Fn() -> Result<Program> + Send + Sync + 'a>;

/// How well outputs agree with the unpruned network's, over some images.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Agreement {
    /// Images compared.
    pub images: usize,
    /// Share of images with the same top class (classifiers).
    pub same_class: Option<f64>,
    /// Share of images with the right top class (where there are labels).
    pub accuracy: Option<f64>,
    /// The same for the unpruned network.
    pub accuracy_before: Option<f64>,
    /// Root mean square difference of the outputs, relative to their standard deviation.
    pub relative_error: f64,
}

/// Bytes of outputs that are remembered.
const REMEMBERED: usize = 64 << 20;

/// Images to compare networks on, with what the unpruned one gives unless that is too large to be kept.
#[derive(Debug, Clone, Default)]
pub struct HeldOut {
    images: Vec<usize>,
    /// By image, then by target.
    outputs: Option<Vec<Vec<Array<f32>>>>,
}

impl HeldOut {
    /// The images `list`, which the unpruned network `whole` is asked about.
    pub fn new(whole: &Session, list: &[usize]) -> Self {
        if list.is_empty() {
            return Self { images: Vec::new(), outputs: None };
        }
        let program = whole.program();
        let per_image: usize =
            (0..whole.targets.len()).map(|t| 4 * volume(program.target_shape(t)) / whole.batch).sum();
        let outputs = (per_image * list.len() <= REMEMBERED).then(|| whole.outputs(list));
        Self { images: list.to_vec(), outputs }
    }

    /// True if the unpruned network is asked again each time.
    pub fn asks(&self) -> bool {
        self.outputs.is_none()
    }

    /// Compares another network on the same data with the unpruned one, at gates `lambda` if it has some, image by image.
    /// `whole` is that network, if it is asked.
    pub fn agreement(&self, whole: Option<&Session>, other: &Session, lambda: Option<&[f32]>) -> Agreement {
        // A few images at a time: outputs can be large.
        let together = 4 * other.batch * other.pool.len();
        let mut tally = Tally::default();
        for (k, some) in self.images.chunks(together).enumerate() {
            let asked = whole.filter(|_| self.asks()).map(|whole| whole.outputs(some)).unwrap_or_default();
            let known = self.outputs.as_ref().map(|outputs| &outputs[k * together..][..some.len()]);
            let found = other.outputs_at(some, lambda, None);
            for ((whole, rows), &i) in known.unwrap_or(&asked).iter().zip(found).zip(some) {
                tally.add(whole, &rows, other.label(i));
            }
        }
        tally.agreement(other.classes)
    }
}

/// One chunk of images on its way.
#[derive(Debug)]
pub struct Chunk<'w> {
    pub program: &'w Program,
    pub workspace: &'w mut Workspace,
    /// Positions in the list of images that this chunk covers.
    pub positions: std::ops::Range<usize>,
    /// Whether their labels hold: those of mixtures do not.
    pub labelled: bool,
}

impl Chunk<'_> {
    /// Rows of the targets for image `i` of the chunk.
    pub fn rows(&self, i: usize) -> Vec<&[f32]> {
        (0..self.program.target_values.len())
            .map(|t| {
                let y = self.workspace.target(self.program, t);
                let len = y.len() / self.program.batch;
                &y.elements()[i * len..(i + 1) * len]
            })
            .collect()
    }

    /// The targets of image `i` of the chunk.
    fn image(&self, i: usize) -> Vec<Array<f32>> {
        let one = |(t, row): (usize, &[f32])| {
            let mut shape = self.program.target_shape(t).to_vec();
            match shape.first_mut() {
                Some(first) if first.is_multiple_of(self.program.batch) => *first /= self.program.batch,
                _ => shape = vec![row.len()],
            }
            array(&shape, row.to_vec())
        };
        self.rows(i).into_iter().enumerate().map(one).collect()
    }
}

impl<'a> Session<'a> {
    fn with(program: Program, classes: bool, data: &'a BoundDataset, pool: &'a Pool) -> Self {
        let targets = program.target_values.clone();
        Self {
            data,
            classes,
            judged: targets.len(),
            targets,
            batch: program.batch,
            trainable: Vec::new(),
            pool,
            workspaces: pool.workspaces(&program),
            program: Mutex::new(Some(Arc::new(program))),
            make: None,
        }
    }

    /// Compiles the network with gates at all sites of `groups`, to be judged at `aims`.
    pub fn new(
        (graph, facts): (&'a Graph, &'a Facts),
        groups: &'a Groups,
        shifts: &'a [BiasTermSpec],
        aims: &'a Aims,
        data: &'a BoundDataset,
        pool: &'a Pool,
    ) -> Result<Self> {
        let targets = &aims.targets;
        if targets.is_empty() {
            return Err(not_run(graph, facts));
        }
        let trainable = match aims.learned {
            true => gate::trainable(graph, groups, targets),
            false => vec![false; groups.classes.len()],
        };
        let make = move || {
            let facts = batched(graph, facts, targets, LARGEST)?;
            let gates = gate::specs(graph, groups);
            Program::compile(graph, &facts, Precision::Fast, &gates, shifts, targets)
        };
        let program = make()?;
        Ok(Self { trainable, make: Some(Box::new(make)), ..Self::with(program, aims.classes, data, pool) })
    }

    /// The same with a smaller network in its place, made of its own: with the same targets, and no more images in a chunk.
    pub fn smaller(
        &self,
        (graph, facts): (&Graph, &Facts),
        gates: &[GateSpec],
        shifts: &[BiasTermSpec],
    ) -> Result<Self> {
        let facts = batched(graph, facts, &self.targets, self.batch)?;
        let program = Program::compile(graph, &facts, Precision::Fast, gates, shifts, &self.targets)?;
        let (trainable, judged) = (self.trainable.clone(), self.judged);
        Ok(Self { trainable, judged, ..Self::with(program, self.classes, self.data, self.pool) })
    }

    /// Compiles the network without gates, for training the constants `parameters`, to be judged at the values `aims.0`, which
    /// are class scores if `aims.1` says so. The values `watched` become targets
    /// behind those that are judged.
    pub fn trainable(
        (graph, facts): (&Graph, &Facts),
        aims: (&[ValueId], bool),
        parameters: &[ValueId],
        watched: &[ValueId],
        data: &'a BoundDataset,
        pool: &'a Pool,
    ) -> Result<Self> {
        let (judged, classes) = (aims.0.len(), aims.1);
        if judged == 0 {
            return Err(not_run(graph, facts));
        }
        let targets = [aims.0, watched].concat();
        let facts = batched(graph, facts, &targets, LARGEST)?;
        let program = Program::trainable(graph, &facts, Precision::Fast, parameters, &targets)?;
        Ok(Self { judged, ..Self::with(program, classes, data, pool) })
    }

    /// Compiles the network as it is, without gates, to be judged at `aims`.
    pub fn plain(
        network: (&Graph, &Facts),
        aims: &Aims,
        data: &'a BoundDataset,
        pool: &'a Pool,
    ) -> Result<Self> {
        Self::trainable(network, aims.parts(), &[], &[], data, pool)
    }

    /// Where it is judged.
    pub fn aims(&self) -> (&[ValueId], bool) {
        (&self.targets[..self.judged], self.classes)
    }

    /// The gated network at the batch size of a chunk.
    pub fn program(&self) -> Arc<Program> {
        let mut held = lock(&self.program);
        let program = held.take().unwrap_or_else(|| match self.make.as_ref().map(|make| make()) {
            Some(Ok(program)) => Arc::new(program),
            // What was compiled once can be compiled again, and nothing else is let go.
            made => unreachable!("a network that was compiled before: {made:?}"),
        });
        held.insert(program).clone()
    }

    /// Gives the constants that are trained (of a [`Session::trainable`]) other values, as [`Program::set_parameters`].
    pub fn set_parameters<'v>(&mut self, values: impl Iterator<Item = &'v [f32]>) {
        let program = self.program.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut();
        match program.and_then(Arc::get_mut) {
            Some(program) => program.set_parameters(values),
            None => unreachable!("a program that is kept, and that nobody else holds"),
        }
    }

    /// Gives the memory of the values and gradients back; it is taken again when the next image comes.
    pub fn rest(&self) {
        if let Some(program) = &*lock(&self.program) {
            self.workspaces.iter().for_each(|w| *lock(w) = Workspace::new(program));
        }
    }

    /// The same, and the network with its weights: where it can, it is compiled again when it is wanted.
    pub fn let_go(&self) {
        self.rest();
        if self.make.is_some() {
            *lock(&self.program) = None;
        }
    }

    /// Number of chunks for `n` images.
    pub fn chunks(&self, n: usize) -> usize {
        n.div_ceil(self.batch)
    }

    /// Loads the images `list` chunk by chunk and calls `work` on each; results in order.
    pub fn each<R: Send>(
        &self,
        list: &[usize],
        augment: Option<Augmentation>,
        work: impl Fn(&mut Chunk) -> R + Sync,
    ) -> Vec<R> {
        let (program, b) = (&*self.program(), self.batch);
        self.pool.run(&self.workspaces, self.chunks(list.len()), |workspace, chunk| {
            let positions = chunk * b..((chunk + 1) * b).min(list.len());
            for k in 0..program.inputs() {
                let len = program.input_len(k);
                let buffer = workspace.input(program, k);
                for (i, row) in buffer.chunks_exact_mut(len.max(1)).enumerate() {
                    // The last chunk is filled up with its last image, whose results are not used.
                    let at = (positions.start + i).min(positions.end - 1);
                    self.data.write_mixed(k, list, at, augment, row);
                }
            }
            let labelled = !augment.is_some_and(|a| a.augment.mixes());
            work(&mut Chunk { program, workspace, positions, labelled })
        })
    }

    /// The loss of a chunk that went forward, its share in the batch being `weight` per image, and dL/d(target), by target.
    /// `images` are those of the batch; `teacher` holds the unpruned network's targets for the chunk's.
    pub fn loss(
        &self,
        chunk: &Chunk,
        images: &[usize],
        teacher: &[Vec<Array<f32>>],
        weight: f64,
        task: &Objective,
    ) -> (f64, Vec<Array<f32>>) {
        let program = chunk.program;
        let zeros = |t| Array::zeros(program.target_shape(t));
        let mut gradients: Vec<Array<f32>> = (0..program.target_values.len()).map(zeros).collect();
        let mut total = 0.0;
        for (i, teacher) in teacher.iter().enumerate() {
            let labels = self.data.labels().filter(|_| chunk.labelled);
            let label = labels.map(|l| l[images[chunk.positions.start + i]]);
            let x = &chunk.rows(i)[..self.judged];
            let teacher: Vec<&[f32]> = teacher.iter().map(|y| y.elements()).collect();
            let mut dx: Vec<&mut [f32]> = gradients
                .iter_mut()
                .map(|g| {
                    let len = g.len() / program.batch;
                    &mut g.elements_mut()[i * len..(i + 1) * len]
                })
                .collect();
            total += task.loss(x, &teacher, label, weight, &mut dx);
        }
        (total, gradients)
    }

    /// The share that `images` have in the task loss at gates `lambda`, which is `weight` per image; `teacher` holds the unpruned
    /// network's targets for them.
    pub fn task_loss(
        &self,
        (images, teacher): (&[usize], &[Vec<Array<f32>>]),
        lambda: Option<&[f32]>,
        weight: f64,
        task: &Objective,
    ) -> f64 {
        let one = |chunk: &mut Chunk| {
            chunk.workspace.evaluate(chunk.program, lambda);
            self.loss(chunk, images, &teacher[chunk.positions.clone()], weight, task).0
        };
        self.each(images, None, one).into_iter().sum()
    }

    /// Values of the targets of the unpruned network by image of `list`, then by target, each [1, …] where a chunk's is
    /// [images, …].
    pub fn outputs(&self, list: &[usize]) -> Vec<Vec<Array<f32>>> {
        self.outputs_of(list, None)
    }

    /// The same, of changed images.
    pub fn outputs_of(&self, list: &[usize], augment: Option<Augmentation>) -> Vec<Vec<Array<f32>>> {
        self.outputs_at(list, None, augment)
    }

    /// The same at gates `lambda`.
    fn outputs_at(
        &self,
        list: &[usize],
        lambda: Option<&[f32]>,
        augment: Option<Augmentation>,
    ) -> Vec<Vec<Array<f32>>> {
        let chunks = self.each(list, augment, |chunk| {
            chunk.workspace.evaluate(chunk.program, lambda);
            (0..chunk.positions.len()).map(|i| chunk.image(i)).collect::<Vec<_>>()
        });
        chunks.into_iter().flatten().collect()
    }

    /// Variance of each target of the unpruned network over some images.
    pub fn variances(&self, list: &[usize]) -> Vec<f64> {
        let sums = self.each(list, None, |chunk| {
            chunk.workspace.evaluate(chunk.program, None);
            let mut sums = vec![[0.0f64; 3]; self.targets.len()];
            for i in 0..chunk.positions.len() {
                for (s, row) in sums.iter_mut().zip(chunk.rows(i)) {
                    s[0] += row.len() as f64;
                    s[1] += row.iter().map(|&v| f64::from(v)).sum::<f64>();
                    s[2] += row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
                }
            }
            sums
        });
        let mut total = vec![[0.0f64; 3]; self.targets.len()];
        for chunk in sums {
            for (t, s) in total.iter_mut().zip(chunk) {
                (0..3).for_each(|k| t[k] += s[k]);
            }
        }
        total.iter().map(|[n, s, q]| (q / n - (s / n) * (s / n)).max(1e-12)).collect()
    }

    fn label(&self, image: usize) -> Option<usize> {
        self.data.labels().map(|l| l[image] as usize)
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an [`Agreement`] is counted from.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    images: usize,
    labelled: usize,
    /// Same class as the unpruned network, right, right before.
    counts: [usize; 3],
    /// Elements, their sum and squares in the unpruned network, squared differences.
    sums: [f64; 4],
}

impl Tally {
    /// Takes one image's targets in.
    fn add(&mut self, whole: &[Array<f32>], rows: &[Array<f32>], label: Option<usize>) {
        let (a, b) = (argmax(whole[0].elements()), argmax(rows[0].elements()));
        self.images += 1;
        self.counts[0] += usize::from(a == b);
        if let Some(label) = label {
            self.labelled += 1;
            self.counts[1] += usize::from(b == label);
            self.counts[2] += usize::from(a == label);
        }
        for (w, r) in whole.iter().zip(rows).flat_map(|(w, r)| w.elements().iter().zip(r.elements())) {
            let (w, r) = (f64::from(*w), f64::from(*r));
            let part = [1.0, w, w * w, (w - r) * (w - r)];
            self.sums.iter_mut().zip(part).for_each(|(s, p)| *s += p);
        }
    }

    fn agreement(&self, classes: bool) -> Agreement {
        let share = |count: usize| count as f64 / self.images.max(1) as f64;
        let [n, sum, squares, differences] = self.sums;
        let n = n.max(1.0);
        let variance = (squares / n - (sum / n).powi(2)).max(1e-12);
        let labelled = classes && self.labelled > 0;
        Agreement {
            images: self.images,
            same_class: classes.then(|| share(self.counts[0])),
            accuracy: labelled.then(|| share(self.counts[1])),
            accuracy_before: labelled.then(|| share(self.counts[2])),
            relative_error: (differences / n / variance).sqrt(),
        }
    }
}

pub(super) fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        if *v > row[best] {
            best = i;
        }
    }
    best
}
