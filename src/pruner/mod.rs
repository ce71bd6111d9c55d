//! The whole way from a graph to a smaller, verified one.
//!
//! Takes: a graph with its facts, options, calibration data. Gives: an [`Outcome`] with everything that was measured.
//! Never: writes a file; that is for the caller, once the outcome passed.

pub mod checkpoint;
mod choose;
pub mod host;
mod identity;
mod options;
mod recovery;
mod run;
mod stage;

use crate::cost::Cost;
use crate::cost::latency::Speed;
use crate::coupling::{self, Group, Groups, NONE};
use crate::data::Calibration;
use crate::error::{Error, Result};
use crate::exec::Aims;
use crate::exec::{GateSpec, Pool};
use crate::gates::gate::{self, Unlearned};
use crate::gates::{Agreement, HeldOut, Record, Trained};
use crate::graph::*;
use crate::plan::{self, Plan, Search};
use crate::recover::{Epoch, State, Update};
use crate::rewrite::{self, Bias, Rewritten};
use crate::setting::Setting;
use crate::tensor::*;
use crate::tract::Sample;
use crate::verify::{self, Verdict};
pub use identity::Identity;
pub use options::{Compensation, Criterion, Finetune, Options, Recover, Target};
pub use recovery::{Finetuned, Recovered, Resume};
use regex::Regex;
pub use run::{Done, Pruned, Pruner};
use stage::Run;

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
    /// Whether the target is a time.
    timed: bool,
    /// MACs of the whole network.
    pub macs_total: u64,
    /// The smallest reachable MACs.
    pub macs_min: u64,
    /// What is kept there.
    pub kept_at_min: Vec<bool>,
    /// What becomes of trunks that layers pick from.
    readings: Readings,
}

/// The two readings of a trunk's channels that layers pick, and others read whole.
#[derive(Debug, Clone)]
struct Readings {
    /// The smallest reachable amount of [`Analysis::budget`] if they stay.
    whole_trunks: u64,
    /// [`Analysis::fixed`] if they are ranked by those that read them whole.
    fixed_alone: Vec<bool>,
}

impl Analysis {
    /// What the target is an amount of.
    pub fn budget(&self) -> &Cost {
        self.time.as_ref().filter(|_| self.timed).unwrap_or(&self.cost)
    }

    /// The whole network's amount of it.
    pub fn budget_total(&self) -> u64 {
        self.budget().hard(&vec![true; self.kept_at_min.len()])
    }
}

/// Why a group that [`Options::exclude`] names is left whole.
pub fn excluded() -> String {
    format!("excluded by {}", Setting::Exclude)
}

/// Groups, cost and reach of a network under the options.
pub fn analyse(graph: &Graph, facts: &Facts, options: &Options) -> Result<Analysis> {
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
    let timed = options.target.is_time();
    let time = options.speed.as_ref().map(|speed| Cost::latency(graph, facts, &groups, speed));
    if timed && time.is_none() {
        let reason = "no processor was named".to_owned();
        let hint = format!("say for which with {cpu}, as in {cpu} cortex-a53", cpu = Setting::Cpu);
        return Err(Error::argument(Setting::TargetLatency, reason, hint));
    }
    let budget = time.as_ref().filter(|_| timed).unwrap_or(&cost);
    let whole_trunks = Search::new(&groups, budget, options.limits, fixed.clone()).smallest();
    let alone = Search::new(&groups, budget, options.limits, fixed_alone.clone()).smallest();
    // The reading of the trunks that reaches less.
    let least = if whole_trunks.cost <= alone.cost { &whole_trunks } else { &alone }.kept.clone();
    let (smallest, whole_trunks) = (cost.hard(&least), whole_trunks.cost);
    let readings = Readings { whole_trunks, fixed_alone };
    Ok(Analysis {
        groups,
        aims,
        dead,
        fixed,
        readings,
        unlearned,
        cost,
        time,
        timed,
        macs_total: full,
        macs_min: smallest,
        kept_at_min: least,
    })
}

/// Where the network is judged: not at what can lose channels. Before an operator without gradient that is what gates, which
/// cannot judge its channels, leave whole.
fn aims(graph: &Graph, facts: &Facts, groups: &Groups, dead: &[bool], criterion: Criterion) -> Aims {
    let classes = |v: ValueId| {
        let all = groups.label.get(v).into_iter().flatten().flatten();
        all.filter(|c| **c != NONE).map(|&c| c as usize)
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

/// The target in the unit of [`Analysis::budget`]. Errors above the whole network or below what can be reached.
pub fn target_cost(analysis: &Analysis, target: Target) -> Result<u64> {
    let (budget, whole) = (analysis.budget(), analysis.budget_total());
    let asked = target.of(whole);
    let refuse = |reason: String, hint: String| Err(Error::argument(budget.setting(), reason, hint));
    if asked > whole {
        let reason =
            format!("{} are more than the network has ({})", budget.amount(asked), budget.amount(whole));
        return refuse(reason, "give what is to be kept, at most 100%".into());
    }
    let least = budget.hard(&analysis.kept_at_min);
    if asked < least {
        return refuse(unreachable(analysis, asked), way_out(analysis));
    }
    Ok(asked)
}

/// Why an amount cannot be reached.
fn unreachable(analysis: &Analysis, asked: u64) -> String {
    let (budget, whole) = (analysis.budget(), analysis.budget_total());
    let least = budget.hard(&analysis.kept_at_min);
    let share = 100.0 * least as f64 / whole.max(1) as f64;
    let (asked, amount) = (budget.amount(asked), budget.amount(least));
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
fn way_out(analysis: &Analysis) -> String {
    let (budget, whole) = (analysis.budget(), analysis.budget_total());
    let least = budget.hard(&analysis.kept_at_min);
    if !analysis.unlearned.is_empty() {
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
    let options = Options { seed, ..Options::new(Target::Share(share)) };
    let Analysis { groups, cost, macs_total: full, macs_min: smallest, kept_at_min: least, .. } =
        analyse(graph, facts, &options)?;
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

/// Measures times.
pub trait Clock {
    /// What a network made of the one that is pruned takes, as a share of what that one takes.
    fn share(&mut self, graph: &Graph) -> Result<f64>;
}

/// Who watches a run. Whoever does not care about a call leaves it out.
pub trait Observer {
    /// What a run with the same network, data and options kept before it was cut off: this one goes on from there.
    fn resume(&mut self) -> Option<(Resume, State)> {
        None
    }
    /// Gates that were trained before, of the same network in the same reading: they are used instead of training where they
    /// were trained for this target or lose nothing at it, and trained further where not.
    fn gates(&mut self) -> Option<Trained> {
        None
    }
    /// What measures times on the processor that the target speaks of; without it they are predicted.
    fn clock(&mut self) -> Option<&mut dyn Clock> {
        None
    }
    /// Called after every update, with the number of updates there will be: it can become less.
    fn step(&mut self, _record: &Record, _of: usize) {}
    /// Called when training is over.
    fn done(&mut self) {}
    /// Called with the gates of every training, as soon as they are to stay.
    fn trained(&mut self, _gates: &Trained) {}
    /// Called after stage `number` (1, 2, …) of `of`, but for the last.
    fn staged(&mut self, _stage: &Stage, _number: usize, _of: usize) {}
    /// Called after every node that the closed-form recovery looked at: `done` of `of`.
    fn fitted(&mut self, _done: usize, _of: usize) {}
    /// Called after every update of the weights.
    fn tuned(&mut self, _update: &Update, _epochs: &[Epoch]) {}
    /// Called before a network of `nodes` nodes is proved in tract.
    fn proving(&mut self, _nodes: usize) {}
    /// Called after every update of the weights with all that is needed to go on from there.
    fn keep(&mut self, _before: &Resume, _state: &State) -> Result<()> {
        Ok(())
    }
}

/// A stage before the last, which is over.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Stage {
    /// What it kept, in the unit of [`Analysis::cost`].
    pub macs: u64,
    /// Agreement of its network, fitted, with the unpruned one.
    pub agreement: Option<Agreement>,
    /// Largest difference between its network, before the fits, and the masked one, as a share of the output's range.
    pub difference: f64,
}

/// Everything a run gives.
#[derive(Debug)]
pub struct Outcome {
    /// What was asked for, in the unit of [`Analysis::budget`].
    pub target: u64,
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

/// Prunes. The result is verified in our executor only: [`Pruner::run`] proves the bytes in tract besides.
#[doc(hidden)]
pub fn prune(
    graph: &Graph,
    facts: &Facts,
    analysis: &Analysis,
    data: &Calibration,
    options: &Options,
    opset: i64,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let target = target_cost(analysis, options.target)?;
    if matches!(options.recover, Recover::Finetune(_)) && !analysis.aims.learned {
        let reason =
            "'finetune' trains by gradients, and none come back from what can be computed of this network";
        let hint = format!("give {} reconstruct or none", Setting::Recover);
        return Err(Error::argument(Setting::Recover, reason, hint));
    }
    // Trunks lose channels that others read beside those that pick where the target cannot be met without.
    let mut analysis = analysis.clone();
    if target < analysis.readings.whole_trunks {
        analysis.groups.whole_trunks = false;
        analysis.fixed = std::mem::take(&mut analysis.readings.fixed_alone);
    }
    let analysis = &analysis;
    let (training, held_out) = split(data.len(), options.seed);
    let pool = Pool::new(options.threads)?;
    let run = Run {
        network: (graph, facts),
        analysis,
        data,
        options,
        opset,
        pool: &pool,
        training: &training,
        held_out: &held_out,
    };
    run.all(target, observer)
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
pub fn samples(graph: &Graph, facts: &Facts, data: &Calibration, list: &[usize]) -> Vec<Sample> {
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

/// The verdict over an outcome of pruning `graph`, with the files of the original, of the masked original and of the small
/// network before it was mended run in tract (`None` where one does not fit in one message).
#[doc(hidden)]
pub fn verdict(
    outcome: &Outcome,
    (graph, facts): (&Graph, &Facts),
    masked: &Graph,
    [original, of_masked, small]: [Option<&[u8]>; 3],
    pool: &Pool,
) -> Result<Verdict> {
    let inputs = facts.inputs(graph).unwrap_or_default();
    let samples = &outcome.samples;
    let (mut tract, mut rounding) = (Err("it takes a model in one piece of at most 2 GiB".into()), None);
    if let (Some(of_masked), Some(small)) = (of_masked, small) {
        tract = verify::compare_tract(of_masked, small, &inputs, samples, pool)?;
        if tract.as_ref().is_ok_and(|d| *d > verify::TOLERANCE) {
            let facts = infer(masked, Some(&inputs))?;
            let small = &outcome.rewritten.graph;
            rounding = verify::rounding_in_tract((masked, &facts), of_masked, small, samples, pool)?;
        }
    }
    let apart = match original {
        Some(bytes) => verify::compare_executors((graph, facts), bytes, samples, pool)?.ok(),
        None => None,
    };
    let proof = outcome.proof;
    let beyond = tract.as_ref().is_ok_and(|d| *d > verify::allowed(facts, rounding));
    Ok(Verdict {
        samples: samples.len(),
        absolute: proof.difference.absolute,
        relative: proof.difference.relative,
        rounding: proof.rounding,
        pass: !beyond && proof.difference.relative <= verify::TOLERANCE,
        tract,
        elsewhere: Vec::new(),
        tract_rounding: rounding,
        apart,
    })
}

/// The gates' places, for callers that verify on their own.
pub fn gates(graph: &Graph, groups: &Groups) -> Vec<GateSpec> {
    gate::specs(graph, groups)
}
