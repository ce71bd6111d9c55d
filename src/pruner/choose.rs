//! Which channels stay: scores from gates, weights or chance, and the plan that meets the target.

use super::{Aim, Analysis, Criterion, Events, Options, Resume, Start, Unit, predicted, some_of};
use crate::coupling::Groups;
use crate::data::Augment;
use crate::error::{Error, Result};
use crate::exec::BiasTermSpec;
use crate::exec::{LossKind, Objective, loss};
use crate::gates::compensate::BiasCompensation;
use crate::gates::{
    Rebuild, Record, Resumed, Session, Settings, Trained, Watching, gate, loses, train, train_compensation,
};
use crate::graph::*;
use crate::plan::{self, Plan, Search};
use crate::rewrite;
use crate::setting::Setting;
use crate::verify;

/// Images on which it is measured what pruning would give on the way, at the most.
const TRACED: usize = 500;

/// Searches for a plan whose network takes no longer than is asked for.
const TRIES: usize = 12;

/// A plan for another target than the gates were trained for stands where it raises the task loss by no more than this.
const NOTHING: f64 = 0.02;

/// Otherwise they are trained further: for one of so many updates of a training from the start.
const SHORTER: usize = 4;

/// What was chosen.
pub(super) struct Chosen {
    pub plan: Plan,
    /// The training behind it.
    pub trained: Option<Trained>,
    /// κ per level of the compensation.
    pub levels: Vec<f64>,
    /// The time of the plan's network as a share of the unpruned one's, where it was measured.
    pub measured: Option<f64>,
}

/// What channels are chosen by.
pub(super) struct Learning<'a> {
    pub graph: &'a Graph,
    pub facts: &'a Facts,
    pub aim: &'a Aim<'a>,
    pub analysis: &'a Analysis,
    pub groups: &'a Groups,
    /// By class, what stages before this one left; none in the first.
    pub open: Option<&'a [bool]>,
    /// The unpruned network. It is the one that is trained if `open` is none.
    pub session: &'a Session<'a>,
    /// Images to learn on.
    pub training: &'a [usize],
    /// Images that nothing is learned on.
    pub held_out: &'a [usize],
    /// What to keep in this stage, in the unit of the aim.
    pub target: u64,
    /// Version of the standard operators that a smaller network may use.
    pub opset: i64,
}

impl Learning<'_> {
    /// Chooses: by what is learned, or was `before`.
    pub fn choose(
        &self,
        options: &Options,
        compensation: &BiasCompensation,
        before: Option<&Resume>,
        start: &mut Start,
        events: &mut dyn Events,
    ) -> Result<Chosen> {
        let groups = self.groups;
        let (cost, full) = (self.aim.budget(), self.aim.total());
        let (session, target) = (self.session, self.target);
        // Weights that were fitted since may have become zero, and need not be counted as such.
        let (dead, fixed) = (&self.analysis.dead, &self.analysis.fixed);
        let search = Search::new(groups, cost, options.limits, fixed.clone());
        let learns = fixed.iter().zip(dead).any(|(fixed, dead)| !fixed && !dead);
        let settings = self.settings(options, compensation);
        let mut trained = match before {
            Some(before) => before.trained.clone(),
            None if options.criterion == Criterion::Gates && learns => {
                let smaller = |kept: &[bool]| self.smaller(kept, &compensation.shifts).ok();
                let smaller = options.freeze.then_some(&smaller as Rebuild);
                let closed = (self.left(compensation)?, smaller);
                Some(self.gates(options, settings.clone(), &search, closed, (start, events))?)
            }
            None => None,
        };
        let mut score = match &trained {
            Some(trained) => trained.alpha.clone(),
            None if options.criterion == Criterion::Random => plan::random(groups, options.seed),
            None => plan::l1(self.graph, self.facts, groups),
        };
        let gone = |c: usize| dead[c] || self.open.is_some_and(|open| !open[c]);
        (0..score.len()).filter(|&c| gone(c)).for_each(|c| score[c] = f64::NEG_INFINITY);
        let (plan, measured) = self.meet(options, &search, &score, start)?;
        if let Some(before) = before {
            return Ok(Chosen { plan, trained, levels: before.levels.clone(), measured });
        }
        let mut levels = trained.as_ref().map_or(compensation.levels.clone(), |t| t.levels.clone());
        let mut history = trained.as_mut().map(|t| std::mem::take(&mut t.history)).unwrap_or_default();
        let steps =
            settings.compensation_steps(if history.is_empty() { settings.batches } else { history.len() });
        let updates = history.len() + steps;
        let smaller = match (steps > 0).then(|| self.smaller(&plan.kept, &compensation.shifts)) {
            Some(Err(e)) if self.open.is_some() => return Err(e),
            smaller => smaller.and_then(Result::ok),
        };
        let sessions = [session, smaller.as_ref().unwrap_or(session)];
        train_compensation(sessions, self.training, &settings, &plan.kept, &mut levels, steps, &mut |task| {
            let (budget, _) = loss::budget(plan.cost as f64, target as f64, full as f64);
            let step = history.len() + 1;
            let record =
                Record { step, task, budget, hardness: 0.0, soft_cost: plan.cost as f64, dissimilarity: 0.0 };
            events.step(&record, updates);
            history.push(record);
        });
        if updates > 0 {
            events.done();
        }
        if let Some(t) = &mut trained {
            (t.history, t.levels) = (history, levels.clone());
        }
        Ok(Chosen { plan, trained, levels, measured })
    }

    /// What gates are trained for: the target, and where times are measured and differ from what is predicted, what has to be
    /// predicted for it.
    fn goal(&self, options: &Options, search: &Search, start: &mut Start) -> Result<u64> {
        if self.aim.unit() != Unit::Time || start.clock.is_none() {
            return Ok(self.target);
        }
        let score = plan::l1(self.graph, self.facts, self.groups);
        Ok(self.meet(options, search, &score, start)?.0.cost)
    }

    /// Trained gates: those that are given, if they were trained for this target or lose nothing at it; those, trained further
    /// for fewer updates than the settings say; or new ones. The history is that of the updates made here.
    fn gates<'s>(
        &'s self,
        options: &Options,
        mut settings: Settings,
        search: &Search,
        (left, smaller): (Option<Resumed<'s>>, Option<Rebuild<'_, 's>>),
        (start, events): (&mut Start, &mut dyn Events),
    ) -> Result<Trained> {
        let (session, images, target) = (self.session, self.training, self.target);
        // They were trained on the original.
        let given = if self.open.is_none() { start.gates.take() } else { None };
        let as_given = |given: &Trained| Trained { history: Vec::new(), ..given.clone() };
        if let Some(given) = given.as_ref().filter(|g| g.target.is_none_or(|t| t == target as f64)) {
            return Ok(as_given(given));
        }
        let aim = self.goal(options, search, start)?;
        settings.target = aim as f64;
        let would_keep = |alpha: &[f64]| match search.threshold(alpha, aim) {
            Ok(plan) => plan.kept,
            Err(_) => vec![true; alpha.len()],
        };
        if let Some(given) = &given {
            if loses(session, images, &settings, &would_keep(&given.alpha), &given.levels) <= NOTHING {
                return Ok(as_given(given));
            }
            settings.batches = settings.batches.div_ceil(SHORTER);
        }
        let progress = &mut |r: &Record, of: usize| events.step(r, of + settings.compensation_steps(of));
        let watching = Watching { plan: &would_keep, left, smaller, progress };
        let budget = self.aim.budget();
        let trained = train(session, self.groups, budget, images, &settings, given.as_ref(), watching);
        Ok(Trained { target: Some(target as f64), ..trained })
    }

    /// What stages before this one left.
    fn left(&self, compensation: &BiasCompensation) -> Result<Option<Resumed<'_>>> {
        let Some(open) = self.open else { return Ok(None) };
        Ok(Some(Resumed { session: self.smaller(open, &compensation.shifts)?, open: open.to_vec() }))
    }

    /// The network that keeps `kept`, with the gates of those classes.
    fn smaller(&self, kept: &[bool], shifts: &[BiasTermSpec]) -> Result<Session<'_>> {
        let (graph, facts, groups) = (self.graph, self.facts, self.groups);
        let small = rewrite::rewrite(graph, facts, groups, kept, self.opset)?.graph;
        let facts = verify::facts_like(graph, facts, &small)?;
        let gates = gate::specs(graph, groups);
        let (gates, shifts) = rewrite::follow((graph, groups), kept, &small, (&gates, shifts));
        self.session.smaller((&small, &facts), &gates, &shifts)
    }

    /// The plan that meets the target: as it is planned, and where that is a time, as the rewritten network takes, measured or
    /// predicted, which gathers and scatters channels where branches and trunks keep different ones. With the share of the time
    /// that was measured, if any.
    fn meet(
        &self,
        options: &Options,
        search: &Search,
        score: &[f64],
        start: &mut Start,
    ) -> Result<(Plan, Option<f64>)> {
        let (graph, facts, target) = (self.graph, self.facts, self.target);
        let mut plan = search.meet(score, target)?;
        let Some(speed) = options.speed.as_ref().filter(|_| self.aim.unit() == Unit::Time) else {
            return Ok((plan, None));
        };
        let (least, mut planned) = (search.smallest().cost, target);
        let mut said = String::new();
        let amount = |cost: u64| self.aim.budget().amount(cost);
        for _ in 0..TRIES {
            let small = rewrite::rewrite(graph, facts, self.groups, &plan.kept, self.opset)?.graph;
            let share = start.clock.as_deref_mut().map(|clock| clock.share(&small)).transpose()?;
            let real = match share {
                Some(share) => (self.aim.total() as f64 * share) as u64,
                None => predicted((graph, facts), &small, speed)?,
            };
            if real <= target {
                return Ok((plan, share));
            }
            // What came on top is planned for.
            planned = planned.min(plan.cost).saturating_sub(real - target).max(least);
            let how = if share.is_some() { "measured" } else { "predicted" };
            said = format!("{}, {how}", amount(real));
            let next = search.meet(score, planned)?;
            if next == plan {
                break;
            }
            plan = next;
        }
        let reason =
            format!("{} were not met: the smallest network that was tried takes {said}", amount(target));
        let hint = format!("ask for more, or try {} tie", Setting::Residual);
        Err(Error::argument(Setting::TargetLatency, reason, hint))
    }

    fn settings(&self, options: &Options, compensation: &BiasCompensation) -> Settings {
        Settings {
            batches: options.most_batches(),
            until_settled: options.batches.is_none(),
            batch_size: options.batch_size,
            lr: options.lr,
            beta: options.beta,
            gamma: options.gamma,
            target: self.target as f64,
            seed: options.seed,
            // A mixture has no label, and gates may be trained on labels alone; other colours were not tried with them.
            augment: options.augment.map(Augment::moves),
            task: task(self.session, options, Some((options.smoothing, options.distil)), 1.0, self.training),
            choice: options.choice,
            levels: compensation.levels.clone(),
            trace: options.trace,
            traced: some_of(self.held_out, TRACED, options.seed),
        }
    }
}

/// What the outputs are judged by, at a temperature: the labels where there are any and `labels` says with how much
/// smoothing and distillation, else the unpruned outputs; values by their variance over some of `images`.
pub(super) fn task(
    session: &Session,
    options: &Options,
    labels: Option<(f64, f64)>,
    temperature: f64,
    images: &[usize],
) -> Objective {
    match (options.loss, labels.filter(|_| session.data.labels().is_some())) {
        (LossKind::Auto, Some((smoothing, distil))) if session.classes => {
            Objective::Labels { smoothing, distil, temperature }
        }
        (LossKind::Auto, _) if session.classes => Objective::Distil { temperature },
        (LossKind::Classes, _) => Objective::Distil { temperature },
        (LossKind::Auto | LossKind::Values, _) => {
            Objective::Values { variance: session.variances(&some_of(images, 256, options.seed)) }
        }
    }
}
