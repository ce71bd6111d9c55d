//! Analysis of a network ahead of any training: its groups and cost, the least that can be kept, and targets within reach.
//!
//! Takes: a network, options, a target. Gives: an [`Analysis`], an [`Aim`]. Never: trains anything, or lets a target out of reach
//! pass.

use super::{Criterion, Options, Target, Unit};
use crate::cost::Cost;
use crate::coupling::{self, Group, Groups};
use crate::error::{Error, Result};
use crate::exec::Aims;
use crate::gates::gate::{self, Unlearned};
use crate::graph::*;
use crate::plan::{Limits, Search};
use crate::setting::Setting;
use regex::Regex;
use std::borrow::Cow;

/// Groups, costs and reach of a network.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// Its channel groups.
    pub groups: Groups,
    /// Values at which it is judged.
    pub aims: Aims,
    /// By class: it is zero whatever the input, or read by zeros only, so that nothing changes without it.
    pub dead: Vec<bool>,
    /// By class: it must stay, as the criterion cannot tell its worth.
    pub fixed: Vec<bool>,
    /// Layers whose channels must stay as an operator without gradient stands in the way.
    pub unlearned: Vec<Unlearned>,
    /// Its MACs.
    pub cost: Cost,
    /// Its predicted time, for a processor that was named.
    pub time: Option<Cost>,
    /// MACs of the whole network.
    pub macs_total: u64,
    /// MACs where as little as possible is kept, in the unit of the analysis.
    pub macs_min: u64,
    /// Kept flag per class at that least.
    pub kept_at_min: Vec<bool>,
    /// The unit in which as little as possible is kept.
    pub(super) unit: Unit,
    /// Least amount in that unit if trunks from which layers pick stay whole.
    whole_trunks: u64,
    /// [`Analysis::fixed`] if channels of such trunks are ranked by layers that read them whole.
    fixed_alone: Vec<bool>,
    /// Lower bounds on widths.
    limits: Limits,
    /// MACs and predicted time of the network that was given, where another one that is equal to it is analysed.
    pub(super) given: Option<[u64; 2]>,
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
    pub(super) analysis: Cow<'a, Analysis>,
    unit: Unit,
    /// Amount to be kept, in the unit.
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

    /// Amount of the network that was given, in a unit; of its MACs where no processor was named.
    pub fn whole(&self, unit: Unit) -> u64 {
        match self.given {
            Some([macs, _]) if unit == Unit::Macs => macs,
            Some([_, time]) => time,
            None => self.before(unit),
        }
    }

    /// Amount of the network that is cut, before it is.
    pub fn before(&self, unit: Unit) -> u64 {
        let cost = self.time.as_ref().filter(|_| unit == Unit::Time).unwrap_or(&self.cost);
        cost.hard(&vec![true; self.dead.len()])
    }

    /// The target, checked. Errors where it is more than the network has, or less than can be reached.
    pub fn aim(&self, target: Target) -> Result<Aim<'_>> {
        let unit = target.unit();
        self.budget(unit)?;
        let (whole, floor) = (self.whole(unit), self.floor(unit)?);
        let aim = Aim { analysis: Cow::Borrowed(self), unit, amount: target.of(whole), floor };
        aim.check().map(|()| aim)
    }
}

impl Aim<'_> {
    /// The unit of the target.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Amount to be kept, in MACs or nanoseconds.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// The cost that the target is an amount of.
    pub fn budget(&self) -> &Cost {
        let Analysis { cost, time, .. } = &*self.analysis;
        time.as_ref().filter(|_| self.unit == Unit::Time).unwrap_or(cost)
    }

    /// Amount of the network that was given, in MACs or nanoseconds.
    pub fn total(&self) -> u64 {
        self.analysis.whole(self.unit)
    }

    /// The aim with trunks that may lose channels which some layers read whole, where the target cannot be met without.
    pub(super) fn opened(&self) -> Self {
        let mut aim = self.clone();
        if aim.amount < aim.floor.whole_trunks {
            let analysis = aim.analysis.to_mut();
            analysis.groups.whole_trunks = false;
            analysis.fixed = std::mem::take(&mut analysis.fixed_alone);
        }
        aim
    }

    /// Errors above the whole network or below what can be reached.
    fn check(&self) -> Result<()> {
        let (budget, whole, asked) = (self.budget(), self.total(), self.amount);
        let refuse = |reason: String, hint: String| Err(Error::argument(budget.setting(), reason, hint));
        if asked > whole {
            let reason =
                format!("{} are more than the network has ({})", budget.amount(asked), budget.amount(whole));
            return refuse(reason, "give what is to be kept, at most 100%".into());
        }
        let before = self.analysis.before(self.unit);
        if asked > before {
            let reason = format!(
                "nothing has to be cut: in other operators the network takes {} of {}",
                budget.amount(before),
                budget.amount(whole)
            );
            return refuse(reason, "'autobot-onnx rewrite' writes it in these operators".into());
        }
        if asked < budget.hard(&self.floor.kept) {
            return refuse(unreachable(self), way_out(self));
        }
        Ok(())
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

/// The least of a cost, given the classes that must stay: if channels of trunks are ranked by layers that pick, and if by
/// layers that read all.
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
pub fn analyse(network: Network, options: &Options, unit: Unit) -> Result<Analysis> {
    let graph = network.graph;
    let mut groups = coupling::group(network, options.residual);
    groups.restrict(|g| {
        if options.exclude.as_ref().is_some_and(|r| mentions(graph, g, r)) {
            return Err(excluded());
        }
        if options.only.as_ref().is_some_and(|r| !mentions(graph, g, r)) {
            return Err(format!("not selected by {}", Setting::Only));
        }
        Ok(())
    });
    let cost = Cost::new(network, &groups, options.convention);
    let full = cost.hard(&vec![true; groups.classes.len()]);
    let dead = groups.dead(network);
    let aims = aims(network, &groups, &dead, options.criterion);
    groups.whole_trunks = false;
    let fixed_alone = fixed(graph, &groups, &dead, &aims, options.criterion);
    groups.whole_trunks = true;
    let fixed = fixed(graph, &groups, &dead, &aims, options.criterion);
    let unlearned = match options.criterion {
        Criterion::Gates => gate::unlearned(network, &groups, &fixed),
        Criterion::Dependence | Criterion::L1 | Criterion::Random => Vec::new(),
    };
    let time = options.speed.as_ref().map(|speed| Cost::latency(network, &groups, speed));
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
        given: None,
    })
}

/// Values at which the network is judged: none that can lose channels. Ahead of an operator without gradient that is a value
/// whose channels gates leave whole, as they cannot learn their worth.
fn aims(network: Network, groups: &Groups, dead: &[bool], criterion: Criterion) -> Aims {
    let classes = |v: ValueId| {
        let all = groups.label.get(v).into_iter().flatten().flatten();
        all.filter_map(|c| c.get())
    };
    if criterion == Criterion::Gates {
        let aims = Aims::learned(network, |v| classes(v).all(|c| !dead[c]));
        if aims.learned {
            return aims;
        }
    }
    Aims::compared(network, |v| classes(v).next().is_none())
}

/// By class: it must stay, as its worth cannot be learned. A dead one is worth nothing, a trunk's channel goes with the last
/// reader that picks it, and other criteria need no gradient; but of a trunk from which layers pick only these layers know.
fn fixed(graph: &Graph, groups: &Groups, dead: &[bool], aims: &Aims, criterion: Criterion) -> Vec<bool> {
    let worth = match criterion {
        Criterion::Gates if aims.learned => gate::trainable(graph, groups, &aims.targets),
        Criterion::Gates => vec![false; dead.len()],
        Criterion::Dependence | Criterion::L1 | Criterion::Random => {
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

/// The reason why an amount cannot be reached.
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

/// The way out where an amount cannot be reached.
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
