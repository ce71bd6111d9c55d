//! A model in operators that a runtime takes less time for, proved equal to the one that was given.
//!
//! Takes: a model. Gives: an [`Adapted`] one, with what was replaced and the measured difference. Never: gives one that is not equal,
//! in our executor and in tract.

use crate::cost::{Convention, Cost};
use crate::coupling::Groups;
use crate::error::{Error, Result};
use crate::exec::{GatedNetwork, Pool};
use crate::graph::{Facts, Network};
use crate::onnx::{Model, Written};
use crate::rewrite::{self, Replaced, Rewritten};
use crate::verify::certify::{self, Certificate, Claim, Planned};
use std::path::Path;

/// Inputs on which the two are compared.
const SAMPLES: usize = 2;

/// A model and its equivalent.
#[derive(Debug)]
pub struct Adapted {
    /// The model that was given.
    pub given: Model,
    /// Its facts.
    pub facts: Facts,
    /// What was replaced.
    pub replaced: Vec<Replaced>,
    /// The proof; none where nothing was replaced.
    pub certificate: Option<Certificate>,
}

impl Adapted {
    /// Replaces what takes tract longer than other operators do. Errors where the two cannot be proved equal.
    pub fn new(given: Model, threads: usize, seed: u64) -> Result<Self> {
        let facts = given.facts()?;
        let network = Network::new(&given.graph, &facts);
        let (graph, replaced) = rewrite::in_forms(network, given.opset())?;
        if replaced.is_empty() {
            return Ok(Self { given, facts, replaced, certificate: None });
        }
        let pool = Pool::new(threads)?;
        let samples = super::noise(network, SAMPLES, seed)?;
        let gated = GatedNetwork { network, gates: &[], bias_terms: &[] };
        let proof = certify::prove(gated, &[], &graph, &samples, &pool)?;
        let of_new = network.facts_of(&graph)?;
        let convention = Convention::default();
        let macs = Cost::new(Network::new(&graph, &of_new), &Groups::default(), convention).hard(&[]);
        let cut = Rewritten { graph, sliced: Vec::new(), masks: Vec::new(), restated: Vec::new() };
        let claim = Claim {
            original: &given,
            facts: &facts,
            source: &given.graph,
            cut: &cut,
            biases: &[],
            proof,
            result: cut.graph.clone(),
            recovered: false,
            samples: &samples,
            planned: Planned { convention, macs, amount: macs, target: macs },
        };
        let certificate = certify::certify(claim, &pool)?;
        if !certificate.holds() {
            return Err(Error::Verification {
                reason: format!(
                    "in other operators the network differs by {:.1e} of the output's range",
                    certificate.verdict().relative
                ),
                hint: "nothing was written; please report this model".into(),
            });
        }
        Ok(Self { given, facts, replaced, certificate: Some(certificate) })
    }

    /// The equivalent as a file would be read; the model itself where nothing was replaced.
    pub fn model(&self) -> Result<Model> {
        let Some(certificate) = &self.certificate else { return Ok(self.given.clone()) };
        let inputs = self.facts.inputs(&self.given.graph).unwrap_or_default();
        certify::read_back(&self.given, &inputs, &certificate.model().to_bytes()?)
    }

    /// Writes the equivalent, or the model itself where nothing was replaced.
    pub fn write(&self, path: &Path) -> Result<Written> {
        let Some(certificate) = &self.certificate else { return self.given.write(path) };
        match certificate.message() {
            Some(proved) => certificate.model().write_proved(path, proved),
            None => certificate.model().write(path),
        }
    }
}
