//! What a network costs: multiply-accumulates, or predicted time, as a function of the widths.
//!
//! Takes: graph, facts, groups. Gives: [`Cost`], which turns gate values (soft) or kept flags (hard) into MACs or nanoseconds
//! and their gradient: sums of products of widths, and for times the stairs that whole widths climb. Never: measures time.

pub mod latency;

use crate::coupling::{Groups, NONE, Site};
use crate::graph::*;
use crate::setting::Setting;
use latency::Stair;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Convention {
    /// Multiply-accumulates.
    #[default]
    Macs,
    /// As the paper's "FLOPs": multiply-accumulates, two for each element of a BatchNormalization, and average pooling.
    Paper,
}

/// A width: what is fixed of it, and the classes it counts, with how often each appears.
#[derive(Debug, Clone, PartialEq)]
struct Width {
    fixed: f64,
    classes: Vec<(usize, f64)>,
}

impl Width {
    fn whole(&self) -> f64 {
        self.fixed + self.classes.iter().map(|(_, times)| times).sum::<f64>()
    }

    fn of(&self, lambda: &[f64]) -> f64 {
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
    fn of(&self, lambda: &[f64]) -> f64 {
        self.widths.iter().map(|w| w.of(lambda)).product::<f64>() * self.coefficient
    }
}

/// Cost of a network by the widths of its classes: multiply-accumulates (Conv, ConvTranspose, Gemm, MatMul, LSTM, GRU, RNN;
/// biases and normalisations are not counted, except by [`Convention::Paper`]), or nanoseconds ([`Cost::latency`]).
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// What costs the same per channel everywhere.
    terms: Vec<Term>,
    /// What does not, as soft widths see it.
    soft: Vec<Term>,
    /// The same as whole widths see it.
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

    /// Whether it is time, in nanoseconds.
    pub fn is_time(&self) -> bool {
        self.time
    }

    /// An amount of it in words.
    pub fn amount(&self, cost: u64) -> String {
        if self.time { format!("{:.3} ms", cost as f64 / 1e6) } else { format!("{cost} MACs") }
    }

    /// The setting that asks for an amount of it.
    pub fn setting(&self) -> Setting {
        if self.time { Setting::TargetLatency } else { Setting::TargetFlops }
    }

    /// Cost at widths Σλ (λ per class; 1 is whole, 0 is gone).
    pub fn soft(&self, lambda: &[f64]) -> f64 {
        self.terms.iter().chain(&self.soft).map(|t| t.of(lambda)).sum()
    }

    /// Cost with some classes deleted.
    pub fn hard(&self, kept: &[bool]) -> u64 {
        self.per_node(kept).into_iter().fold(0, u64::saturating_add)
    }

    /// Cost of each node with some classes deleted.
    pub fn per_node(&self, kept: &[bool]) -> Vec<u64> {
        let lambda: Vec<f64> = kept.iter().map(|&k| f64::from(u8::from(k))).collect();
        let mut costs = vec![0.0; self.nodes];
        self.terms.iter().for_each(|t| costs[t.node] += t.of(&lambda));
        self.stairs.iter().for_each(|s| costs[s.node] += s.hard(&lambda));
        costs.into_iter().map(|c| c.round() as u64).collect()
    }

    /// The same with some classes deleted, ready for changes of single classes.
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
            let sizes: Vec<f64> = t.widths.iter().map(|w| w.of(lambda)).collect();
            for (k, w) in t.widths.iter().enumerate() {
                let others: f64 = sizes.iter().enumerate().filter(|(j, _)| *j != k).map(|(_, s)| s).product();
                for &(class, times) in &w.classes {
                    gradient[class] += scale * t.coefficient * others * times;
                }
            }
        }
    }
}

/// The cost of a network some classes of which are deleted, one after the other put back or taken out.
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
    /// Cost of the whole network.
    pub total: u64,
}

impl Running<'_> {
    /// Keeps or deletes a class.
    pub fn set(&mut self, class: usize, kept: bool) {
        self.lambda[class] = f64::from(u8::from(kept));
        for &n in &self.nodes[class] {
            let terms = self.terms[n].iter().map(|&k| self.cost.terms[k].of(&self.lambda));
            let stairs = self.stairs[n].iter().map(|&k| self.cost.stairs[k].hard(&self.lambda));
            // In the order in which the sum over all nodes adds them: to the same last bit.
            let cost = terms.chain(stairs).fold(0.0, |sum, c| sum + c).round() as u64;
            self.total = self.total - self.costs[n] + cost;
            self.costs[n] = cost;
        }
    }
}

fn width(n: NodeId, node: &Node, axis: Axis, facts: &Facts, groups: &Groups) -> Width {
    let value = match axis.port {
        Port::In(s) => node.inputs[s],
        Port::Out(s) => node.outputs[s],
    };
    let Some(v) = value else { return Width { fixed: 1.0, classes: Vec::new() } };
    let own = match axis.port {
        Port::In(slot) => groups.select(Site { node: n, slot, axis: axis.axis }),
        Port::Out(_) => None,
    };
    let labels = own.map_or(groups.axis(v, axis.axis), |s| &s.own);
    if labels.is_empty() {
        let size = facts.shape(v).and_then(|s| s.get(axis.axis)).copied().unwrap_or(1);
        return Width { fixed: size as f64, classes: Vec::new() };
    }
    let mut sorted: Vec<u32> = labels.iter().copied().filter(|&c| c != NONE).collect();
    let fixed = (labels.len() - sorted.len()) as f64;
    sorted.sort_unstable();
    let classes = sorted.chunk_by(|a, b| a == b).map(|run| (run[0] as usize, run.len() as f64)).collect();
    Width { fixed, classes }
}
