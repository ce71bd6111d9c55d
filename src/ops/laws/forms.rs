//! Law 9: the steps of a form give together what the operator gives.

use super::{Case, absent, data, floats, for_all_cases, positive, read, run, shapes, weight};
use crate::graph::*;
use crate::tensor::*;

impl Case {
    /// The form that the operator has here.
    fn form(&self) -> Option<Form> {
        let graph = self.graph();
        let facts = self.facts(&graph);
        let (x, y) = shapes(self, &facts, &graph.nodes[0]);
        graph.nodes[0].op.form(&Io { x: &x, y: &y }, self.opset)
    }

    /// What a form gives for the case's operands.
    fn by_steps(&self, form: &Form) -> Array<f64> {
        let graph = self.graph();
        let operands = self.values(&graph, 1);
        let constants: Vec<Array<f64>> = form.constants.iter().map(Tensor::to_array).collect();
        let mut results: Vec<Array<f64>> = Vec::new();
        for step in &form.steps {
            let value = |term: &Term| match *term {
                Term::Operand(slot) => operands[slot].clone(),
                Term::Constant(c) => Some(constants[c].clone()),
                Term::Step(s) => Some(results[s].clone()),
            };
            let x: Vec<Option<Array<f64>>> = step.inputs.iter().map(value).collect();
            let stored = |term: &Term| match *term {
                Term::Constant(c) => Some(form.constants[c].clone()),
                Term::Operand(slot) => graph.initializer(graph.nodes[0].inputs[slot]?).cloned(),
                Term::Step(_) => None,
            };
            let stored: Vec<Option<Tensor>> = step.inputs.iter().map(stored).collect();
            let dtype = |k: usize| stored[k].as_ref().map_or(DType::F32, Tensor::dtype);
            let fact =
                |(k, x): (usize, &Option<Array<f64>>)| x.as_ref().map(|x| Fact::new(dtype(k), x.shape()));
            let facts: Vec<Option<Fact>> = x.iter().enumerate().map(fact).collect();
            let operand = |(fact, t)| Some(Operand::new(Option::as_ref(fact)?, Option::as_ref(t)));
            let io: Vec<Option<Operand>> = facts.iter().zip(&stored).map(operand).collect();
            let op = read(step.op_type, "", form.opset, &step.attributes, x.len(), 1).unwrap();
            let y = op.infer(&io).unwrap();
            results.push(run(op.bind(&Io { x: &io, y: &y }).unwrap().as_ref(), &x, &y).remove(0));
        }
        results.pop().unwrap()
    }

    /// Asserts that the form gives what the operator gives, and returns its operators.
    fn steps(&self) -> Vec<&'static str> {
        let Some(form) = self.form() else { return Vec::new() };
        let (found, expected) = (self.by_steps(&form), &self.results()[0]);
        assert_eq!(found.shape(), expected.shape(), "{}", self.title());
        let range = expected.iter().fold(0.0f64, |m, y| m.max(y.abs()));
        // Numbers of the form are rounded to 32 bits.
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 3e-7 * range);
        assert!(near, "{}: {found:?}, expected {expected:?}", self.title());
        form.steps.iter().map(|step| step.op_type).collect()
    }
}

#[test]
fn law_9_forms_give_what_operators_give() {
    let mut with_form = std::collections::BTreeSet::new();
    for_all_cases(|case| {
        if !case.steps().is_empty() {
            with_form.insert(case.op);
        }
    });
    let expected =
        ["AveragePool", "Conv", "Elu", "LRN", "LogSoftmax", "MaxPool", "PRelu", "Pow", "Selu", "Softmax"];
    assert_eq!(with_form.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn sums_over_neighbours_are_a_banded_product() {
    for size in 1..8 {
        for (beta, root) in [(0.75, "Sqrt"), (1.25, "Sqrt"), (1.0, "Div"), (0.6, "Pow")] {
            let case = Case::new("LRN").int("size", size).float("beta", beta).float("alpha", 0.7);
            let steps = case.inputs([data(&[2, 5, 2, 3])]).steps();
            assert!(steps.contains(&"Conv") && steps.contains(&root), "{steps:?}");
        }
    }
    let wide = Case::new("LRN").int("size", 5).inputs([data(&[1, 600, 1, 1])]);
    assert_eq!(wide.form(), None, "a band of so many channels is mostly zeros");
}

#[test]
fn a_window_is_taken_axis_by_axis() {
    for (kernel, strides, ceil) in
        [([3, 3], [2, 2], 0), ([3, 3], [2, 2], 1), ([2, 5], [1, 3], 0), ([5, 2], [3, 1], 1)]
    {
        for pads in [[0, 0, 0, 0], [1, 0, 1, 1]] {
            for size in [[7, 9], [8, 6], [13, 5]] {
                let case = Case::new("MaxPool").ints("kernel_shape", &kernel).ints("strides", &strides);
                let case = case.ints("pads", &pads).int("ceil_mode", ceil);
                assert_eq!(case.inputs([data(&[2, 2, size[0], size[1]])]).steps().len(), 2);
            }
        }
    }
    let same = Case::new("MaxPool").ints("kernel_shape", &[3, 2]).ints("strides", &[2, 3]);
    assert_eq!(same.string("auto_pad", "SAME_UPPER").inputs([data(&[1, 2, 7, 8])]).steps().len(), 2);
    let column = Case::new("MaxPool").ints("kernel_shape", &[3, 1]).ints("strides", &[1, 2]);
    assert_eq!(column.inputs([data(&[1, 2, 7, 8])]).form(), None);
}

#[test]
fn means_of_equally_many_are_a_depthwise_convolution() {
    let pool = || Case::new("AveragePool").ints("kernel_shape", &[3, 2]).ints("strides", &[2, 1]);
    assert_eq!(pool().inputs([data(&[2, 3, 7, 5])]).steps(), ["Conv"]);
    let padded = || pool().ints("pads", &[1, 0, 1, 1]).inputs([data(&[2, 3, 7, 5])]);
    assert_eq!(padded().int("count_include_pad", 1).steps(), ["Conv"]);
    assert_eq!(padded().form(), None, "at the edge fewer are counted");
    assert_eq!(pool().inputs([data(&[1, 3, 3, 2])]).form(), None, "tract is fast over whole planes");
}

#[test]
fn what_a_convolution_of_one_tap_steps_over_goes_first() {
    let case = |group, w: &[usize]| {
        let case = Case::new("Conv").ints("strides", &[2, 3]).int("group", group);
        case.inputs([data(&[2, 4, 5, 7]), weight(w), weight(&[6])])
    };
    assert_eq!(case(1, &[6, 4, 1, 1]).steps(), ["MaxPool", "Conv"]);
    assert_eq!(case(2, &[6, 2, 1, 1]).steps(), ["MaxPool", "Conv"]);
    let padded = Case::new("Conv").ints("strides", &[2, 2]).ints("pads", &[1, 1, 0, 0]);
    assert_eq!(padded.inputs([data(&[1, 2, 5, 5]), weight(&[3, 2, 1, 1]), absent()]).form(), None);
}

#[test]
fn quarters_are_roots_and_products() {
    let power = |p: f32| Case::new("Pow").inputs([positive(&[2, 3]), floats(&[p])]).steps();
    assert_eq!(power(0.75), ["Sqrt", "Sqrt", "Mul"]);
    assert_eq!(power(3.0), ["Mul", "Mul"]);
    assert_eq!(power(2.25), ["Sqrt", "Sqrt", "Mul", "Mul"]);
    assert!([0.5, 1.0, 2.0, 0.3, -1.0].into_iter().all(|p| power(p).is_empty()));
}

#[test]
fn classes_are_normalised_along_any_axis() {
    for opset in [9, 11, 13, 18] {
        for axis in 1..4 {
            for shape in [[2, 3, 4, 5], [2, 2, 3, 2]] {
                Case::new("Softmax").opset(opset).int("axis", axis).inputs([data(&shape)]).steps();
                Case::new("LogSoftmax").opset(opset).int("axis", axis).inputs([data(&shape)]).steps();
            }
        }
    }
    let two = Case::new("Softmax").inputs([data(&[1, 5, 2])]).steps();
    assert!(two.contains(&"Sigmoid"), "{two:?}");
    assert_eq!(Case::new("Softmax").inputs([data(&[1, 5, 4])]).form(), None, "tract is fast along rows");
}
