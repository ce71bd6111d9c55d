//! Channels that constants kill: they are zero at every reader whatever the network's input is, or read by zeros only.
//!
//! Takes: a graph, its facts and groups. Gives: the classes without which no output changes. A channel's value is followed forward
//! from zero weights, masks and scales on: through layers by their weights, through all else on numbers, node by node, with
//! random numbers of several magnitudes for all that is not known. Never: calls a channel dead because it was zero for some inputs.

use super::groups::{ClassId, Groups};
use crate::graph::*;
use crate::support::index::OptIndex;
use crate::support::random::Draw;
use crate::tensor::*;
use ndarray::{ArrayView2, Axis};
use std::collections::{BTreeSet, HashMap, HashSet};

/// By value and axis, what is known of each coordinate: the number that it always is.
type Numbers = HashMap<(ValueId, usize), Vec<Option<f64>>>;

/// Lengths of axes without classes on which an operator is tried: what holds at both is no effect of a border.
const SIDES: [usize; 2] = [3, 5];

/// Most elements of an operand on which an operator is tried.
const MOST: usize = 1 << 20;

/// What unknown numbers are multiplied by, one after the other.
const MAGNITUDES: [f64; 6] = [0.0, 1.0, -1.0, 1e3, -1e3, 1e-3];

impl Groups {
    /// For each class: does no output depend on it?
    pub fn dead(&self, Network { graph, facts }: Network) -> Vec<bool> {
        let known = Known::follow(graph, facts, self);
        let mut dead = vec![true; self.classes.len()];
        for s in self.sites(graph) {
            let Some(v) = graph.nodes[s.node].inputs[s.slot] else { continue };
            let weighed = self.weighed_at(&graph.nodes[s.node], s.slot, facts);
            for (i, c) in self.at(graph, s).iter().enumerate() {
                let Some(c) = c.get() else { continue };
                let by_zero = weighed.get(&c).is_some_and(|nonzero| !nonzero);
                dead[c] &= by_zero || known.at(v, s.axis, i) == Some(0.0);
            }
        }
        for (trunk, own) in self.picks() {
            dead[trunk] &= own.is_some_and(|own| dead[own]);
        }
        dead
    }

    /// For the classes that appear in a reader's constant operands: has one of their coordinates a weight other than zero?
    fn weighed_at(&self, node: &Node, slot: usize, facts: &Facts) -> HashMap<ClassId, bool> {
        let mut found = HashMap::new();
        let others = node.inputs.iter().enumerate().filter(|(k, _)| *k != slot).filter_map(|(_, u)| *u);
        for u in others {
            let weight = |t: &&Tensor| t.dtype().is_float() && t.shape().len() > 1 && !t.is_empty();
            let Some(t) = facts.constant[u].as_ref().filter(weight) else { continue };
            let weights = t.to_array::<f32>();
            for axis in 0..t.shape().len() {
                let parts = around(&weights.view(), axis);
                for (part, class) in parts.axis_iter(Axis(1)).zip(self.axis(u, axis)) {
                    if let Some(c) = class.get() {
                        *found.entry(c).or_insert(false) |= part.iter().any(|w| *w != 0.0);
                    }
                }
            }
        }
        found
    }
}

/// Coordinates of values that have one number everywhere, whatever the network's input is.
#[derive(Default)]
struct Known(HashMap<(ValueId, usize), Vec<Option<f64>>>);

impl Known {
    fn follow(graph: &Graph, facts: &Facts, groups: &Groups) -> Self {
        let mut known = Self::default();
        for (n, node) in graph.nodes.iter().enumerate() {
            let Some((x, y)) = facts.operands(node).zip(facts.results(node)) else { continue };
            if facts.refusals[n].is_some() || facts.is_folded(node) || !node.captured.is_empty() {
                continue;
            }
            let trial = Trial { node, facts, groups, x: &x, y: &y };
            let layer = node.op.cost(&Io { x: &x, y: &y }).multiplies();
            if trial.begins(&known, layer) {
                trial.results(&mut known, layer);
            }
        }
        known
    }

    fn at(&self, v: ValueId, axis: usize, i: usize) -> Option<f64> {
        self.0.get(&(v, axis)).and_then(|along| along[i])
    }

    fn has(&self, v: ValueId, rank: usize) -> bool {
        (0..rank).any(|axis| self.0.contains_key(&(v, axis)))
    }
}

/// A node on which it is tried what its results do not depend on.
struct Trial<'a> {
    node: &'a Node,
    facts: &'a Facts,
    groups: &'a Groups,
    x: &'a Operands<'a>,
    y: &'a [Fact],
}

impl Trial<'_> {
    fn constants(&self) -> impl Iterator<Item = (ValueId, &Tensor)> {
        let constant = |&v: &ValueId| Some((v, self.facts.constant[v].as_ref()?));
        self.node.inputs.iter().flatten().filter_map(constant)
    }

    fn computed(&self) -> impl Iterator<Item = ValueId> {
        let computed = |v: &ValueId| self.facts.constant[*v].is_none();
        self.node.inputs.iter().flatten().copied().filter(computed)
    }

    /// True if something of an operand is known, a constant of at least `rank` axes has zeros for a whole class, or a node
    /// other than a layer makes channels that it does not read.
    fn begins(&self, known: &Known, layer: bool) -> bool {
        let rank = if layer { 2 } else { 1 };
        let knows = |v: ValueId| known.has(v, self.facts.shape(v).map_or(0, <[usize]>::len));
        let kills = |(v, t): (ValueId, &Tensor)| {
            t.shape().len() >= rank && (0..t.shape().len()).any(|axis| self.has_zeros(v, t, axis))
        };
        self.computed().any(knows) || self.constants().any(kills) || !layer && self.makes()
    }

    /// True if a result has classes that no computed operand has: a Pad's, a Concat's.
    fn makes(&self) -> bool {
        let labels = |v: ValueId| self.groups.label.get(v).into_iter().flatten().flatten();
        let classes = |v: ValueId| labels(v).filter_map(|c| c.get());
        let read: HashSet<ClassId> = self.computed().flat_map(classes).collect();
        self.node.outputs.iter().flatten().any(|&v| classes(v).any(|c| !read.contains(&c)))
    }

    fn has_zeros(&self, v: ValueId, t: &Tensor, axis: usize) -> bool {
        let classes = self.groups.axis(v, axis);
        if classes.iter().all(|c| c.is_none()) {
            return false;
        }
        let values = t.to_array::<f32>();
        let parts = around(&values.view(), axis);
        parts.axis_iter(Axis(1)).zip(classes).any(|(part, c)| c.is_some() && part.iter().all(|x| *x == 0.0))
    }

    /// Notes what the results are known to be.
    fn results(&self, known: &mut Known, layer: bool) {
        let silent = if layer { Some(self.silent(known)) } else { None };
        if silent.as_ref().is_some_and(BTreeSet::is_empty) {
            return;
        }
        let tried = SIDES.map(|side| self.tried(known, side, layer));
        let [Some(a), Some(b)] = tried else { return };
        for (key, along) in a {
            let classes = self.groups.axis(key.0, key.1);
            let agreed = along.iter().zip(b.get(&key).into_iter().flatten()).zip(classes);
            let agreed = agreed.map(|((a, b), c)| {
                let speaks = |c: ClassId| silent.as_ref().is_none_or(|silent| silent.contains(&c));
                a.filter(|_| a == b && c.get().is_some_and(speaks))
            });
            let agreed: Vec<Option<f64>> = agreed.collect();
            if agreed.len() == along.len() && agreed.iter().any(Option::is_some) {
                known.0.insert(key, agreed);
            }
        }
    }

    /// Classes of a layer's results that it multiplies by zeros only: by weights that are zero, or what is read is.
    fn silent(&self, known: &Known) -> BTreeSet<ClassId> {
        let mut read: HashMap<ClassId, bool> = HashMap::new();
        for v in self.computed() {
            for axis in 0..self.facts.shape(v).map_or(0, <[usize]>::len) {
                for (i, c) in self.groups.axis(v, axis).iter().enumerate() {
                    let Some(c) = c.get() else { continue };
                    *read.entry(c).or_insert(true) &= known.at(v, axis, i) == Some(0.0);
                }
            }
        }
        let zero_in: HashSet<ClassId> = read.into_iter().filter(|(_, zero)| *zero).map(|(c, _)| c).collect();
        let mut by_class: HashMap<ClassId, bool> = HashMap::new();
        for (v, t) in self.constants().filter(|(_, t)| t.dtype().is_float() && t.shape().len() > 1) {
            let shape = t.shape();
            let labels: Vec<&[OptIndex]> = (0..shape.len()).map(|axis| self.groups.axis(v, axis)).collect();
            let steps: Vec<usize> = (0..shape.len()).map(|axis| volume(&shape[axis + 1..])).collect();
            for (k, w) in t.to_real::<f32>().into_iter().enumerate() {
                let class = |axis: usize| labels[axis][k / steps[axis] % shape[axis]];
                let classes = (0..shape.len()).filter_map(|axis| class(axis).get());
                let zero = w == 0.0 || classes.clone().any(|c| zero_in.contains(&c));
                classes.for_each(|c| *by_class.entry(c).or_insert(true) &= zero);
            }
        }
        by_class.into_iter().filter(|(_, zero)| *zero).map(|(c, _)| c).collect()
    }

    /// Numbers that coordinates of the results have for all that is tried: of a layer, only for zeros.
    fn tried(&self, known: &Known, side: usize, layer: bool) -> Option<Numbers> {
        let form = self.smaller(known, side).or_else(|| self.whole())?;
        let kernel = form.bind(self.node, self.x)?;
        let magnitudes = if layer { &MAGNITUDES[..1] } else { &MAGNITUDES[..] };
        let mut found = Numbers::new();
        for (k, &magnitude) in magnitudes.iter().enumerate() {
            let inputs: Vec<Option<Array<f64>>> = (0..self.node.inputs.len())
                .map(|slot| {
                    let (v, operand) = (self.node.inputs[slot]?, self.x[slot]?);
                    match operand.value {
                        Some(t) => Some(t.to_array()),
                        None => Some(self.fill(known, v, &form.x[slot].as_ref()?.shape, magnitude, layer)),
                    }
                })
                .collect();
            let mut results = computed(&*kernel, &views(&inputs), &form.y);
            form.y.iter().zip(&mut results).for_each(|(fact, y)| fact.dtype.round(y.elements_mut()));
            for (v, y) in self.node.outputs.iter().zip(&results) {
                let Some(v) = *v else { continue };
                for axis in 0..y.ndim() {
                    if self.groups.axis(v, axis).iter().all(|c| c.is_none()) {
                        continue;
                    }
                    let along = constant_along(y, axis);
                    match found.get_mut(&(v, axis)).filter(|_| k > 0) {
                        Some(before) => {
                            let pairs = before.iter_mut().zip(along);
                            pairs.for_each(|(a, b)| *a = a.filter(|_| *a == b));
                        }
                        None => drop(found.insert((v, axis), along)),
                    }
                }
            }
        }
        Some(found)
    }

    /// An operand with what is known of it, and random numbers of a magnitude elsewhere; a layer's is zero.
    fn fill(&self, known: &Known, v: ValueId, shape: &[usize], magnitude: f64, layer: bool) -> Array<f64> {
        let mut draw = Draw::new(v as u64, 0);
        let mut x = Array::zeros(shape);
        x.iter_mut().for_each(|x| *x = magnitude * (0.5 + f64::from(draw.unit())));
        if let Some(fact) = &self.facts.fact[v] {
            fact.dtype.round(x.elements_mut());
        }
        for axis in (0..shape.len()).filter(|_| !layer) {
            let Some(along) = known.0.get(&(v, axis)) else { continue };
            for (mut part, known) in around_mut(&mut x.view_mut(), axis).axis_iter_mut(Axis(1)).zip(along) {
                known.iter().for_each(|&number| part.fill(number));
            }
        }
        x
    }

    /// Operands and results where axes without classes are `side` long, if that is a form of the node.
    fn smaller(&self, known: &Known, side: usize) -> Option<Form> {
        let classed = |v: ValueId, axis: usize| {
            known.0.contains_key(&(v, axis)) || self.groups.axis(v, axis).iter().any(|c| c.is_some())
        };
        let facts: Vec<Option<Fact>> = (0..self.node.inputs.len())
            .map(|slot| {
                let (v, operand) = (self.node.inputs[slot]?, self.x[slot]?);
                let short = |(axis, &size): (usize, &usize)| match classed(v, axis) {
                    true => size,
                    false => size.min(side),
                };
                let shape: Shape = match operand.value {
                    Some(t) => t.shape().to_vec(),
                    None => operand.fact.shape.iter().enumerate().map(short).collect(),
                };
                Some(Fact::new(operand.fact.dtype, shape))
            })
            .collect();
        let operand = |(fact, x): (&'_ Option<Fact>, &Option<Operand<'_>>)| -> Option<usize> {
            fact.as_ref().zip(x.as_ref()).map(|(fact, _)| volume(&fact.shape))
        };
        if facts.iter().zip(self.x).filter_map(operand).any(|n| n > MOST) {
            return None;
        }
        let operands: Vec<Option<Operand>> = facts
            .iter()
            .zip(self.x)
            .map(|(fact, x)| Some(Operand::new(fact.as_ref()?, x.as_ref()?.value)))
            .collect();
        let y = self.node.op.infer(&operands).ok()?;
        let fits = |(k, v): (usize, &Option<ValueId>)| {
            let (Some(v), Some(y)) = (*v, y.get(k)) else { return true };
            let whole = &self.y[k].shape;
            let axes = 0..whole.len();
            y.shape.len() == whole.len()
                && volume(&y.shape) > 0
                && axes.into_iter().all(|axis| {
                    let classes = self.groups.axis(v, axis);
                    classes.iter().all(|c| c.is_none()) || y.shape[axis] == whole[axis]
                })
        };
        let ok = self.node.outputs.iter().enumerate().all(fits) && y.len() >= self.node.outputs.len();
        ok.then_some(Form { x: facts, y })
    }

    /// Operands and results as they are, unless they are too large.
    fn whole(&self) -> Option<Form> {
        let x: Vec<Option<Fact>> = self.x.iter().map(|x| x.map(|x| x.fact.clone())).collect();
        let small = x.iter().flatten().chain(self.y).all(|fact| volume(&fact.shape) <= MOST);
        small.then(|| Form { x, y: self.y.to_vec() })
    }
}

/// Types and shapes at which a node is tried.
struct Form {
    /// Operands by slot.
    x: Vec<Option<Fact>>,
    /// Results by slot.
    y: Vec<Fact>,
}

impl Form {
    /// The node at these shapes, with the constants among `operands`; `None` where it cannot be run.
    fn bind(&self, node: &Node, operands: &Operands) -> Option<Box<dyn Kernel>> {
        let pairs = self.x.iter().zip(operands);
        let x: Vec<Option<Operand>> =
            pairs.map(|(fact, x)| Some(Operand::new(fact.as_ref()?, x.as_ref()?.value))).collect();
        node.op.bind(&Io { x: &x, y: &self.y }).ok()
    }
}

/// For each coordinate of an axis, the number that all its elements are.
fn constant_along(y: &Array<f64>, axis: usize) -> Vec<Option<f64>> {
    let number = |part: ArrayView2<f64>| {
        let first = *part.first()?;
        (first.is_finite() && part.iter().all(|x| *x == first)).then_some(first)
    };
    around(&y.view(), axis).axis_iter(Axis(1)).map(number).collect()
}
