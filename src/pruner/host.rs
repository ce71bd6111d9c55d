//! Times measured on this machine, in tract: of the parts of an inference on its processor, and of a network beside the one
//! that it was made of.
//!
//! Takes: a model. Gives: a [`Speed`] fitted to it, a [`Stopwatch`]. Never: predicts.

use super::Clock;
use crate::cost::latency::Speed;
use crate::error::{Error, Result};
use crate::graph::{Facts, Graph, Network};
use crate::onnx::Model;
use crate::tract::board::Board;
use crate::tract::calibrate::{self, Measured};
use crate::tract::timing::{self, Loaded, Rounds};
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
    Ok(calibrate::speed(&name, &observe(model, &model.facts()?)?))
}

/// Rounds of a comparison of a planned network with the original.
const COMPARED: Rounds = Rounds { warm_up: 3, least: 40, seconds: 1.5 };

/// Measures networks against the one that they were made of.
pub struct Stopwatch {
    original: Model,
    facts: Facts,
    ready: Vec<Loaded>,
}

impl Stopwatch {
    /// Compares with `given` what is cut of `model`, which is equal to it.
    pub fn new(given: &Model, model: &Model) -> Result<Self> {
        let ready = vec![load(given, &given.facts()?)?];
        Ok(Self { original: model.with_graph(model.graph.clone())?, facts: model.facts()?, ready })
    }
}

impl Clock for Stopwatch {
    fn share(&mut self, graph: &Graph) -> Result<f64> {
        let facts = Network::new(&self.original.graph, &self.facts).facts_of(graph)?;
        self.ready.push(load(&self.original.with_graph(graph.clone())?, &facts)?);
        let measured = timing::measure(&self.ready, COMPARED);
        self.ready.truncate(1);
        let (_, timings) = measured.map_err(|(_, why)| refused(self.original.path(), &why))?;
        Ok(1.0 / timings[1].speedup.median)
    }
}

/// Times of the nodes in tract: of a network, then of cuts of it.
pub fn observe(model: &Model, facts: &Facts) -> Result<Vec<Measured>> {
    let mut observed = Vec::new();
    let mut take = |model: &Model, facts: Facts| -> Result<()> {
        let layers = timing::layers(&load(model, &facts)?, FITTED_RUNS);
        let layers = layers.map_err(|why| refused(model.path(), &why))?;
        observed.push(Measured { graph: model.graph.clone(), facts, layers });
        Ok(())
    };
    take(model, facts.clone())?;
    for (share, seed) in CUTS.into_iter().zip(1..) {
        let cut = super::cut_at_random(Network::new(&model.graph, facts), share, seed, model.opset())?;
        let Some(cut) = cut else { continue };
        let of_cut = Network::new(&model.graph, facts).facts_of(&cut)?;
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
