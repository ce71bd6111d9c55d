//! A run, stage by stage: each cuts further what the one before it left, with the weights that were fitted there.
//!
//! All stages speak of the original: its classes, its channels, its values as what is to be learned and fitted.

use super::choose::{Chosen, Learning};
use super::recovery::Recovery;
use super::{
    Aim, Analysis, Compensation, Criterion, Events, Options, Outcome, Recover, Resume, Stage, Start, samples,
    some_of,
};
use crate::coupling::Groups;
use crate::data::BoundDataset;
use crate::error::Result;
use crate::exec::{BiasTermSpec, GateSpec, Pool};
use crate::gates::compensate::{self, BiasCompensation, Moments};
use crate::gates::{HeldOut, Session, gate, hard};
use crate::graph::*;
use crate::plan::{self, Search};
use crate::recover::State;
use crate::rewrite;
use crate::support::index::OptIndex;
use crate::verify::certify::{self, Gated};
use std::sync::Arc;

/// Images over which means are taken for the compensation.
const MEAN_IMAGES: usize = 512;

/// What a run works on.
pub(super) struct Run<'a> {
    pub network: (&'a Graph, &'a Facts),
    pub aim: &'a Aim<'a>,
    /// The aim's.
    pub analysis: &'a Analysis,
    pub data: &'a BoundDataset,
    pub options: &'a Options,
    pub opset: i64,
    pub pool: &'a Pool,
    /// Images to learn on.
    pub training: &'a [usize],
    /// Images that nothing is learned on.
    pub held_out: &'a [usize],
}

/// The gates of the original and, where something is to stand in for what they close, what passes through them.
struct Gates {
    specs: Vec<GateSpec>,
    moments: Vec<Vec<Moments>>,
}

/// What a stage left for the next.
struct StageCarry {
    /// The original with the fitted weights.
    graph: Graph,
    facts: Facts,
    /// The original's, which know the biases that came in.
    groups: Groups,
    /// By class: is it still there?
    open: Vec<bool>,
    held_out_outputs: HeldOut,
}

impl Run<'_> {
    /// All stages down to the target.
    pub fn all(&self, start: &mut Start, events: &mut dyn Events) -> Result<Outcome> {
        let target = self.aim.amount();
        if self.analysis.aims.targets.is_empty() {
            return self.unseen(target);
        }
        let (whole, count) = (self.aim.total() as f64, self.options.stages.max(1));
        let gates = self.gates()?;
        let (mut carry, mut stages) = (None, Vec::new());
        for k in 1..count {
            let part = (whole * libm::pow(target as f64 / whole, k as f64 / count as f64)) as u64;
            let outcome =
                self.stage((part, Recover::Reconstruct), (&gates, carry.as_ref()), None, start, events)?;
            let stage = Stage {
                macs: self.analysis.cost.hard(&outcome.plan.kept),
                agreement: outcome.recovered.as_ref().map_or(outcome.agreement, |r| Some(r.fitted)),
                difference: outcome.proof.difference.relative,
            };
            events.staged(&stage, k, count);
            stages.push(stage);
            carry = Some(self.next(outcome)?);
        }
        // What was kept is of the last stage: those before it are gone through again, to the same result.
        let kept = start.resume.take();
        let outcome =
            self.stage((target, self.options.recover), (&gates, carry.as_ref()), kept, start, events)?;
        Ok(Outcome { stages, source: carry.map(|c| c.graph), ..outcome })
    }

    /// Where the stage after one begins.
    fn next(&self, outcome: Outcome) -> Result<StageCarry> {
        let (graph, facts) = self.network;
        let open = outcome.plan.kept.clone();
        let (wide, groups) = rewrite::widen((graph, facts), &self.analysis.groups, &open, outcome.graph())?;
        let at = |facts: &Facts| infer(&wide, facts.inputs(graph).as_deref());
        let elsewhere = facts.elsewhere.iter().map(|other| at(other).map(Arc::new)).collect::<Result<_>>()?;
        let facts = Facts { elsewhere, ..at(facts)? };
        Ok(StageCarry { graph: wide, facts, groups, open, held_out_outputs: outcome.held_out_outputs })
    }

    fn stage(
        &self,
        (target, how): (u64, Recover),
        (gates, carry): (&Gates, Option<&StageCarry>),
        kept: Option<(Resume, State)>,
        start: &mut Start,
        events: &mut dyn Events,
    ) -> Result<Outcome> {
        let Self { network: (original, of_original), data, options, opset, pool, .. } = *self;
        let (training, held_out) = (self.training, self.held_out);
        let (graph, facts, groups) = match carry {
            Some(c) => (&c.graph, &c.facts, &c.groups),
            None => (original, of_original, &self.analysis.groups),
        };
        let open = carry.map(|c| c.open.as_slice());
        let compensation = self.bias_compensation(gates, (graph, facts, groups), open);
        // Where it is not trained itself it needs nothing in place of what closes.
        let session = self.original(if open.is_some() { &[] } else { &compensation.shifts })?;
        let held_out_outputs =
            carry.map_or_else(|| HeldOut::new(&session, held_out), |c| c.held_out_outputs.clone());
        let network = Learning {
            graph,
            facts,
            aim: self.aim,
            analysis: self.analysis,
            groups,
            open,
            session: &session,
            training,
            held_out,
            target,
            opset,
        };
        let (before, state) = kept.unzip();
        let Chosen { plan, trained, levels, measured } =
            network.choose(options, &compensation, before.as_ref(), start, events)?;
        trained.iter().for_each(|gates| events.trained(gates));
        let lambda = hard(&plan.kept, &levels);
        let mut rewritten = rewrite::rewrite(graph, facts, groups, &plan.kept, opset)?;
        let amounts = closed(&compensation.shifts, &lambda);
        let biases = rewrite::add_biases(&mut rewritten, graph, facts, groups, &plan.kept, &amounts)?;
        // What follows needs the memory.
        drop(session);
        let recovery = Recovery {
            graph: original,
            facts: of_original,
            groups,
            aims: &self.analysis.aims,
            data,
            training,
            held_out_outputs: &held_out_outputs,
            pool,
            options,
            how,
        };
        let agreement = Some(recovery.agreement(&rewritten.graph)?);
        let samples = samples(graph, facts, data, held_out);
        let (gates, terms) = (&gates.specs, &compensation.shifts);
        let gated = Gated { network: (graph, facts), gates, terms, lambda: &lambda };
        let proof = certify::prove(&gated, &rewritten.graph, &samples, pool)?;
        let recovered = match how {
            Recover::None => None,
            Recover::Reconstruct | Recover::Finetune(_) => {
                let learned = Resume { trained: trained.clone(), levels, ..before.unwrap_or_default() };
                Some(recovery.run(&rewritten.graph, &plan.kept, learned, state, events)?)
            }
        };
        let (stages, source) = (Vec::new(), None);
        Ok(Outcome {
            target,
            unit: self.aim.unit(),
            stages,
            source,
            plan,
            measured,
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

    /// The only stage of a network of which not one value can be computed, as it begins with what is not known: weights or chance
    /// rank its channels, and nothing tells how well that went.
    fn unseen(&self, target: u64) -> Result<Outcome> {
        let Self { network: (graph, facts), analysis, data, options, opset, pool, .. } = *self;
        let groups = &analysis.groups;
        let search = Search::new(groups, self.aim.budget(), options.limits, analysis.fixed.clone());
        let mut score = match options.criterion {
            Criterion::Random => plan::random(groups, options.seed),
            Criterion::Gates | Criterion::L1 => plan::l1(graph, facts, groups),
        };
        let dead = analysis.dead.iter().enumerate().filter(|(_, dead)| **dead);
        dead.for_each(|(c, _)| score[c] = f64::NEG_INFINITY);
        let plan = search.meet(&score, target)?;
        let rewritten = rewrite::rewrite(graph, facts, groups, &plan.kept, opset)?;
        let (samples, specs) = (samples(graph, facts, data, self.held_out), gate::specs(graph, groups));
        let lambda = hard(&plan.kept, &[]);
        let gated = Gated { network: self.network, gates: &specs, terms: &[], lambda: &lambda };
        let proof = certify::prove(&gated, &rewritten.graph, &samples, pool)?;
        Ok(Outcome {
            target,
            unit: self.aim.unit(),
            stages: Vec::new(),
            source: None,
            plan,
            measured: None,
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

    /// The original, with terms in biases.
    fn original<'s>(&'s self, shifts: &'s [BiasTermSpec]) -> Result<Session<'s>> {
        let Analysis { groups, aims, .. } = self.analysis;
        Session::new(self.network, groups, shifts, aims, self.data, self.pool)
    }

    fn gates(&self) -> Result<Gates> {
        let specs = gate::specs(self.network.0, &self.analysis.groups);
        if self.options.compensation == Compensation::None {
            return Ok(Gates { specs, moments: Vec::new() });
        }
        let some = some_of(self.training, MEAN_IMAGES, self.options.seed);
        let moments = compensate::moments(&self.original(&[])?, &specs, &some);
        Ok(Gates { specs, moments })
    }

    /// What stands in for closed channels of a network; for those that were closed before, the fits have found it.
    fn bias_compensation(
        &self,
        Gates { specs, moments }: &Gates,
        (graph, facts, groups): (&Graph, &Facts, &Groups),
        open: Option<&[bool]>,
    ) -> BiasCompensation {
        let mut compensation = match self.options.compensation {
            Compensation::None => return BiasCompensation::default(),
            Compensation::Mean => BiasCompensation::mean(graph, facts, specs, moments),
            Compensation::Learned => {
                BiasCompensation::learned(graph, facts, specs, moments, groups.classes.len())
            }
        };
        if let Some(open) = open {
            for shift in &mut compensation.shifts {
                let columns = shift.index.len().max(1);
                let gone = |k: usize| shift.index[k % columns].get().is_some_and(|c| !open[c]);
                (0..shift.matrix.len()).filter(|&k| gone(k)).for_each(|k| shift.matrix[k] = 0.0);
            }
        }
        compensation
    }
}

/// What stands in for closed channels, in each reader's bias: Σ over deleted c of κ_c times the shift's column.
fn closed(shifts: &[BiasTermSpec], lambda: &[f32]) -> Vec<(NodeId, Vec<f64>)> {
    let amount = |(i, l): (&OptIndex, &OptIndex)| match i.get().is_some_and(|i| lambda[i] == 0.0) {
        true => l.get().map_or(1.0, |l| f64::from(lambda[l])),
        false => 0.0,
    };
    let one = |s: &BiasTermSpec| {
        let amounts: Vec<f64> = s.index.iter().zip(&s.level).map(amount).collect();
        let row = |row: &[f32]| row.iter().zip(&amounts).map(|(m, a)| f64::from(*m) * a).sum();
        (s.node, s.matrix.chunks(s.index.len()).map(row).collect())
    };
    shifts.iter().map(one).collect()
}
