//! A network compiled with its gates, threads to run it, and calibration images: what training and evaluation share.

use super::gate;
use crate::coupling::Groups;
use crate::data::{Augmentation, BoundDataset};
use crate::error::Result;
use crate::exec::{Aims, Objective, not_run};
use crate::exec::{GatedNetwork, LARGEST, Pool, Precision, Program, Workspace, batched};
use crate::graph::*;
use crate::tensor::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Images whose outputs are held at a time.
const TOGETHER: usize = 64;

/// A compiled network, the images to push through it, and the threads that do.
pub struct Session<'a> {
    /// The calibration images.
    pub data: &'a BoundDataset,
    /// Values that every run gives: the judged ones, followed by the watched ones.
    pub targets: Vec<ValueId>,
    /// Images of a chunk.
    pub batch: usize,
    /// True where target 0 holds class scores.
    pub classes: bool,
    /// Number of judged targets: a loss stands at them. The other targets are only watched.
    pub judged: usize,
    /// By class: it has a gate whose effect reaches a target.
    pub trainable: Vec<bool>,
    /// Threads.
    pub pool: &'a Pool,
    /// The network; none after [`Session::let_go`], until it is wanted again.
    program: Mutex<Option<Arc<Program>>>,
    /// Compiles the network again; none where it must stay.
    make: Option<Make<'a>>,
    workspaces: Vec<Mutex<Workspace>>,
}

type Make<'a> = Box<dyn Fn() -> Result<Program> + Send + Sync + 'a>;

/// A chunk of images in a thread's workspace, with its inputs filled in.
#[derive(Debug)]
pub struct Chunk<'w> {
    /// The network.
    pub program: &'w Program,
    /// The thread's buffers.
    pub workspace: &'w mut Workspace,
    /// Positions in the list of images that this chunk covers.
    pub positions: std::ops::Range<usize>,
    /// True where the images' labels hold: a mixture has none.
    pub labelled: bool,
}

impl Chunk<'_> {
    /// Elements of image `i` of the chunk, by target.
    pub fn rows(&self, i: usize) -> Vec<&[f32]> {
        (0..self.program.target_values.len())
            .map(|t| {
                let y = self.workspace.target(self.program, t);
                let len = y.len() / self.program.batch;
                &y.elements()[i * len..(i + 1) * len]
            })
            .collect()
    }

    /// Arrays of image `i` of the chunk, by target.
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

    /// The gated network, judged at `aims`; its gates stand at the sites of `groups`. Errors where nothing can be judged, or the
    /// network cannot be run.
    pub fn new(
        gated: GatedNetwork<'a>,
        groups: &Groups,
        aims: &'a Aims,
        data: &'a BoundDataset,
        pool: &'a Pool,
    ) -> Result<Self> {
        let Network { graph, .. } = gated.network;
        let targets = &aims.targets;
        if targets.is_empty() {
            return Err(not_run(gated.network));
        }
        let trainable = match aims.learned {
            true => gate::trainable(graph, groups, targets),
            false => vec![false; groups.classes.len()],
        };
        let make = move || {
            let facts = batched(gated.network, targets, LARGEST)?;
            let network = Network::new(graph, &facts);
            Program::compile(GatedNetwork { network, ..gated }, Precision::Fast, targets)
        };
        let program = make()?;
        Ok(Self { trainable, make: Some(Box::new(make)), ..Self::with(program, aims.classes, data, pool) })
    }

    /// A session with a smaller network, made of this one's: equal targets, and at most as many images in a chunk.
    pub fn smaller(&self, gated: GatedNetwork) -> Result<Self> {
        let facts = batched(gated.network, &self.targets, self.batch)?;
        let network = Network::new(gated.network.graph, &facts);
        let gated = GatedNetwork { network, ..gated };
        let program = Program::compile(gated, Precision::Fast, &self.targets)?;
        let (trainable, judged) = (self.trainable.clone(), self.judged);
        Ok(Self { trainable, judged, ..Self::with(program, self.classes, self.data, self.pool) })
    }

    /// The network without gates, judged at `aims`, for training the constants `parameters`. The values `watched` become further
    /// targets. Errors as [`Session::new`].
    pub fn trainable(
        network: Network,
        aims: &Aims,
        parameters: &[ValueId],
        watched: &[ValueId],
        data: &'a BoundDataset,
        pool: &'a Pool,
    ) -> Result<Self> {
        let graph = network.graph;
        let judged = aims.targets.len();
        if judged == 0 {
            return Err(not_run(network));
        }
        let targets = [&aims.targets, watched].concat();
        let facts = batched(network, &targets, LARGEST)?;
        let program = Program::trainable(Network::new(graph, &facts), Precision::Fast, parameters, &targets)?;
        Ok(Self { judged, ..Self::with(program, aims.classes, data, pool) })
    }

    /// The network as it is, judged at `aims`. Errors as [`Session::new`].
    pub fn plain(network: Network, aims: &Aims, data: &'a BoundDataset, pool: &'a Pool) -> Result<Self> {
        Self::trainable(network, aims, &[], &[], data, pool)
    }

    /// The judged targets, as aims.
    pub fn aims(&self) -> Aims {
        Aims { targets: self.targets[..self.judged].to_vec(), classes: self.classes, learned: true }
    }

    /// The network at the batch size of a chunk, compiled again where it was let go.
    pub fn program(&self) -> Arc<Program> {
        let mut held = lock(&self.program);
        let program = held.take().unwrap_or_else(|| match self.make.as_ref().map(|make| make()) {
            Some(Ok(program)) => Arc::new(program),
            // What was compiled once can be compiled again, and nothing else is let go.
            made => unreachable!("a network that was compiled before: {made:?}"),
        });
        held.insert(program).clone()
    }

    /// Gives the parameters of a [`Session::trainable`] other values, as [`Program::set_parameters`].
    pub fn set_parameters<'v>(&mut self, values: impl Iterator<Item = &'v [f32]>) {
        let program = self.program.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut();
        match program.and_then(Arc::get_mut) {
            Some(program) => program.set_parameters(values),
            None => unreachable!("a program that is kept, and that nobody else holds"),
        }
    }

    /// Frees values and gradients; they are allocated again when the next image comes.
    pub fn rest(&self) {
        if let Some(program) = &*lock(&self.program) {
            self.workspaces.iter().for_each(|w| *lock(w) = Workspace::new(program));
        }
    }

    /// As [`Session::rest`], and frees the network with its weights where it can be compiled again.
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

    /// Loss of a chunk that went forward, its share in the batch being `weight` per image, and dL/d(target), by target.
    /// `images` are the batch's; `teacher` holds the unpruned network's targets by image of the chunk.
    pub fn loss(
        &self,
        chunk: &Chunk,
        images: &[usize],
        teacher: &[Vec<Array<f32>>],
        weight: f64,
        objective: &Objective,
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
            total += objective.loss(x, &teacher, label, weight, &mut dx);
        }
        (total, gradients)
    }

    /// Task loss of `images` at gates `lambda`, each image counting `weight`; `teacher` holds the unpruned network's targets by
    /// image.
    pub fn task_loss(
        &self,
        images: &[usize],
        teacher: &[Vec<Array<f32>>],
        lambda: Option<&[f32]>,
        weight: f64,
        objective: &Objective,
    ) -> f64 {
        let one = |chunk: &mut Chunk| {
            chunk.workspace.evaluate(chunk.program, lambda);
            self.loss(chunk, images, &teacher[chunk.positions.clone()], weight, objective).0
        };
        self.each(images, None, one).into_iter().sum()
    }

    /// Mean task loss of images with all gates open, some at a time as outputs can be large; `teacher` gives the unpruned
    /// network's targets for some.
    pub fn mean_loss(
        &self,
        images: &[usize],
        objective: &Objective,
        mut teacher: impl FnMut(&[usize]) -> Vec<Vec<Array<f32>>>,
    ) -> f64 {
        let weight = 1.0 / images.len().max(1) as f64;
        let loss = |some: &[usize]| self.task_loss(some, &teacher(some), None, weight, objective);
        images.chunks(TOGETHER).map(loss).sum()
    }

    /// Values of the targets with all gates open, by image of `list`, then by target: each [1, …] where a chunk's is [images, …].
    pub fn outputs(&self, list: &[usize]) -> Vec<Vec<Array<f32>>> {
        self.outputs_of(list, None)
    }

    /// As [`Session::outputs`], of images that are changed with the draws of a seed.
    pub fn outputs_of(&self, list: &[usize], augment: Option<Augmentation>) -> Vec<Vec<Array<f32>>> {
        self.outputs_at(list, None, augment)
    }

    /// As [`Session::outputs_of`], at gates `lambda`.
    pub(super) fn outputs_at(
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

    /// Variance of each target over the images `list`, with all gates open: of each element from image to image, mean over the
    /// elements. What is the same in all images, such as the anchors that boxes are told from, says nothing of any.
    pub fn variances(&self, list: &[usize]) -> Vec<f64> {
        let mut targets = vec![Spread::default(); self.targets.len()];
        // A few images at a time: outputs can be large.
        for some in list.chunks(4 * self.batch * self.pool.len()) {
            for outputs in self.outputs(some) {
                targets.iter_mut().zip(&outputs).for_each(|(t, y)| t.add(y.elements()));
            }
        }
        targets.iter().map(Spread::variance).collect()
    }

    pub(super) fn label(&self, image: usize) -> Option<usize> {
        self.data.labels().map(|l| l[image] as usize)
    }
}

/// Sums by element over images.
#[derive(Debug, Clone, Default)]
struct Spread {
    images: f64,
    /// Σ, Σ of squares.
    sums: Vec<[f64; 2]>,
}

/// Least variance from image to image, relative to that among all elements: below it is rounding.
const LEAST_SPREAD: f64 = 1e-6;

impl Spread {
    fn add(&mut self, image: &[f32]) {
        self.images += 1.0;
        self.sums.resize(image.len(), [0.0; 2]);
        for ([s, q], v) in self.sums.iter_mut().zip(image) {
            *s += f64::from(*v);
            *q += f64::from(*v).powi(2);
        }
    }

    /// Mean over the elements of their variance from image to image; of one image, the variance of its elements.
    fn variance(&self) -> f64 {
        let (images, elements) = (self.images.max(1.0), self.sums.len().max(1) as f64);
        let sum = |of: &dyn Fn(&[f64; 2]) -> f64| self.sums.iter().map(of).sum::<f64>();
        let all = sum(&|[_, q]| *q) / images / elements - (sum(&|[s, _]| *s) / images / elements).powi(2);
        let between = sum(&|[s, q]| (q / images - (s / images).powi(2)).max(0.0)) / elements;
        match images > 1.0 {
            true => between.max(LEAST_SPREAD * all).max(1e-12),
            false => all.max(1e-12),
        }
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_in_all_images_has_no_part_in_the_variance() {
        let mut spread = Spread::default();
        spread.add(&[100.0, 1.0, 7.0]);
        // Σ(v − mean)²/n of 100, 1, 7 is 2054.
        assert!((spread.variance() - 2054.0).abs() < 1e-9, "of one image that of its elements");
        spread.add(&[100.0, 4.0, 7.0]);
        assert!((spread.variance() - (1.5f64 * 1.5) / 3.0).abs() < 1e-9);
        let mut constant = Spread::default();
        (0..2).for_each(|_| constant.add(&[0.0, 2.0]));
        assert!((constant.variance() - LEAST_SPREAD).abs() < 1e-12, "rounding is no unit");
    }
}
