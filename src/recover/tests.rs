//! Laws of recovery over every form of a layer: a cut that loses nothing still loses nothing afterwards, and what can be
//! mended is mended along the layer's own axes.

use super::*;
use crate::coupling::{Groups, Residual, group};
use crate::data::{BoundDataset, InputSpec, Split, Subset};
use crate::error::Result;
use crate::exec::{Aims, Objective, Pool};
use crate::gates::Session;
use crate::graph::*;
use crate::ops::Net;
use crate::rewrite::{self, Cuts};
use crate::tensor::*;
use crate::{pruner, verify};

const IMAGES: usize = 192;
/// Channels of the network's input, between its two layers, and of its output.
const CHANNELS: [usize; 3] = [6, 8, 4];
/// Channels between the layers that are always zero: the second of either half, so that groups of four agree on them.
const DEAD: [usize; 2] = [1, 5];
/// Channels between the layers that give what the next channel gives.
const REPEATED: [usize; 2] = [2, 6];

impl Net {
    /// Random weights, zero at `dead` along `axis`; where there are such, others are repeated.
    fn weight(&mut self, shape: &[usize], (axis, dead): (usize, &[usize])) -> ValueId {
        let inner = volume(&shape[axis + 1..]);
        let mut data: Vec<f32> = (0..volume(shape)).map(|_| 0.4 * self.draw.bell()).collect();
        for i in 0..data.len() {
            let c = i / inner % shape[axis];
            if dead.contains(&c) {
                data[i] = 0.0;
            } else if !dead.is_empty() && REPEATED.contains(&c) {
                data[i] = data[i + inner];
            }
        }
        self.constant(Tensor::floats(shape, data))
    }
}

/// A layer from `from` to `to` channels, of which those of `dead` are always zero.
type Layer = fn(&mut Net, ValueId, from: usize, to: usize, dead: &[usize]) -> ValueId;

/// A form of a layer.
struct Form {
    name: &'static str,
    input: &'static [usize],
    /// The axis of the channels.
    axis: usize,
    layer: Layer,
    /// Whether the closed form fits such a layer.
    fits: bool,
}

fn form(name: &'static str, input: &'static [usize], axis: usize, layer: Layer) -> Form {
    Form { name, input, axis, layer, fits: true }
}

fn conv(net: &mut Net, x: ValueId, shape: &[usize], dead: &[usize], attributes: Writer) -> ValueId {
    let (w, b) = (net.weight(shape, (0, dead)), net.weight(&shape[..1], (0, dead)));
    net.node("Conv", attributes, &[x, w, b])
}

fn transposed_conv(
    net: &mut Net,
    x: ValueId,
    (from, to): (usize, usize),
    group: usize,
    dead: &[usize],
) -> ValueId {
    let mine: Vec<usize> = dead.iter().map(|d| d % (to / group)).collect();
    let (w, b) = (net.weight(&[from, to / group, 2, 2], (1, &mine)), net.weight(&[to], (0, dead)));
    let attributes = Writer::default().put("group", group as i64).put("strides", vec![2, 2]);
    net.node("ConvTranspose", attributes, &[x, w, b])
}

fn gemm(
    net: &mut Net,
    x: ValueId,
    shape: [usize; 2],
    (axis, dead): (usize, &[usize]),
    more: Option<&[usize]>,
    attributes: Writer,
) -> ValueId {
    let w = net.weight(&shape, (axis, dead));
    let mut inputs = vec![x, w];
    inputs.extend(more.map(|shape| net.weight(shape, (shape.iter().position(|&s| s > 1).unwrap(), dead))));
    net.node("Gemm", attributes, &inputs)
}

/// A Gemm with its weight on the left, between transpositions: the batch stays in front.
fn left_gemm(
    net: &mut Net,
    x: ValueId,
    shape: [usize; 2],
    (axis, dead): (usize, &[usize]),
    attributes: Writer,
) -> ValueId {
    let turned = net.plain("Transpose", &[x]);
    let w = net.weight(&shape, (axis, dead));
    let c = net.weight(&[shape[axis], 1], (0, dead));
    let y = net.node("Gemm", attributes, &[w, turned, c]);
    net.plain("Transpose", &[y])
}

fn mat_mul(net: &mut Net, x: ValueId, from: usize, to: usize, dead: &[usize]) -> ValueId {
    let w = net.weight(&[from, to], (1, dead));
    net.plain("MatMul", &[x, w])
}

fn left_mat_mul(net: &mut Net, x: ValueId, from: usize, to: usize, dead: &[usize]) -> ValueId {
    let w = net.weight(&[to, from], (0, dead));
    net.plain("MatMul", &[w, x])
}

fn forms() -> Vec<Form> {
    let two = |name, layer| form(name, &[1, 6], 1, layer);
    let mut all = vec![
        form("Conv 1d", &[1, 6, 12], 1, |n, x, a, b, dead| {
            conv(n, x, &[b, a, 3], dead, Writer::default().put("pads", vec![1, 1]))
        }),
        form("Conv 2d, strided", &[1, 6, 12, 11], 1, |n, x, a, b, dead| {
            conv(n, x, &[b, a, 3, 2], dead, Writer::default().put("strides", vec![2, 1]))
        }),
        form("Conv 3d", &[1, 6, 4, 4, 4], 1, |n, x, a, b, dead| {
            conv(n, x, &[b, a, 2, 1, 2], dead, Writer::default())
        }),
        form("grouped Conv", &[1, 6, 6, 6], 1, |n, x, a, b, dead| {
            conv(n, x, &[b, a / 2, 1, 3], dead, Writer::default().put("group", 2))
        }),
        form("Conv and depthwise Conv", &[1, 6, 6, 6], 1, |n, x, a, b, dead| {
            let y = conv(n, x, &[b, a, 1, 1], dead, Writer::default());
            conv(n, y, &[b, 1, 3, 3], dead, Writer::default().put("group", b as i64).put("pads", vec![1; 4]))
        }),
        form("ConvTranspose", &[1, 6, 3, 3], 1, |n, x, a, b, dead| transposed_conv(n, x, (a, b), 1, dead)),
        form("grouped ConvTranspose", &[1, 6, 3, 3], 1, |n, x, a, b, dead| {
            transposed_conv(n, x, (a, b), 2, dead)
        }),
        two("Gemm", |n, x, a, b, dead| gemm(n, x, [a, b], (1, dead), Some(&[b]), Writer::default())),
        two("Gemm, transB", |n, x, a, b, dead| {
            gemm(n, x, [b, a], (0, dead), Some(&[1, b]), Writer::default().put("transB", 1))
        }),
        two("Gemm, alpha and beta", |n, x, a, b, dead| {
            let scaled = Writer::default().put("alpha", 0.5f32).put("beta", -2.0f32);
            gemm(n, x, [a, b], (1, dead), Some(&[b]), scaled)
        }),
        two("Gemm without C", |n, x, a, b, dead| gemm(n, x, [a, b], (1, dead), None, Writer::default())),
        two("Gemm, transA", |n, x, a, b, dead| {
            let turned = n.plain("Transpose", &[x]);
            gemm(n, turned, [a, b], (1, dead), Some(&[b]), Writer::default().put("transA", 1))
        }),
        two("Gemm, weight on the left", |n, x, a, b, dead| {
            left_gemm(n, x, [b, a], (0, dead), Writer::default())
        }),
        two("Gemm, weight on the left, transA", |n, x, a, b, dead| {
            left_gemm(n, x, [a, b], (1, dead), Writer::default().put("transA", 1).put("alpha", 1.5f32))
        }),
        two("MatMul of rank 2", mat_mul),
        form("MatMul of rank 3", &[1, 9, 6], 2, mat_mul),
        form("MatMul of rank 3, fewer rows than channels", &[1, 3, 6], 2, mat_mul),
        form("MatMul of rank 4", &[1, 3, 5, 6], 3, mat_mul),
        form("MatMul and Add", &[1, 9, 6], 2, |n, x, a, b, dead| {
            let (y, bias) = (mat_mul(n, x, a, b, dead), n.weight(&[b], (0, dead)));
            n.plain("Add", &[bias, y])
        }),
        form("MatMul of rank 3, weight on the left", &[1, 6, 9], 1, left_mat_mul),
        form("MatMul of rank 4, weight on the left, and Add", &[1, 3, 6, 5], 2, |n, x, a, b, dead| {
            let (y, bias) = (left_mat_mul(n, x, a, b, dead), n.weight(&[b, 1], (0, dead)));
            n.plain("Add", &[y, bias])
        }),
    ];
    all.iter_mut().filter(|f| f.name.contains("ConvTranspose")).for_each(|f| f.fits = false);
    all
}

/// Two layers of a form with a rectifier between them.
struct Case {
    name: &'static str,
    graph: Graph,
    facts: Facts,
    groups: Groups,
    /// The value between the layers.
    between: ValueId,
    axis: usize,
    data: BoundDataset,
    pool: Pool,
}

impl Case {
    fn new(form: &Form) -> Self {
        let mut net = Net::default();
        let x = net.input(form.input);
        let [from, hidden, to] = CHANNELS;
        let first = (form.layer)(&mut net, x, from, hidden, &DEAD);
        let between = net.plain("Relu", &[first]);
        let second = (form.layer)(&mut net, between, hidden, to, &[]);
        let y = net.plain("Neg", &[second]);
        net.graph.outputs.push(y);
        Self::of(form, net.graph, between)
    }

    fn of(form: &Form, graph: Graph, between: ValueId) -> Self {
        graph.check().unwrap();
        let facts = infer(&graph, None).unwrap();
        let groups = group(Network::new(&graph, &facts), Residual::Tie);
        let spec = InputSpec { name: "x".into(), shape: form.input.to_vec(), values: Default::default() };
        let data = BoundDataset::synthetic(&[spec], IMAGES, 3);
        let pool = Pool::new(2).unwrap();
        Self { name: form.name, graph, facts, groups, between, axis: form.axis, data, pool }
    }

    /// All classes but those of some channels between the layers.
    fn without(&self, channels: &[usize]) -> Vec<bool> {
        let mut kept = vec![true; self.groups.classes.len()];
        let classes = self.groups.axis(self.between, self.axis);
        assert_eq!(classes.len(), CHANNELS[1], "{}", self.name);
        for &c in channels {
            let class = classes[c].get().unwrap_or_else(|| panic!("{}: channel {c} is frozen", self.name));
            kept[class] = false;
        }
        kept
    }

    fn network(&self) -> Network<'_> {
        Network::new(&self.graph, &self.facts)
    }

    fn cut(&self, kept: &[bool]) -> Graph {
        rewrite::rewrite(self.network(), &self.groups, kept, 17).unwrap().graph
    }

    fn fitted(&self, small: &Graph, kept: &[bool]) -> (Graph, Vec<Fitted>) {
        let list: Vec<usize> = (0..IMAGES).collect();
        let images = Subset { data: &self.data, indices: &list };
        reconstruct(self.network(), &self.groups, kept, small, images, &self.pool, &mut |_, _| ()).unwrap()
    }

    /// How far a network is from the original, as a share of the output's range.
    fn far(&self, small: &Graph) -> f64 {
        let (targets, _) = crate::exec::targets(self.network()).unwrap();
        let samples = pruner::samples(self.network(), &self.data, &[0, 1, 2, 3]);
        let network = self.network().into();
        let proof = verify::compare(network, &[], small, &targets, &samples, &self.pool);
        proof.unwrap().difference.relative
    }
}

/// Nobody watches.
struct Nobody;

impl Watcher for Nobody {
    fn update(&mut self, _: &Update, _: &[Epoch]) {}
    fn keep(&mut self, _: &State) -> Result<()> {
        Ok(())
    }
}

#[test]
fn recovery_leaves_a_lossless_cut_lossless() {
    for form in forms() {
        let case = Case::new(&form);
        let kept = case.without(&DEAD);
        let small = case.cut(&kept);
        let (fitted, layers) = case.fitted(&small, &kept);
        let far = case.far(&fitted);
        assert!(far < 1e-5, "{}: {far:.1e} of the range after the fits\n{layers:?}", form.name);

        let facts = case.network().facts_of(&fitted).unwrap();
        let (fit, channels) = (facts.shape(case.between).unwrap(), CHANNELS[1] - DEAD.len());
        assert_eq!(fit[form.axis], channels, "{}: nothing was cut", form.name);
        let cuts = Cuts::new(&case.groups, &kept);
        let hint = Hint::find(case.network(), Network::new(&fitted, &facts), &cuts);
        let watched: Vec<ValueId> = hint.iter().map(|h| h.value).collect();
        let aims = Aims::learned(case.network(), |_| true);
        let teacher =
            Session::trainable(case.network(), &aims, &[], &watched, &case.data, &case.pool).unwrap();
        let settings = Settings {
            epochs: 1,
            batch_size: 64,
            method: Method::AdamW,
            lr: 1e-9,
            warm_up: 0.0,
            weight_decay: 0.0,
            objective: Objective::Values { variance: vec![1.0] },
            hint: 1.0,
            augment: None,
            candidates: Candidates::Every,
            seed: 1,
        };
        let split = Split { train: (0..128).collect(), held_out: (128..IMAGES).collect() };
        let tuned = finetune(
            Network::new(&fitted, &facts),
            &teacher,
            hint.as_ref(),
            &split,
            &settings,
            None,
            &mut Nobody,
        );
        let tuned = tuned.unwrap();
        let far = case.far(&tuned.graph);
        assert!(far < 1e-5, "{}: {far:.1e} of the range after training", form.name);
        let start = tuned.epochs[0].judged;
        assert!(start < 1e-8, "{}: training begins at a loss of {start:e}", form.name);
    }
}

#[test]
fn a_channel_that_another_one_repeats_is_mended_in_every_form() {
    for form in forms().into_iter().filter(|f| f.fits) {
        let case = Case::new(&form);
        let kept = case.without(&REPEATED);
        let small = case.cut(&kept);
        let (fitted, layers) = case.fitted(&small, &kept);
        let (before, after) = (case.far(&small), case.far(&fitted));
        assert!(before > 1e-2, "{}: the cut costs {before:.1e} only", form.name);
        assert!(
            after < 0.05 * before,
            "{}: off by {before:.1e} before, {after:.1e} after\n{layers:?}",
            form.name
        );
    }
}

/// A product along one axis of a value that loses coordinates of another: all of it is compared at what is left.
#[test]
fn what_other_axes_lose_is_taken_off_the_original_too() {
    let mut net = Net::default();
    let x = net.input(&[1, 6, 5]);
    let [from, hidden, to] = CHANNELS;
    let first = left_mat_mul(&mut net, x, from, hidden, &DEAD);
    let between = net.plain("Relu", &[first]);
    let mixed = mat_mul(&mut net, between, 5, 7, &[]);
    let rectified = net.plain("Relu", &[mixed]);
    let second = left_mat_mul(&mut net, rectified, hidden, to, &[]);
    let y = net.plain("Neg", &[second]);
    net.graph.outputs.push(y);
    let form = form("mixer", &[1, 6, 5], 1, left_mat_mul);
    let case = Case::of(&form, net.graph, between);
    let lossless = case.without(&DEAD);
    let (fitted, layers) = case.fitted(&case.cut(&lossless), &lossless);
    assert!(case.far(&fitted) < 1e-5 && layers.len() == 3, "{:.1e} {layers:?}", case.far(&fitted));
    let repeated = case.without(&REPEATED);
    let (fitted, layers) = case.fitted(&case.cut(&repeated), &repeated);
    let before = case.far(&case.cut(&repeated));
    assert!(case.far(&fitted) < 0.05 * before, "{before:.1e} {:.1e} {layers:?}", case.far(&fitted));
}
