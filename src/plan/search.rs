//! The search for a global threshold that meets the budget from below.

use super::Plan;
use crate::cost::Cost;
use crate::coupling::Groups;
use crate::error::{Error, Result};
use crate::setting::Setting;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// Bounds of a plan besides the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Least number of coordinates of an axis.
    pub min_channels: usize,
    /// Multiples in which groups keep classes.
    pub round: Round,
}

/// Numbers of classes that groups keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// A multiple of this number, or all.
    To(usize),
    /// A multiple of 8, or all; in groups of fewer than 64 classes of 4, 2 or 1, so that no step is more than an eighth of a group.
    /// Where fewer are left than that, half as many, and so on.
    Blocks,
    /// Numbers after which one more class costs most ([`Cost::edges`]).
    Edges,
}

impl Round {
    /// The number whose multiples large groups keep; 1 where that depends on the processor.
    pub fn multiple(self) -> usize {
        match self {
            Self::To(n) => n,
            Self::Blocks => BLOCK,
            Self::Edges => 1,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { min_channels: 1, round: Round::To(1) }
    }
}

/// Channels that common runtimes have kernels for at a time.
const BLOCK: usize = 8;

/// Fewest blocks of a group.
const BLOCKS: usize = 8;

/// Number whose multiples a group of `count` classes keeps, where it may be a small part of it.
fn block(count: usize) -> usize {
    let mut block = BLOCK;
    while block > 1 && block * BLOCKS > count {
        block /= 2;
    }
    block
}

/// 1, 2, 4 and so on below a power of two.
fn halves(n: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |k| Some(2 * k)).take_while(move |&k| k < n)
}

/// The multiples of `n` up to `most`, and `most`.
fn multiples(n: usize, most: usize) -> Vec<usize> {
    (1..=most).filter(|c| c.is_multiple_of(n) || *c == most).collect()
}

/// A network's groups and cost, ready to look for plans.
#[derive(Debug)]
pub struct Search<'a> {
    groups: &'a Groups,
    cost: &'a Cost,
    limits: Limits,
    /// Classes that must stay.
    fixed: Vec<bool>,
    /// For each axis that could become empty: its classes, with repetitions.
    axes: Vec<Vec<usize>>,
    /// Allowed numbers of classes, by group, ascending; none where all are.
    edges: Vec<Vec<usize>>,
    /// `(t, c)`: a reader picks channel t of a trunk as its own c.
    picks: Vec<(usize, usize)>,
    /// By class that a reader picks: the trunk's.
    trunks: HashMap<usize, Vec<usize>>,
    /// By class that a reader picks, and by branch's: the trunk's.
    needs: HashMap<usize, Vec<usize>>,
    /// `(t, b)`: branch channel b is added to channel t of a trunk.
    branches: Vec<(usize, usize)>,
}

impl<'a> Search<'a> {
    /// `fixed` marks classes that must stay.
    pub fn new(groups: &'a Groups, cost: &'a Cost, limits: Limits, fixed: Vec<bool>) -> Self {
        let mut axes = BTreeSet::new();
        for axis in groups.label.iter().flatten() {
            let classes: Option<Vec<usize>> = axis.iter().map(|c| c.get()).collect();
            axes.extend(classes.filter(|classes| !classes.is_empty()));
        }
        let edges = groups.groups.iter().map(|g| match limits.round {
            Round::To(1) => Vec::new(),
            Round::To(n) => multiples(n, g.classes.len()),
            Round::Blocks => match block(g.classes.len()) {
                1 => Vec::new(),
                n => halves(n).chain(multiples(n, g.classes.len())).collect(),
            },
            Round::Edges => cost.edges(&g.classes),
        });
        let edges = edges.collect();
        let picks: BTreeSet<(usize, usize)> = groups.picks().filter_map(|(t, own)| Some((t, own?))).collect();
        let branches = groups.implied.iter().copied().filter(|pair| !picks.contains(pair)).collect();
        let mut trunks: HashMap<usize, Vec<usize>> = HashMap::new();
        picks.iter().for_each(|&(t, own)| trunks.entry(own).or_default().push(t));
        let mut needs: HashMap<usize, Vec<usize>> = HashMap::new();
        groups.implied.iter().for_each(|&(t, c)| needs.entry(c).or_default().push(t));
        // Branches and what readers pick come last: of what the trunk keeps for others.
        let mut axes: Vec<Vec<usize>> = axes.into_iter().collect();
        axes.sort_by_key(|axis| axis.iter().any(|c| needs.contains_key(c)));
        let picks = picks.into_iter().collect();
        Self { groups, cost, limits, fixed, axes, edges, picks, trunks, needs, branches }
    }

    /// Also allows every group to lose the classes that are `dead`, and no others.
    pub fn without(mut self, dead: &[bool]) -> Self {
        for (group, edges) in self.groups.groups.iter().zip(&mut self.edges) {
            let live = group.classes.iter().filter(|&&c| !dead[c]).count();
            if let (Err(at), true) = (edges.binary_search(&live), live > 0 && !edges.is_empty()) {
                edges.insert(at, live);
            }
        }
        self
    }

    /// Cost of the whole network.
    pub fn full(&self) -> u64 {
        self.cost.hard(&vec![true; self.groups.classes.len()])
    }

    /// The plan that keeps as little as must stay. It depends on no score, so that a budget which is reachable at the start is
    /// reachable after training.
    pub fn smallest(&self) -> Plan {
        let order = self.order(&vec![0.0; self.fixed.len()]);
        self.complete(&order, 0)
    }

    /// The plan that keeps as many of the best classes as the target allows. Errors if the target cannot be reached.
    pub fn meet(&self, score: &[f64], target: u64) -> Result<Plan> {
        let order = self.order(score);
        let plan = self.first(&order, target)?;
        Ok(self.fill(plan, &order, target))
    }

    /// As [`Search::meet`] by the threshold alone: the rest of the budget is not spent.
    pub fn threshold(&self, score: &[f64], target: u64) -> Result<Plan> {
        self.first(&self.order(score), target)
    }

    /// The plan that keeps as many as possible of the first classes of `order`.
    fn first(&self, order: &[usize], target: u64) -> Result<Plan> {
        let mut order = Cow::Borrowed(order);
        let (mut low, mut high) = (0, order.len());
        let mut best = self.complete(&order, 0);
        if best.cost > target {
            // Where something must stay, the best of it costs too much: what costs least goes in front.
            best = self.smallest();
            order.to_mut().sort_by_key(|&c| !best.kept[c]);
        }
        if best.cost > target {
            let (exclude, min_channels, round_to) =
                (Setting::Exclude, Setting::MinChannels, Setting::RoundTo);
            return Err(Error::argument(
                self.cost.setting(),
                format!(
                    "{} cannot be reached; the least possible is {}",
                    self.cost.amount(target),
                    self.cost.amount(best.cost)
                ),
                format!(
                    "ask for at least that, or give fewer {exclude}, a smaller {min_channels} or {round_to}"
                ),
            ));
        }
        while low < high {
            let middle = (low + high).div_ceil(2);
            let plan = self.complete(&order, middle);
            if plan.cost <= target {
                (low, best) = (middle, plan);
            } else {
                high = middle - 1;
            }
        }
        Ok(best)
    }

    /// All classes, best first; where a group keeps allowed numbers only, step by step.
    fn order(&self, score: &[f64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..score.len()).collect();
        let by = |order: &mut [usize], score: &[f64]| {
            let key = |c: usize| if self.fixed[c] { f64::INFINITY } else { score[c] };
            order.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
        };
        by(&mut order, score);
        if let Cow::Owned(steps) = self.in_steps(score, &order) {
            by(&mut order, &steps);
        }
        order
    }

    /// Scores by which the classes of a group between two allowed numbers come or go together: their mean. `order` is by `score`.
    fn in_steps<'s>(&self, score: &'s [f64], order: &[usize]) -> Cow<'s, [f64]> {
        let mut best = vec![Vec::new(); self.edges.len()];
        order.iter().for_each(|&c| best[self.groups.classes[c].group].push(c));
        let mut steps = Cow::Borrowed(score);
        let open = |c: &&usize| !self.fixed[**c] && score[**c].is_finite();
        for (g, edges) in self.edges.iter().enumerate().filter(|(g, _)| !self.is_derived(*g)) {
            let mut from = 0;
            for &to in edges {
                let step = &best[g][from..to];
                let count = step.iter().filter(open).count();
                let sum: f64 = step.iter().filter(open).map(|&c| score[c]).sum();
                step.iter().filter(open).for_each(|&c| steps.to_mut()[c] = sum / count as f64);
                from = to;
            }
        }
        steps
    }

    /// The plan that keeps the first `count` of `order`, with all limits met.
    fn complete(&self, order: &[usize], count: usize) -> Plan {
        let mut kept = self.fixed.clone();
        order[..count].iter().for_each(|&c| kept[c] = true);
        self.round(&mut kept, order);
        self.repair(&mut kept, order);
        let cost = self.cost.hard(&kept);
        Plan { kept, cost }
    }

    /// Takes groups down to an allowed number of classes.
    fn round(&self, kept: &mut [bool], order: &[usize]) {
        let open = |g: usize| !self.edges[g].is_empty() && !self.is_derived(g);
        let mut surplus: Vec<usize> = Vec::with_capacity(self.edges.len());
        for (g, group) in self.groups.groups.iter().enumerate() {
            let count = group.classes.iter().filter(|&&c| kept[c]).count();
            // Fewer than the first allowed number may go, unless they have to stay.
            let allowed = self.edges[g].iter().rev().find(|&&e| e <= count).copied().unwrap_or(0);
            surplus.push(if open(g) { count - allowed } else { 0 });
        }
        if surplus.iter().all(|s| *s == 0) {
            return;
        }
        for &c in order.iter().rev() {
            let left = &mut surplus[self.groups.classes[c].group];
            if *left > 0 && kept[c] && !self.fixed[c] {
                kept[c] = false;
                *left -= 1;
            }
        }
    }

    /// Classes from `count` of a group to the next allowed number.
    fn step(&self, group: usize, count: usize) -> usize {
        self.edges[group].iter().find(|&&e| e > count).map_or(1, |e| e - count)
    }

    /// True for a group of channels that stay while a reader picks them.
    fn is_derived(&self, group: usize) -> bool {
        self.groups.groups[group].classes.iter().any(|&c| self.derived(c))
    }

    fn derived(&self, class: usize) -> bool {
        self.groups.derived.get(class).copied().unwrap_or(false)
    }

    /// Lets trunks keep all that is picked from them, deletes branch channels without their trunk's, then fills axes below the
    /// least number with their best classes.
    fn repair(&self, kept: &mut [bool], order: &[usize]) {
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(r, &c)| rank[c] = r);
        (0..kept.len()).filter(|&c| self.derived(c)).for_each(|c| kept[c] = self.fixed[c]);
        let mut picked = vec![false; kept.len()];
        for &(trunk, own) in &self.picks {
            picked[trunk] |= kept[own];
            kept[trunk] |= kept[own];
        }
        for &(trunk, branch) in &self.branches {
            if !kept[trunk] && !self.fixed[branch] && !picked[branch] {
                kept[branch] = false;
            }
        }
        loop {
            let mut changed = false;
            for axis in &self.axes {
                let least = self.limits.min_channels.max(1).min(axis.len());
                let group = self.groups.classes[axis[0]].group;
                let mut have = axis.iter().filter(|&&c| kept[c]).count();
                if have >= least {
                    continue;
                }
                // A class may stand at several places of an axis; the allowed numbers are of classes.
                let own: BTreeSet<usize> =
                    axis.iter().copied().filter(|&c| self.groups.classes[c].group == group).collect();
                let round = self.edges[group].first().map_or(1, |&e| e.min(own.len()));
                let mut count = own.iter().filter(|&&c| kept[c]).count();
                let mut missing: Vec<usize> = axis.iter().copied().filter(|&c| !kept[c]).collect();
                let lacks = |c: &usize| self.needs.get(c).into_iter().flatten().any(|&t| !kept[t]);
                missing.sort_by_key(|c| (lacks(c), rank[*c]));
                missing.dedup();
                for c in missing {
                    if have >= least && count >= round {
                        break;
                    }
                    if have >= least && !own.contains(&c) {
                        continue;
                    }
                    kept[c] = true;
                    changed = true;
                    count += usize::from(own.contains(&c));
                    have += axis.iter().filter(|&&a| a == c).count();
                }
            }
            for &(trunk, branch) in &self.groups.implied {
                if kept[branch] && !kept[trunk] {
                    kept[trunk] = true;
                    changed = true;
                }
            }
            changed |= self.raise_trunks(kept, &rank);
            if !changed {
                return;
            }
        }
    }

    /// Adds channels to trunks that keep all that is picked from them, up to an allowed number.
    fn raise_trunks(&self, kept: &mut [bool], rank: &[usize]) -> bool {
        let mut changed = false;
        for (g, group) in self.groups.groups.iter().enumerate() {
            let count = group.classes.iter().filter(|&&c| kept[c]).count();
            if self.edges[g].is_empty() || self.edges[g].contains(&count) || !self.is_derived(g) {
                continue;
            }
            let mut missing: Vec<usize> = group.classes.iter().copied().filter(|&c| !kept[c]).collect();
            missing.sort_by_key(|&c| rank[c]);
            for &c in missing.iter().take(self.step(g, count)) {
                kept[c] = true;
                changed = true;
            }
        }
        changed
    }

    /// True if every group that gets some of `more` has an allowed number of classes with them.
    fn is_rounded(&self, kept: &[bool], more: &[usize]) -> bool {
        let mut added: HashMap<usize, usize> = HashMap::new();
        more.iter().for_each(|&c| *added.entry(self.groups.classes[c].group).or_default() += 1);
        added.into_iter().all(|(g, n)| {
            let count = || self.groups.groups[g].classes.iter().filter(|&&c| kept[c]).count();
            self.edges[g].is_empty() || self.edges[g].contains(&(count() + n))
        })
    }

    /// Adds further classes, best first, as long as they fit: the budget is spent.
    fn fill(&self, plan: Plan, order: &[usize], target: u64) -> Plan {
        let Plan { mut kept, cost } = plan;
        let mut running = self.cost.running(&kept);
        debug_assert_eq!(running.total, cost);
        let mut waits: HashMap<usize, Vec<usize>> = HashMap::new();
        self.branches.iter().for_each(|&(t, b)| waits.entry(b).or_default().push(t));
        let none = Vec::new();
        let mut misses = 0;
        let close = target - target / 2000;
        for (at, &c) in order.iter().enumerate() {
            if kept[c] || self.derived(c) {
                continue;
            }
            if running.total >= close || misses > 2000 {
                break;
            }
            let mut more = vec![c];
            let group = self.groups.classes[c].group;
            if !self.edges[group].is_empty() {
                // A whole step of the group: its next best classes.
                let count = self.groups.groups[group].classes.iter().filter(|&&c| kept[c]).count();
                let next =
                    order[at + 1..].iter().filter(|&&o| self.groups.classes[o].group == group && !kept[o]);
                more.extend(next.copied().take(self.step(group, count) - 1));
            }
            // A picked channel comes with its trunk's, and no branch's without.
            let picked: Vec<usize> =
                more.iter().flat_map(|o| self.trunks.get(o).unwrap_or(&none)).copied().collect();
            more.extend(picked);
            more.retain(|&o| !kept[o]);
            more.sort_unstable();
            more.dedup();
            let lacks =
                |o: &usize| waits.get(o).unwrap_or(&none).iter().any(|t| !kept[*t] && !more.contains(t));
            if more.iter().any(lacks) || !self.is_rounded(&kept, &more) {
                misses += 1;
                continue;
            }
            more.iter().for_each(|&o| running.set(o, true));
            if running.total <= target {
                more.iter().for_each(|&o| kept[o] = true);
            } else {
                more.iter().for_each(|&o| running.set(o, false));
                misses += 1;
            }
        }
        Plan { kept, cost: running.total }
    }
}
