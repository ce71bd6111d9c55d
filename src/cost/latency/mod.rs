//! Predicted times of a network in tract on one core, from the times of its matrix kernels and of everything around them.
//!
//! Takes: graph, facts, groups, a [`Speed`]. Gives: a [`Cost`] in nanoseconds. A convolution is a product of an m×k and a k×n
//! matrix (m output channels, n output pixels, k inputs of an output) in tiles of mr×nr: its time is a staircase in m and
//! linear in k. Widths that are soft see the straight line through the foot and the head of the stairs. Never: measures.

mod operators;
mod tables;

use super::{Cost, Term, Width, width};
use crate::coupling::Groups;
use crate::graph::*;
use crate::tensor::*;
use std::sync::Arc;
pub use tables::Cpu;

/// A matrix kernel: time = mac · ⌈m/rows⌉·rows · ⌈n/columns⌉·columns · k + tile · ⌈m/rows⌉·⌈n/columns⌉ + call.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Kernel {
    /// Rows of a tile (output channels).
    pub rows: usize,
    /// Columns of a tile (output pixels).
    pub columns: usize,
    /// Seconds per multiply-accumulate of a tile.
    pub mac: f64,
    /// Seconds per tile.
    pub tile: f64,
    /// Seconds per product.
    pub call: f64,
}

impl Kernel {
    fn seconds(&self, m: f64, k: f64, n: f64) -> f64 {
        let tiles = (m / self.rows as f64).ceil() * (n / self.columns as f64).ceil();
        self.mac * tiles * (self.rows * self.columns) as f64 * k + self.tile * tiles + self.call
    }
}

/// Times of a processor for the parts of an inference, in seconds.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Speed {
    /// Its name.
    pub name: String,
    /// Where the figures come from.
    pub origin: String,
    /// Its kernels; the fastest is taken (kernels of one column only for n = 1).
    pub kernels: Vec<Kernel>,
    /// Per element of an operator that goes over its values once.
    pub element: f64,
    /// Per instruction of operators that do more than to go over their values once (none in files of former versions).
    #[serde(default)]
    pub instruction: f64,
    /// True for programs of 32 bits, with their own counts of instructions.
    #[serde(default)]
    pub narrow: bool,
    /// Per element of the k×n matrix that a convolution gathers.
    pub packed: f64,
    /// Per multiply-accumulate of a depthwise convolution.
    pub depthwise: f64,
    /// Per operator.
    pub call: f64,
}

impl Speed {
    /// One that takes `factor` times as long for everything.
    pub fn scaled(&self, factor: f64) -> Self {
        let kernel =
            |k: &Kernel| Kernel { mac: k.mac * factor, tile: k.tile * factor, call: k.call * factor, ..*k };
        Self {
            kernels: self.kernels.iter().map(kernel).collect(),
            element: self.element * factor,
            instruction: self.instruction * factor,
            packed: self.packed * factor,
            depthwise: self.depthwise * factor,
            call: self.call * factor,
            ..self.clone()
        }
    }

    /// The fastest kernel for an m×k by k×n product, and its time.
    fn product(&self, m: f64, k: f64, n: f64) -> (Option<&Kernel>, f64) {
        let fits = |kernel: &&Kernel| (kernel.columns == 1) == (n == 1.0);
        let kernels = self.kernels.iter().filter(fits).map(|kernel| (Some(kernel), kernel.seconds(m, k, n)));
        kernels.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((None, 0.0))
    }
}

/// A convolution or matrix product, `times` over.
#[derive(Debug, Clone)]
pub(super) struct Stair {
    pub node: NodeId,
    m: Width,
    k: Width,
    /// Rows of the k×n matrix per unit of `k`.
    taps: f64,
    n: f64,
    times: f64,
    groups: f64,
    speed: Arc<Speed>,
}

impl Stair {
    /// Nanoseconds at whole widths.
    pub fn hard(&self, lambda: &[f64]) -> f64 {
        let (m, k) = (self.m.at(lambda).round(), self.k.at(lambda).round());
        if m * k == 0.0 { 0.0 } else { self.at(m, k) }
    }

    /// The classes whose number it climbs with.
    pub fn classes(&self) -> impl Iterator<Item = usize> {
        self.m.classes.iter().chain(&self.k.classes).map(|(c, _)| *c)
    }

    fn at(&self, m: f64, k: f64) -> f64 {
        let (m, k) = (m / self.groups, k * self.taps);
        let (_, product) = self.speed.product(m, k, self.n);
        1e9 * self.times * self.groups * (product + self.speed.packed * self.packed() * k * self.n)
    }

    /// 1 where the k×n matrix is gathered, 0 where it is read in place.
    fn packed(&self) -> f64 {
        if self.n == 1.0 { 0.0 } else { 1.0 }
    }

    /// The line through the stairs, as a sum of products of widths: the kernel of the whole widths, a row for each channel.
    fn terms(&self) -> [Term; 4] {
        let (m, k) = (self.m.whole() / self.groups, self.k.whole() * self.taps);
        let (kernel, _) = self.speed.product(m, k, self.n);
        let kernel =
            kernel.copied().unwrap_or(Kernel { rows: 1, columns: 1, mac: 0.0, tile: 0.0, call: 0.0 });
        let columns = (self.n / kernel.columns as f64).ceil();
        // As many more rows as the whole width has.
        let padding = (m / kernel.rows as f64).ceil() / m;
        let unit = 1e9 * self.times;
        let tile = unit * padding * columns;
        let per_mac = kernel.mac * (kernel.rows * kernel.columns) as f64 * self.taps;
        let term = |coefficient: f64, widths: Vec<Width>| Term { node: self.node, coefficient, widths };
        [
            term(tile * per_mac, vec![self.m.clone(), self.k.clone()]),
            term(tile * kernel.tile, vec![self.m.clone()]),
            term(unit * self.groups * kernel.call, Vec::new()),
            term(
                unit * self.groups * self.speed.packed * self.packed() * self.taps * self.n,
                vec![self.k.clone()],
            ),
        ]
    }

    /// How often the classes of `group` count among the rows, and the time with `count` of them and all else whole.
    pub fn at_count(&self, group: &[usize], count: usize) -> Option<f64> {
        let own: f64 = self.m.classes.iter().filter(|(c, _)| group.contains(c)).map(|(_, t)| t).sum();
        let share = count as f64 / group.len() as f64;
        (own > 0.0).then(|| self.at((self.m.whole() - own * (1.0 - share)).round().max(1.0), self.k.whole()))
    }
}

impl Cost {
    /// Predicted nanoseconds per inference (batch as `facts` say) in tract on one core of such a processor.
    pub fn latency(network: Network, groups: &Groups, speed: &Speed) -> Self {
        let Network { graph, facts } = network;
        let speed = Arc::new(speed.clone());
        let mut cost = Self { nodes: graph.nodes.len(), time: true, ..Self::default() };
        for (n, node) in graph.nodes.iter().enumerate() {
            let Some((x, y)) = facts.operands(node).zip(facts.results(node)) else { continue };
            if facts.refusals[n].is_some() || facts.is_folded(node) || y.is_empty() {
                continue;
            }
            let io = Io { x: &x, y: &y };
            let products = node.op.cost(&io).macs();
            let width_of = |axis| width(n, node, axis, facts, groups);
            for product in &products {
                let widths: Vec<Width> = product.widths.iter().map(|&axis| width_of(axis)).collect();
                match stair(n, product, &widths, &io, &speed) {
                    Some(stair) => {
                        cost.soft.extend(stair.terms());
                        cost.stairs.push(stair);
                    }
                    None => {
                        let each = if widths.len() == 1 { speed.depthwise } else { speed.least() };
                        let coefficient = 1e9 * each * product.coefficient;
                        cost.terms.push(Term { node: n, coefficient, widths });
                    }
                }
            }
            let Some(more) = node.op.instructions(&io) else { continue };
            if fused_into(network, n).is_some() {
                continue;
            }
            let pass = if products.is_empty() { speed.element } else { 0.0 };
            let each = pass + speed.instruction * more.of(speed.narrow);
            if each > 0.0 {
                cost.terms.push(Term { node: n, coefficient: 1e9 * each, widths: sweep(&io, &width_of) });
            }
            cost.terms.push(Term { node: n, coefficient: 1e9 * speed.call, widths: Vec::new() });
        }
        cost
    }

    /// Counts of a group's classes at which one more costs much more than one less saves: the edges of its stairs, ascending.
    pub fn edges(&self, group: &[usize]) -> Vec<usize> {
        let time =
            |count: usize| -> f64 { self.stairs.iter().filter_map(|s| s.at_count(group, count)).sum() };
        let times: Vec<f64> = (0..=group.len()).map(time).collect();
        let mean = (times[group.len()] - times[0]) / group.len().max(1) as f64;
        let edge = |&c: &usize| c == group.len() || times[c + 1] - times[c] > 1.5 * mean;
        if mean <= 0.0 { Vec::new() } else { (1..=group.len()).filter(edge).collect() }
    }
}

impl Speed {
    /// Errors where figures that were read cannot be times.
    pub fn check(&self) -> Result<(), String> {
        let all = self.kernels.iter().flat_map(|k| [k.mac, k.tile, k.call]);
        let mut all = all.chain([self.element, self.instruction, self.packed, self.depthwise, self.call]);
        match self.kernels.iter().any(|k| k.rows == 0 || k.columns == 0) || self.kernels.is_empty() {
            true => Err("names no kernel, or one without rows or columns".into()),
            false if !all.all(|s| s.is_finite() && s >= 0.0) => Err("holds a time that is none".into()),
            false => Ok(()),
        }
    }

    /// Seconds per multiply-accumulate at the best.
    fn least(&self) -> f64 {
        self.kernels.iter().map(|k| k.mac).fold(f64::INFINITY, f64::min)
    }
}

/// A product of an output and an input axis, as kernels see it.
fn stair(node: NodeId, product: &Product, widths: &[Width], io: &Io, speed: &Arc<Speed>) -> Option<Stair> {
    let ([m, k], [out, into]) = (widths, product.widths.as_slice()) else { return None };
    let shape = io.output(0);
    let whole = *shape.get(out.axis)? as f64;
    if out.port != Port::Out(0) || volume(shape) == 0 {
        return None;
    }
    // Images are taken one by one.
    let times = if shape.len() > 2 { shape[0] as f64 } else { 1.0 };
    let n = volume(shape) as f64 / whole / times;
    let taps = (product.coefficient / (n * times)).max(1.0);
    // A grouped convolution's weights see a part of the input channels.
    let channels = io.input(0)?.get(1).copied().unwrap_or(1) as f64;
    let groups = match into.port {
        Port::In(1) if shape.len() > 2 && into.axis == 1 => (channels / k.whole().max(1.0)).max(1.0).round(),
        _ => 1.0,
    };
    Some(Stair { node, m: m.clone(), k: k.clone(), taps, n, times, groups, speed: speed.clone() })
}

/// The widths of the larger of an operator's first input and its output.
fn sweep(io: &Io, width: &dyn Fn(Axis) -> Width) -> Vec<Width> {
    let (port, shape) = match io.input(0) {
        Some(x) if volume(x) > volume(io.output(0)) => (Port::In(0), x),
        _ => (Port::Out(0), io.output(0)),
    };
    (0..shape.len()).map(|axis| width(Axis { port, axis })).collect()
}

/// The matrix product that node `n` is computed with: bounds are part of the product whose output they alone change.
pub fn fused_into(Network { graph, facts }: Network, n: NodeId) -> Option<NodeId> {
    let node = &graph.nodes[n];
    node.op.limit(&facts.operands(node)?)?;
    product_behind(graph, facts, *node.inputs.first()?)
}

/// The matrix product that a value comes out of, perhaps through what is fused with it.
fn product_behind(graph: &Graph, facts: &Facts, value: Option<ValueId>) -> Option<NodeId> {
    let n = graph.producer(value?)?;
    let node = &graph.nodes[n];
    let (x, y) = facts.operands(node).zip(facts.results(node))?;
    if node.op.cost(&Io { x: &x, y: &y }).multiplies() {
        return Some(n);
    }
    let through = node.op.normalisation().is_some() || node.op.adds();
    through.then(|| product_behind(graph, facts, *node.inputs.first()?))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coupling::{Residual, group};
    use crate::onnx;
    use std::path::Path;

    /// A 3×3 convolution of 64 channels into `channels` at 16×16.
    fn convolution(cpu: Cpu, channels: usize) -> Stair {
        let m = Width { fixed: 0.0, classes: (0..channels).map(|c| (c, 1.0)).collect() };
        let k = Width { fixed: 64.0, classes: Vec::new() };
        let speed = Arc::new(cpu.speed());
        Stair { node: 0, m, k, taps: 9.0, n: 256.0, times: 1.0, groups: 1.0, speed }
    }

    #[test]
    fn a_product_takes_its_tiles() {
        let speed = Cpu::CortexA7.speed();
        // 3 × 43 tiles of 8×6 for 20×256 outputs.
        let tiles = 3.0 * 43.0;
        let expected = 1.2186382e-9 * tiles * 48.0 * 100.0 + 3.1301494e-7 * tiles;
        let (kernel, seconds) = speed.product(20.0, 100.0, 256.0);
        assert_eq!((kernel.unwrap().rows, kernel.unwrap().columns), (8, 6));
        assert!((seconds - expected).abs() < 1e-12, "{seconds} {expected}");
    }

    #[test]
    fn edges_are_where_a_processors_tiles_are_full() {
        let edges = |cpu| {
            let stairs = vec![convolution(cpu, 96)];
            Cost { stairs, nodes: 1, ..Cost::default() }.edges(&(0..96).collect::<Vec<_>>())
        };
        // As tract's own choice of kernels has them (12 and 8 rows on the A53, 8 elsewhere).
        assert_eq!(edges(Cpu::CortexA53), [8, 12, 16, 24, 36, 40, 48, 60, 72, 84, 96]);
        assert_eq!(edges(Cpu::CortexA72), [8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96]);
    }

    /// The whole network has one cost, and fewer channels never cost more.
    #[test]
    fn soft_and_whole_widths_agree_on_the_whole_network() {
        for file in ["digits_chain", "digits_residual", "digits_concat", "digits_depthwise"] {
            let model = onnx::read(Path::new(&format!("models/{file}.onnx")), &[]).unwrap();
            let facts = model.facts().unwrap();
            let groups = group(Network::new(&model.graph, &facts), Residual::Tie);
            for cpu in Cpu::ALL {
                let cost = Cost::latency(Network::new(&model.graph, &facts), &groups, &cpu.speed());
                let n = groups.classes.len();
                let (soft, hard) = (cost.soft(&vec![1.0; n]), cost.hard(&vec![true; n]) as f64);
                assert!((soft / hard - 1.0).abs() < 1e-3, "{file} {cpu}: {soft} {hard}");
                let mut kept = vec![true; n];
                let mut last = cost.hard(&kept);
                for c in 0..n {
                    kept[c] = false;
                    let now = cost.hard(&kept);
                    assert!(now <= last, "{file} {cpu}: {now} after {last}");
                    last = now;
                }
            }
        }
    }
}
