use super::*;
use crate::cost::{Convention, Cost};
use crate::coupling::{Group, Groups, Residual, group};
use crate::graph::*;
use crate::ops::Net;

struct Given {
    groups: Groups,
    cost: Cost,
}

impl Given {
    fn of((graph, facts): (Graph, Facts), residual: Residual) -> Self {
        let groups = group(Network::new(&graph, &facts), residual);
        let cost = Cost::new(Network::new(&graph, &facts), &groups, Convention::Macs);
        Self { groups, cost }
    }

    /// 3 → 8 → 6 → 2 channels: classes 0 to 7 and 8 to 13.
    fn chain() -> Self {
        let given = Self::layers(4, [8, 6, 2]);
        assert_eq!(given.groups.groups.iter().map(|g| g.classes.len()).collect::<Vec<_>>(), [8, 6]);
        given
    }

    /// Layers of one tap, one after the other, on 3 channels of `side`×`side`.
    fn layers(side: usize, widths: [usize; 3]) -> Self {
        let mut net = Net::default();
        let (mut x, mut channels) = (net.input(&[1, 3, side, side]), 3);
        for width in widths {
            (x, channels) = (net.conv(x, &[width, channels, 1, 1], 1), width);
        }
        Self::of(net.done(&[x]), Residual::Tie)
    }

    /// A trunk of 4 channels to which a layer of as many, the branch, is added: it may be cut alone.
    fn residual() -> Self {
        let mut net = Net::default();
        let x = net.input(&[1, 3, 4, 4]);
        let trunk = net.conv(x, &[4, 3, 1, 1], 1);
        let branch = net.conv(trunk, &[4, 4, 1, 1], 1);
        let sum = net.plain("Add", &[trunk, branch]);
        let y = net.conv(sum, &[2, 4, 1, 1], 1);
        let given = Self::of(net.done(&[y]), Residual::Expand);
        assert_eq!(given.groups.implied.len(), 4);
        given
    }

    fn search(&self, limits: Limits) -> Search<'_> {
        Search::new(&self.groups, &self.cost, limits, vec![false; self.groups.classes.len()])
    }

    fn counts(&self, plan: &Plan) -> Vec<usize> {
        let count = |g: &Group| g.classes.iter().filter(|&&c| plan.kept[c]).count();
        self.groups.groups.iter().map(count).collect()
    }
}
const SCORE: [f64; 14] = [0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4, 0.95, 0.15, 0.75, 0.25, 0.65, 0.35];

#[test]
fn a_budget_is_met_from_below_and_spent() {
    let given = Given::chain();
    let search = given.search(Limits::default());
    let (least, full) = (search.smallest().cost, search.full());
    assert_eq!((least, full), (16 * (3 + 1 + 2), 16 * (3 * 8 + 8 * 6 + 6 * 2)));
    for target in (least..=full).step_by(16) {
        let plan = search.meet(&SCORE, target).unwrap();
        assert_eq!(plan.cost, given.cost.hard(&plan.kept));
        assert!(plan.cost <= target, "{} of {target}", plan.cost);
        for c in (0..14).filter(|&c| !plan.kept[c]) {
            let mut more = plan.kept.clone();
            more[c] = true;
            assert!(given.cost.hard(&more) > target, "{c} would fit into {target}");
        }
    }
    assert_eq!(search.meet(&SCORE, full).unwrap().deleted(), 0);
}

#[test]
fn a_threshold_keeps_the_best() {
    let given = Given::chain();
    let plan = given.search(Limits::default()).threshold(&SCORE, 16 * (3 * 4 + 4 * 3 + 3 * 2)).unwrap();
    let kept: Vec<usize> = (0..14).filter(|&c| plan.kept[c]).collect();
    assert_eq!(kept, [0, 2, 4, 6, 8, 10, 12]);
}

#[test]
fn of_equal_scores_the_first_stay() {
    let given = Given::chain();
    let plan = given.search(Limits::default()).threshold(&[0.5; 14], 16 * (3 * 5 + 5 + 2)).unwrap();
    let kept: Vec<usize> = (0..14).filter(|&c| plan.kept[c]).collect();
    // None of the second layer's would be left: its best is, the first too.
    assert_eq!(kept, [0, 1, 2, 3, 4, 8]);
}

#[test]
fn limits_hold_at_every_budget() {
    let given = Given::chain();
    let search = given.search(Limits { min_channels: 3, round: Round::To(1) });
    assert_eq!(given.counts(&search.smallest()), [3, 3]);
    let search = given.search(Limits { min_channels: 1, round: Round::To(4) });
    assert_eq!(given.counts(&search.smallest()), [4, 4]);
    let (least, full) = (search.smallest().cost, search.full());
    for target in (least..=full).step_by(16) {
        let plan = search.meet(&SCORE, target).unwrap();
        let counts = given.counts(&plan);
        assert!(plan.cost <= target && [4, 8].contains(&counts[0]) && [4, 6].contains(&counts[1]));
    }
}

#[test]
fn what_is_fixed_stays_however_low_its_score() {
    let given = Given::chain();
    let fixed = (0..14).map(|c| c == 1 || c == 13).collect();
    let search = Search::new(&given.groups, &given.cost, Limits::default(), fixed);
    let score = SCORE.map(|s| if s < 0.4 { 0.0 } else { s });
    for plan in [search.smallest(), search.meet(&score, 16 * 20).unwrap()] {
        assert!(plan.kept[1] && plan.kept[13]);
    }
}

#[test]
fn a_budget_below_the_least_is_refused_with_the_least() {
    let given = Given::chain();
    let search = given.search(Limits { min_channels: 2, round: Round::To(1) });
    let least = search.smallest().cost;
    assert_eq!(search.meet(&SCORE, least).unwrap().cost, least);
    let error = search.meet(&SCORE, least - 1).unwrap_err().to_string();
    assert!(error.contains(&format!("the least possible is {least} MACs")), "{error}");
}

/// At any budget, in order and against it.
#[test]
fn no_branch_channel_stays_without_its_trunk() {
    let given = Given::residual();
    let search = given.search(Limits::default());
    let n = given.groups.classes.len();
    for score in [(0..n).map(|c| c as f64).collect::<Vec<_>>(), (0..n).map(|c| -(c as f64)).collect()] {
        for target in (search.smallest().cost..=search.full()).step_by(16) {
            let plan = search.meet(&score, target).unwrap();
            assert!(plan.cost <= target);
            assert!(given.groups.implied.iter().all(|&(t, b)| plan.kept[t] || !plan.kept[b]));
        }
    }
}

/// What is kept of a group is what is best together, and whole steps go.
#[test]
fn steps_go_by_their_mean() {
    let given = Given::chain();
    let search = given.search(Limits { min_channels: 1, round: Round::To(4) });
    // One class of the first group is the best of all; the others of its step are worth little.
    let mut score = [0.2; 14];
    score[0] = 0.9;
    score[8..].copy_from_slice(&[0.6, 0.1, 0.5, 0.1, 0.55, 0.5]);
    let plan = search.threshold(&score, 16 * (3 * 4 + 4 * 4 + 4 * 2)).unwrap();
    assert_eq!(given.counts(&plan), [4, 4]);
    assert!(plan.kept[0] && [8, 10, 12, 13].iter().all(|&c| plan.kept[c]));
    // Four steps: (0.9 + 3·0.2)/4, (0.6 + 0.55 + 0.5 + 0.5)/4, 0.2, 0.1.
    let plan = search.threshold(&score, 16 * (3 * 8 + 8 * 4 + 4 * 2)).unwrap();
    assert_eq!(given.counts(&plan), [8, 4]);
}

#[test]
fn blocks_are_a_small_part_of_a_group() {
    let given = Given::layers(2, [64, 16, 2]);
    let limits = Limits { min_channels: 1, round: Round::Blocks };
    // Single channels are reached as without limits.
    assert_eq!(given.search(limits).smallest(), given.search(Limits::default()).smallest());
    let score: Vec<f64> = (0..80).map(|c| ((c * 37) % 80) as f64).collect();
    let search = given.search(limits);
    for target in (search.smallest().cost..=search.full()).step_by(64) {
        let counts = given.counts(&search.meet(&score, target).unwrap());
        let allowed = |count: usize, block: usize| count.is_multiple_of(block) || block.is_multiple_of(count);
        assert!(allowed(counts[0], 8) && allowed(counts[1], 2), "{counts:?}");
    }
    // Where some channels are dead, as many as live are allowed too.
    let dead: Vec<bool> = (0..80).map(|c| c < 13).collect();
    let score: Vec<f64> = dead.iter().map(|&dead| if dead { f64::NEG_INFINITY } else { 1.0 }).collect();
    let search = given.search(limits).without(&dead);
    let plan = search.meet(&score, 4 * (3 * 51 + 51 * 16 + 16 * 2)).unwrap();
    assert_eq!(plan.kept, dead.iter().map(|dead| !dead).collect::<Vec<_>>());
}
