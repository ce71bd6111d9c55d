//! The choice of channels: scores from gates, weights or chance, and the plan that meets the target.

use super::{Aim, Analysis, Comparison, Criterion, Events, Options, Recover, Resume, Start, Unit, some_of};
use crate::cost::Cost;
use crate::cost::latency::Speed;
use crate::coupling::Groups;
use crate::data::{Augment, Split};
use crate::error::{Error, Result};
use crate::exec::{GateSpec, GatedNetwork, LossKind, Objective, loss};
use crate::gates::compensate::BiasCompensation;
use crate::gates::dependence::{self, Statistics, Surroundings};
use crate::gates::{
    Distillation, Rebuild, Record, Resumed, Session, Settings, Trained, Watching, loses, train,
    train_compensation,
};
use crate::graph::*;
use crate::plan::{self, Plan, Search};
use crate::rewrite;
use crate::setting::Setting;

/// Largest number of held-out images on which the training is traced.
const TRACED: usize = 500;

/// Largest number of plans that are tried until one's network is fast enough.
const TRIES: usize = 12;

/// Share of a time that a measured network may stay below it before a larger one is tried.
const NEAR: f64 = 0.03;

/// Largest increase of the task loss at which gates serve another target than they were trained for.
const NOTHING: f64 = 0.02;

/// Quotient of the updates of a training from the start and of one that goes on from given gates.
const SHORTER: usize = 4;

/// A plan, with the gates and levels that belong to it.
pub(super) struct Chosen {
    pub plan: Plan,
    /// The gates that scored the channels; none where weights or chance did.
    pub trained: Option<Trained>,
    /// κ per level of the compensation.
    pub levels: Vec<f64>,
    /// The plan's network beside the unpruned one, where that was measured.
    pub measured: Option<Comparison>,
    /// Share of the cut that was left to dependence.
    pub dependent: f64,
}

/// Loss of a plan's network on held-out images after quick fits, with some levels of the compensation.
pub(super) type Trial<'t> = &'t dyn Fn(&Plan, &[f64], &Objective) -> Result<f64>;

/// A stage's network, images and target: everything that channels are chosen by.
pub(super) struct Learning<'a> {
    /// The network that is cut.
    pub network: Network<'a>,
    pub groups: &'a Groups,
    pub aim: &'a Aim<'a>,
    pub analysis: &'a Analysis,
    pub options: &'a Options,
    pub compensation: &'a BiasCompensation,
    /// The original's.
    pub gates: &'a [GateSpec],
    /// Statistics of the unpruned network's values; none where gates alone choose.
    pub statistics: Option<&'a Statistics>,
    /// By class: earlier stages left it. None in the first stage.
    pub open: Option<&'a [bool]>,
    /// The unpruned network. In the first stage it is the one that is trained.
    pub session: &'a Session<'a>,
    pub split: &'a Split,
    /// Amount to keep in this stage, in the unit of the aim.
    pub target: u64,
    /// Version of the standard operators that a smaller network may use.
    pub opset: i64,
}

impl Learning<'_> {
    /// The plan that meets the target, by trained gates (those of `resume`, if a run goes on), weights or chance, and the
    /// levels of the compensation for it. Where nobody says whether dependence has a part, `trial` does. Errors where no plan
    /// meets the target.
    pub fn choose(
        &self,
        resume: Option<&Resume>,
        start: &mut Start,
        events: &mut dyn Events,
        trial: Trial,
    ) -> Result<Chosen> {
        let search =
            Search::new(self.groups, self.aim.budget(), self.options.limits, self.analysis.fixed.clone())
                .without(&self.analysis.dead);
        let settings = self.settings();
        let mut planned = self.target;
        let mut trained = match resume {
            Some(resume) => resume.trained.clone(),
            None if self.options.criterion == Criterion::Gates && self.learns() => {
                let (trained, goal) = self.gates(settings.clone(), &search, start, events)?;
                planned = goal;
                Some(trained)
            }
            None => None,
        };
        // Before anything is measured with them: that can fail.
        trained.iter().for_each(|gates| events.trained(gates));
        let score = self.score(trained.as_ref());
        let (mut plan, mut measured) = self.meet(&search, &score, planned, start, events)?;
        let mut dependent = 0.0;
        let levels = trained.as_ref().map_or(&self.compensation.levels, |t| &t.levels);
        if let Some(statistics) = self.statistics
            && let Some(ranked) = self.ranked_by_dependence(&score, statistics, &search)
            && let Ok((other, time)) = self.meet(&search, &ranked, planned, start, events)
        {
            let loss = |plan: &Plan| trial(plan, levels, &settings.objective);
            let told = match resume {
                Some(resume) => Some(resume.dependent > 0.0),
                None => (trained.is_none() || self.options.dependent.is_some()).then_some(true),
            };
            let better = || Ok::<_, Error>(other != plan && loss(&other)? < loss(&plan)?);
            if told.map_or_else(better, Ok)? {
                (plan, measured) = (other, time);
                dependent = self.options.dependent_share();
            }
        }
        let levels = match resume {
            Some(resume) => resume.levels.clone(),
            None => self.levels(&settings, &plan, &mut trained, events)?,
        };
        Ok(Chosen { plan, trained, levels, measured, dependent })
    }

    /// True if there is a class that may go and that counts for something.
    fn learns(&self) -> bool {
        // Weights that were fitted since may have become zero, and need not be counted as such.
        let (dead, fixed) = (&self.analysis.dead, &self.analysis.fixed);
        fixed.iter().zip(dead).any(|(fixed, dead)| !fixed && !dead)
    }

    /// Score by class; lowest for classes that are dead or gone.
    fn score(&self, trained: Option<&Trained>) -> Vec<f64> {
        let mut score = match trained {
            Some(trained) => trained.alpha.clone(),
            None if self.options.criterion == Criterion::Random => {
                plan::random(self.groups, self.options.seed)
            }
            None => plan::l1(self.network, self.groups),
        };
        let gone = |c: usize| self.analysis.dead[c] || self.open.is_some_and(|open| !open[c]);
        (0..score.len()).filter(|&c| gone(c)).for_each(|c| score[c] = f64::NEG_INFINITY);
        score
    }

    /// Scores by which the last part of the cut is made by dependence: places in an order, in which the classes that are told best
    /// by the others come right after those that the gates close in a plan which keeps somewhat more than the target. None where
    /// there is no such plan.
    fn ranked_by_dependence(
        &self,
        score: &[f64],
        statistics: &Statistics,
        search: &Search,
    ) -> Option<Vec<f64>> {
        let cost = self.aim.budget();
        let whole = self.open.map_or(self.aim.total(), |open| cost.hard(open));
        let part = (whole.saturating_sub(self.target) as f64 * self.options.dependent_share()) as u64;
        let plan = search.threshold(score, self.target + part).ok()?;
        let stays = |c: usize| self.analysis.fixed[c] || self.groups.derived[c] || score[c].is_infinite();
        let may: Vec<bool> = (0..score.len()).map(|c| !stays(c)).collect();
        let Self { network, groups, gates, .. } = *self;
        let around = Surroundings { network, groups, gates, statistics };
        // Some more are put in order than have to go: limits may ask for them.
        let target = self.target.saturating_sub(part / 2);
        let last = dependence::eliminate(around, cost, &plan.kept, &may, target);
        let mut place = vec![usize::MAX; score.len()];
        last.iter().enumerate().for_each(|(k, &c)| place[c] = k);
        let mut order: Vec<usize> = (0..score.len()).collect();
        let key = |c: usize| (plan.kept[c], place[c]);
        order.sort_by(|&a, &b| key(a).cmp(&key(b)).then(score[a].total_cmp(&score[b])));
        let mut ranked = score.to_vec();
        for (k, c) in order.into_iter().enumerate().filter(|(_, c)| score[*c].is_finite()) {
            ranked[c] = k as f64;
        }
        Some(ranked)
    }

    /// κ per level for a plan that stands, trained once more where the compensation is learned. The updates are added to the
    /// history of `trained`.
    fn levels(
        &self,
        settings: &Settings,
        plan: &Plan,
        trained: &mut Option<Trained>,
        events: &mut dyn Events,
    ) -> Result<Vec<f64>> {
        let mut levels = trained.as_ref().map_or(self.compensation.levels.clone(), |t| t.levels.clone());
        let mut history = trained.as_mut().map(|t| std::mem::take(&mut t.history)).unwrap_or_default();
        let steps =
            settings.compensation_steps(if history.is_empty() { settings.batches } else { history.len() });
        let updates = history.len() + steps;
        let smaller = match (steps > 0).then(|| self.smaller(&plan.kept)) {
            Some(Err(e)) if self.open.is_some() => return Err(e),
            smaller => smaller.and_then(Result::ok),
        };
        let teacher = self.session;
        let sessions = Distillation { teacher, student: smaller.as_ref().unwrap_or(teacher) };
        let (target, full) = (self.target as f64, self.aim.total() as f64);
        let train = &self.split.train;
        train_compensation(sessions, train, settings, &plan.kept, &mut levels, steps, &mut |task| {
            let (budget, _) = loss::budget(plan.cost as f64, target, full);
            let step = history.len() + 1;
            let record =
                Record { step, task, budget, hardness: 0.0, soft_cost: plan.cost as f64, dissimilarity: 0.0 };
            events.step(&record, updates);
            history.push(record);
        });
        if updates > 0 {
            events.done();
        }
        if let Some(t) = trained {
            (t.history, t.levels) = (history, levels.clone());
        }
        Ok(levels)
    }

    /// Amount that gates are trained for: the target, and where times are measured, the predicted time of a network that meets
    /// it.
    fn goal(&self, search: &Search, start: &mut Start, events: &mut dyn Events) -> Result<u64> {
        if self.aim.unit() != Unit::Time || start.clock.is_none() {
            return Ok(self.target);
        }
        let score = plan::l1(self.network, self.groups);
        Ok(self.meet(search, &score, self.target, start, events)?.0.cost)
    }

    /// Trained gates: the given ones, if they were trained for this target or lose nothing at it; else the given ones, trained
    /// further for fewer updates than the settings say; or new ones. The history is that of the updates made here. With the amount
    /// that they were trained for, or the target.
    fn gates(
        &self,
        mut settings: Settings,
        search: &Search,
        start: &mut Start,
        events: &mut dyn Events,
    ) -> Result<(Trained, u64)> {
        let (session, images, target) = (self.session, &self.split.train, self.target);
        let left = self.left()?;
        // They were trained on the original.
        let given = if self.open.is_none() { start.gates.take() } else { None };
        let as_given = |given: &Trained| Trained { history: Vec::new(), ..given.clone() };
        if let Some(given) = given.as_ref().filter(|g| g.target.is_none_or(|t| t == target as f64)) {
            return Ok((as_given(given), target));
        }
        let goal = self.goal(search, start, events)?;
        settings.target = goal as f64;
        let would_keep = |alpha: &[f64]| match search.threshold(alpha, goal) {
            Ok(plan) => plan.kept,
            Err(_) => vec![true; alpha.len()],
        };
        if let Some(given) = &given {
            if loses(session, images, &settings, &would_keep(&given.alpha), &given.levels) <= NOTHING {
                return Ok((as_given(given), goal));
            }
            settings.batches = settings.batches.div_ceil(SHORTER);
        }
        let smaller = |kept: &[bool]| self.smaller(kept).ok();
        let smaller = self.options.freeze.then_some(&smaller as Rebuild);
        let progress = &mut |r: &Record, of: usize| events.step(r, of + settings.compensation_steps(of));
        let watching = Watching { plan: &would_keep, left, smaller, progress };
        let budget = self.aim.budget();
        let trained = train(session, self.groups, budget, images, &settings, given.as_ref(), watching);
        Ok((Trained { target: Some(target as f64), ..trained }, goal))
    }

    /// The network that earlier stages left; none in the first.
    fn left(&self) -> Result<Option<Resumed<'_>>> {
        let Some(open) = self.open else { return Ok(None) };
        Ok(Some(Resumed { session: self.smaller(open)?, open: open.to_vec() }))
    }

    /// The network that keeps `kept`, with the gates of those classes.
    fn smaller(&self, kept: &[bool]) -> Result<Session<'_>> {
        let small = rewrite::rewrite(self.network, self.groups, kept, self.opset)?.graph;
        let facts = self.network.facts_of(&small)?;
        let (gates, bias_terms) = (self.gates, &self.compensation.bias_terms[..]);
        let gated = GatedNetwork { network: self.network, gates, bias_terms };
        let (gates, bias_terms) = rewrite::follow(gated, self.groups, kept, &small);
        let network = Network::new(&small, &facts);
        self.session.smaller(GatedNetwork { network, gates: &gates, bias_terms: &bias_terms })
    }

    /// The plan that meets the target. Where that is a time, the rewritten network's counts, measured or predicted: it gathers and
    /// scatters channels where branches and trunks keep different ones. Begins with a plan for `planned`.
    fn meet(
        &self,
        search: &Search,
        score: &[f64],
        planned: u64,
        start: &mut Start,
        events: &mut dyn Events,
    ) -> Result<(Plan, Option<Comparison>)> {
        let target = self.target;
        let Some(speed) = self.options.speed.as_ref().filter(|_| self.aim.unit() == Unit::Time) else {
            return Ok((search.meet(score, target)?, None));
        };
        let whole = self.aim.total() as f64;
        let wanted = target as f64 / whole;
        let mut next = Bracket { planned, least: search.smallest().cost, low: None, high: None };
        let mut plan = search.meet(score, planned)?;
        let (mut met, mut missed): (Option<(Plan, Option<Comparison>)>, _) = (None, None);
        for _ in 0..TRIES {
            let small = rewrite::rewrite(self.network, self.groups, &plan.kept, self.opset)?.graph;
            let clock = start.clock.as_mut();
            let comparison = clock.map(|clock| clock.compare(&small, wanted)).transpose()?;
            comparison.iter().for_each(|found| events.measured(found));
            let real = match &comparison {
                Some(comparison) => comparison.of(self.aim.total()),
                None => predicted(self.network, &small, speed)?,
            };
            if real <= target {
                if comparison.is_none_or(|c| c.share >= wanted * (1.0 - NEAR)) {
                    return Ok((plan, comparison));
                }
                if met.as_ref().is_none_or(|(best, _)| best.cost < plan.cost) {
                    met = Some((plan.clone(), comparison));
                }
            } else {
                missed = Some((real, comparison.is_some()));
            }
            let Some(planned) = next.after(plan.cost, real, target) else { break };
            let other = search.meet(score, planned)?;
            if other == plan || met.as_ref().is_some_and(|(best, _)| *best == other) {
                break;
            }
            plan = other;
        }
        met.ok_or_else(|| self.unmet(missed))
    }

    /// The error for a time that no plan met: `missed` is the last time, and whether it was measured.
    fn unmet(&self, missed: Option<(u64, bool)>) -> Error {
        let amount = |cost: u64| self.aim.budget().amount(cost);
        let said = missed.map_or(String::new(), |(real, measured)| {
            let how = if measured { "measured" } else { "predicted" };
            format!(": the smallest network that was tried takes {}, {how}", amount(real))
        });
        let reason = format!("{} were not met{said}", amount(self.target));
        let hint = format!("ask for more, or try {} tie", Setting::Residual);
        Error::argument(Setting::TargetLatency, reason, hint)
    }

    fn settings(&self) -> Settings {
        let (options, train) = (self.options, &self.split.train);
        let labels = LabelShare { smoothing: options.smoothing, distil: options.distil };
        let objective = objective(self.session, options, Some(labels), 1.0, train);
        let batches = options.most_batches(train.len());
        let side = self.session.data.side().filter(|_| self.session.classes);
        // A mixture has no label.
        let fit = |a: Augment| if objective.needs_teacher() { a } else { a.moves() };
        Settings {
            batches,
            until_settled: options.batches.is_none(),
            batch_size: options.batch_size,
            lr: options.lr,
            beta: options.beta,
            gamma: options.gamma,
            target: self.target as f64,
            seed: options.seed,
            augment: options.gate_changes(train.len(), side).map(fit),
            objective,
            checkpointing: options.choice,
            levels: self.compensation.levels.clone(),
            levels_again: options.recover == Recover::None,
            trace: options.trace,
            traced: some_of(&self.split.held_out, TRACED, options.seed),
        }
    }
}

/// The amounts to plan for, one after the other, until a network takes the time that it may.
struct Bracket {
    /// The last one.
    planned: u64,
    /// The least that can be planned for.
    least: u64,
    /// The most that was little enough, with the time that its network takes.
    low: Option<(u64, u64)>,
    /// The least that was too much, with that time.
    high: Option<(u64, u64)>,
}

impl Bracket {
    /// The next amount, after a plan that costs `cost` took `real` in place of `target`; none where nothing is left between.
    fn after(&mut self, cost: u64, real: u64, target: u64) -> Option<u64> {
        let last = self.planned.min(cost);
        let aim = target - (NEAR / 3.0 * target as f64) as u64;
        if real > target {
            self.high = Some(self.high.map_or((last, real), |high| high.min((last, real))));
        } else {
            self.low = Some(self.low.map_or((last, real), |low| low.max((last, real))));
        }
        let next = match (self.low, self.high) {
            // The line through both, but well inside.
            (Some((low, below)), Some((high, above))) if high > low => {
                let inside = (high - low) as f64;
                let share = (aim as f64 - below as f64) / (above as f64 - below as f64).max(1.0);
                low + (inside * share.clamp(0.125, 0.875)) as u64
            }
            (Some(_), Some(_)) => return None,
            // What came on top is planned for, unless it grows with the plan.
            (None, _) => {
                let shrunk = (0.8 * last as f64 * target as f64 / real as f64) as u64;
                (last + target).saturating_sub(real).max(shrunk).max(self.least)
            }
            (_, None) => last + aim.saturating_sub(real),
        };
        (next != self.planned).then(|| {
            self.planned = next;
            next
        })
    }
}

/// Predicted nanoseconds of a graph that was made of `original`: of all its nodes, the added ones included.
pub fn predicted(original: Network, small: &Graph, speed: &Speed) -> Result<u64> {
    let facts = original.facts_of(small)?;
    Ok(Cost::latency(Network::new(small, &facts), &Groups::default(), speed).hard(&[]))
}

/// Part of the labels in a loss.
pub(super) struct LabelShare {
    /// Probability that is spread over all classes.
    pub smoothing: f64,
    /// Share of distillation from the unpruned network, 0 to 1.
    pub distil: f64,
}

/// The objective that the options ask for, at a temperature: labels where there are any and `labels` gives their share, else the
/// unpruned outputs; values by their variance over some of `images`.
pub(super) fn objective(
    session: &Session,
    options: &Options,
    labels: Option<LabelShare>,
    temperature: f64,
    images: &[usize],
) -> Objective {
    match (options.loss, labels.filter(|_| session.data.labels().is_some())) {
        (LossKind::Auto, Some(LabelShare { smoothing, distil })) if session.classes => {
            Objective::Labels { smoothing, distil, temperature }
        }
        (LossKind::Auto, _) if session.classes => Objective::Distil { temperature },
        (LossKind::Classes, _) => Objective::Distil { temperature },
        (LossKind::Auto | LossKind::Values, _) => {
            Objective::Values { variance: session.variances(&some_of(images, 256, options.seed)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plans cost what was planned for; their networks take `real` of it.
    fn found(target: u64, real: impl Fn(u64) -> u64) -> Option<u64> {
        let mut next = Bracket { planned: target, least: 10, low: None, high: None };
        let (mut planned, mut best) = (target, None);
        for _ in 0..TRIES {
            let takes = real(planned);
            if takes <= target {
                best = best.max(Some(takes));
                if takes as f64 >= target as f64 * (1.0 - NEAR) {
                    break;
                }
            }
            let Some(other) = next.after(planned, takes, target) else { break };
            planned = other;
        }
        best
    }

    #[test]
    fn a_time_is_met_from_both_sides() {
        let near = |found: Option<u64>| found.is_some_and(|found| (970..=1000).contains(&found));
        assert!(near(found(1000, |planned| planned)));
        assert!(near(found(1000, |planned| planned + 300)));
        assert!(near(found(1000, |planned| planned / 2)));
        assert!(near(found(1000, |planned| 2 * planned)));
        assert!(near(found(1000, |planned| planned * planned / 500)));
        assert!(near(found(1000, |planned| 600 + planned / 3)));
        // A step: below it far too little, above it too much.
        let steep = found(1000, |planned| if planned < 400 { planned / 2 } else { planned + 700 });
        assert!(steep.is_some_and(|found| (190..200).contains(&found)), "{steep:?}");
        assert_eq!(found(1000, |planned| planned + 2000), None);
    }
}
