//! Laws of whole networks, on every fixture and every demo network; in tests that are ignored, on further real networks that
//! stand beside the checkout.

mod backend;
mod behind;
mod finetune;
mod follow;
mod functions;
mod golden;
mod gradient;
mod large;
mod macs;
mod masked;
mod measured;
mod reach;
mod recover;
mod session;
mod share;
mod threads;
mod widen;

use autobot_onnx::internals::cost::{Convention, Cost};
use autobot_onnx::internals::coupling::{self, Groups, Residual};
use autobot_onnx::internals::data::BoundDataset;
use autobot_onnx::internals::exec::Aims;
use autobot_onnx::internals::exec::Pool;
use autobot_onnx::internals::graph::{Fact, Facts, Graph, Network, ValueId};
use autobot_onnx::internals::onnx::{self, InputShape, Model};
use autobot_onnx::internals::plan::{Limits, Plan, Search};
use autobot_onnx::internals::tract::Sample;
use autobot_onnx::internals::{gates, plan, pruner, rewrite};
use onnx_protobuf::{Message, ModelProto};
use std::path::{Path, PathBuf};

/// Sizes that files leave open.
const GIVEN: &[(&str, &str)] = &[
    ("bodypix_mobilenet050_s16", "1,225,225,3"),
    ("chineseocr_dbnet", "1,3,320,320"),
    ("open_sizes_flat_sum", "1,3,12,12"),
    ("open_sizes_non_local", "1,3,12,12"),
    ("open_sizes_pixel_shuffle", "1,3,12,12"),
    ("open_sizes_shuffle", "1,3,12,12"),
    ("open_sizes_shuffle_dynamo", "1,3,12,12"),
    ("open_sizes_squeeze_excite", "1,3,12,12"),
    ("open_sizes_upsample", "1,3,12,12"),
    ("ppocr_mobile_v2.0_cls", "1,3,48,192"),
    ("ppocrv3_det", "1,3,320,320"),
    ("retinaface_mbnet0.25", "1,3,320,320"),
    ("scrfd_500m_bnkps", "1,3,320,320"),
    ("silero_vad_16k_op15", "input:1,512"),
    ("yolo5face_500m_320x320", "1,3,320,320"),
    ("yunet_n_dynamic", "1,3,320,320"),
];

/// The flags that a network needs.
fn given(name: &str) -> Vec<InputShape> {
    GIVEN.iter().filter(|(n, _)| *n == name).map(|(_, flag)| flag.parse().unwrap()).collect()
}

/// The readings of a residual addition.
const ALL: [Residual; 3] = [Residual::Select, Residual::Expand, Residual::Tie];

/// A network from a file.
struct NetworkFile {
    name: String,
    path: PathBuf,
    model: Model,
    facts: Facts,
}

impl NetworkFile {
    fn read(path: &Path) -> Self {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let name = if stem == "model" { folder.into_owned() } else { stem };
        let model = onnx::read(path, &given(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let facts = model.facts().unwrap_or_else(|e| panic!("{name}: {e}"));
        Self { name, path: path.into(), model, facts }
    }

    fn input_facts(&self) -> Vec<Fact> {
        self.model.graph.inputs.iter().filter_map(|&v| self.facts.fact[v].clone()).collect()
    }

    fn network(&self) -> Network<'_> {
        Network::new(&self.model.graph, &self.facts)
    }

    fn aims(&self) -> Aims {
        Aims::learned(self.network(), |_| true)
    }

    fn targets(&self) -> Vec<ValueId> {
        autobot_onnx::internals::exec::targets(self.network())
            .unwrap_or_else(|e| panic!("{}: {e}", self.name))
            .0
    }

    fn groups(&self, residual: Residual) -> (Groups, Cost) {
        let groups = coupling::group(self.network(), residual);
        let cost = Cost::new(self.network(), &groups, Convention::Macs);
        (groups, cost)
    }

    /// `n` synthetic images.
    fn data(&self, n: usize, seed: u64) -> BoundDataset {
        let inputs = gates::inputs(self.network()).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        BoundDataset::synthetic(&inputs, n, seed)
    }

    fn samples(&self, n: usize, seed: u64) -> Vec<Sample> {
        let all: Vec<usize> = (0..n).collect();
        pruner::samples(self.network(), &self.data(n, seed), &all)
    }
}

/// A plan with random scores at a share of what can be saved (1 keeps all, 0 as little as possible). Channels at which
/// outputs are compared stay: where an operator is unknown, that is what it reads.
fn random_plan(network: &NetworkFile, groups: &Groups, cost: &Cost, share: f64, seed: u64) -> Plan {
    let mut fixed = vec![false; groups.classes.len()];
    let labels = network.targets().into_iter().flat_map(|v| &groups.label[v]).flatten();
    labels.filter_map(|c| c.get()).for_each(|c| fixed[c] = true);
    let search = Search::new(groups, cost, Limits::default(), fixed);
    let score = plan::random(groups, seed);
    let (least, full) = (search.smallest().cost, search.full());
    let target = least + ((full - least) as f64 * share) as u64;
    search.meet(&score, target).unwrap_or_else(|e| panic!("{target} of {least}..{full}: {e}"))
}

/// A fixture by the name of its folder.
fn fixture(name: &str) -> NetworkFile {
    let path = files("fixtures").into_iter().find(|p| p.to_string_lossy().contains(&format!("/{name}/")));
    NetworkFile::read(&path.unwrap())
}

/// The file without the first `of(name)` channels of the layers called so.
fn without(network: &NetworkFile, of: &dyn Fn(&str) -> usize) -> ModelProto {
    let (groups, _) = network.groups(Residual::Tie);
    let mut kept = vec![true; groups.classes.len()];
    for g in &groups.groups {
        g.classes.iter().take(of(&g.name)).for_each(|&c| kept[c] = false);
    }
    let done = rewrite::rewrite(network.network(), &groups, &kept, network.model.opset()).unwrap();
    let bytes = network.model.with_graph(done.graph).unwrap().to_bytes().unwrap();
    ModelProto::parse_from_bytes(&bytes).unwrap()
}

/// One thread.
fn single() -> Pool {
    Pool::new(1).unwrap()
}

/// Bytes of all stored constants.
fn stored(graph: &Graph) -> Vec<Vec<u8>> {
    let constants = (0..graph.values.len()).filter_map(|v| graph.initializer(v));
    constants.map(|t| t.to_bytes()).collect()
}

/// The ONNX files below a folder of the repository, sorted; at least one.
fn files(folder: &str) -> Vec<PathBuf> {
    files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}

/// The ONNX files below a folder, sorted; at least one.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()) {
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|e| e == "onnx") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(folder, &mut found);
    assert!(!found.is_empty(), "needs ONNX files below {}", folder.display());
    found.sort();
    found
}

/// Fixtures and demo networks.
fn ours() -> Vec<NetworkFile> {
    let paths = [files("fixtures"), files("models")].concat();
    assert!(paths.len() > 20, "fixtures or demo networks are missing");
    paths.iter().map(|p| NetworkFile::read(p)).collect()
}

/// Further real networks, which a clone lacks: the small ones, or all with `AUTOBOT_ALL_MODELS` set, or those whose path
/// contains its value.
fn others() -> Vec<NetworkFile> {
    let paths = files("../shared/data/models");
    let wish = std::env::var("AUTOBOT_ALL_MODELS").ok();
    let size = |p: &PathBuf| std::fs::metadata(p).map_or(0, |m| m.len());
    let chosen = paths.iter().filter(|p| match &wish {
        Some(part) => p.to_string_lossy().contains(part.as_str()),
        None => size(p) < 600_000,
    });
    let macs = |n: &NetworkFile| {
        let (groups, cost) = n.groups(Residual::Tie);
        cost.hard(&vec![true; groups.classes.len()])
    };
    let runs = |n: &NetworkFile| {
        let answer = autobot_onnx::internals::exec::targets(n.network());
        answer.inspect_err(|e| eprintln!("{} is refused: {e}", n.name)).is_ok()
    };
    let read = chosen.map(|p| NetworkFile::read(p));
    let found: Vec<NetworkFile> =
        read.filter(|n| runs(n) && (wish.is_some() || macs(n) < 40_000_000)).collect();
    assert!(
        !found.is_empty(),
        "needs a network of ../shared/data/models that is small, or in AUTOBOT_ALL_MODELS"
    );
    found
}
