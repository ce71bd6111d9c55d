//! The laws (one harness, every operator, every case). An operator's file only lists its cases.
//!
//! 1. attributes that an operator writes are read again as they were
//! 2. inferred shape = shape of the result; results are finite
//! 3. backward = central differences, in f64, for every floating-point input
//! 4. deleting a class = zeroing it where it is read: resize(op)(sliced x) = slice(op(masked x))
//! 5. macs = the products in the operator's definition, counted one by one (`counts.rs`)
//! 6. the number of free classes of each case is a committed number
//! 7. results that are said to be never negative are not
//! 8. `bind` takes every node that `infer` takes, whatever its shapes (`shapes.rs`)
//! 9. a form gives what the operator gives (`forms.rs`)

mod counts;
mod forms;
mod runtimes;
mod shapes;

use crate::ops::read;

use crate::coupling::Groups;
use crate::graph::*;
use crate::support::index::OptIndex;
use crate::tensor::*;
use ndarray::ArrayViewMutD;
use std::sync::Arc;

/// One input of a case.
#[derive(Debug, Clone)]
pub enum Given {
    /// Activations: random numbers that change from run to run of the network.
    Data(Shape),
    /// Positive activations, away from zero (for Sqrt, Log and divisors).
    Positive(Shape),
    /// A floating-point constant.
    Weight(Shape),
    /// A positive floating-point constant (variances, divisors).
    PositiveWeight(Shape),
    /// A given constant.
    Fixed(Tensor),
    /// An absent optional input.
    Absent,
}

/// Activations of a shape.
pub fn data(shape: &[usize]) -> Given {
    Given::Data(shape.to_vec())
}
/// Positive activations of a shape.
pub fn positive(shape: &[usize]) -> Given {
    Given::Positive(shape.to_vec())
}
/// A constant of a shape.
pub fn weight(shape: &[usize]) -> Given {
    Given::Weight(shape.to_vec())
}
/// A positive constant of a shape.
pub fn positive_weight(shape: &[usize]) -> Given {
    Given::PositiveWeight(shape.to_vec())
}
/// A constant list of integers.
pub fn ints(values: &[i64]) -> Given {
    Given::Fixed(Tensor::ints(values))
}
/// A constant list of floats.
pub fn floats(values: &[f32]) -> Given {
    Given::Fixed(Tensor::floats(&[values.len()], values.to_vec()))
}
/// The constant 0, 1, 2, … of a shape.
pub fn counting(shape: &[usize]) -> Given {
    Given::Fixed(Tensor::floats(shape, (0..volume(shape)).map(|i| i as f32).collect()))
}
/// A constant scalar.
pub fn scalar(value: f32) -> Given {
    Given::Fixed(Tensor::floats(&[], vec![value]))
}
/// An absent optional input.
pub fn absent() -> Given {
    Given::Absent
}

/// An operator with attributes and inputs, and how many of its classes are free when nothing around it objects.
#[derive(Debug, Clone)]
pub struct Case {
    pub(super) op: &'static str,
    pub(super) domain: &'static str,
    name: &'static str,
    pub(super) opset: i64,
    pub(super) attributes: Attributes,
    pub(super) inputs: Vec<Given>,
    pub(super) outputs: usize,
    free: usize,
}

impl Case {
    /// A case of operator `op`, at opset 17, with one output.
    pub fn new(op: &'static str) -> Self {
        Self {
            op,
            domain: "",
            name: "plain",
            opset: 17,
            attributes: Attributes::new(),
            inputs: Vec::new(),
            outputs: 1,
            free: 0,
        }
    }
    /// Another domain.
    pub fn domain(mut self, domain: &'static str) -> Self {
        self.domain = domain;
        self
    }
    /// The name of the case, among the operator's cases.
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }
    /// Another opset.
    pub fn opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self
    }
    /// Number of outputs.
    pub fn outputs(mut self, outputs: usize) -> Self {
        self.outputs = outputs;
        self
    }
    /// An attribute.
    pub fn attr(mut self, name: &str, value: impl Into<Attr>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }
    /// An INT attribute.
    pub fn int(self, name: &str, value: i64) -> Self {
        self.attr(name, value)
    }
    /// A FLOAT attribute.
    pub fn float(self, name: &str, value: f32) -> Self {
        self.attr(name, value)
    }
    /// An INTS attribute.
    pub fn ints(self, name: &str, value: &[i64]) -> Self {
        self.attr(name, value.to_vec())
    }
    /// A STRING attribute.
    pub fn string(self, name: &str, value: &str) -> Self {
        self.attr(name, value.to_owned())
    }
    /// The inputs by slot.
    pub fn inputs(mut self, inputs: impl IntoIterator<Item = Given>) -> Self {
        self.inputs = inputs.into_iter().collect();
        self
    }
    /// Law 6: the number of free classes (coordinates tied together count once; frozen ones do not count).
    pub fn free(mut self, classes: usize) -> Self {
        self.free = classes;
        self
    }

    /// The results, for tests that compare values.
    pub fn results(&self) -> Vec<Array<f64>> {
        let graph = self.graph();
        let facts = self.facts(&graph);
        let node = &graph.nodes[0];
        let (x, y) = shapes(self, &facts, node);
        self.run(node.op.as_ref(), &Io { x: &x, y: &y }, &self.values(&graph, 1))
    }

    /// Asserts the first result, up to rounding.
    pub fn gives(&self, expected: &[f64]) {
        let results = self.results();
        let found = results[0].elements();
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 2e-5 * b.abs().max(1.0);
        let equal = found.len() == expected.len() && found.iter().zip(expected).all(near);
        assert!(equal, "{}: {found:?}, expected {expected:?}", self.title());
    }

    fn title(&self) -> String {
        format!("{} ({})", self.op, self.name)
    }

    /// The kernel of an operator whose shapes are inferred: law 8.
    fn bind(&self, op: &dyn Op, io: &Io) -> Box<dyn Kernel> {
        op.bind(io).unwrap_or_else(|e| panic!("{}: infer takes what bind refuses: {e:?}", self.title()))
    }

    /// Results of an operator of the case.
    fn run(&self, op: &dyn Op, io: &Io, x: &[Option<Array<f64>>]) -> Vec<Array<f64>> {
        run(self.bind(op, io).as_ref(), x, io.y)
    }

    /// The case as a graph of one node, without network outputs (nothing around it objects).
    pub(super) fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        let mut slots = Vec::new();
        for (k, given) in self.inputs.iter().enumerate() {
            let origin = match given {
                Given::Absent => {
                    slots.push(None);
                    continue;
                }
                Given::Data(_) | Given::Positive(_) => Origin::Input,
                Given::Weight(shape) => Origin::Initializer(random_tensor(shape, 100 + k as u64, false)),
                Given::PositiveWeight(shape) => {
                    Origin::Initializer(random_tensor(shape, 100 + k as u64, true))
                }
                Given::Fixed(t) => Origin::Initializer(t.clone()),
            };
            let declared = match given {
                Given::Data(s) | Given::Positive(s) => Some(Fact::new(DType::F32, s.clone())),
                _ => None,
            };
            slots.push(Some(graph.values.len()));
            graph.values.push(Value { name: format!("x{k}"), origin, declared });
        }
        let mut outputs = Vec::new();
        for k in 0..self.outputs {
            outputs.push(Some(graph.values.len()));
            graph.values.push(Value { name: format!("y{k}"), origin: Origin::Node(0, k), declared: None });
        }
        let op = read(self.op, self.domain, self.opset, &self.attributes, self.inputs.len(), self.outputs)
            .unwrap_or_else(|e| panic!("{}: {e:?}", self.title()));
        graph.nodes.push(Node {
            name: self.op.to_owned(),
            op_type: self.op.to_owned(),
            op: Arc::from(op),
            inputs: slots,
            outputs,
            captured: Vec::new(),
            source: None,
        });
        graph
    }

    fn input_facts(&self) -> Vec<Option<Fact>> {
        self.inputs
            .iter()
            .map(|g| match g {
                Given::Data(s) | Given::Positive(s) => Some(Fact::new(DType::F32, s.clone())),
                _ => None,
            })
            .collect()
    }

    /// Facts with the case's data inputs in place.
    pub(super) fn facts(&self, graph: &Graph) -> Facts {
        // The inputs are not declared as network inputs, so that nothing is frozen; infer needs them as such.
        let mut with_inputs = graph.clone();
        with_inputs.inputs =
            (0..graph.values.len()).filter(|&v| matches!(graph.values[v].origin, Origin::Input)).collect();
        let given: Vec<Fact> = self.input_facts().into_iter().flatten().collect();
        infer(&with_inputs, Some(&given)).unwrap_or_else(|e| panic!("{}: {e}", self.title()))
    }

    /// Values for all inputs, by slot.
    fn values(&self, graph: &Graph, seed: u64) -> Vec<Option<Array<f64>>> {
        let node = &graph.nodes[0];
        (0..self.inputs.len())
            .map(|k| match &self.inputs[k] {
                Given::Absent => None,
                Given::Data(s) => Some(random(s, seed + k as u64, false)),
                Given::Positive(s) => Some(random(s, seed + k as u64, true)),
                _ => graph.initializer(node.inputs[k]?).map(|t| t.to_array()),
            })
            .collect()
    }
}

/// Reproducible numbers in ±[0.1, 1.1], spread so that no two are close (kinks and maxima stay away).
fn random(shape: &[usize], seed: u64, positive: bool) -> Array<f64> {
    let n = volume(shape);
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, next() % (i + 1));
    }
    let data = order.into_iter().map(|rank| {
        let magnitude = 0.1 + (rank as f64 + 0.5) / n as f64;
        if positive || next() % 2 == 0 { magnitude } else { -magnitude }
    });
    array(shape, data.collect())
}

fn random_tensor(shape: &[usize], seed: u64, positive: bool) -> Tensor {
    Tensor::floats(shape, random(shape, seed, positive).iter().map(|&v| v as f32).collect())
}

/// Results of a kernel that finds other numbers in their place.
fn run(kernel: &dyn Kernel, x: &[Option<Array<f64>>], facts: &[Fact]) -> Vec<Array<f64>> {
    let mut y: Vec<Array<f64>> = facts.iter().map(|f| Array::from_elem(&f.shape[..], 7.5)).collect();
    let mut results: Vec<ArrayViewMutD<f64>> = y.iter_mut().map(|y| y.view_mut()).collect();
    kernel.forward(&views(x), &mut results);
    y
}

/// Operands and results of a case.
fn shapes<'a>(case: &Case, facts: &'a Facts, node: &Node) -> (Vec<Option<Operand<'a>>>, Vec<Fact>) {
    let shapes = facts.operands(node).zip(facts.results(node));
    shapes.unwrap_or_else(|| panic!("{}: no shapes", case.title()))
}

fn for_all_cases(mut law: impl FnMut(&Case)) {
    for operator in super::OPERATORS {
        let cases = (operator.cases)();
        assert!(!cases.is_empty(), "{} lists no case", operator.name);
        for case in cases {
            assert_eq!(case.op, operator.name);
            law(&case);
        }
    }
}

#[test]
fn the_table_is_sorted() {
    let names: Vec<&str> = super::OPERATORS.iter().map(|o| o.name).collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn law_1_attributes_round_trip() {
    for_all_cases(|case| {
        let op = read(case.op, "", case.opset, &case.attributes, case.inputs.len(), case.outputs);
        let written = op.unwrap_or_else(|e| panic!("{}: {e:?}", case.title())).attributes();
        let again = read(case.op, "", case.opset, &written, case.inputs.len(), case.outputs);
        let again = again.unwrap_or_else(|e| panic!("{} read again: {e:?}", case.title()));
        assert_eq!(again.attributes(), written, "{}", case.title());
        for (name, value) in &case.attributes {
            // A default may be left out; what is written must be what was given.
            assert!(written.get(name).is_none_or(|w| w == value), "{}: attribute {name}", case.title());
        }
    });
}

#[test]
fn law_2_shapes_and_finite_results() {
    for_all_cases(|case| {
        let graph = case.graph();
        let facts = case.facts(&graph);
        let node = &graph.nodes[0];
        assert_eq!(facts.refusals[0], None, "{}", case.title());
        let (x, wanted) = shapes(case, &facts, node);
        let results = case.run(node.op.as_ref(), &Io { x: &x, y: &wanted }, &case.values(&graph, 1));
        for y in results {
            assert!(y.iter().all(|v| v.is_finite()), "{}: {y:?}", case.title());
            let untouched = y.iter().filter(|v| **v == 7.5).count();
            assert_eq!(untouched, 0, "{} leaves results unwritten", case.title());
        }
    });
}

#[test]
fn law_3_backward_is_finite_differences() {
    for_all_cases(|case| {
        let graph = case.graph();
        let facts = case.facts(&graph);
        let node = &graph.nodes[0];
        if !node.op.differentiable() {
            return;
        }
        let (operands, results) = shapes(case, &facts, node);
        let kernel = case.bind(node.op.as_ref(), &Io { x: &operands, y: &results });
        let x = case.values(&graph, 3);
        let y = run(kernel.as_ref(), &x, &results);
        let dy: Vec<Array<f64>> =
            results.iter().enumerate().map(|(k, f)| random(&f.shape, 50 + k as u64, false)).collect();
        let is_float = |k: usize| match &case.inputs[k] {
            Given::Fixed(t) => t.dtype().is_float() && t.len() > 1 && !restates(case.op, k),
            Given::Absent => false,
            _ => true,
        };
        let mut dx: Vec<Option<Array<f64>>> = x
            .iter()
            .enumerate()
            .map(|(k, x)| x.as_ref().filter(|_| is_float(k)).map(|x| Array::from_elem(x.raw_dim(), 0.25)))
            .collect();
        let [y, dy_views] = [&y, &dy].map(|all| all.iter().map(|a| a.view()).collect::<Vec<_>>());
        let mut gradients: Vec<Option<ArrayViewMutD<f64>>> =
            dx.iter_mut().map(|dx| dx.as_mut().map(|dx| dx.view_mut())).collect();
        kernel.backward(&views(&x), &y, &dy_views, &mut gradients);
        let loss = |x: &[Option<Array<f64>>]| -> f64 {
            let y = run(kernel.as_ref(), x, &results);
            y.iter().zip(&dy).flat_map(|(y, dy)| y.iter().zip(dy)).map(|(y, dy)| y * dy).sum()
        };
        for k in 0..x.len() {
            let Some(got) = &dx[k] else { continue };
            for (i, got) in got.iter().enumerate() {
                let h = 1e-5;
                let mut moved = x.clone();
                let mut at = |d: f64| {
                    if let (Some(m), Some(x)) = (&mut moved[k], &x[k]) {
                        m.elements_mut()[i] = x.elements()[i] + d;
                    }
                    loss(&moved)
                };
                let expected = (at(h) - at(-h)) / (2.0 * h);
                let found = got - 0.25;
                let scale = expected.abs().max(1.0);
                assert!(
                    (found - expected).abs() / scale < 1e-6,
                    "{}: d(input {k})[{i}] is {found}, differences say {expected}",
                    case.title()
                );
            }
        }
    });
}

/// Float inputs that restate sizes and have no gradient (Resize's roi and scales, Upsample's scales).
fn restates(op: &str, slot: usize) -> bool {
    matches!((op, slot), ("Resize", 1 | 2) | ("Upsample", 1))
}

/// Everything free in a graph of one node, classes without weights included.
fn groups_of(case: &Case, graph: &Graph, facts: &Facts) -> Groups {
    let groups = crate::coupling::every_class(Network { graph, facts });
    assert_eq!(groups.classes.len(), case.free, "{}: free classes (law 6)\n{}", case.title(), groups.print());
    groups
}

#[test]
fn law_4_deleting_is_masking_and_law_6_free_classes() {
    for_all_cases(|case| {
        let graph = case.graph();
        let facts = case.facts(&graph);
        let groups = groups_of(case, &graph, &facts);
        for class in 0..groups.classes.len() {
            delete_and_compare(case, &graph, &facts, &groups, &[class]);
        }
        // Several at once, every second class of each axis kept.
        let some: Vec<usize> = (0..groups.classes.len()).filter(|c| c % 2 == 1).collect();
        delete_and_compare(case, &graph, &facts, &groups, &some);
    });
}

/// Kept coordinates of the axes that lose some.
struct Kept(Vec<(Axis, Vec<usize>)>);

impl Keep for Kept {
    fn kept(&self, axis: Axis) -> Option<&[usize]> {
        self.0.iter().find(|(a, _)| *a == axis).map(|(_, k)| k.as_slice())
    }
}

/// A case without some of its classes.
struct Deletion<'a> {
    case: &'a Case,
    groups: &'a Groups,
    node: &'a Node,
    /// The deleted classes.
    gone: &'a [usize],
    keep: Kept,
}

impl<'a> Deletion<'a> {
    /// None where an axis would be empty, which never happens.
    fn new(case: &'a Case, groups: &'a Groups, node: &'a Node, gone: &'a [usize]) -> Option<Self> {
        let stays = |class: &OptIndex| class.get().is_none_or(|c| !gone.contains(&c));
        let slots = |port: fn(usize) -> Port, values: &[Option<ValueId>]| -> Vec<(Port, ValueId)> {
            let port = |(slot, v): (usize, &Option<ValueId>)| Some((port(slot), (*v)?));
            values.iter().enumerate().filter_map(port).collect()
        };
        let mut kept = Vec::new();
        for (port, v) in [slots(Port::In, &node.inputs), slots(Port::Out, &node.outputs)].concat() {
            for axis in 0..groups.label[v].len() {
                let classes = groups.axis(v, axis);
                let keep: Vec<usize> = (0..classes.len()).filter(|&i| stays(&classes[i])).collect();
                if keep.is_empty() && !classes.is_empty() {
                    return None;
                }
                if keep.len() < classes.len() {
                    kept.push((Axis { port, axis }, keep));
                }
            }
        }
        Some(Self { case, groups, node, gone, keep: Kept(kept) })
    }

    fn title(&self) -> String {
        format!("{} without {:?}", self.case.title(), self.gone)
    }

    /// Operands with zeros where a deleted class is read.
    fn masked(&self, x: &[Option<Array<f64>>]) -> Vec<Option<Array<f64>>> {
        let mut masked = x.to_vec();
        for site in &self.groups.reads {
            let v = self.node.inputs[site.slot];
            let v = v.unwrap_or_else(|| panic!("{} reads an absent input", self.title()));
            let classes = self.groups.axis(v, site.axis);
            let Some(array) = &mut masked[site.slot] else { continue };
            for (mut values, class) in array.axis_iter_mut(ndarray::Axis(site.axis)).zip(classes) {
                if class.get().is_some_and(|c| self.gone.contains(&c)) {
                    values.fill(0.0);
                }
            }
        }
        masked
    }

    /// Kept coordinates of an operand or a result.
    fn slice(&self, mut a: Array<f64>, port: Port) -> Array<f64> {
        for axis in 0..a.ndim() {
            if let Some(k) = self.keep.kept(Axis { port, axis }) {
                a = a.select(ndarray::Axis(axis), k).as_standard_layout().into_owned();
            }
        }
        a
    }

    /// Kept coordinates of a constant operand.
    fn slice_constant(&self, slot: usize, t: &Tensor) -> Tensor {
        let kept = |t: Tensor, axis: usize| match self.keep.kept(input(slot, axis)) {
            Some(k) => t.select(axis, k),
            None => t,
        };
        (0..t.shape().len()).fold(t.clone(), kept)
    }

    /// Operands of the small node: the kept coordinates, and what the operator restates.
    fn small_operands(&self, io: &Io, x: &[Option<Array<f64>>], resized: &Resized) -> Vec<Option<Small>> {
        let small = |(slot, x): (usize, &Option<Array<f64>>)| {
            let (x, operand) = (x.as_ref()?, io.x[slot]?);
            let value = self.slice(x.clone(), Port::In(slot));
            let fact = Fact::new(operand.fact.dtype, value.shape());
            Some(Small { fact, value, constant: operand.value.map(|t| self.slice_constant(slot, t)) })
        };
        let mut operands: Vec<Option<Small>> = x.iter().enumerate().map(small).collect();
        for (slot, t) in &resized.inputs {
            operands.resize_with(operands.len().max(slot + 1), || None);
            let dtype = operands[*slot].as_ref().map_or(t.dtype(), |old| old.fact.dtype);
            let fact = Fact::new(dtype, t.shape());
            operands[*slot] = Some(Small { fact, value: t.to_array(), constant: Some(t.clone()) });
        }
        if resized.passes.is_some() {
            operands.truncate(1);
        }
        operands
    }

    /// Results of the resized operator on what is left of its operands.
    fn small_results(&self, io: &Io, x: &[Option<Array<f64>>]) -> Vec<Array<f64>> {
        let resized = self.node.op.resize(io, &self.keep);
        let resized = resized.unwrap_or_else(|e| panic!("{}: {e:?}", self.title()));
        let op = resized.op.as_deref().unwrap_or(self.node.op.as_ref());
        let small = self.small_operands(io, x, &resized);
        let operands: Vec<Option<Operand>> = small.iter().map(|s| s.as_ref().map(Small::operand)).collect();
        let values: Vec<Option<Array<f64>>> =
            small.iter().map(|s| s.as_ref().map(|s| s.value.clone())).collect();
        let facts = op.infer(&operands).unwrap_or_else(|e| panic!("{}, shrunk: {e:?}", self.title()));
        let mut results = self.case.run(op, &Io { x: &operands, y: &facts }, &values);
        if let Some(factor) = resized.factor {
            results[0].iter_mut().for_each(|y| *y *= factor);
        }
        results
    }
}

/// An operand after deletion.
struct Small {
    fact: Fact,
    value: Array<f64>,
    constant: Option<Tensor>,
}

impl Small {
    fn operand(&self) -> Operand<'_> {
        Operand::new(&self.fact, self.constant.as_ref())
    }
}

/// Compares the results of the masked node, sliced, with the results of the small node.
fn delete_and_compare(case: &Case, graph: &Graph, facts: &Facts, groups: &Groups, gone: &[usize]) {
    let node = &graph.nodes[0];
    let Some(deletion) = Deletion::new(case, groups, node, gone) else { return };
    let (x, y) = shapes(case, facts, node);
    let (io, values) = (Io { x: &x, y: &y }, case.values(graph, 9));
    let masked = case.run(node.op.as_ref(), &io, &deletion.masked(&values));
    let small = deletion.small_results(&io, &values);
    for (slot, (masked, small)) in masked.into_iter().zip(small).enumerate() {
        let masked = deletion.slice(masked, Port::Out(slot));
        let title = || format!("{}: output {slot}", deletion.title());
        assert_eq!(masked.shape(), small.shape(), "{}", title());
        for (a, b) in masked.iter().zip(&small) {
            assert!((a - b).abs() < 1e-9, "{}: {a} masked, {b} deleted", title());
        }
    }
}

#[test]
fn law_7_what_is_never_negative_is_not() {
    for_all_cases(|case| {
        let graph = case.graph();
        let facts = case.facts(&graph);
        let node = &graph.nodes[0];
        let (x, wanted) = shapes(case, &facts, node);
        for positive in [false, true] {
            let computed = |x: &Option<Operand>| x.is_some_and(|x| x.value.is_none());
            let operands: Vec<Option<Operand>> =
                x.iter().map(|x| x.map(|x| x.never_negative(positive && x.value.is_none()))).collect();
            if !node.op.never_negative(&operands) {
                continue;
            }
            for seed in 1..4 {
                let mut values = case.values(&graph, seed);
                for (value, _) in values.iter_mut().zip(&x).filter(|(_, x)| positive && computed(x)) {
                    value.iter_mut().flatten().for_each(|v| *v = v.abs());
                }
                let y = case.run(node.op.as_ref(), &Io { x: &x, y: &wanted }, &values);
                let least = y.iter().flatten().copied().fold(0.0, f64::min);
                assert!(least >= 0.0, "{}: {least}", case.title());
            }
        }
    });
}

#[test]
fn law_5_macs_are_the_products_of_the_definition() {
    for_all_cases(|case| {
        let graph = case.graph();
        let facts = case.facts(&graph);
        let node = &graph.nodes[0];
        let (x, y) = shapes(case, &facts, node);
        let io = Io { x: &x, y: &y };
        let size = |axis: &Axis| {
            let shape = match axis.port {
                Port::In(s) => io.input(s).unwrap_or_default(),
                Port::Out(s) => io.output(s),
            };
            assert!(axis.axis < shape.len(), "{}: {axis:?} of {shape:?}", case.title());
            shape[axis.axis] as f64
        };
        let mut macs = 0.0;
        for product in node.op.cost(&io).macs() {
            assert!(product.coefficient > 0.0, "{}", case.title());
            macs += product.coefficient * product.widths.iter().map(size).product::<f64>();
        }
        assert_eq!(macs, counts::products(case, &io) as f64, "{}", case.title());
    });
}

#[test]
fn law_8_bind_takes_what_infer_takes() {
    for_all_cases(|case| {
        let graph = case.graph();
        let facts = case.facts(&graph);
        assert_eq!(facts.refusals[0], None, "{}", case.title());
        let (x, y) = shapes(case, &facts, &graph.nodes[0]);
        case.bind(graph.nodes[0].op.as_ref(), &Io { x: &x, y: &y });
    });
}
