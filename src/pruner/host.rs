//! Times measured on this machine, in tract: of the parts of an inference on its processor, and of a network beside the one
//! that it was made of.
//!
//! Takes: a model. Gives: a [`Speed`] fitted to it, a [`Stopwatch`]. Never: predicts.

use super::clock::{self, Clock, Comparison, Looks};
use crate::cost::latency::Speed;
use crate::error::{Error, Result};
use crate::graph::{Facts, Graph, Network};
use crate::onnx::Model;
use crate::plan::Limits;
use crate::tract::board::Board;
use crate::tract::calibrate::{self, Measured, Times};
use crate::tract::timing::{self, Loaded};
use crate::tract::{Refusal, Runtime};
use std::path::Path;

/// Number of runs of a network from which a processor's speed is fitted.
const FITTED_RUNS: usize = 40;

/// Shares of the saveable cost that are left in the cuts to which a processor's speed is fitted too: like pruned networks, they
/// have widths that fill no tiles.
const CUTS: [f64; 3] = [0.75, 0.5, 0.25];

/// Speed of this machine's processor, and its median error on the nodes it was fitted to, relative to the measured times.
pub fn speed(model: &Model) -> Result<(Speed, f64)> {
    let name = Board::ask().cpu.unwrap_or_else(|| "this machine".to_owned());
    Ok(calibrate::speed(&name, &observe(model, &model.facts()?)?, 1))
}

/// Rounds of a comparison of a planned network with the original, after which it is looked at.
const LOOKS: Looks = Looks(&[50, 100, 200, 400]);

/// Rounds before them that are not counted.
const WARM_UP: usize = 3;

/// Measures networks against the one that they were made of.
pub struct Stopwatch {
    original: Model,
    facts: Facts,
    ready: Loaded,
}

impl Stopwatch {
    /// Compares with `given` what is cut of `model`, which is equal to it.
    pub fn new(given: &Model, model: &Model) -> Result<Self> {
        let ready = load(given, &given.facts()?)?;
        Ok(Self { original: model.with_graph(model.graph.clone())?, facts: model.facts()?, ready })
    }
}

impl Clock for Stopwatch {
    fn compare(&mut self, graph: &Graph, wanted: f64) -> Result<Comparison> {
        let facts = Network::new(&self.original.graph, &self.facts).facts_of(graph)?;
        let small = load(&self.original.with_graph(graph.clone())?, &facts)?;
        let time = |Loaded { runtime, sample }: &Loaded| {
            let time = runtime.time(sample).map_err(|why| refused(self.original.path(), &why))?;
            Ok(1e3 * time.as_secs_f64())
        };
        let both = |k: usize| clock::in_turn(k, || time(&self.ready), || time(&small));
        (0..WARM_UP).try_for_each(|k| both(k).map(drop))?;
        clock::compare(wanted, LOOKS, both)
    }
}

/// Times of the nodes in tract: of a network, then of cuts of it.
pub fn observe(model: &Model, facts: &Facts) -> Result<Vec<Measured>> {
    let mut observed = Vec::new();
    let mut take = |model: &Model, facts: Facts| -> Result<()> {
        let layers = timing::layers(&load(model, &facts)?, FITTED_RUNS);
        let layers = layers.map_err(|why| refused(model.path(), &why))?;
        observed.push(Measured { graph: model.graph.clone(), facts, times: Times::Layers(layers) });
        Ok(())
    };
    take(model, facts.clone())?;
    let network = Network::new(&model.graph, facts);
    for (share, seed) in CUTS.into_iter().zip(1..) {
        let cut = super::cut_at_random(network, share, Limits::default(), seed, model.opset())?;
        let Some(cut) = cut else { continue };
        let of_cut = network.facts_of(&cut)?;
        // tract cannot run every cut of a network that it can run; the others say enough.
        let _ = take(&model.with_graph(cut)?, of_cut);
    }
    Ok(observed)
}

/// The model in tract, with an input to run it on.
pub fn load(model: &Model, facts: &Facts) -> Result<Loaded> {
    let graph = &model.graph;
    let inputs = facts.inputs(graph).unwrap_or_default();
    let sample = super::noise(Network { graph, facts }, 1, 1)?.remove(0);
    let runtime = Runtime::load(&model.to_bytes()?, &inputs).map_err(|why| refused(model.path(), &why))?;
    Ok(Loaded { runtime, sample })
}

/// The error for a file that tract cannot time.
pub fn refused(path: &Path, why: &Refusal) -> Error {
    Error::file(path, format!("tract cannot run it: {why}"), "times are taken in tract: leave this file out")
}
