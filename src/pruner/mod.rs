//! The whole way from a graph to a smaller, verified one.
//!
//! Takes: a model, a target, options, a dataset. Gives: a [`Pruned`] network with everything that was measured.
//! Never: gives a network that was not certified.

pub mod checkpoint;
mod choose;
mod events;
mod front;
pub mod host;
mod identity;
mod model;
mod options;
mod prepared;
mod recovery;
mod stage;

use crate::cost::Cost;
use crate::cost::latency::Speed;
use crate::coupling::{self, Group, Groups};
use crate::data::BoundDataset;
use crate::error::{Error, Result};
use crate::exec::Aims;
use crate::exec::{GateSpec, Pool};
use crate::gates::gate::{self, Unlearned};
use crate::gates::{Agreement, HeldOut, Trained};
use crate::graph::*;
use crate::plan::{self, Limits, Plan, Search};
use crate::rewrite::{self, Bias, Rewritten};
use crate::setting::Setting;
use crate::tensor::*;
use crate::tract::Sample;
use crate::verify;
pub use events::{Clock, Events, Silent, Stage, Start};
pub use front::{Processor, Pruned, Pruner};
pub use identity::Identity;
pub use model::{Model, Port};
pub use options::{Compensation, Criterion, Finetune, Options, Recover, Target, Unit};
pub use prepared::{Done, Prepared};
pub use recovery::{Finetuned, Recovered, Resume};
use regex::Regex;
use stage::Run;
use std::borrow::Cow;

/// What is known about a network before anything is trained.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// Its channel groups.
    pub groups: Groups,
    /// Where it is judged.
    pub aims: Aims,
    /// For each class: is it zero whatever the input, or read by zeros only, so that nothing changes without it?
    pub dead: Vec<bool>,
    /// For each class: must it stay, as the criterion cannot tell what it is worth?
    pub fixed: Vec<bool>,
    /// What of that stands behind something without gradients.
    pub unlearned: Vec<Unlearned>,
    /// Its MACs.
    pub cost: Cost,
    /// Its predicted time, for a processor that was named.
    pub time: Option<Cost>,
    /// MACs of the whole network.
    pub macs_total: u64,
    /// MACs where as little as possible is kept, by [`Analysis::unit`].
    pub macs_min: u64,
    /// Kept flag per class there.
    pub kept_at_min: Vec<bool>,
    /// The unit in which that is the least.
    unit: Unit,
    /// The least in that unit if trunks from which layers pick stay whole.
    whole_trunks: u64,
    /// [`Analysis::fixed`] if channels of such trunks are ranked by layers that read them whole.
    fixed_alone: Vec<bool>,
    /// Lower bounds on widths.
    limits: Limits,
}

/// The least that can be reached in one unit.
#[derive(Debug, Clone)]
struct Floor {
    /// Kept flag per class, in the reading of the trunks that reaches less.
    kept: Vec<bool>,
    /// Amount if trunks from which layers pick stay whole.
    whole_trunks: u64,
}

/// A target that an analysis holds to be within reach, with its unit: no run can take it for an amount of something else.
#[derive(Debug, Clone)]
pub struct Aim<'a> {
    analysis: Cow<'a, Analysis>,
    unit: Unit,
    /// What is to be kept, in the unit.
    amount: u64,
    floor: Floor,
}

impl Analysis {
    /// The cost that is counted in a unit. Errors for times where no processor was named.
    fn budget(&self, unit: Unit) -> Result<&Cost> {
        budget(&self.cost, self.time.as_ref(), unit)
    }

    /// The least in a unit.
    fn floor(&self, unit: Unit) -> Result<Floor> {
        if unit == self.unit {
            return Ok(Floor { kept: self.kept_at_min.clone(), whole_trunks: self.whole_trunks });
        }
        let fixed = [&self.fixed, &self.fixed_alone].map(Vec::clone);
        Ok(floor(&self.groups, self.budget(unit)?, self.limits, fixed))
    }

    /// The target, checked against what the network has and what can be reached. Errors above the one or below the other.
    pub fn aim(&self, target: Target) -> Result<Aim<'_>> {
        let unit = target.unit();
        let (whole, floor) = (self.budget(unit)?.hard(&vec![true; self.dead.len()]), self.floor(unit)?);
        let aim = Aim { analysis: Cow::Borrowed(self), unit, amount: target.of(whole), floor };
        aim.check().map(|()| aim)
    }
}

impl Aim<'_> {
    /// The unit of the target.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// What is to be kept, in MACs or nanoseconds.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// What the target is an amount of.
    pub fn budget(&self) -> &Cost {
        let Analysis { cost, time, .. } = &*self.analysis;
        time.as_ref().filter(|_| self.unit == Unit::Time).unwrap_or(cost)
    }

    /// The whole network's amount of it.
    pub fn total(&self) -> u64 {
        self.budget().hard(&vec![true; self.analysis.dead.len()])
    }

    /// Trunks lose channels that others read beside those that pick where the target cannot be met without.
    fn opened(&self) -> Self {
        let mut aim = self.clone();
        if aim.amount < aim.floor.whole_trunks {
            let analysis = aim.analysis.to_mut();
            analysis.groups.whole_trunks = false;
            analysis.fixed = std::mem::take(&mut analysis.fixed_alone);
        }
        aim
    }
}

/// The cost that is counted in a unit. Errors for times where no processor was named.
fn budget<'a>(cost: &'a Cost, time: Option<&'a Cost>, unit: Unit) -> Result<&'a Cost> {
    match (unit, time) {
        (Unit::Macs, _) => Ok(cost),
        (Unit::Time, Some(time)) => Ok(time),
        (Unit::Time, None) => {
            let reason = "no processor was named".to_owned();
            let hint = format!("say for which with {cpu}, as in {cpu} cortex-a53", cpu = Setting::Cpu);
            Err(Error::argument(Setting::TargetLatency, reason, hint))
        }
    }
}

/// The least of a cost, by what must stay if channels of trunks are ranked by layers that pick, and if by those that read all.
fn floor(groups: &Groups, budget: &Cost, limits: Limits, [fixed, alone]: [Vec<bool>; 2]) -> Floor {
    let whole_trunks = Search::new(groups, budget, limits, fixed).smallest();
    let alone = Search::new(groups, budget, limits, alone).smallest();
    // The reading of the trunks that reaches less.
    let kept = if whole_trunks.cost <= alone.cost { &whole_trunks } else { &alone }.kept.clone();
    Floor { kept, whole_trunks: whole_trunks.cost }
}

/// Why a group that [`Options::exclude`] names is left whole.
pub fn excluded() -> String {
    format!("excluded by {}", Setting::Exclude)
}

/// Groups, cost and reach of a network under the options, the least of it in `unit`.
pub fn analyse(graph: &Graph, facts: &Facts, options: &Options, unit: Unit) -> Result<Analysis> {
    let mut groups = coupling::group(graph, facts, options.residual);
    groups.restrict(|g| {
        if options.exclude.as_ref().is_some_and(|r| mentions(graph, g, r)) {
            return Err(excluded());
        }
        if options.only.as_ref().is_some_and(|r| !mentions(graph, g, r)) {
            return Err(format!("not selected by {}", Setting::Only));
        }
        Ok(())
    });
    let cost = Cost::new(graph, facts, &groups, options.convention);
    let full = cost.hard(&vec![true; groups.classes.len()]);
    let dead = groups.dead(graph, facts);
    let aims = aims(graph, facts, &groups, &dead, options.criterion);
    groups.whole_trunks = false;
    let fixed_alone = fixed(graph, &groups, &dead, &aims, options.criterion);
    groups.whole_trunks = true;
    let fixed = fixed(graph, &groups, &dead, &aims, options.criterion);
    let unlearned = match options.criterion {
        Criterion::Gates => gate::unlearned(graph, facts, &groups, &fixed),
        Criterion::L1 | Criterion::Random => Vec::new(),
    };
    let time = options.speed.as_ref().map(|speed| Cost::latency(graph, facts, &groups, speed));
    let either = [&fixed, &fixed_alone].map(Vec::clone);
    let Floor { kept, whole_trunks } =
        floor(&groups, budget(&cost, time.as_ref(), unit)?, options.limits, either);
    Ok(Analysis {
        groups,
        aims,
        dead,
        fixed,
        unlearned,
        macs_total: full,
        macs_min: cost.hard(&kept),
        cost,
        time,
        kept_at_min: kept,
        unit,
        whole_trunks,
        fixed_alone,
        limits: options.limits,
    })
}

/// Where the network is judged: not at what can lose channels. Before an operator without gradient that is what gates, which
/// cannot judge its channels, leave whole.
fn aims(graph: &Graph, facts: &Facts, groups: &Groups, dead: &[bool], criterion: Criterion) -> Aims {
    let classes = |v: ValueId| {
        let all = groups.label.get(v).into_iter().flatten().flatten();
        all.filter_map(|c| c.get())
    };
    if criterion == Criterion::Gates {
        let aims = Aims::learned(graph, facts, |v| classes(v).all(|c| !dead[c]));
        if aims.learned {
            return aims;
        }
    }
    Aims::compared(graph, facts, |v| classes(v).next().is_none())
}

/// For each class: must it stay, as what it is worth cannot be learned? A dead one is worth nothing, a trunk's channel goes with the
/// last reader that picks it, and other criteria need no gradient; but of a trunk from which layers pick only those know.
fn fixed(graph: &Graph, groups: &Groups, dead: &[bool], aims: &Aims, criterion: Criterion) -> Vec<bool> {
    let worth = match criterion {
        Criterion::Gates if aims.learned => gate::trainable(graph, groups, &aims.targets),
        Criterion::Gates => vec![false; dead.len()],
        Criterion::L1 | Criterion::Random => {
            groups.picked().into_iter().map(|picked| !picked || !groups.whole_trunks).collect()
        }
    };
    (0..dead.len()).map(|c| !worth[c] && !dead[c] && !groups.derived[c]).collect()
}

fn mentions(graph: &Graph, group: &Group, pattern: &Regex) -> bool {
    pattern.is_match(&group.name)
        || group.axes.iter().any(|&(v, _)| {
            let producer = graph.producer(v).map(|n| graph.nodes[n].name.as_str());
            pattern.is_match(&graph.values[v].name) || producer.is_some_and(|n| pattern.is_match(n))
        })
}

impl Aim<'_> {
    /// Errors above the whole network or below what can be reached.
    fn check(&self) -> Result<()> {
        let (budget, whole, asked) = (self.budget(), self.total(), self.amount);
        let refuse = |reason: String, hint: String| Err(Error::argument(budget.setting(), reason, hint));
        if asked > whole {
            let reason =
                format!("{} are more than the network has ({})", budget.amount(asked), budget.amount(whole));
            return refuse(reason, "give what is to be kept, at most 100%".into());
        }
        if asked < budget.hard(&self.floor.kept) {
            return refuse(unreachable(self), way_out(self));
        }
        Ok(())
    }
}

/// Why an amount cannot be reached.
fn unreachable(aim: &Aim) -> String {
    let (analysis, budget, whole) = (&aim.analysis, aim.budget(), aim.total());
    let least = budget.hard(&aim.floor.kept);
    let share = 100.0 * least as f64 / whole.max(1) as f64;
    let (asked, amount) = (budget.amount(aim.amount), budget.amount(least));
    let stays = match least == whole {
        true => format!("{asked} cannot be reached: all of the {amount} stay"),
        false => format!("{asked} cannot be reached: at the least {amount} stay ({share:.2} %)"),
    };
    let channels: usize = analysis.unlearned.iter().map(|u| u.channels).sum();
    match analysis.unlearned.iter().find_map(|u| u.node.as_ref().zip(u.operator.as_ref())) {
        Some((node, operator)) => format!(
            "{stays}; what {channels} channels are worth cannot be learned, as '{node}' ({operator}) has no gradient"
        ),
        None => stays,
    }
}

/// What to do where an amount cannot be reached.
fn way_out(aim: &Aim) -> String {
    let (budget, whole) = (aim.budget(), aim.total());
    let least = budget.hard(&aim.floor.kept);
    if !aim.analysis.unlearned.is_empty() {
        return format!("rank the channels without gradients: {} l1 or random", Setting::Criterion);
    }
    match least == whole {
        true => "'inspect' shows what holds the channels".into(),
        false => format!("ask for {} or more; 'inspect' shows what holds the rest", budget.amount(least)),
    }
}

/// Predicted nanoseconds of a graph that was made of another one: of the nodes that it has, which may be more.
pub fn predicted((graph, facts): (&Graph, &Facts), small: &Graph, speed: &Speed) -> Result<u64> {
    let of_small = verify::facts_like(graph, facts, small)?;
    Ok(Cost::latency(small, &of_small, &Groups::default(), speed).hard(&[]))
}

/// The graph without channels that chance chose, so that about `share` of the multiply-accumulates that can be saved are left;
/// none where no channel can be deleted.
pub fn cut_at_random(
    (graph, facts): (&Graph, &Facts),
    share: f64,
    seed: u64,
    opset: i64,
) -> Result<Option<Graph>> {
    let options = Options { seed, ..Options::default() };
    let Analysis { groups, cost, macs_total: full, macs_min: smallest, kept_at_min: least, .. } =
        analyse(graph, facts, &options, Unit::Macs)?;
    if smallest == full {
        return Ok(None);
    }
    let search = Search::new(&groups, &cost, options.limits, vec![false; least.len()]);
    let target = smallest + ((full - smallest) as f64 * share) as u64;
    let plan = search.meet(&plan::random(&groups, seed), target)?;
    Ok(Some(rewrite::rewrite(graph, facts, &groups, &plan.kept, opset)?.graph))
}

/// Errors where a smaller network would fit the analysed sizes only although the file leaves sizes open: tried by cuts that chance
/// chose.
pub fn check_open_sizes(
    (graph, facts): (&Graph, &Facts),
    analysis: &Analysis,
    options: &Options,
    opset: i64,
) -> Result<()> {
    if facts.elsewhere.is_empty() {
        return Ok(());
    }
    let Analysis { groups, cost, macs_total: full, macs_min: smallest, kept_at_min: least, .. } = analysis;
    let search = Search::new(groups, cost, options.limits, vec![false; least.len()]);
    for target in [*smallest, smallest.midpoint(*full)] {
        let plan = search.meet(&plan::random(groups, options.seed), target)?;
        rewrite::rewrite(graph, facts, groups, &plan.kept, opset)?;
    }
    Ok(())
}

/// Everything a run gives.
#[derive(Debug)]
pub struct Outcome {
    /// What was asked for, in the unit.
    pub target: u64,
    /// The unit of the target.
    pub unit: Unit,
    /// The stages before the last.
    pub stages: Vec<Stage>,
    /// What the last of several cut: the original with the weights that the stages before it fitted.
    pub source: Option<Graph>,
    /// What is kept.
    pub plan: Plan,
    /// Its network's time as a share of the unpruned one's, where it was measured.
    pub measured: Option<f64>,
    /// The smaller graph, exactly the masked source, and what was sliced.
    pub rewritten: Rewritten,
    /// Biases that took over the means of deleted channels.
    pub biases: Vec<Bias>,
    /// The held-out images, with what the unpruned network gives.
    pub held_out_outputs: HeldOut,
    /// Agreement with the unpruned network on them.
    pub agreement: Option<Agreement>,
    /// Training history (gates only).
    pub trained: Option<Trained>,
    /// The smaller graph with weights fitted to the original's outputs, where that was wanted.
    pub recovered: Option<Recovered>,
    /// Inputs on which the result is verified.
    pub samples: Vec<Sample>,
    /// Largest |masked − pruned| in our executor.
    pub proof: verify::Proof,
}

impl Outcome {
    /// The graph to be written.
    pub fn graph(&self) -> &Graph {
        self.recovered.as_ref().map_or(&self.rewritten.graph, |r| &r.graph)
    }
}

/// What is pruned, to what, and by what.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The network.
    pub network: (&'a Graph, &'a Facts),
    /// Version of the standard operators that a smaller network may use.
    pub opset: i64,
    /// The target, with the analysis of the network.
    pub aim: &'a Aim<'a>,
    /// Images.
    pub data: &'a BoundDataset,
    /// The options that the network was analysed with.
    pub options: &'a Options,
}

/// Prunes. The result is proved in our executor only: [`Prepared::run`] has it certified besides.
pub fn prune(task: &Task, start: &mut Start, events: &mut dyn Events) -> Result<Outcome> {
    let Task { network, opset, aim, data, options } = *task;
    if matches!(options.recover, Recover::Finetune(_)) && !aim.analysis.aims.learned {
        let reason =
            "'finetune' trains by gradients, and none come back from what can be computed of this network";
        let hint = format!("give {} reconstruct or none", Setting::Recover);
        return Err(Error::argument(Setting::Recover, reason, hint));
    }
    let aim = &aim.opened();
    let (training, held_out) = split(data.len(), options.seed);
    let pool = Pool::new(options.threads)?;
    let run = Run {
        network,
        aim,
        analysis: &aim.analysis,
        data,
        options,
        opset,
        pool: &pool,
        training: &training,
        held_out: &held_out,
    };
    run.all(start, events)
}

/// A seeded choice of `n` images (all, if there are fewer).
fn some_of(list: &[usize], n: usize, seed: u64) -> Vec<usize> {
    let chosen = crate::support::random::Draw::new(seed, 3).subset(list.len(), n.min(list.len()));
    chosen.into_iter().map(|i| list[i]).collect()
}

/// Training and held-out images: a tenth, at most 1000, is held out; with few images all serve both ends.
fn split(n: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let held = (n / 10).min(1000);
    if held < 8 {
        return ((0..n).collect(), (0..n).collect());
    }
    let held_out = crate::support::random::Draw::new(seed, 2).subset(n, held);
    let training = (0..n).filter(|i| held_out.binary_search(i).is_err()).collect();
    (training, held_out)
}

/// The first few inputs of `list`, whole as the network takes them.
pub fn samples(graph: &Graph, facts: &Facts, data: &BoundDataset, list: &[usize]) -> Vec<Sample> {
    (0..list.len().min(4))
        .map(|i| {
            let one = |(k, &v): (usize, &ValueId)| {
                let mut x = Array::zeros(facts.shape(v).unwrap_or_default());
                // A fixed batch larger than one is filled with consecutive images.
                let batch = if facts.is_batched(graph, v) { facts.batch(graph) } else { 1 };
                let len = x.len() / batch.max(1);
                for (b, row) in x.elements_mut().chunks_exact_mut(len.max(1)).enumerate() {
                    data.write(k, list[(i + b) % list.len()], None, row);
                }
                x
            };
            graph.inputs.iter().enumerate().map(one).collect()
        })
        .collect()
}

/// The gates' places, for callers that verify on their own.
pub fn gates(graph: &Graph, groups: &Groups) -> Vec<GateSpec> {
    gate::specs(graph, groups)
}
