//! The certificate: every check that makes a small network trustworthy, in one chain.
//!
//! Takes: a [`Claim`] about a small network. Gives: a [`Certificate`] over the very bytes to be written.
//! Never: certifies bytes that it did not read again, or that were not run in tract where tract can run them.
//!
//! 1. masked = small in our executor, at the analysed sizes ([`prove`], before anything is recovered)
//! 2. masked = small in tract
//! 3. both at the other sizes of the axes that the file leaves open
//! 4. where the bytes to be written are others (fitted weights): tract = our executor on them, at all sizes
//! 5. the message is parsed again, and its multiply-accumulates, counted again, are the planned ones
//! 6. the target is met

use super::sizes::InTract;
use super::{Proof, TOLERANCE, Verdict, sizes};
use crate::cost::{Convention, Cost};
use crate::coupling::Groups;
use crate::error::{Error, Result};
use crate::exec::{GatedNetwork, Pool};
use crate::graph::{Fact, Facts, Graph, Network, infer};
use crate::onnx::{self, InputShape, Model};
use crate::rewrite::{self, Bias, Rewritten};
use crate::setting::Setting;
use crate::tract::Sample;

/// The first link: a network with gates at `lambda` (0 where a class is deleted) is the small one, in our executor. Errors
/// where it is not.
pub fn prove(
    original: GatedNetwork,
    lambda: &[f32],
    small: &Graph,
    samples: &[Sample],
    pool: &Pool,
) -> Result<Proof> {
    let proof = super::prove(original, lambda, small, samples, pool)?;
    let relative = proof.difference.relative;
    if relative > TOLERANCE {
        return Err(Error::Verification {
            reason: format!("max |masked − pruned| is {relative:.2e} of the output's range"),
            hint: "nothing was written; please report this model".into(),
        });
    }
    Ok(proof)
}

/// A claim about a small network: the cut of an original, with the weights and cost that it states.
#[derive(Debug)]
pub struct Claim<'a> {
    /// The model that was pruned.
    pub original: &'a Model,
    /// Its facts.
    pub facts: &'a Facts,
    /// The graph that was cut: the original's, or the original's with weights that stages before the last fitted.
    pub source: &'a Graph,
    /// The cut, before recovery.
    pub cut: &'a Rewritten,
    /// Biases that took over the means of deleted channels.
    pub biases: &'a [Bias],
    /// The first link.
    pub proof: Proof,
    /// The graph to be written.
    pub result: Graph,
    /// True if its weights were fitted or trained.
    pub recovered: bool,
    /// Inputs at the analysed sizes.
    pub samples: &'a [Sample],
    /// Its claimed cost.
    pub planned: Planned,
}

/// Claimed cost of a small network.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    /// Convention by which multiply-accumulates are counted.
    pub convention: Convention,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Cost in the unit of the target.
    pub amount: u64,
    /// The target.
    pub target: u64,
}

/// Result of [`certify`]. Nobody else can make one.
#[derive(Debug)]
pub struct Certificate {
    verdict: Verdict,
    executors: Option<f64>,
    small: Model,
    message: Option<Vec<u8>>,
}

impl Certificate {
    /// Measured differences between the masked original and the cut.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// True if every link of the chain holds.
    pub fn holds(&self) -> bool {
        self.verdict.pass
    }

    /// Largest |tract − our executor| with recovered weights, as a share of the output's range; none where no weights were
    /// recovered or tract cannot run it.
    pub fn executors(&self) -> Option<f64> {
        self.executors
    }

    /// The network that was certified.
    pub fn model(&self) -> &Model {
        &self.small
    }

    /// The message that was run in tract; none where the network takes more than one message may.
    pub fn message(&self) -> Option<&[u8]> {
        self.message.as_deref()
    }

    /// Bytes of its file.
    pub fn bytes(&self) -> u64 {
        self.message.as_ref().map_or_else(|| self.small.size(), |bytes| bytes.len() as u64)
    }
}

/// The files that tract runs; each is none where it does not fit in one message, or calls functions of its own.
struct Files {
    masked: Option<Vec<u8>>,
    cut: Option<Vec<u8>>,
}

/// Carries out all links after the first. A difference beyond the tolerance is in the certificate, which does not hold then; any
/// other link that breaks is an error.
pub fn certify(claim: Claim, pool: &Pool) -> Result<Certificate> {
    let masked = rewrite::masked(claim.source, &claim.cut.masks, claim.biases)?;
    // Its message is gone before those of the other two are made.
    let apart = claim.apart(pool)?;
    let files = Files { masked: claim.message(&masked)?, cut: claim.message(&claim.cut.graph)? };
    let verdict = claim.verdict(&masked, &files, apart, pool)?;
    let small = claim.original.with_graph(claim.result.clone())?;
    let message = small.message()?;
    let is_proved = message == files.cut;
    drop((masked, files));
    // Other bytes than the ones above are run in tract, too.
    let executors = match &message {
        Some(bytes) if !is_proved => claim.same_everywhere(&small, bytes, verdict.apart, pool)?,
        _ => None,
    };
    let executors = executors.filter(|_| claim.recovered);
    claim.read_again(&small, message.as_deref())?;
    claim.meets_target()?;
    Ok(Certificate { verdict, executors, small, message })
}

impl Claim<'_> {
    /// The original's file with a graph in it; none where tract could not run it for what calls it, or it takes more than one
    /// message may.
    fn message(&self, graph: &Graph) -> Result<Option<Vec<u8>>> {
        let model = self.original.with_graph(graph.clone())?;
        if model.calls_functions() { Ok(None) } else { model.message() }
    }

    /// Distance between tract and our executor on the original; none where one of them cannot run it.
    fn apart(&self, pool: &Pool) -> Result<Option<f64>> {
        let network = Network::new(&self.original.graph, self.facts);
        let Some(bytes) = self.message(network.graph)? else { return Ok(None) };
        Ok(super::compare_executors(network, &bytes, self.samples, pool)?.ok())
    }

    /// Links 2 and 3: the masked network and the cut in tract, and both at the other sizes.
    fn verdict(&self, masked: &Graph, files: &Files, apart: Option<f64>, pool: &Pool) -> Result<Verdict> {
        let (network, cut) = (Network::new(&self.original.graph, self.facts), &self.cut.graph);
        let inputs = network.inputs().unwrap_or_default();
        let samples = self.samples;
        let both = files.masked.as_deref().zip(files.cut.as_deref());
        let messages = both.map(|(masked, small)| sizes::Messages { masked, small });
        let InTract { difference: mut tract, rounding } =
            InTract::measure(masked, cut, messages, &inputs, samples, pool)?;
        let proof = self.proof;
        let beyond = tract.as_ref().is_ok_and(|d| *d > super::allowed(self.facts, rounding));
        if tract.is_err() && self.original.calls_functions() {
            tract = Err("it does not know functions that a model defines itself".into());
        }
        let elsewhere = sizes::elsewhere(network, masked, cut, messages, samples, pool)?;
        let pass =
            !beyond && proof.difference.relative <= TOLERANCE && elsewhere.iter().all(sizes::AtSizes::pass);
        Ok(Verdict {
            samples: samples.len(),
            absolute: proof.difference.absolute,
            relative: proof.difference.relative,
            rounding: proof.rounding,
            pass,
            tract,
            elsewhere,
            tract_rounding: rounding,
            apart,
        })
    }

    /// Link 4. A network with other weights than the original's has nothing to be equal to but itself: what will be written must
    /// give in tract what it gives in our executor.
    fn same_everywhere(
        &self,
        small: &Model,
        bytes: &[u8],
        apart: Option<f64>,
        pool: &Pool,
    ) -> Result<Option<f64>> {
        let (original, samples) = (Network::new(&self.original.graph, self.facts), self.samples);
        let facts = original.facts_of(&small.graph)?;
        let network = Network::new(&small.graph, &facts);
        sizes::executors_elsewhere(original, &small.graph, bytes, apart, samples, pool)?;
        let Ok(d) = super::compare_executors(network, bytes, samples, pool)? else { return Ok(None) };
        if !super::near_enough(network, d, apart, samples, pool)? {
            return Err(Error::Verification {
                reason: format!(
                    "with the fitted weights tract and our executor differ by {d:.1e} of the range"
                ),
                hint: format!(
                    "nothing was written; please report this model, and try {} none",
                    Setting::Recover
                ),
            });
        }
        Ok(Some(d))
    }

    /// Link 5: what will be written is read, and must cost what was planned.
    fn read_again(&self, small: &Model, bytes: Option<&[u8]>) -> Result<()> {
        let inputs = self.facts.inputs(&self.original.graph).unwrap_or_default();
        let graph = match bytes {
            Some(bytes) => read_back(self.original, &inputs, bytes)?.graph,
            // More than one message may take: the graph itself.
            None => small.graph.clone(),
        };
        let facts = infer(&graph, Some(&inputs))?;
        let Planned { convention, macs: planned, .. } = self.planned;
        let macs = Cost::new(Network::new(&graph, &facts), &Groups::default(), convention).hard(&[]);
        if macs == planned {
            return Ok(());
        }
        Err(Error::Verification {
            reason: format!("the file costs {macs} MACs where {planned} were planned"),
            hint: "nothing was written; please report this model".into(),
        })
    }

    /// Link 6.
    fn meets_target(&self) -> Result<()> {
        let Planned { amount, target, .. } = self.planned;
        if amount <= target {
            return Ok(());
        }
        Err(Error::Verification {
            reason: format!("the network costs {amount} where {target} were asked for"),
            hint: "nothing was written; please report this model".into(),
        })
    }
}

/// The model of a message that was made of `original`, at its inputs' sizes where the file leaves some open.
pub fn read_back(original: &Model, inputs: &[Fact], bytes: &[u8]) -> Result<Model> {
    let read = |given: &[InputShape]| onnx::parse(bytes, original.path(), given);
    let graph = &original.graph;
    let names = graph.inputs.iter().map(|&v| graph.values[v].name.clone());
    let shapes = names.zip(inputs).map(|(n, f)| InputShape { name: Some(n), shape: f.shape.clone() });
    read(&[]).or_else(|_| read(&shapes.collect::<Vec<_>>()))
}
