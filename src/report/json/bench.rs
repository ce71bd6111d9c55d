//! Times that were measured side by side.

use crate::tract::board::Board;
use crate::tract::timing::{self, Timing};
use serde::Serialize;

/// Times of model files: `autobot-onnx bench FILES --json FILE`.
#[derive(Debug, Clone, Serialize)]
pub struct Benchmark {
    /// Program and version that made this.
    pub program: String,
    /// The machine, when the measurement began.
    pub board: Board,
    /// Its temperature when the measurement ended, in °C.
    pub celsius_after: Option<f64>,
    /// Threads that tract ran on.
    pub threads: usize,
    /// Rounds that were counted; each ran every model once.
    pub rounds: usize,
    /// The models, in the order given.
    pub models: Vec<Benched>,
}

/// Times of one model file.
#[derive(Debug, Clone, Serialize)]
pub struct Benched {
    /// Its path.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Multiply-accumulates at batch 1.
    pub macs: u64,
    /// Its times.
    pub timing: Timing,
    /// Its nodes' times in tract, if they were asked for.
    pub layers: Option<Vec<timing::Layer>>,
    /// The first numbers of its first output, on inputs that are the same on every machine.
    pub outputs: Vec<f32>,
    /// max |tract − our executor| on these inputs as a share of the output's range; none where our executor cannot run it.
    pub apart: Option<f64>,
    /// True if that is more than rounding: then one of them computes something else than the other.
    pub disagree: bool,
}
