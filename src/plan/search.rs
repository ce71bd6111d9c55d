//! The search for a global threshold that meets the budget from below.

use super::Plan;
use crate::channels::{Groups, NONE};
use crate::cost::Cost;
use crate::error::{Error, Result};
use std::collections::BTreeSet;

/// What a plan must respect besides the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At least so many coordinates stay on every axis.
    pub min_channels: usize,
    /// Groups keep a multiple of this many classes (or all of them).
    pub round_to: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { min_channels: 1, round_to: 1 }
    }
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
}

impl<'a> Search<'a> {
    /// `fixed` marks classes that must stay.
    pub fn new(groups: &'a Groups, cost: &'a Cost, limits: Limits, fixed: Vec<bool>) -> Self {
        let mut axes = BTreeSet::new();
        for axis in groups.label.iter().flatten() {
            if !axis.is_empty() && axis.iter().all(|&c| c != NONE) {
                axes.insert(axis.iter().map(|&c| c as usize).collect::<Vec<_>>());
            }
        }
        Self { groups, cost, limits, fixed, axes: axes.into_iter().collect() }
    }

    /// MACs of the whole network.
    pub fn full(&self) -> u64 {
        self.cost.hard(&vec![true; self.groups.classes.len()])
    }

    /// The plan that keeps as little as must stay. It is the same for all scores: what is said to be reachable before
    /// anything is trained can be reached afterwards.
    pub fn smallest(&self) -> Plan {
        let order = self.order(&vec![0.0; self.fixed.len()]);
        self.complete(&order, 0)
    }

    /// The plan that keeps as many of the best classes as the target allows. Errors if the target cannot be reached.
    pub fn meet(&self, score: &[f64], target: u64) -> Result<Plan> {
        let plan = self.threshold(score, target)?;
        Ok(self.fill(plan, &self.order(score), target))
    }

    /// As [`Search::meet`] by the threshold alone: what is left of the budget is not spent.
    pub fn threshold(&self, score: &[f64], target: u64) -> Result<Plan> {
        let mut order = self.order(score);
        let (mut low, mut high) = (0, order.len());
        let mut best = self.complete(&order, 0);
        if best.macs > target {
            // Where something must stay, the best of it costs too much: what costs least goes in front.
            best = self.smallest();
            order.sort_by_key(|&c| !best.kept[c]);
        }
        if best.macs > target {
            return Err(Error::argument(
                "--target-flops",
                format!("{target} MACs cannot be reached; the smallest possible are {}", best.macs),
                "ask for at least that, or give fewer --exclude, a smaller --min-channels or --round-to",
            ));
        }
        while low < high {
            let middle = (low + high).div_ceil(2);
            let plan = self.complete(&order, middle);
            if plan.macs <= target {
                (low, best) = (middle, plan);
            } else {
                high = middle - 1;
            }
        }
        Ok(best)
    }

    /// All classes, best first.
    fn order(&self, score: &[f64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..score.len()).collect();
        let key = |c: usize| if self.fixed[c] { f64::INFINITY } else { score[c] };
        order.sort_by(|&a, &b| key(b).total_cmp(&key(a)).then(a.cmp(&b)));
        order
    }

    /// The plan that keeps the first `count` of `order`, with all limits met.
    fn complete(&self, order: &[usize], count: usize) -> Plan {
        let mut kept = self.fixed.clone();
        order[..count].iter().for_each(|&c| kept[c] = true);
        self.round(&mut kept, order);
        self.repair(&mut kept, order);
        let macs = self.cost.hard(&kept);
        Plan { kept, macs }
    }

    /// Takes groups down to a multiple of `round_to`.
    fn round(&self, kept: &mut [bool], order: &[usize]) {
        let n = self.limits.round_to;
        if n < 2 {
            return;
        }
        for (g, group) in self.groups.groups.iter().enumerate() {
            let count = group.classes.iter().filter(|&&c| kept[c]).count();
            if count == group.classes.len() || count.is_multiple_of(n) {
                continue;
            }
            let mut surplus = count % n;
            for &c in order.iter().rev() {
                if surplus > 0 && self.groups.classes[c].group == g && kept[c] && !self.fixed[c] {
                    kept[c] = false;
                    surplus -= 1;
                }
            }
        }
    }

    /// Deletes branches whose trunk channel is gone, then fills axes that keep too little with their best classes.
    fn repair(&self, kept: &mut [bool], order: &[usize]) {
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(r, &c)| rank[c] = r);
        for &(trunk, branch) in &self.groups.implied {
            if !kept[trunk] && !self.fixed[branch] {
                kept[branch] = false;
            }
        }
        loop {
            let mut changed = false;
            for axis in &self.axes {
                let least = self.limits.min_channels.max(1).min(axis.len());
                let round = if self.limits.round_to > 1 { self.limits.round_to.min(axis.len()) } else { 1 };
                let mut have = axis.iter().filter(|&&c| kept[c]).count();
                if have >= least {
                    continue;
                }
                let mut missing: Vec<usize> = axis.iter().copied().filter(|&c| !kept[c]).collect();
                missing.sort_by_key(|&c| rank[c]);
                missing.dedup();
                for c in missing {
                    if have >= least.max(round) {
                        break;
                    }
                    kept[c] = true;
                    changed = true;
                    have += axis.iter().filter(|&&a| a == c).count();
                }
            }
            for &(trunk, branch) in &self.groups.implied {
                if kept[branch] && !kept[trunk] {
                    kept[trunk] = true;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Adds further classes, best first, as long as they fit: the budget is spent.
    fn fill(&self, mut plan: Plan, order: &[usize], target: u64) -> Plan {
        let mut misses = 0;
        let close = target - target / 2000;
        for (at, &c) in order.iter().enumerate() {
            if plan.kept[c] {
                continue;
            }
            if plan.macs >= close || misses > 2000 {
                break;
            }
            let mut kept = plan.kept.clone();
            kept[c] = true;
            if self.limits.round_to > 1 {
                // A whole step of the group: its next best classes.
                let group = self.groups.classes[c].group;
                let more =
                    order[at + 1..].iter().filter(|&&o| self.groups.classes[o].group == group && !kept[o]);
                let more: Vec<usize> = more.copied().take(self.limits.round_to - 1).collect();
                more.into_iter().for_each(|o| kept[o] = true);
                self.round(&mut kept, order);
            }
            for &(trunk, branch) in &self.groups.implied {
                if branch == c && !kept[trunk] {
                    kept[c] = false;
                }
            }
            let macs = self.cost.hard(&kept);
            if macs <= target && kept != plan.kept {
                plan = Plan { kept, macs };
            } else {
                misses += 1;
            }
        }
        plan
    }
}
