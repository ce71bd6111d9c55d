//! A run, stage by stage: each cuts the network of its predecessor further, with the weights that were fitted there.
//!
//! All stages speak of the original: its classes, its channels, its values as targets of learning and fits.

use super::choose::{Chosen, Learning};
use super::recovery::Recovery;
use super::{
    Aim, Analysis, Compensation, Criterion, Events, Options, Outcome, Recover, Resume, Stage, Start, samples,
    some_of,
};
use crate::coupling::Groups;
use crate::data::{BoundDataset, Split};
use crate::error::Result;
use crate::exec::{BiasTermSpec, GateSpec, GatedNetwork, Objective, Pool};
use crate::gates::compensate::{self, BiasCompensation, Moments};
use crate::gates::dependence::{self, Statistics};
use crate::gates::{HeldOut, Session, gate, hard};
use crate::graph::*;
use crate::plan::{self, Search};
use crate::recover::State;
use crate::rewrite::{self, Bias, Rewritten};
use crate::support::index::OptIndex;
use crate::verify::certify;
use std::sync::Arc;

/// Largest number of images over which means are taken for the compensation.
const MEAN_IMAGES: usize = 512;

/// Largest number of images over which statistics of values are taken.
const STATISTICS_IMAGES: usize = 1024;

/// A run's network, target, images and options.
pub(super) struct Run<'a> {
    pub network: Network<'a>,
    pub aim: &'a Aim<'a>,
    /// The aim's.
    pub analysis: &'a Analysis,
    pub data: &'a BoundDataset,
    pub options: &'a Options,
    /// Version of the standard operators that a smaller network may use.
    pub opset: i64,
    pub pool: &'a Pool,
    pub split: &'a Split,
}

/// The original's gates and, for a compensation, the moments of the channels that pass through them.
struct Gates {
    specs: Vec<GateSpec>,
    /// By gate and coordinate; empty without compensation.
    moments: Vec<Vec<Moments>>,
    /// Where dependence has a part in the choice.
    statistics: Option<Statistics>,
}

/// Amount that a stage is to keep, and its recovery.
struct Goal {
    target: u64,
    recover: Recover,
}

/// Result of a stage, for the next one.
struct StageCarry {
    /// The original with the fitted weights.
    graph: Graph,
    facts: Facts,
    /// The original's, which know the biases that came in.
    groups: Groups,
    /// By class: it is still there.
    open: Vec<bool>,
    held_out_outputs: HeldOut,
}

/// The network that a stage cuts: the original, or the original with the weights that earlier stages fitted.
#[derive(Clone, Copy)]
struct Source<'a> {
    network: Network<'a>,
    groups: &'a Groups,
    /// By class: earlier stages left it. None in the first stage.
    open: Option<&'a [bool]>,
}

impl Run<'_> {
    /// All stages down to the target.
    pub fn all(&self, start: &mut Start, events: &mut dyn Events) -> Result<Outcome> {
        let target = self.aim.amount();
        if self.analysis.aims.targets.is_empty() {
            return self.unseen(target);
        }
        let whole = self.aim.total() as f64;
        let count = self.options.stages.max(1);
        // A run that goes on in its only stage knows what was chosen.
        let chosen = (count == 1).then(|| start.resume.as_ref().map(|(r, _)| r.dependent)).flatten();
        let gates = self.gates(chosen.unwrap_or(self.options.dependent_share()))?;
        let (mut carry, mut stages) = (None, Vec::new());
        for k in 1..count {
            let part = (whole * libm::pow(target as f64 / whole, k as f64 / count as f64)) as u64;
            let goal = Goal { target: part, recover: Recover::Reconstruct };
            let outcome = self.stage(goal, &gates, carry.as_ref(), None, start, events)?;
            let stage = Stage {
                macs: self.analysis.cost.hard(&outcome.plan.kept),
                agreement: outcome.recovered.as_ref().map_or(outcome.agreement, |r| Some(r.fitted)),
                difference: outcome.proof.difference.relative,
            };
            events.staged(&stage, k, count);
            stages.push(stage);
            carry = Some(self.next(outcome)?);
        }
        // The kept state is of the last stage: the others are gone through again, to an equal result.
        let kept = start.resume.take();
        let goal = Goal { target, recover: self.options.recover };
        let outcome = self.stage(goal, &gates, carry.as_ref(), kept, start, events)?;
        let comparisons = start.clock.as_mut().map(|clock| std::mem::take(&mut clock.comparisons));
        let comparisons = comparisons.unwrap_or_default();
        Ok(Outcome { stages, source: carry.map(|c| c.graph), comparisons, ..outcome })
    }

    /// The carry from a stage's outcome to the next stage.
    fn next(&self, outcome: Outcome) -> Result<StageCarry> {
        let (graph, open) = (self.network.graph, outcome.plan.kept.clone());
        let (wide, groups) = rewrite::widen(self.network, &self.analysis.groups, &open, outcome.graph())?;
        let at = |facts: &Facts| infer(&wide, facts.inputs(graph).as_deref());
        let others = self.network.facts.elsewhere.iter();
        let elsewhere = others.map(|other| at(other).map(Arc::new)).collect::<Result<_>>()?;
        let facts = Facts { elsewhere, ..at(self.network.facts)? };
        Ok(StageCarry { graph: wide, facts, groups, open, held_out_outputs: outcome.held_out_outputs })
    }

    /// One stage: chooses, cuts, proves and recovers. `kept` is the state of a run that goes on.
    fn stage(
        &self,
        goal: Goal,
        gates: &Gates,
        carry: Option<&StageCarry>,
        kept: Option<(Resume, State)>,
        start: &mut Start,
        events: &mut dyn Events,
    ) -> Result<Outcome> {
        let source = self.source(carry);
        let compensation = self.bias_compensation(gates, source);
        let (resume, state) = kept.unzip();
        let gated = |network, bias_terms| GatedNetwork { network, gates: &gates.specs, bias_terms };
        // Where it is not trained itself the original needs nothing in place of what closes.
        let terms = if source.open.is_some() { &[][..] } else { &compensation.bias_terms };
        let session = self.session(gated(self.network, terms))?;
        let held_out_outputs = match carry {
            Some(carry) => carry.held_out_outputs.clone(),
            None => HeldOut::new(&session, &self.split.held_out),
        };
        let learning = self.learning(source, &session, gates, &compensation, goal.target);
        let trial = |plan: &plan::Plan, levels: &[f64], objective: &Objective| {
            let amounts = closed(&compensation.bias_terms, &hard(&plan.kept, levels));
            let (rewritten, _) = self.cut(source, &plan.kept, &amounts)?;
            let recovery = self.recovery(source, &held_out_outputs, Recover::Reconstruct);
            recovery.trial(&rewritten.graph, &plan.kept, &session, objective)
        };
        let Chosen { plan, trained, levels, measured, dependent } =
            learning.choose(resume.as_ref(), start, events, &trial)?;
        let lambda = hard(&plan.kept, &levels);
        let (rewritten, biases) = self.cut(source, &plan.kept, &closed(&compensation.bias_terms, &lambda))?;
        // What follows needs the memory.
        drop(session);
        let recovery = self.recovery(source, &held_out_outputs, goal.recover);
        let agreement = Some(recovery.agreement(&rewritten.graph)?);
        let samples = samples(source.network, self.data, &self.split.held_out);
        let masked = gated(source.network, &compensation.bias_terms);
        let proof = certify::prove(masked, &lambda, &rewritten.graph, &samples, self.pool)?;
        let recovered = match goal.recover {
            Recover::None => None,
            Recover::Reconstruct | Recover::Finetune(_) => {
                let resume =
                    Resume { trained: trained.clone(), dependent, levels, ..resume.unwrap_or_default() };
                Some(recovery.run(&rewritten.graph, &plan.kept, resume, state, events)?)
            }
        };
        Ok(Outcome {
            target: goal.target,
            unit: self.aim.unit(),
            stages: Vec::new(),
            source: None,
            plan,
            measured,
            comparisons: Vec::new(),
            dependent,
            rewritten,
            biases,
            held_out_outputs,
            agreement,
            trained,
            recovered,
            samples,
            proof,
        })
    }

    fn source<'s>(&'s self, carry: Option<&'s StageCarry>) -> Source<'s> {
        match carry {
            Some(c) => {
                let network = Network::new(&c.graph, &c.facts);
                Source { network, groups: &c.groups, open: Some(&c.open) }
            }
            None => Source { network: self.network, groups: &self.analysis.groups, open: None },
        }
    }

    fn learning<'s>(
        &'s self,
        source: Source<'s>,
        session: &'s Session<'s>,
        gates: &'s Gates,
        compensation: &'s BiasCompensation,
        target: u64,
    ) -> Learning<'s> {
        let Source { network, groups, open } = source;
        let Self { aim, analysis, options, split, opset, .. } = *self;
        Learning {
            network,
            groups,
            aim,
            analysis,
            options,
            compensation,
            gates: &gates.specs,
            statistics: gates.statistics.as_ref(),
            open,
            session,
            split,
            target,
            opset,
        }
    }

    fn recovery<'s>(
        &'s self,
        source: Source<'s>,
        held_out_outputs: &'s HeldOut,
        how: Recover,
    ) -> Recovery<'s> {
        let Self { network: original, data, options, pool, split, .. } = *self;
        let (groups, aims) = (source.groups, &self.analysis.aims);
        Recovery { original, groups, aims, data, split, held_out_outputs, pool, options, how }
    }

    /// The source without the classes that are not `kept`, and the biases that take over `amounts`.
    fn cut(
        &self,
        source: Source,
        kept: &[bool],
        amounts: &[(NodeId, Vec<f64>)],
    ) -> Result<(Rewritten, Vec<Bias>)> {
        let Source { network, groups, .. } = source;
        let mut rewritten = rewrite::rewrite(network, groups, kept, self.opset)?;
        let biases = rewrite::add_biases(&mut rewritten, network, groups, kept, amounts)?;
        Ok((rewritten, biases))
    }

    /// The only stage of a network of which not one value can be computed, as it begins with unknown operators: weights or chance
    /// rank its channels, and there is no agreement to measure.
    fn unseen(&self, target: u64) -> Result<Outcome> {
        let Self { network, analysis, data, options, opset, pool, .. } = *self;
        let groups = &analysis.groups;
        let search = Search::new(groups, self.aim.budget(), options.limits, analysis.fixed.clone())
            .without(&analysis.dead);
        let mut score = match options.criterion {
            Criterion::Random => plan::random(groups, options.seed),
            Criterion::Gates | Criterion::Dependence | Criterion::L1 => plan::l1(network, groups),
        };
        let dead = analysis.dead.iter().enumerate().filter(|(_, dead)| **dead);
        dead.for_each(|(c, _)| score[c] = f64::NEG_INFINITY);
        let plan = search.meet(&score, target)?;
        let rewritten = rewrite::rewrite(network, groups, &plan.kept, opset)?;
        let samples = samples(network, data, &self.split.held_out);
        let specs = gate::specs(network.graph, groups);
        let lambda = hard(&plan.kept, &[]);
        let masked = GatedNetwork { network, gates: &specs, bias_terms: &[] };
        let proof = certify::prove(masked, &lambda, &rewritten.graph, &samples, pool)?;
        Ok(Outcome {
            target,
            unit: self.aim.unit(),
            stages: Vec::new(),
            source: None,
            plan,
            measured: None,
            comparisons: Vec::new(),
            dependent: 0.0,
            rewritten,
            biases: Vec::new(),
            held_out_outputs: HeldOut::default(),
            agreement: None,
            trained: None,
            recovered: None,
            samples,
            proof,
        })
    }

    /// The original with its gates, compiled.
    fn session<'s>(&'s self, gated: GatedNetwork<'s>) -> Result<Session<'s>> {
        let Analysis { groups, aims, .. } = self.analysis;
        Session::new(gated, groups, aims, self.data, self.pool)
    }

    /// The original's gates; `dependent` is the largest share of a cut that dependence may get.
    fn gates(&self, dependent: f64) -> Result<Gates> {
        let specs = gate::specs(self.network.graph, &self.analysis.groups);
        let (compensated, dependent) = (self.options.compensation != Compensation::None, dependent > 0.0);
        if !compensated && !dependent {
            return Ok(Gates { specs, moments: Vec::new(), statistics: None });
        }
        let some = |n| some_of(&self.split.train, n, self.options.seed);
        let gated = GatedNetwork { network: self.network, gates: &specs, bias_terms: &[] };
        let session = self.session(gated)?;
        let moments = match compensated {
            true => compensate::moments(&session, &specs, &some(MEAN_IMAGES)),
            false => Vec::new(),
        };
        let statistics = dependent
            .then(|| dependence::statistics(self.network, &session, &specs, &some(STATISTICS_IMAGES)));
        drop(session);
        Ok(Gates { specs, moments, statistics })
    }

    /// Bias terms in place of a source's closed channels; nothing for classes that earlier stages closed, as the fits made up for
    /// them.
    fn bias_compensation(&self, gates: &Gates, source: Source) -> BiasCompensation {
        let (Gates { specs, moments, .. }, Source { network, groups, open }) = (gates, source);
        let mut compensation = match self.options.compensation {
            Compensation::None => return BiasCompensation::default(),
            Compensation::Mean => BiasCompensation::mean(network, specs, moments),
            Compensation::Learned => BiasCompensation::learned(network, specs, moments, groups.classes.len()),
        };
        if let Some(open) = open {
            for term in &mut compensation.bias_terms {
                let columns = term.index.len().max(1);
                let gone = |k: usize| term.index[k % columns].get().is_some_and(|c| !open[c]);
                (0..term.matrix.len()).filter(|&k| gone(k)).for_each(|k| term.matrix[k] = 0.0);
            }
        }
        compensation
    }
}

/// By bias term, its node and the amounts that closed channels leave in the node's bias: Σ over deleted c of κ_c·m[o, c], by o.
fn closed(bias_terms: &[BiasTermSpec], lambda: &[f32]) -> Vec<(NodeId, Vec<f64>)> {
    let amount = |(i, l): (&OptIndex, &OptIndex)| match i.get().is_some_and(|i| lambda[i] == 0.0) {
        true => l.get().map_or(1.0, |l| f64::from(lambda[l])),
        false => 0.0,
    };
    let one = |s: &BiasTermSpec| {
        let amounts: Vec<f64> = s.index.iter().zip(&s.level).map(amount).collect();
        let row = |row: &[f32]| row.iter().zip(&amounts).map(|(m, a)| f64::from(*m) * a).sum();
        (s.node, s.matrix.chunks(s.index.len()).map(row).collect())
    };
    bias_terms.iter().map(one).collect()
}
