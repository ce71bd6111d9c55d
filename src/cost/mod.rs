//! Cost of a network as a function of its widths: multiply-accumulates, or predicted time.
//!
//! Takes: graph, facts, groups. Gives: [`Cost`], which turns gate values (soft) or kept flags (hard) into MACs or nanoseconds
//! and their gradient: sums of products of widths, and for times the stairs that whole widths climb. Never: measures time.

pub mod latency;

use crate::coupling::{Groups, Site};
use crate::graph::*;
use crate::setting::Setting;
use latency::Stair;

/// The operations that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Convention {
    /// Multiply-accumulates.
    #[default]
    Macs,
    /// As the paper's "FLOPs": multiply-accumulates, two for each element of a BatchNormalization, and average pooling.
    Paper,
}

/// A width: its fixed part, and the classes in it, each with the number of its coordinates.
#[derive(Debug, Clone, PartialEq)]
struct Width {
    fixed: f64,
    classes: Vec<(usize, f64)>,
}

impl Width {
    fn whole(&self) -> f64 {
        self.fixed + self.classes.iter().map(|(_, times)| times).sum::<f64>()
    }

    fn at(&self, lambda: &[f64]) -> f64 {
        self.fixed + self.classes.iter().map(|&(c, times)| times * lambda[c]).sum::<f64>()
    }
}

#[derive(Debug, Clone)]
struct Term {
    node: NodeId,
    coefficient: f64,
    widths: Vec<Width>,
}

impl Term {
    fn at(&self, lambda: &[f64]) -> f64 {
        self.widths.iter().map(|w| w.at(lambda)).product::<f64>() * self.coefficient
    }
}

/// Cost of a network by the widths of its classes: multiply-accumulates (Conv, ConvTranspose, Gemm, MatMul, LSTM, GRU, RNN;
/// biases and normalisations are not counted, except by [`Convention::Paper`]), or nanoseconds ([`Cost::latency`]).
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// Parts with one price per channel.
    terms: Vec<Term>,
    /// The other parts, at soft widths.
    soft: Vec<Term>,
    /// The other parts, at whole widths.
    stairs: Vec<Stair>,
    nodes: usize,
    time: bool,
}

impl Cost {
    /// Collects the terms of all nodes.
    pub fn new(Network { graph, facts }: Network, groups: &Groups, convention: Convention) -> Self {
        let mut terms = Vec::new();
        for (n, node) in graph.nodes.iter().enumerate() {
            let Some((x, y)) = facts.operands(node).zip(facts.results(node)) else { continue };
            if !facts.is_counted(n, node) || facts.is_folded(node) {
                continue;
            }
            let io = Io { x: &x, y: &y };
            let work = node.op.cost(&io);
            let products = match convention {
                Convention::Macs => work.macs(),
                Convention::Paper => work.all(),
            };
            for product in products {
                let widths = product.widths.iter().map(|&axis| width(n, node, axis, facts, groups)).collect();
                terms.push(Term { node: n, coefficient: product.coefficient, widths });
            }
        }
        Self { terms, nodes: graph.nodes.len(), ..Self::default() }
    }

    /// True for time, in nanoseconds.
    pub fn is_time(&self) -> bool {
        self.time
    }

    /// An amount of this cost in words.
    pub fn amount(&self, cost: u64) -> String {
        if self.time { format!("{:.3} ms", cost as f64 / 1e6) } else { format!("{cost} MACs") }
    }

    /// The setting that takes a target for this cost.
    pub fn setting(&self) -> Setting {
        if self.time { Setting::TargetLatency } else { Setting::TargetFlops }
    }

    /// Cost at widths Σλ (λ per class; 1 is whole, 0 is gone).
    pub fn soft(&self, lambda: &[f64]) -> f64 {
        self.terms.iter().chain(&self.soft).map(|t| t.at(lambda)).sum()
    }

    /// Cost with some classes deleted.
    pub fn hard(&self, kept: &[bool]) -> u64 {
        self.per_node(kept).into_iter().fold(0, u64::saturating_add)
    }

    /// Cost of each node with some classes deleted.
    pub fn per_node(&self, kept: &[bool]) -> Vec<u64> {
        let lambda: Vec<f64> = kept.iter().map(|&k| f64::from(u8::from(k))).collect();
        let mut costs = vec![0.0; self.nodes];
        self.terms.iter().for_each(|t| costs[t.node] += t.at(&lambda));
        self.stairs.iter().for_each(|s| costs[s.node] += s.hard(&lambda));
        costs.into_iter().map(|c| c.round() as u64).collect()
    }

    /// Cost with some classes deleted, ready for changes of single classes.
    pub fn running(&self, kept: &[bool]) -> Running<'_> {
        let mut terms = vec![Vec::new(); self.nodes];
        self.terms.iter().enumerate().for_each(|(k, t)| terms[t.node].push(k));
        let mut stairs = vec![Vec::new(); self.nodes];
        self.stairs.iter().enumerate().for_each(|(k, s)| stairs[s.node].push(k));
        let mut nodes = vec![Vec::new(); kept.len()];
        for t in &self.terms {
            t.widths.iter().flat_map(|w| &w.classes).for_each(|&(c, _)| nodes[c].push(t.node));
        }
        for s in &self.stairs {
            s.classes().for_each(|c| nodes[c].push(s.node));
        }
        for list in &mut nodes {
            list.sort_unstable();
            list.dedup();
        }
        let lambda = kept.iter().map(|&k| f64::from(u8::from(k))).collect();
        let costs = self.per_node(kept);
        let total = costs.iter().sum();
        Running { cost: self, terms, stairs, nodes, lambda, costs, total }
    }

    /// Adds `scale · ∂soft/∂λ` to `gradient`.
    pub fn gradient(&self, lambda: &[f64], scale: f64, gradient: &mut [f64]) {
        for t in self.terms.iter().chain(&self.soft) {
            let sizes: Vec<f64> = t.widths.iter().map(|w| w.at(lambda)).collect();
            for (k, w) in t.widths.iter().enumerate() {
                let others: f64 = sizes.iter().enumerate().filter(|(j, _)| *j != k).map(|(_, s)| s).product();
                for &(class, times) in &w.classes {
                    gradient[class] += scale * t.coefficient * others * times;
                }
            }
        }
    }
}

/// The cost of a network while single classes are put back or taken out.
#[derive(Debug)]
pub struct Running<'a> {
    cost: &'a Cost,
    /// By node: its terms, its stairs.
    terms: Vec<Vec<usize>>,
    stairs: Vec<Vec<usize>>,
    /// By class: the nodes whose cost it changes.
    nodes: Vec<Vec<NodeId>>,
    lambda: Vec<f64>,
    costs: Vec<u64>,
    /// Cost of all nodes.
    pub total: u64,
}

impl Running<'_> {
    /// Keeps or deletes a class.
    pub fn set(&mut self, class: usize, kept: bool) {
        self.lambda[class] = f64::from(u8::from(kept));
        for &n in &self.nodes[class] {
            let terms = self.terms[n].iter().map(|&k| self.cost.terms[k].at(&self.lambda));
            let stairs = self.stairs[n].iter().map(|&k| self.cost.stairs[k].hard(&self.lambda));
            // In the order in which the sum over all nodes adds them: to the same last bit.
            let cost = terms.chain(stairs).fold(0.0, |sum, c| sum + c).round() as u64;
            self.total = self.total - self.costs[n] + cost;
            self.costs[n] = cost;
        }
    }
}

fn width(n: NodeId, node: &Node, axis: Axis, facts: &Facts, groups: &Groups) -> Width {
    let Some(v) = node.value_at(axis.port) else { return Width { fixed: 1.0, classes: Vec::new() } };
    let own = match axis.port {
        Port::In(slot) => groups.select(Site { node: n, slot, axis: axis.axis }),
        Port::Out(_) => None,
    };
    let labels = own.map_or(groups.axis(v, axis.axis), |s| &s.own);
    if labels.is_empty() {
        let size = facts.shape(v).and_then(|s| s.get(axis.axis)).copied().unwrap_or(1);
        return Width { fixed: size as f64, classes: Vec::new() };
    }
    let mut sorted: Vec<usize> = labels.iter().filter_map(|c| c.get()).collect();
    let fixed = (labels.len() - sorted.len()) as f64;
    sorted.sort_unstable();
    let classes = sorted.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as f64)).collect();
    Width { fixed, classes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coupling::{Residual, group};
    use crate::ops::Net;

    /// 3 → 8 → 6 → 2 channels at 4 × 4, the second layer with windows of 3 × 3; and its groups.
    fn chain() -> (Graph, Facts, Groups) {
        let mut net = Net::default();
        let x = net.input(&[1, 3, 6, 6]);
        let a = net.conv(x, &[8, 3, 1, 1], 1);
        let b = net.conv(a, &[6, 8, 3, 3], 1);
        let y = net.conv(b, &[2, 6, 1, 1], 1);
        let (graph, facts) = net.done(&[y]);
        let groups = group(Network::new(&graph, &facts), Residual::Tie);
        assert_eq!(groups.classes.len(), 14);
        (graph, facts, groups)
    }

    fn macs() -> Cost {
        let (graph, facts, groups) = chain();
        Cost::new(Network::new(&graph, &facts), &groups, Convention::Macs)
    }

    /// All classes but `gone`.
    fn without(gone: &[usize]) -> Vec<bool> {
        (0..14).map(|c| !gone.contains(&c)).collect()
    }

    #[test]
    fn macs_are_products_of_the_widths_that_are_left() {
        let cost = macs();
        let counted = |a: u64, b: u64| vec![36 * 3 * a, 16 * 9 * a * b, 16 * b * 2];
        assert_eq!(cost.per_node(&without(&[])), counted(8, 6));
        assert_eq!(cost.per_node(&without(&[0, 5])), counted(6, 6));
        assert_eq!(cost.per_node(&without(&[1, 8, 9, 13])), counted(7, 3));
        assert_eq!(cost.hard(&without(&[1, 8, 9, 13])), counted(7, 3).iter().sum::<u64>());
    }

    #[test]
    fn soft_is_hard_at_whole_widths() {
        let cost = macs();
        for gone in [&[][..], &[0], &[3, 8], &[0, 1, 2, 9, 10, 11]] {
            let kept = without(gone);
            let lambda: Vec<f64> = kept.iter().map(|&k| if k { 1.0 } else { 0.0 }).collect();
            assert_eq!(cost.soft(&lambda), cost.hard(&kept) as f64, "{gone:?}");
        }
    }

    /// A cost is linear in each λ, so that differences have no error of their own; a time's soft widths are, too.
    #[test]
    fn the_gradient_is_the_difference() {
        let (graph, facts, groups) = chain();
        let time = Cost::latency(Network::new(&graph, &facts), &groups, &latency::Cpu::CortexA53.speed());
        for cost in [macs(), time] {
            let lambda: Vec<f64> = (0..14).map(|c| 0.3 + 0.05 * f64::from(c)).collect();
            let mut gradient = vec![1.0; 14];
            cost.gradient(&lambda, 2.0, &mut gradient);
            for c in 0..14 {
                let at = |x: f64| {
                    let mut moved = lambda.clone();
                    moved[c] = x;
                    cost.soft(&moved)
                };
                let expected = 1.0 + 2.0 * (at(1.0) - at(0.0));
                assert!((gradient[c] / expected - 1.0).abs() < 1e-9, "{c}: {} {expected}", gradient[c]);
            }
        }
    }

    #[test]
    fn a_running_cost_is_that_of_the_classes_that_are_left() {
        let (graph, facts, groups) = chain();
        let time = Cost::latency(Network::new(&graph, &facts), &groups, &latency::Cpu::CortexA53.speed());
        for cost in [macs(), time] {
            let mut kept = without(&[2, 9]);
            let mut running = cost.running(&kept);
            for c in [0, 9, 12, 0, 2, 13] {
                kept[c] = !kept[c];
                running.set(c, kept[c]);
                assert_eq!(running.total, cost.hard(&kept), "after {c}");
            }
        }
    }

    /// The paper counts two for each element of a normalisation; multiply-accumulates do not.
    #[test]
    fn a_convention_says_what_is_counted() {
        let mut net = Net::default();
        let x = net.input(&[1, 3, 4, 4]);
        let a = net.conv(x, &[5, 3, 1, 1], 1);
        let of_channels = [(); 4].map(|()| net.counted(&[5]));
        let inputs = [&[a][..], &of_channels].concat();
        let n = net.plain("BatchNormalization", &inputs);
        let y = net.conv(n, &[2, 5, 1, 1], 1);
        let (graph, facts) = net.done(&[y]);
        let groups = group(Network::new(&graph, &facts), Residual::Tie);
        let count =
            |convention| Cost::new(Network::new(&graph, &facts), &groups, convention).hard(&[true; 5]);
        let macs = 16 * (3 * 5 + 5 * 2);
        assert_eq!(count(Convention::Macs), macs);
        assert_eq!(count(Convention::Paper), macs + 2 * 16 * 5);
    }
}
