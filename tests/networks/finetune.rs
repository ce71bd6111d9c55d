//! Training of weights: its gradients are central differences, its losses those of PyTorch, update by update; and neither the
//! number of threads nor an interruption changes a bit of the result.

use super::{NetworkFile, Residual, ours, random_plan, stored};
use autobot_onnx::Result;
use autobot_onnx::internals::data::{BoundDataset, InputSpec, Preprocess, Split};
use autobot_onnx::internals::exec::{Aims, Objective};
use autobot_onnx::internals::exec::{
    LARGEST, Pool, Precision, Program, ReferenceInterpreter, Workspace, batched,
};
use autobot_onnx::internals::gates::Session;
use autobot_onnx::internals::graph::{Facts, Graph, Network};
use autobot_onnx::internals::onnx;
use autobot_onnx::internals::pruner::{Identity, Resume, checkpoint};
use autobot_onnx::internals::recover::{
    Candidates, Epoch, Method, Settings, State, Tuned, Update, Watcher, finetune, parameters,
};
use autobot_onnx::internals::support::random::Draw;
use autobot_onnx::internals::tensor::{DType, Elements, Tensor, array};
use std::path::{Path, PathBuf};

#[test]
fn gradients_of_parameters_are_differences() {
    let mut seen = 0;
    for network in ours() {
        seen += compare(&network);
    }
    assert!(seen > 400, "hardly any parameter was looked at: {seen}");
}

/// Compares some entries of every parameter's gradient; their number.
fn compare(network: &NetworkFile) -> usize {
    let (name, graph) = (&network.name, &network.model.graph);
    let targets = network.targets();
    let facts = batched(Network::new(graph, &network.facts), &targets, LARGEST).unwrap();
    let parameters = parameters(Network::new(graph, &facts));
    let program =
        Program::trainable(Network::new(graph, &facts), Precision::Exact, &parameters, &targets).unwrap();
    let mut workspace = Workspace::new(&program);
    let mut draw = Draw::new(11, 0);
    let mut inputs = Vec::new();
    for (k, &v) in graph.inputs.iter().enumerate() {
        let x = workspace.input(&program, k);
        x.iter_mut().for_each(|x| *x = draw.bell());
        inputs.push(array(facts.shape(v).unwrap(), x.iter().map(|&x| f64::from(x)).collect()));
    }
    workspace.forward(&program, None);
    let mut weights = Vec::new();
    for t in 0..targets.len() {
        let dy: Vec<f32> = workspace.target(&program, t).iter().map(|_| draw.bell()).collect();
        workspace.target_gradient(&program, t).copy_from_slice(&dy);
        weights.push(dy);
    }
    let mut gradients = program.gradients();
    workspace.backward_parameters(&program, &mut gradients);

    let loss = |facts: &Facts| -> f64 {
        let plain = ReferenceInterpreter { network: Network::new(graph, facts).into(), targets: &targets };
        let y = plain.outputs(&inputs, &[]).unwrap();
        y.iter().zip(&weights).flat_map(|(y, w)| y.iter().zip(w)).map(|(y, w)| y * f64::from(*w)).sum()
    };
    let mut found = Vec::new();
    for (&v, gradient) in parameters.iter().zip(&gradients) {
        for i in (0..gradient.len()).step_by(gradient.len() / 3 + 1) {
            let moved = |d: f64| {
                let mut facts = facts.clone();
                let old = facts.constant[v].as_ref().unwrap();
                let mut values = old.to_real::<f64>();
                values[i] += d;
                facts.constant[v] = Some(Tensor::from_real(DType::F64, old.shape(), &values));
                loss(&facts)
            };
            found.push((v, f64::from(gradient.elements()[i]), (moved(1e-6) - moved(-1e-6)) / 2e-6));
        }
    }
    let scale = found.iter().fold(1e-3f64, |m, (_, _, d)| m.max(d.abs()));
    for (v, found, expected) in &found {
        let near = (found - expected).abs() <= 1e-4 * scale;
        let value = &graph.values[*v].name;
        assert!(near, "{name}: the gradient of '{value}' is {found}, differences say {expected}");
    }
    found.len()
}

/// Remembers the losses, and one state on the way.
#[derive(Default)]
struct Notes {
    losses: Vec<f64>,
    at: Option<usize>,
    state: Option<State>,
}

impl Watcher for Notes {
    fn update(&mut self, update: &Update, _: &[Epoch]) {
        self.losses.push(update.loss);
    }

    fn keep(&mut self, state: &State) -> Result<()> {
        if Some(state.step) == self.at {
            self.state = Some(state.clone());
        }
        Ok(())
    }
}

/// A curve that PyTorch gave, and the settings behind it.
#[derive(serde::Deserialize)]
struct Curve {
    method: String,
    lr: f64,
    weight_decay: f64,
    temperature: Option<f64>,
    losses: Vec<f64>,
}

#[test]
fn losses_are_those_of_pytorch_update_by_update() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/networks/curve");
    let file = |name: &str| home.join(name);
    let [student, teacher] = ["student.onnx", "teacher.onnx"].map(|f| onnx::read(&file(f), &[]).unwrap());
    let specs = [InputSpec { name: "x".into(), shape: vec![1, 3, 8, 8], ..InputSpec::default() }];
    let labels: PathBuf = file("labels.npy");
    let data = BoundDataset::load(
        &file("images.npy"),
        Some(&labels),
        &specs,
        &Preprocess { scale: Some(1.0), ..Preprocess::default() },
        None,
        1,
    )
    .unwrap();
    let pool = Pool::new(2).unwrap();
    let (facts, teacher_facts) = (student.facts().unwrap(), teacher.facts().unwrap());
    let of_teacher = Network::new(&teacher.graph, &teacher_facts);
    let aims = Aims::learned(of_teacher, |_| true);
    let taught = Session::plain(of_teacher, &aims, &data, &pool).unwrap();
    let curves: Vec<Curve> =
        serde_json::from_str(&std::fs::read_to_string(file("losses.json")).unwrap()).unwrap();
    let images: Vec<usize> = (0..data.len()).collect();
    let split = Split { train: images.clone(), held_out: images.clone() };
    for curve in curves {
        let settings = Settings {
            epochs: curve.losses.len(),
            batch_size: images.len(),
            method: if curve.method == "sgd" { Method::Sgd { momentum: 0.9 } } else { Method::AdamW },
            lr: curve.lr,
            warm_up: 0.06,
            weight_decay: curve.weight_decay,
            objective: match curve.temperature {
                Some(temperature) => Objective::Distil { temperature },
                None => Objective::Labels { smoothing: 0.0, distil: 0.0, temperature: 1.0 },
            },
            hint: 0.0,
            augment: None,
            candidates: Candidates::Every,
            seed: 1,
        };
        let mut notes = Notes::default();
        let network = Network::new(&student.graph, &facts);
        finetune(network, &taught, None, &split, &settings, None, &mut notes).unwrap();
        assert_eq!(notes.losses.len(), curve.losses.len());
        for (step, (ours, theirs)) in notes.losses.iter().zip(&curve.losses).enumerate() {
            let near = (ours - theirs).abs() <= 1e-4 * theirs;
            assert!(
                near,
                "{} (T {:?}), update {step}: {ours}, PyTorch {theirs}",
                curve.method, curve.temperature
            );
        }
    }
}

/// Trains a demo network after half of its classes were cut off, at random.
fn tuned(threads: usize, method: Method, from: Option<State>, notes: &mut Notes) -> (Graph, Tuned) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let network = NetworkFile::read(&root.join("digits_residual.onnx"));
    let (groups, cost) = network.groups(Residual::Expand);
    let plan = random_plan(&network, &groups, &cost, 0.6, 5);
    let small = autobot_onnx::internals::rewrite::rewrite(
        network.network(),
        &groups,
        &plan.kept,
        network.model.opset(),
    );
    let small = small.unwrap().graph;
    let data = network.data(256, 3);
    let pool = Pool::new(threads).unwrap();
    let aims = network.aims();
    let teacher = Session::plain(network.network(), &aims, &data, &pool).unwrap();
    let split = Split { train: (0..200).collect(), held_out: (200..256).collect() };
    let settings = Settings {
        // From the thirteenth on they come again.
        epochs: 14,
        batch_size: 40,
        method,
        lr: if method == Method::ScaledAdamW { 0.01 } else { 0.001 },
        warm_up: 0.1,
        weight_decay: 1e-3,
        objective: Objective::Distil { temperature: 2.0 },
        hint: 0.0,
        // With crops the teacher's answers are known once they come again, without from the first epochs on, to mixtures never.
        augment: Some(autobot_onnx::internals::data::Augment {
            crop: usize::from(method == Method::AdamW),
            flip: true,
            jitter: method == Method::ScaledAdamW,
            mix: method == Method::ScaledAdamW,
            cutmix: method == Method::ScaledAdamW,
        }),
        candidates: Candidates::Every,
        seed: 3,
    };
    let facts = network.network().facts_of(&small).unwrap();
    let done =
        finetune(Network::new(&small, &facts), &teacher, None, &split, &settings, from, notes).unwrap();
    (small, done)
}

#[test]
fn training_lowers_the_loss_and_no_thread_or_interruption_changes_a_bit() {
    for method in [Method::AdamW, Method::ScaledAdamW, Method::Sgd { momentum: 0.9 }] {
        // In the thirteenth epoch: the run that goes on has to ask for what the whole one remembers.
        let mut notes = Notes { at: Some(63), ..Notes::default() };
        let (small, whole) = tuned(2, method, None, &mut notes);
        assert!(whole.best > 0, "{:?}", whole.epochs);
        assert!(whole.epochs[whole.best].judged < 0.9 * whole.epochs[0].judged, "{:?}", whole.epochs);
        assert!(stored(&small) != stored(&whole.graph));
        let shapes = |g: &Graph| -> Vec<_> {
            (0..g.values.len()).map(|v| g.initializer(v).map(|t| (t.shape().to_vec(), t.dtype()))).collect()
        };
        assert_eq!(shapes(&small), shapes(&whole.graph));

        for threads in [1, 3] {
            let (_, other) = tuned(threads, method, None, &mut Notes::default());
            assert!(stored(&whole.graph) == stored(&other.graph), "{threads} threads");
            assert_eq!(whole.epochs, other.epochs);
        }

        // The state goes through a file's bytes.
        let (before, run) = (Resume::default(), Identity::default());
        let bytes = checkpoint::encode(&run, &before, notes.state.as_ref().unwrap()).unwrap();
        let (_, _, state) = checkpoint::decode(&bytes).unwrap();
        let (_, resumed) = tuned(2, method, Some(state), &mut Notes::default());
        assert!(stored(&whole.graph) == stored(&resumed.graph), "going on changed the result");
        assert_eq!((whole.epochs, whole.best), (resumed.epochs, resumed.best));
    }
}
