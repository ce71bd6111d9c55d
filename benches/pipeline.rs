//! How long each stage takes. See benches/README.md.

use autobot_onnx::internals::cost::{Convention, Cost};
use autobot_onnx::internals::coupling::{self, Groups, Residual};
use autobot_onnx::internals::data::BoundDataset;
use autobot_onnx::internals::exec::{Aims, Objective};
use autobot_onnx::internals::exec::{GatedNetwork, LARGEST, Pool, Precision, Program, Workspace, batched};
use autobot_onnx::internals::gates::{self, Checkpointing, Session, Settings, Watching};
use autobot_onnx::internals::graph::{Fact, Facts, Network};
use autobot_onnx::internals::onnx::{self, Model};
use autobot_onnx::internals::plan::{self, Limits, Search};
use autobot_onnx::internals::pruner::{
    Criterion, Finetune, Options, Recover, Silent, Start, Target, Task, Unit,
};
use autobot_onnx::internals::{pruner, rewrite};
use criterion::{Criterion as Bench, Throughput, criterion_group, criterion_main};
use pulp::{Arch, Simd, WithSimd};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use tract_onnx::prelude::*;

/// Images of one gate step.
const BATCH: usize = 64;

/// Images that weights are fitted to.
const IMAGES: usize = 256;

struct NetworkFile {
    name: String,
    path: PathBuf,
    bytes: Vec<u8>,
    model: Model,
    facts: Facts,
    groups: Groups,
    cost: Cost,
}

impl NetworkFile {
    fn new(path: &Path, bytes: Vec<u8>) -> Self {
        let model = onnx::parse(&bytes, path, &[]).unwrap();
        let facts = model.facts().unwrap();
        let groups = coupling::group(Network::new(&model.graph, &facts), Residual::Expand);
        let cost = Cost::new(Network::new(&model.graph, &facts), &groups, Convention::Macs);
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, path: path.into(), bytes, model, facts, groups, cost }
    }

    fn network(&self) -> Network<'_> {
        Network::new(&self.model.graph, &self.facts)
    }

    fn search(&self) -> Search<'_> {
        Search::new(&self.groups, &self.cost, Limits::default(), vec![false; self.groups.classes.len()])
    }

    fn data(&self) -> BoundDataset {
        let inputs = gates::inputs(self.network()).unwrap();
        BoundDataset::synthetic(&inputs, BATCH, 1)
    }

    /// The file with about half of the multiply-accumulates that can be saved cut at random.
    fn halved(&self) -> Vec<u8> {
        let whole = self.network();
        let small =
            pruner::cut_at_random(whole, 0.5, Limits::default(), 1, self.model.opset()).unwrap().unwrap();
        self.model.with_graph(small).and_then(|m| m.to_bytes()).unwrap()
    }
}

fn networks() -> Vec<NetworkFile> {
    // In the program itself: a board has no repository.
    let demo = include_bytes!("../models/digits_residual.onnx").to_vec();
    let given = std::env::var_os("AUTOBOT_BENCH_MODEL").map(PathBuf::from);
    let demo = NetworkFile::new(Path::new("digits_residual.onnx"), demo);
    let read = |path: PathBuf| NetworkFile::new(&path, std::fs::read(&path).unwrap());
    [demo].into_iter().chain(given.map(read)).collect()
}

fn stages(c: &mut Bench) {
    for n in networks() {
        let graph = &n.model.graph;
        let id = |stage| format!("{stage}/{}", n.name);
        c.bench_function(&id("import"), |b| {
            b.iter(|| onnx::parse(black_box(&n.bytes), &n.path, &[]).unwrap().facts().unwrap());
        });
        c.bench_function(&id("grouping"), |b| {
            b.iter(|| coupling::group(Network::new(black_box(graph), &n.facts), Residual::Expand));
        });
        let score = plan::random(&n.groups, 1);
        c.bench_function(&id("search"), |b| {
            let target = (n.search().full() / 2).max(n.search().smallest().cost);
            b.iter(|| n.search().meet(black_box(&score), target).unwrap());
        });
        let kept = n.search().smallest().kept;
        c.bench_function(&id("rewrite"), |b| {
            b.iter(|| {
                rewrite::rewrite(Network::new(graph, &n.facts), &n.groups, black_box(&kept), n.model.opset())
                    .unwrap()
            });
        });
    }
}

fn gate_step(c: &mut Bench) {
    for n in networks() {
        let graph = &n.model.graph;
        let (targets, _) = autobot_onnx::internals::exec::targets(Network::new(graph, &n.facts)).unwrap();
        let facts = batched(Network::new(graph, &n.facts), &targets, LARGEST).unwrap();
        let gates = pruner::gates(graph, &n.groups);
        let gated = GatedNetwork { network: Network::new(graph, &facts), gates: &gates, bias_terms: &[] };
        let program = Program::compile(gated, Precision::Fast, &targets).unwrap();
        let lambda = vec![0.9; n.groups.classes.len()];
        let mut workspace = Workspace::new(&program);
        for k in 0..program.inputs() {
            workspace.input(&program, k).fill(0.5);
        }
        c.bench_function(&format!("forward/{}", n.name), |b| {
            b.iter(|| workspace.forward(&program, Some(black_box(&lambda))));
        });
        let mut group = c.benchmark_group("forward_backward");
        group.throughput(Throughput::Elements(4 * n.search().full() * program.batch as u64));
        group.bench_function(&n.name, |b| {
            let mut gradient = vec![0.0; lambda.len()];
            b.iter(|| {
                workspace.forward(&program, Some(black_box(&lambda)));
                (0..targets.len()).for_each(|t| workspace.target_gradient(&program, t).fill(0.1));
                workspace.backward(&program, &lambda, &mut gradient);
            });
        });
        group.finish();
        let data = n.data();
        let pool = Pool::new(0).unwrap();
        let aims = Aims::learned(Network::new(graph, &n.facts), |_| true);
        let session =
            Session::new(GatedNetwork { network: n.network(), ..gated }, &n.groups, &aims, &data, &pool)
                .unwrap();
        let all: Vec<usize> = (0..data.len()).collect();
        let settings = Settings {
            levels: Vec::new(),
            levels_again: true,
            trace: 0,
            traced: Vec::new(),
            batches: 1,
            until_settled: false,
            batch_size: BATCH,
            lr: 0.1,
            checkpointing: Checkpointing::Batch,
            beta: 6.0,
            gamma: 0.4,
            target: n.search().full() as f64 / 2.0,
            seed: 1,
            augment: None,
            objective: Objective::Values { variance: session.variances(&all) },
        };
        let mut group = c.benchmark_group("gate_step");
        group.sample_size(10).bench_function(&n.name, |b| {
            let all_stay = |alpha: &[f64]| vec![true; alpha.len()];
            b.iter(|| {
                let watching =
                    Watching { plan: &all_stay, left: None, smaller: None, progress: &mut |_, _| {} };
                gates::train(&session, &n.groups, &n.cost, &all, &settings, None, watching)
            });
        });
    }
}

/// Half of the multiply-accumulates cut by the weights' norms, and what makes up for it: the fits, and an epoch behind them.
fn recovery(c: &mut Bench) {
    let epoch = Finetune { epochs: Some(1), ..Finetune::default() };
    for n in networks() {
        let inputs = gates::inputs(n.network()).unwrap();
        let data = BoundDataset::synthetic(&inputs, IMAGES, 1);
        let ways = [
            ("none", Recover::None),
            ("reconstruct", Recover::Reconstruct),
            ("finetune", Recover::Finetune(epoch)),
        ];
        for (name, recover) in ways {
            let options = Options { criterion: Criterion::L1, recover, ..Options::default() };
            let network = n.network();
            let analysis = pruner::analyse(network, &options, Unit::Macs).unwrap();
            let aim = analysis.aim(Target::Share(0.5)).unwrap();
            let task = Task { network, opset: n.model.opset(), aim: &aim, data: &data, options: &options };
            let mut group = c.benchmark_group(format!("recover_{name}"));
            group.sample_size(10).bench_function(&n.name, |b| {
                b.iter(|| pruner::prune(&task, &mut Start::default(), &mut Silent).unwrap());
            });
        }
    }
}

fn tract(c: &mut Bench) {
    for n in networks() {
        let inputs: Vec<&Fact> =
            n.model.graph.inputs.iter().filter_map(|&v| n.facts.fact[v].as_ref()).collect();
        for (when, bytes) in [("before", n.model.to_bytes().unwrap()), ("after", n.halved())] {
            let mut model = tract_onnx::onnx().model_for_read(&mut std::io::Cursor::new(bytes)).unwrap();
            for (k, fact) in inputs.iter().enumerate() {
                model.set_input_fact(k, InferenceFact::dt_shape(f32::datum_type(), &fact.shape)).unwrap();
            }
            let model = model.into_optimized().unwrap().into_runnable().unwrap();
            let x: TVec<TValue> =
                inputs.iter().map(|f| Tensor::zero::<f32>(&f.shape).unwrap().into_tvalue()).collect();
            c.bench_function(&format!("tract_{when}/{}", n.name), |b| {
                b.iter(|| model.run(black_box(x.clone())).unwrap());
            });
        }
    }
}

/// Independent multiply-adds on registers: the most that one core can do.
struct Peak;

impl Peak {
    const ROUNDS: usize = 10_000;
    /// As many as hide the latency.
    const CHAINS: usize = 12;
}

impl WithSimd for Peak {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u64 {
        let factor = simd.splat_f32s(black_box(0.999));
        let mut sums = [simd.splat_f32s(black_box(1.0)); Self::CHAINS];
        for _ in 0..Self::ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(factor, *sum, factor);
            }
        }
        black_box(sums);
        (2 * Self::ROUNDS * Self::CHAINS * S::F32_LANES) as u64
    }
}

fn peak(c: &mut Bench) {
    let mut group = c.benchmark_group("peak");
    group.throughput(Throughput::Elements(Arch::new().dispatch(Peak)));
    group.bench_function("multiply_add", |b| b.iter(|| Arch::new().dispatch(Peak)));
}

criterion_group!(benches, stages, gate_step, recovery, peak, tract);
criterion_main!(benches);
