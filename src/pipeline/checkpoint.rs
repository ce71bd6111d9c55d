//! A run on its way as bytes, so that it can go on where it was cut off; and trained gates, so that others can use them.
//!
//! Takes: what was learned before, the state of the training. Gives: a safetensors file's bytes (JSON for gates), and both back
//! from them.
//! Invariants: a run that goes on gives the same result, bit for bit, as one that was never cut off. Never: opens a file.

use super::{Before, Options};
use crate::ir::{Graph, Origin};
use crate::learn::{Agreement, Record, Traced, Trained};
use crate::recover::{Epoch, Fitted, State};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A run's parts that are not arrays of numbers.
#[derive(Serialize, Deserialize)]
struct Notes {
    step: usize,
    loss: f64,
    epochs: Vec<Epoch>,
    parameters: usize,
    moments: usize,
    gates: Option<Course>,
    layers: Vec<Fitted>,
    fitted: Agreement,
}

/// How the gates were trained.
#[derive(Serialize, Deserialize)]
struct Course {
    best: usize,
    history: Vec<Record>,
    #[serde(default)]
    changes: Vec<Vec<f32>>,
    #[serde(default)]
    trace: Vec<Traced>,
    #[serde(default)]
    settled: Option<usize>,
    #[serde(default)]
    target: Option<f64>,
    #[serde(default)]
    before: Option<f64>,
}

impl Course {
    fn of(trained: &Trained) -> Self {
        let Trained { best, history, changes, trace, settled, target, before, .. } = trained.clone();
        Self { best, history, changes, trace, settled, target, before }
    }

    fn trained(self, alpha: Vec<f64>, levels: Vec<f64>) -> Trained {
        let Self { best, history, changes, trace, settled, target, before } = self;
        Trained { alpha, levels, history, changes, trace, best, settled, target, before }
    }
}

/// Names of the entries of the file's own description.
const RUN: &str = "run";
const NOTES: &str = "notes";

/// What a checkpoint belongs to: the network's weights, the images' number, and every option that shapes the result.
pub fn fingerprint(graph: &Graph, images: usize, options: &Options) -> String {
    let mut hasher = network(graph);
    // Neither threads nor what is only looked at shape the result.
    format!("{:?}", Options { threads: 0, trace: 0, ..options.clone() }).hash(&mut hasher);
    (images, env!("CARGO_PKG_VERSION")).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What trained gates belong to: the network's weights, and what its gates are.
pub fn fingerprint_of_gates(graph: &Graph, options: &Options) -> String {
    let mut hasher = network(graph);
    let Options { residual, exclude, only, compensation, .. } = options;
    format!("{residual:?} {exclude:?} {only:?} {compensation:?}").hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// A hash of the network's nodes and weights.
fn network(graph: &Graph) -> DefaultHasher {
    let mut hasher = DefaultHasher::new();
    for node in &graph.nodes {
        (&node.name, &node.op_type).hash(&mut hasher);
    }
    for value in &graph.values {
        if let Origin::Initializer(t) = &value.origin {
            (&value.name, &t.shape).hash(&mut hasher);
            t.data.to_real::<f32>().iter().for_each(|x| x.to_bits().hash(&mut hasher));
        }
    }
    hasher
}

/// Trained gates, as `--save-gates` writes them.
#[derive(Serialize, Deserialize)]
struct Gates {
    /// See [`fingerprint_of_gates`].
    network: String,
    /// α by class; null where a class has no trainable gate.
    alpha: Vec<Option<f64>>,
    levels: Vec<f64>,
    #[serde(flatten)]
    course: Course,
}

/// The text of a file of trained gates.
pub fn encode_gates(network: &str, trained: &Trained) -> Result<String, String> {
    let alpha = trained.alpha.iter().map(|&a| a.is_finite().then_some(a)).collect();
    let levels = trained.levels.clone();
    let gates = Gates { network: network.to_owned(), alpha, levels, course: Course::of(trained) };
    serde_json::to_string(&gates).map_err(|e| e.to_string())
}

/// The network that trained gates belong to, and the gates; or what is wrong with the text.
pub fn decode_gates(text: &str) -> Result<(String, Trained), String> {
    let Gates { network, alpha, levels, course } = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let alpha = alpha.into_iter().map(|a| a.unwrap_or(f64::INFINITY)).collect();
    Ok((network, course.trained(alpha, levels)))
}

/// The bytes of a checkpoint.
pub fn encode(fingerprint: &str, before: &Before, state: &State) -> Result<Vec<u8>, String> {
    let notes = Notes {
        step: state.step,
        loss: state.loss,
        epochs: state.epochs.clone(),
        parameters: state.weights.len(),
        moments: state.moments.first().map_or(0, Vec::len),
        gates: before.trained.as_ref().map(Course::of),
        layers: before.layers.clone(),
        fitted: before.fitted,
    };
    let mut arrays: Vec<(String, Dtype, Vec<u8>)> = Vec::new();
    let singles =
        |name: String, x: &[f32]| (name, Dtype::F32, x.iter().flat_map(|x| x.to_le_bytes()).collect());
    let doubles = |name: &str, x: &[f64]| {
        (name.to_owned(), Dtype::F64, x.iter().flat_map(|x| x.to_le_bytes()).collect())
    };
    for (k, w) in state.weights.iter().enumerate() {
        arrays.push(singles(format!("weights.{k}"), w));
        arrays.push(singles(format!("best.{k}"), &state.best[k]));
        for (m, moment) in state.moments[k].iter().enumerate() {
            arrays.push(singles(format!("moments.{k}.{m}"), moment));
        }
    }
    arrays.push(doubles("levels", &before.levels));
    arrays.extend(before.trained.as_ref().map(|t| doubles("alpha", &t.alpha)));
    let notes = serde_json::to_string(&notes).map_err(|e| e.to_string())?;
    let about = HashMap::from([(RUN.to_owned(), fingerprint.to_owned()), (NOTES.to_owned(), notes)]);
    let views: Result<Vec<_>, _> = arrays
        .iter()
        .map(|(name, dtype, bytes)| {
            let size = if *dtype == Dtype::F64 { 8 } else { 4 };
            TensorView::new(*dtype, vec![bytes.len() / size], bytes).map(|v| (name.as_str(), v))
        })
        .collect();
    let views = views.map_err(|e| e.to_string())?;
    safetensors::serialize(views, Some(about)).map_err(|e| e.to_string())
}

/// The run that a checkpoint belongs to, and its parts; or what is wrong with the bytes.
pub fn decode(bytes: &[u8]) -> Result<(String, Before, State), String> {
    let (_, head) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let about = head.metadata().as_ref().ok_or("it has no description")?;
    let entry = |name: &str| about.get(name).ok_or(format!("its description lacks '{name}'"));
    let notes: Notes = serde_json::from_str(entry(NOTES)?).map_err(|e| e.to_string())?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let array = |name: &str| file.tensor(name).map(|t| t.data()).map_err(|e| e.to_string());
    let singles = |name: String| -> Result<Vec<f32>, String> {
        let four = |b: &[u8]| f32::from_le_bytes(std::array::from_fn(|k| b[k]));
        Ok(array(&name)?.chunks_exact(4).map(four).collect())
    };
    let doubles = |name: &str| -> Result<Vec<f64>, String> {
        let eight = |b: &[u8]| f64::from_le_bytes(std::array::from_fn(|k| b[k]));
        Ok(array(name)?.chunks_exact(8).map(eight).collect())
    };
    let all = |what: &str| -> Result<Vec<Vec<f32>>, String> {
        (0..notes.parameters).map(|k| singles(format!("{what}.{k}"))).collect()
    };
    let moments = |k: usize| (0..notes.moments).map(|m| singles(format!("moments.{k}.{m}"))).collect();
    let state = State {
        step: notes.step,
        weights: all("weights")?,
        moments: (0..notes.parameters).map(moments).collect::<Result<_, _>>()?,
        best: all("best")?,
        epochs: notes.epochs,
        loss: notes.loss,
    };
    let levels = doubles("levels")?;
    let trained = match notes.gates {
        Some(course) => Some(course.trained(doubles("alpha")?, levels.clone())),
        None => None,
    };
    let before = Before { trained, levels, layers: notes.layers, fitted: notes.fitted };
    Ok((entry(RUN)?.clone(), before, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> (Before, State) {
        let record =
            Record { step: 1, task: 0.5, budget: 0.1, hardness: 0.2, soft_cost: 7.0, dissimilarity: 0.0 };
        let fitted = Agreement { images: 3, same_class: Some(0.1), ..Agreement::default() };
        let trained = Trained {
            settled: Some(1),
            target: Some(2e6),
            before: None,
            alpha: vec![0.5, f64::INFINITY],
            levels: vec![1.5],
            history: vec![record],
            changes: vec![vec![0.25, 0.1]],
            trace: vec![Traced { step: 1, agreement: fitted }],
            best: 1,
        };
        let before = Before { levels: vec![1.5], trained: Some(trained), layers: Vec::new(), fitted };
        let state = State {
            step: 3,
            weights: vec![vec![1.0, -2.0], vec![]],
            moments: vec![vec![vec![0.1, 0.2]], vec![vec![]]],
            best: vec![vec![3.0, 4.0], vec![]],
            epochs: vec![Epoch { loss: None, judged: 1.0 / 3.0 }, Epoch { loss: Some(0.1), judged: 0.2 }],
            loss: 0.25,
        };
        (before, state)
    }

    #[test]
    fn what_was_written_is_read_bit_for_bit() {
        let (before, state) = run();
        let bytes = encode("abc", &before, &state).unwrap();
        assert_eq!(decode(&bytes).unwrap(), ("abc".to_owned(), before, state));
    }

    #[test]
    fn gates_are_read_bit_for_bit() {
        let trained = run().0.trained.unwrap();
        let text = encode_gates("abc", &trained).unwrap();
        assert_eq!(decode_gates(&text).unwrap(), ("abc".to_owned(), trained));
        assert!(decode_gates(&text[..text.len() - 1]).is_err());
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let (before, state) = run();
        let bytes = encode("abc", &before, &state).unwrap();
        for n in 0..bytes.len() {
            assert!(decode(&bytes[..n]).is_err(), "cut to {n}");
        }
    }
}
