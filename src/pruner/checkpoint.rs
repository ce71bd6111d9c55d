//! A run on its way as bytes, so that it can go on where it was cut off; and trained gates, so that others can use them.
//!
//! Takes: the results of a run so far, the state of the finetuning. Gives: a safetensors file's bytes (JSON for gates), and
//! both back from them.
//! Invariants: a run that goes on gives, bit for bit, the result of one that was never cut off; a file holds its own hash,
//! and one that is damaged is refused. Never: opens a file.

use super::Resume;
use super::identity::Identity;
use crate::gates::{Agreement, Record, Traced, Trained};
use crate::recover::{Epoch, Fitted, State};
use crate::support::hash::{self, SEAL};
use crate::tensor::{DType, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A run's parts that are not arrays of numbers.
#[derive(Serialize, Deserialize)]
struct Notes {
    step: usize,
    loss: f64,
    epochs: Vec<Epoch>,
    best_epoch: usize,
    parameters: usize,
    moments: usize,
    gates: Option<TrainingRecord>,
    dependent: f64,
    layers: Vec<Fitted>,
    fitted: Agreement,
    changed: Vec<Changed>,
}

/// A constant that the fits changed; its bytes are an array of the file.
#[derive(Serialize, Deserialize)]
struct Changed {
    name: String,
    /// Number of its type in ONNX.
    dtype: i32,
    shape: Vec<usize>,
}

/// Record of a training of gates.
#[derive(Serialize, Deserialize)]
struct TrainingRecord {
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
    #[serde(default, rename = "before")]
    previous_target: Option<f64>,
}

impl TrainingRecord {
    fn of(trained: &Trained) -> Self {
        let Trained { best, history, changes, trace, settled, target, previous_target, .. } = trained.clone();
        Self { best, history, changes, trace, settled, target, previous_target }
    }

    fn trained(self, alpha: Vec<f64>, levels: Vec<f64>) -> Trained {
        let Self { best, history, changes, trace, settled, target, previous_target } = self;
        Trained { alpha, levels, history, changes, trace, best, settled, target, previous_target }
    }
}

/// Names of the entries of the file's own description.
const RUN: &str = "run";
const NOTES: &str = "notes";

/// Trained gates, as `--save-gates` writes them.
#[derive(Serialize, Deserialize)]
struct Gates {
    belongs_to: Identity,
    /// See [`hash::seal`].
    sha256: String,
    /// α by class; null where a class has no trainable gate.
    alpha: Vec<Option<f64>>,
    levels: Vec<f64>,
    #[serde(flatten)]
    record: TrainingRecord,
}

/// The bytes of a file of trained gates.
pub fn encode_gates(belongs_to: &Identity, trained: &Trained) -> Result<Vec<u8>, String> {
    let alpha = trained.alpha.iter().map(|&a| a.is_finite().then_some(a)).collect();
    let (belongs_to, levels) = (belongs_to.clone(), trained.levels.clone());
    let gates =
        Gates { belongs_to, sha256: hash::blank(), alpha, levels, record: TrainingRecord::of(trained) };
    serde_json::to_vec(&gates).map(hash::seal).map_err(|e| e.to_string())
}

/// The identity of trained gates, and the gates; or the fault of the bytes.
pub fn decode_gates(bytes: &[u8]) -> Result<(Identity, Trained), String> {
    hash::check_seal(bytes)?;
    let Gates { belongs_to, alpha, levels, record, .. } =
        serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let groups = record.changes.first().map_or(0, Vec::len);
    if record.changes.iter().any(|c| c.len() != groups) {
        return Err("its updates speak of different numbers of groups".into());
    }
    let alpha = alpha.into_iter().map(|a| a.unwrap_or(f64::INFINITY)).collect();
    Ok((belongs_to, record.trained(alpha, levels)))
}

/// The bytes of a checkpoint.
pub fn encode(belongs_to: &Identity, resume: &Resume, state: &State) -> Result<Vec<u8>, String> {
    let describe = |(name, t): &(String, Tensor)| Changed {
        name: name.clone(),
        dtype: t.dtype().onnx(),
        shape: t.shape().to_vec(),
    };
    let notes = Notes {
        step: state.step,
        loss: state.loss,
        epochs: state.epochs.clone(),
        best_epoch: state.best_epoch,
        parameters: state.weights.len(),
        moments: state.moments.first().map_or(0, Vec::len),
        gates: resume.trained.as_ref().map(TrainingRecord::of),
        dependent: resume.dependent,
        layers: resume.layers.clone(),
        fitted: resume.fitted,
        changed: resume.changed.iter().map(describe).collect(),
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
    arrays.push(doubles("levels", &resume.levels));
    arrays.extend(resume.trained.as_ref().map(|t| doubles("alpha", &t.alpha)));
    for (k, (_, t)) in resume.changed.iter().enumerate() {
        arrays.push((format!("changed.{k}"), Dtype::U8, t.to_bytes()));
    }
    let run = serde_json::to_string(belongs_to).map_err(|e| e.to_string())?;
    let notes = serde_json::to_string(&notes).map_err(|e| e.to_string())?;
    let entries = [(RUN, run), (NOTES, notes), (SEAL, hash::blank())];
    let about = HashMap::from(entries.map(|(key, value)| (key.to_owned(), value)));
    let views: Result<Vec<_>, _> = arrays
        .iter()
        .map(|(name, dtype, bytes)| {
            let size = match dtype {
                Dtype::F64 => 8,
                Dtype::F32 => 4,
                _ => 1,
            };
            TensorView::new(*dtype, vec![bytes.len() / size], bytes).map(|v| (name.as_str(), v))
        })
        .collect();
    let views = views.map_err(|e| e.to_string())?;
    safetensors::serialize(views, Some(about)).map(hash::seal).map_err(|e| e.to_string())
}

/// The identity of a checkpoint's run, its results and the state of its training; or the fault of the bytes.
pub fn decode(bytes: &[u8]) -> Result<(Identity, Resume, State), String> {
    hash::check_seal(bytes)?;
    let (_, head) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let about = head.metadata().as_ref().ok_or("it has no description")?;
    let entry = |name: &str| about.get(name).ok_or(format!("its description lacks '{name}'"));
    let belongs_to = serde_json::from_str(entry(RUN)?).map_err(|e| e.to_string())?;
    let notes: Notes = serde_json::from_str(entry(NOTES)?).map_err(|e| e.to_string())?;
    if notes.epochs.is_empty() {
        return Err("it does not say what it began with".into());
    }
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
        best_epoch: notes.best_epoch,
        epochs: notes.epochs,
        loss: notes.loss,
    };
    let levels = doubles("levels")?;
    let trained = match notes.gates {
        Some(record) => Some(record.trained(doubles("alpha")?, levels.clone())),
        None => None,
    };
    let constant = |(k, c): (usize, Changed)| -> Result<(String, Tensor), String> {
        let dtype =
            DType::from_onnx(c.dtype).ok_or(format!("type {} of '{}' is not known", c.dtype, c.name))?;
        let tensor = Tensor::from_bytes(dtype, &c.shape, array(&format!("changed.{k}"))?);
        tensor.map(|t| (c.name, t)).map_err(|e| e.to_string())
    };
    let changed = notes.changed.into_iter().enumerate().map(constant).collect::<Result<_, _>>()?;
    let Notes { dependent, layers, fitted, .. } = notes;
    let resume = Resume { trained, dependent, levels, layers, fitted, changed };
    Ok((belongs_to, resume, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> (Resume, State) {
        let record =
            Record { step: 1, task: 0.5, budget: 0.1, hardness: 0.2, soft_cost: 7.0, dissimilarity: 0.0 };
        let fitted = Agreement { images: 3, same_class: Some(0.1), ..Agreement::default() };
        let trained = Trained {
            settled: Some(1),
            target: Some(2e6),
            previous_target: None,
            alpha: vec![0.5, f64::INFINITY],
            levels: vec![1.5],
            history: vec![record],
            changes: vec![vec![0.25, 0.1]],
            trace: vec![Traced { step: 1, agreement: fitted }],
            best: 1,
        };
        let changed = vec![
            ("mean".to_owned(), Tensor::floats(&[2], vec![-0.0, 1e-30])),
            ("w".to_owned(), Tensor::new(&[2, 3], vec![half::f16::from_f32(0.5); 6])),
        ];
        let (trained, levels, layers) = (Some(trained), vec![1.5], Vec::new());
        let resume = Resume { trained, dependent: 1.0 / 3.0, levels, layers, fitted, changed };
        let state = State {
            step: 3,
            weights: vec![vec![1.0, -2.0], vec![]],
            moments: vec![vec![vec![0.1, 0.2]], vec![vec![]]],
            best: vec![vec![3.0, 4.0], vec![]],
            best_epoch: 1,
            epochs: vec![Epoch { loss: None, judged: 1.0 / 3.0 }, Epoch { loss: Some(0.1), judged: 0.2 }],
            loss: 0.25,
        };
        (resume, state)
    }

    fn belongs_to() -> Identity {
        Identity { network: "a".into(), images: "b".into(), options: "c".into() }
    }

    #[test]
    fn what_was_written_is_read_bit_for_bit() {
        let (resume, state) = run();
        let bytes = encode(&belongs_to(), &resume, &state).unwrap();
        assert_eq!(decode(&bytes).unwrap(), (belongs_to(), resume, state));
    }

    #[test]
    fn gates_are_read_bit_for_bit() {
        let trained = run().0.trained.unwrap();
        let bytes = encode_gates(&belongs_to(), &trained).unwrap();
        assert_eq!(decode_gates(&bytes).unwrap(), (belongs_to(), trained));
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let (resume, state) = run();
        let gates = encode_gates(&belongs_to(), resume.trained.as_ref().unwrap()).unwrap();
        let state = encode(&belongs_to(), &resume, &state).unwrap();
        for n in 0..state.len() {
            assert!(decode(&state[..n]).is_err(), "cut to {n}");
        }
        let flipped = |bytes: &[u8], bit: usize| {
            let mut other = bytes.to_vec();
            other[bit / 8] ^= 1 << (bit % 8);
            other
        };
        assert!((0..8 * state.len()).all(|bit| decode(&flipped(&state, bit)).is_err()));
        assert!((0..8 * gates.len()).all(|bit| decode_gates(&flipped(&gates, bit)).is_err()));
    }

    #[test]
    fn updates_that_do_not_fit_each_other_are_refused() {
        let mut trained = run().0.trained.unwrap();
        trained.changes.push(vec![0.5]);
        let bytes = encode_gates(&belongs_to(), &trained).unwrap();
        assert!(decode_gates(&bytes).unwrap_err().contains("numbers of groups"));
    }
}
