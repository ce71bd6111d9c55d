//! Family helper: layers that go along a sequence step by step, in one direction or in both.
//!
//! The product with W is one for the whole sequence; the products with R are one for each step. The gates are no results: a
//! backward pass goes forward first. Hidden units stay whole; features of the input are read.
//!
//! A clip, sequences that end early, coupled gates and activations with parameters are not supported.

mod cell;
mod kernel;

pub use cell::{Activation, Back, Cell, Step, add, parts};

use super::indexing::constant;
use crate::graph::*;
#[cfg(test)]
use crate::ops::laws::Given;
use crate::tensor::*;
use kernel::{Direction, Layer, Sizes};

/// An operator of the family with its attributes.
#[derive(Debug)]
struct Recurrent<C> {
    cell: C,
    hidden_size: Option<i64>,
    direction: Option<String>,
    layout: Option<i64>,
    activations: Option<Vec<String>>,
    activation_alpha: Option<Vec<f32>>,
    activation_beta: Option<Vec<f32>>,
    /// By direction: whether it begins with the last step.
    reversed: &'static [bool],
    /// Activations of each direction in turn.
    applied: Vec<Activation>,
    outputs: usize,
}

/// Reads the attributes that all of the family have.
pub fn read<C: Cell>(r: &Reader, cell: C) -> Result<Box<dyn Op>, Refusal> {
    if r.opset < 7 {
        return unsupported(format!("a recurrent layer of opset {}", r.opset));
    }
    if r.float("clip")?.is_some() {
        return unsupported("a clip of what the activations are applied to");
    }
    if r.outputs > 1 + C::STATES {
        return invalid(format!("{} outputs, of which it has {}", r.outputs, 1 + C::STATES));
    }
    let direction = r.string("direction")?;
    let reversed: &[bool] = match direction.as_deref() {
        None | Some("forward") => &[false],
        Some("reverse") => &[true],
        Some("bidirectional") => &[false, true],
        Some(other) => return invalid(format!("direction '{other}' is not defined")),
    };
    let layout = if r.opset < 14 { None } else { r.int("layout")? };
    if let Some(other) = layout.filter(|layout| !matches!(layout, 0 | 1)) {
        return invalid(format!("layout {other} is not defined"));
    }
    let activations = r.strings("activations")?;
    let applied = match activations.as_deref() {
        None | Some([]) => C::ACTIVATIONS.repeat(reversed.len()),
        Some(names) => names.iter().map(|name| Activation::named(name)).collect::<Result<_, _>>()?,
    };
    if applied.len() != C::ACTIVATIONS.len() * reversed.len() {
        return invalid(format!("{} activations for {} directions", applied.len(), reversed.len()));
    }
    Ok(Box::new(Recurrent {
        cell,
        hidden_size: r.int("hidden_size")?,
        direction,
        layout,
        activations,
        activation_alpha: r.floats("activation_alpha")?,
        activation_beta: r.floats("activation_beta")?,
        reversed,
        applied,
        outputs: r.outputs,
    }))
}

const LENGTHS: usize = 4;
const STATE: usize = 5;
const PEEPHOLES: usize = 7;
/// Number of gates that see the cell state.
const SEEING: usize = 3;

impl<C: Cell> Recurrent<C> {
    /// Axes of X: steps, images. The axes of a state are directions, images.
    fn axes(&self) -> [usize; 2] {
        if self.layout == Some(1) { [1, 0] } else { [0, 1] }
    }

    /// Sizes of the node. Errors where X or R is no sequence or no weight.
    fn sizes(&self, x: &Operands) -> Result<Sizes, Refusal> {
        let (x, _, r) = (&need(x, 0)?.shape, need(x, 1)?, &need(x, 2)?.shape);
        let (&[_, _, features], &[_, _, hidden]) = (&x[..], &r[..]) else {
            return invalid(format!("a sequence of shape {x:?} with R of shape {r:?}"));
        };
        let [steps, batch] = self.axes().map(|axis| x[axis]);
        let (directions, batch_first) = (self.reversed.len(), self.layout == Some(1));
        Ok(Sizes { steps, batch, features, hidden, directions, batch_first })
    }
}

const DIRECTIONS: &str = "keeps its directions";
const UNITS: &str = "keeps its hidden units";

impl<C: Cell> Hints for Recurrent<C> {
    fn parameters(&self) -> &'static [usize] {
        C::PARAMETERS
    }
}

impl<C: Cell> Op for Recurrent<C> {
    fn attributes(&self) -> Attributes {
        let w = Writer::default()
            .maybe("hidden_size", self.hidden_size)
            .maybe("direction", self.direction.clone())
            .maybe("layout", self.layout)
            .maybe("activations", self.activations.clone())
            .maybe("activation_alpha", self.activation_alpha.clone())
            .maybe("activation_beta", self.activation_beta.clone());
        self.cell.write(w).done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let (s, x0, r) = (self.sizes(x)?, need(x, 0)?, need(x, 2)?);
        if let Some(given) = self.hidden_size.filter(|&size| usize::try_from(size) != Ok(s.hidden)) {
            return invalid(format!("hidden_size {given} with R of shape {:?}", r.shape));
        }
        let (d, wide) = (s.directions, C::GATES * s.hidden);
        let mut state = vec![d, s.batch, s.hidden];
        let mut y = vec![s.steps, d, s.batch, s.hidden];
        if s.batch_first {
            (state, y) = (vec![s.batch, d, s.hidden], vec![s.batch, s.steps, d, s.hidden]);
        }
        let mut expected =
            vec![x0.shape.clone(), vec![d, wide, s.features], vec![d, wide, s.hidden], vec![d, 2 * wide]];
        expected.push(vec![s.batch]);
        expected.extend(vec![state.clone(); C::STATES]);
        expected.extend((C::STATES == 2).then(|| vec![d, SEEING * s.hidden]));
        if x.len() > expected.len() {
            return invalid(format!("{} operands, of which it takes {}", x.len(), expected.len()));
        }
        for (slot, (found, expected)) in x.iter().zip(&expected).enumerate() {
            if let Some(found) = found.filter(|found| found.fact.shape != *expected) {
                let found = &found.fact.shape;
                return invalid(format!("input {slot} of shape {found:?}, expected {expected:?}"));
            }
        }
        let lengths = constant(x, LENGTHS, "lengths of sequences")?.unwrap_or_default();
        if lengths.iter().any(|&length| length != s.steps as i64) {
            return unsupported(format!("sequences of lengths {lengths:?} in {} steps", s.steps));
        }
        let mut facts = vec![Fact::new(x0.dtype, y)];
        facts.resize(self.outputs.max(1), Fact::new(x0.dtype, state));
        Ok(facts)
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        self.infer(io.x)?;
        let each = self.reversed.iter().zip(self.applied.chunks(C::ACTIVATIONS.len()));
        let directions = each.map(|(&reversed, applied)| Direction { reversed, applied: applied.to_vec() });
        let (cell, sizes) = (self.cell.clone(), self.sizes(io.x)?);
        Ok(Box::new(Layer { cell, sizes, directions: directions.collect() }))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        let [steps, images] = self.axes();
        let directions = steps;
        link.tie_axes(input(0, 2), input(1, 2));
        link.contracts([input(0, 2), input(1, 2)][io.gated(0, 1)]);
        link.freeze(input(0, steps), "runs along this axis");
        for (slot, units) in [(1, 1..2), (2, 1..3), (3, 1..2), (PEEPHOLES, 1..2)] {
            if io.input(slot).is_some() {
                link.freeze(input(slot, 0), DIRECTIONS);
                units.for_each(|axis| link.freeze(input(slot, axis), UNITS));
            }
        }
        if io.input(LENGTHS).is_some() {
            link.tie_axes(input(LENGTHS, 0), input(0, images));
        }
        let given = (STATE..STATE + C::STATES).filter(|&slot| io.input(slot).is_some());
        // A result that the node leaves out has no axes of its own.
        let wanted = (1..io.y.len()).filter(|&slot| io.output(slot).len() == 3);
        let at = |port: Port, axis: usize| Axis { port, axis };
        for port in given.map(Port::In).chain(wanted.map(Port::Out)) {
            link.tie_axes(input(0, images), at(port, images));
            link.freeze(at(port, directions), DIRECTIONS);
            link.freeze(at(port, 2), UNITS);
        }
        link.tie_axes(input(0, images), output(0, 2 * images));
        link.freeze(output(0, steps), "runs along this axis");
        link.freeze(output(0, 1 + directions), DIRECTIONS);
        link.freeze(output(0, 3), UNITS);
    }

    fn cost(&self, io: &Io) -> Work {
        let Some(r) = io.input(2) else { return Work::Free };
        // Hidden units of a state that is a result, else of Y.
        let state = (1..io.y.len()).find(|&slot| io.output(slot).len() == 3);
        let units = state.map_or(output(0, 3), |slot| output(slot, 2));
        let widths = vec![input(0, 0), input(0, 1), units];
        let features = [&widths[..], &[input(0, 2)]].concat();
        Work::Macs(vec![
            Product { coefficient: real_volume(&r[..1]) * C::GATES as f64, widths: features },
            Product { coefficient: real_volume(&r[..2]), widths },
        ])
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

/// Cases of an operator with `gates` gates and `states` states: two hidden units over four steps of three features.
#[cfg(test)]
pub fn cases_of(op: &'static str, gates: usize, states: usize) -> Vec<crate::ops::laws::Case> {
    use crate::ops::laws::{absent, data, ints, weight};
    let case = |name, directions, more: &[Given]| case_of(op, name, gates, directions, more).free(2 + 3);
    let bias = |directions: usize| weight(&[directions, 4 * gates]);
    let state = |shape: &[usize]| vec![data(shape); states];
    let reversed = [&[absent(), absent()][..], &state(&[1, 2, 2])].concat();
    let both = [&[bias(2), ints(&[4, 4])][..], &state(&[2, 2, 2])].concat();
    let batch_first = [&[bias(2), absent()][..], &state(&[4, 2, 2])].concat();
    vec![
        case("without bias", 1, &[]),
        case("all results", 1, &[bias(1)])
            .opset(7)
            .int("hidden_size", 2)
            .string("direction", "forward")
            .outputs(1 + states),
        case("reversed", 1, &reversed).string("direction", "reverse").outputs(2),
        case("both", 2, &both).string("direction", "bidirectional").outputs(1 + states),
        case("batch first", 1, &[bias(1)]).int("layout", 1).free(4 + 3),
        case("both, batch first", 2, &batch_first)
            .string("direction", "bidirectional")
            .int("layout", 1)
            .outputs(1 + states)
            .free(4 + 3),
    ]
}

/// One case, with its operands from the bias on.
#[cfg(test)]
pub fn case_of(
    op: &'static str,
    name: &'static str,
    gates: usize,
    directions: usize,
    more: &[Given],
) -> crate::ops::laws::Case {
    use crate::ops::laws::{Case, data, weight};
    let w = [data(&[4, 2, 3]), weight(&[directions, 2 * gates, 3]), weight(&[directions, 2 * gates, 2])];
    Case::new(op).named(name).inputs([&w, more].concat()).free(2 + 3)
}

#[cfg(test)]
mod tests {
    use crate::graph::*;
    use crate::ops::laws::{Case, Given, absent};
    use crate::ops::read;
    use crate::tensor::*;

    /// Numbers between −0.5 and 0.5.
    fn wave(shape: &[usize], seed: usize) -> Given {
        let of = |i: usize| ((7 * i + 3 * seed) % 11) as f32 / 10.0 - 0.5;
        Given::Fixed(Tensor::floats(shape, (0..volume(shape)).map(of).collect()))
    }

    /// Three steps of two images, two features and two hidden units; `more` are shapes of operands from the bias on.
    fn case(op: &'static str, gates: usize, directions: usize, more: &[&[usize]]) -> Case {
        let w = [vec![3, 2, 2], vec![directions, 2 * gates, 2], vec![directions, 2 * gates, 2]];
        let shapes = w.iter().map(Vec::as_slice).chain(more.iter().copied()).enumerate();
        let given = shapes.map(|(seed, shape)| if shape.is_empty() { absent() } else { wave(shape, seed) });
        Case::new(op).int("hidden_size", 2).inputs(given)
    }

    fn gives(case: &Case, expected: &[f64]) {
        let found: Vec<f64> = case.results().into_iter().flat_map(|y| y.elements().to_vec()).collect();
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{found:?}, expected {expected:?}");
        }
    }

    // Values: onnxruntime 1.32.0 without optimisations.
    #[test]
    fn an_lstm_in_both_directions_from_given_states() {
        let state = [2, 2, 2];
        let case = case("LSTM", 4, 2, &[&[2, 16], &[], &state, &state]).string("direction", "bidirectional");
        gives(
            &case.outputs(3),
            &[
                0.0459396, 0.0112379, 0.1210364, 0.0349949, 0.1684465, 0.0522477, 0.1626610, -0.0296870,
                0.1300756, -0.1446966, 0.1987430, -0.1282894, 0.0905489, 0.0910691, 0.1029382, 0.0194202,
                0.0966225, -0.0466880, 0.1458808, -0.1884605, 0.0246992, 0.0883635, 0.0791732, -0.0094077,
                0.0966225, -0.0466880, 0.1458808, -0.1884605, 0.1684465, 0.0522477, 0.1626610, -0.0296870,
                0.3629648, -0.0637902, 0.5359632, -0.2968260, 0.3473049, 0.0961079, 0.3590707, -0.0518481,
            ],
        );
    }

    #[test]
    fn an_lstm_whose_gates_see_the_cell_state() {
        let state = [1, 2, 2];
        gives(
            &case("LSTM", 4, 1, &[&[1, 16], &[], &state, &state, &[1, 6]]).outputs(3),
            &[
                0.0446089, 0.0084336, 0.1118320, 0.0346602, 0.1220100, -0.1402406, 0.1822233, -0.1245766,
                0.0926351, -0.0501163, 0.1377091, -0.1815022, 0.0926351, -0.0501163, 0.1377091, -0.1815022,
                0.3782416, -0.0690291, 0.5776641, -0.2985537,
            ],
        );
    }

    #[test]
    fn a_gru_that_resets_before_and_behind_the_product() {
        let case = || case("GRU", 3, 1, &[&[1, 12], &[], &[1, 2, 2]]).outputs(2);
        gives(
            &case(),
            &[
                -0.1756070, -0.3765795, 0.0004798, -0.2020148, -0.1950343, -0.2205932, -0.1409946,
                -0.1100478, -0.2732401, -0.2645561, -0.1409102, -0.0852163, -0.2732401, -0.2645561,
                -0.1409102, -0.0852163,
            ],
        );
        gives(
            &case().int("linear_before_reset", 1),
            &[
                -0.1403094, -0.4422435, 0.0328272, -0.2617099, -0.1194747, -0.3317663, -0.0723175,
                -0.2217150, -0.1766986, -0.3735721, -0.0345677, -0.2164015, -0.1766986, -0.3735721,
                -0.0345677, -0.2164015,
            ],
        );
    }

    #[test]
    fn a_rectified_rnn_from_the_end() {
        let relu = vec!["Relu".to_owned()];
        let case = case("RNN", 1, 1, &[&[1, 4]]).string("direction", "reverse").attr("activations", relu);
        gives(
            &case.outputs(2),
            &[
                0.0524, 0.19, 0.188, 0.13, 0.0, 0.492, 0.0, 0.34, 0.23, 0.17, 0.0, 0.44, 0.0524, 0.19, 0.188,
                0.13,
            ],
        );
    }

    /// The data of a value with its first two axes changed over.
    fn swapped(shape: &[usize], data: &[f64]) -> Vec<f64> {
        let (a, b, inner) = (shape[0], shape[1], volume(&shape[2..]));
        let row = |k: usize| (k % a * b + k / a) * inner;
        (0..a * b).flat_map(|k| &data[row(k)..][..inner]).copied().collect()
    }

    #[test]
    fn images_first_give_what_steps_first_give() {
        for (op, gates, states) in [("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1)] {
            let bias = [2, 4 * gates];
            let more = [&bias[..], &[], &[2, 2, 2], &[2, 2, 2]];
            let steps = case(op, gates, 2, &more[..2 + states])
                .string("direction", "bidirectional")
                .outputs(1 + states);
            let mut images = steps.clone().int("layout", 1);
            for (_, given) in
                images.inputs.iter_mut().enumerate().filter(|(slot, _)| [0, 5, 6].contains(slot))
            {
                let Given::Fixed(t) = given else { continue };
                let values = swapped(t.shape(), &t.to_real::<f64>());
                let shape = [&[t.shape()[1], t.shape()[0]], &t.shape()[2..]].concat();
                *t = t.with_values(&shape, &values);
            }
            let (steps, images) = (steps.results(), images.results());
            for (a, b) in steps.iter().zip(&images).skip(1) {
                assert_eq!(swapped(a.shape(), a.elements()), b.elements(), "{op}");
            }
            // Steps, directions, images: to images, steps, directions.
            let rows = swapped(&[6, 2, 2], steps[0].elements());
            assert_eq!(images[0].shape(), [2, 3, 2, 2]);
            assert_eq!(rows, images[0].elements(), "{op}");
        }
    }

    fn refused(case: &Case, op: &str, x: &[&[usize]]) -> Refusal {
        let facts: Vec<Fact> = x.iter().map(|&s| Fact::new(DType::F32, s)).collect();
        let x: Vec<Option<Operand>> = facts.iter().map(|fact| Some(Operand::new(fact, None))).collect();
        let read = read(op, "", 22, &case.attributes, x.len(), 1);
        read.and_then(|op| op.infer(&x)).expect_err("is taken")
    }

    #[test]
    fn what_contradicts_itself_or_is_not_supported_is_refused_in_words() {
        let x: [&[usize]; 3] = [&[3, 1, 4], &[1, 15, 4], &[1, 15, 5]];
        let gru = || Case::new("GRU");
        let wrong = |case: Case, x: &[&[usize]]| matches!(refused(&case, "GRU", x), Refusal::Invalid(_));
        assert!(wrong(gru().int("hidden_size", 4), &x));
        assert!(wrong(gru().string("direction", "sideways"), &x));
        assert!(wrong(gru().string("direction", "bidirectional"), &x));
        assert!(wrong(gru().int("layout", 2), &x));
        assert!(wrong(gru(), &[&[3, 1, 4], &[1, 15, 3], &[1, 15, 5]]));
        assert!(wrong(gru(), &[&[3, 1, 4], &[1, 20, 4], &[1, 20, 5]]));
        assert!(wrong(gru(), &[x[0], x[1], x[2], &[1, 15]]));
        let unsupported = |case: Case, of: &str| match refused(&case, "GRU", &x) {
            Refusal::Unsupported(why) => assert!(why.contains(of), "{why}"),
            other => panic!("{other:?}"),
        };
        unsupported(gru().float("clip", 3.0), "clip");
        let names = ["HardSigmoid", "Tanh"].map(String::from).to_vec();
        unsupported(gru().attr("activations", names), "'HardSigmoid'");
        let early = [x[0], x[1], x[2], &[1, 30], &[1]];
        assert!(refused(&gru(), "GRU", &early).reason().contains("lengths of sequences"));
    }

    // Of each step, image and direction: gates · hidden · (features + hidden).
    #[test]
    fn macs_are_the_products_with_w_and_r() {
        let op = read("LSTM", "", 17, &Attributes::new(), 3, 1).unwrap_or_else(|e| panic!("{e:?}"));
        let facts = [[7, 2, 5], [1, 24, 5], [1, 24, 6]].map(|s| Fact::new(DType::F32, s));
        let x = facts.each_ref().map(|fact| Some(Operand::new(fact, None)));
        let y = op.infer(&x).unwrap_or_else(|e| panic!("{e:?}"));
        let io = Io { x: &x, y: &y };
        let size = |a: &Axis| match a.port {
            Port::In(slot) => io.input(slot).map_or(0, |x| x[a.axis]) as f64,
            Port::Out(slot) => io.output(slot)[a.axis] as f64,
        };
        let count = |p: &Product| p.coefficient * p.widths.iter().map(size).product::<f64>();
        assert_eq!(op.cost(&io).macs().iter().map(count).sum::<f64>(), f64::from(7 * 2 * 4 * 6 * (5 + 6)));
    }
}
