//! Every operator at every shape: an answer or a refusal, never a panic, and nothing is allocated that the sizes claim.
//!
//! The cases of the laws, with other ranks and sizes (empty and beyond any memory among them), other constants and attributes,
//! fewer inputs and more outputs.

use super::{Case, Given};
use crate::cost::{Convention, Cost};
use crate::coupling::{Residual, group};
use crate::graph::*;
use crate::ops::{CARRIED, OPERATORS, Whole};
use crate::support::random::Draw;
use crate::tensor::*;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const SIZES: [usize; 14] = [0, 1, 1, 2, 3, 4, 5, 8, 16, 1 << 10, 1 << 31, 1 << 40, 1 << 62, usize::MAX];
const INTS: [i64; 14] =
    [0, 1, -1, 2, -2, 3, 7, 1 << 20, 1 << 31, -(1 << 31), 1 << 40, 1 << 62, i64::MAX, i64::MIN];
const FLOATS: [f32; 8] = [0.0, -1.0, 0.5, 2.0, 1e-30, 1e30, f32::INFINITY, f32::NAN];

fn size(draw: &mut Draw) -> usize {
    match draw.below(2) {
        0 => 1 + draw.below(6),
        _ => SIZES[draw.below(SIZES.len())],
    }
}

/// Another shape: one size of it, its rank, or all of it.
fn shape(draw: &mut Draw, shape: &mut Shape) {
    match draw.below(4) {
        0 if !shape.is_empty() => {
            let at = draw.below(shape.len());
            shape[at] = size(draw);
        }
        1 => _ = shape.pop(),
        2 => shape.push(size(draw)),
        _ => *shape = (0..draw.below(7)).map(|_| size(draw)).collect(),
    }
}

/// Other elements in a constant: one, or one more, or one less.
fn elements(draw: &mut Draw, t: &Tensor) -> Tensor {
    let mut values = t.to_real::<f64>();
    let value = match t.dtype().is_float() {
        true => f64::from(FLOATS[draw.below(FLOATS.len())]),
        false => INTS[draw.below(INTS.len())] as f64,
    };
    match draw.below(4) {
        0 => values.push(value),
        1 => _ = values.pop(),
        _ if !values.is_empty() => {
            let at = draw.below(values.len());
            values[at] = value;
        }
        _ => {}
    }
    match values.len() == t.len() {
        true => t.with_values(t.shape(), &values),
        false => t.with_values(&[values.len()], &values),
    }
}

fn attribute(draw: &mut Draw, value: &mut Attr) {
    match value {
        Attr::Int(v) => *v = INTS[draw.below(INTS.len())],
        Attr::Float(v) => *v = FLOATS[draw.below(FLOATS.len())],
        Attr::Ints(v) if draw.below(3) == 0 => v.push(INTS[draw.below(INTS.len())]),
        Attr::Ints(v) if !v.is_empty() => {
            let at = draw.below(v.len());
            v[at] = INTS[draw.below(INTS.len())];
        }
        Attr::Floats(v) => v.push(FLOATS[draw.below(FLOATS.len())]),
        _ => {}
    }
}

/// One change to a case.
fn change(draw: &mut Draw, case: &mut Case) {
    let slot = draw.below(case.inputs.len().max(1));
    match (draw.below(10), case.inputs.get_mut(slot)) {
        (0..6, Some(Given::Data(s) | Given::Positive(s))) => shape(draw, s),
        (0..6, Some(given @ (Given::Weight(_) | Given::PositiveWeight(_)))) => {
            let (Given::Weight(s) | Given::PositiveWeight(s)) = &*given else { return };
            let mut other = s.clone();
            shape(draw, &mut other);
            // A stored constant is as large as the file: a computed one may be of any size.
            *given = match checked_volume(&other) {
                Some(..=4096) => Given::Weight(other),
                _ => Given::Data(other),
            };
        }
        (0..6, Some(Given::Fixed(t))) => *t = elements(draw, t),
        (6, _) => case.inputs.truncate(slot),
        (7, Some(given)) if draw.below(2) == 0 => *given = Given::Absent,
        (7, Some(given)) => {
            let given = given.clone();
            case.inputs.push(given);
        }
        (8, _) => case.outputs = draw.below(4),
        _ => {
            let at = draw.below(case.attributes.len().max(1));
            if let Some(value) = case.attributes.values_mut().nth(at) {
                attribute(draw, value);
            }
        }
    }
}

/// The case as a network of which no node reads the results; `None` where the operator refuses its attributes.
fn network(case: &Case) -> Option<Graph> {
    let op = super::read(case.op, case.domain, case.opset, &case.attributes, case.inputs.len(), case.outputs)
        .ok()?;
    let mut graph = Graph::default();
    let mut node = Node {
        name: case.op.into(),
        op_type: case.op.into(),
        op: Arc::from(op),
        inputs: Vec::new(),
        outputs: Vec::new(),
        captured: Vec::new(),
        source: None,
    };
    for (k, given) in case.inputs.iter().enumerate() {
        let fill = |s: &Shape| Tensor::floats(s, vec![1.0; volume(s)]);
        let (origin, declared) = match given {
            Given::Absent => {
                node.inputs.push(None);
                continue;
            }
            Given::Data(s) | Given::Positive(s) => (Origin::Input, Some(Fact::new(DType::F32, s.clone()))),
            Given::Weight(s) | Given::PositiveWeight(s) => (Origin::Initializer(fill(s)), None),
            Given::Fixed(t) => (Origin::Initializer(t.clone()), None),
        };
        if declared.is_some() {
            graph.inputs.push(graph.values.len());
        }
        node.inputs.push(Some(graph.values.len()));
        graph.values.push(Value { name: format!("x{k}"), origin, declared });
    }
    for k in 0..case.outputs {
        node.outputs.push(Some(graph.values.len()));
        graph.values.push(Value { name: format!("y{k}"), origin: Origin::Node(0, k), declared: None });
    }
    graph.nodes.push(node);
    Some(graph)
}

/// Shapes, groups, cost and small results; `None` where they are refused.
fn analysed(graph: &Graph) -> Option<u64> {
    let facts = infer(graph, None).ok()?;
    compute(graph, &facts);
    let groups = group(Network::new(graph, &facts), Residual::Auto);
    let n = groups.classes.len();
    let of = |convention| Cost::new(Network::new(graph, &facts), &groups, convention).hard(&vec![true; n]);
    Some(of(Convention::Macs).max(of(Convention::Paper)))
}

/// Binds the node (law 8) and runs it on ones, where all is small.
fn compute(graph: &Graph, facts: &Facts) {
    let node = &graph.nodes[0];
    let small = facts.fact.iter().flatten().all(|f| volume(&f.shape) <= 4096);
    let known = facts.operands(node).zip(facts.results(node));
    let Some((operands, results)) = known.filter(|_| small && facts.refusals[0].is_none()) else { return };
    let kernel = node.op.bind(&Io { x: &operands, y: &results });
    let kernel = kernel.unwrap_or_else(|e| panic!("infer takes what bind refuses: {e:?}"));
    let ones = |s: &[usize]| Array::from_elem(s, 1.0);
    let x: Vec<Option<Array<f64>>> = node
        .inputs
        .iter()
        .map(|v| {
            v.map(|v| {
                facts.constant[v]
                    .as_ref()
                    .map_or_else(|| ones(facts.shape(v).unwrap_or_default()), |t| t.to_array())
            })
        })
        .collect();
    super::run(kernel.as_ref(), &x, &results);
}

#[test]
fn no_shape_makes_an_operator_panic() {
    let (mut taken, mut refused, mut panicked) = (0, 0, BTreeMap::new());
    let known = OPERATORS.iter().map(|operator| (operator.name, (operator.cases)()));
    let cases = |o: &Whole| (o.cases)().into_iter().map(|known| known.case).collect();
    let carried = CARRIED.iter().map(|operator| (operator.name, cases(operator)));
    for (name, cases) in known.chain(carried) {
        for (k, case) in cases.into_iter().enumerate() {
            let mut draw = Draw::new(k as u64, 7);
            for _ in 0..60 {
                let mut case = case.clone();
                (0..1 + draw.below(3)).for_each(|_| change(&mut draw, &mut case));
                let unwanted = draw.below(4) == 0;
                let graph = network(&case).map(|mut graph| {
                    graph.nodes[0].outputs.first_mut().filter(|_| unwanted).map(Option::take);
                    graph
                });
                match catch_unwind(AssertUnwindSafe(|| graph.and_then(|graph| analysed(&graph)))) {
                    Ok(Some(_)) => taken += 1,
                    Ok(None) => refused += 1,
                    Err(_) => {
                        _ = panicked.insert(name, format!("{case:?}, unwanted first result: {unwanted}"))
                    }
                }
            }
        }
    }
    assert!(panicked.is_empty(), "{panicked:#?}");
    assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused");
}

#[test]
fn sizes_beyond_any_memory_are_refused_in_words() {
    let far = 1usize << 40;
    let given = |s: &[usize]| Given::Data(s.to_vec());
    let ints = |v: &[i64]| Given::Fixed(Tensor::ints(v));
    let wide = 1i64 << 40;
    let value = |v: i64| Given::Fixed(Tensor::scalar(v));
    let floats = |v: &[f32]| Given::Fixed(Tensor::floats(&[v.len()], v.to_vec()));
    let w = Case::new("ConvTranspose").ints("strides", &[1 << 20]);
    for case in [
        Case::new("Relu").inputs([given(&[1, far])]),
        Case::new("ConstantOfShape").inputs([ints(&[wide])]),
        Case::new("ConstantOfShape").inputs([ints(&[1 << 25, 1 << 25, 1 << 25])]),
        Case::new("Range").inputs([value(0), value(1 << 35), value(1)]),
        Case::new("Range").inputs([value(0), value(wide), value(1)]),
        Case::new("OneHot").inputs([given(&[2]), value(wide), floats(&[0.0, 1.0])]),
        Case::new("Tile").inputs([given(&[1, 3]), ints(&[wide, 1])]),
        Case::new("Expand").inputs([given(&[1, 3]), ints(&[wide, 3])]),
        Case::new("Pad").inputs([given(&[1, 3]), ints(&[0, 0, 1 << 32, 1 << 32])]),
        Case::new("Resize").inputs([given(&[1, 1, 8, 8]), Given::Absent, floats(&[1.0, 1.0, 1e9, 1e9])]),
        Case::new("Resize").inputs([
            given(&[1, 1, 8, 8]),
            Given::Absent,
            Given::Absent,
            ints(&[1, 1, 1 << 29, 1 << 29]),
        ]),
        Case::new("Upsample").opset(9).inputs([given(&[1, 1, 8, 8]), floats(&[1.0, 1.0, 1e8, 1e8])]),
        w.inputs([given(&[1, 1, 1 << 21]), given(&[1, 1, 2])]),
        Case::new("Reshape").inputs([given(&[2, 8]), ints(&[1 << 32, 1 << 32, -1])]),
        Case::new("Reshape").inputs([given(&[16]), ints(&[(1 << 32) + 1, 1 << 32])]),
        Case::new("EyeLike").inputs([given(&[1 << 20, 1 << 20])]),
        Case::new("Unsqueeze").inputs([given(&[1]), ints(&(0..100).collect::<Vec<i64>>())]),
    ] {
        let graph = network(&case).unwrap_or_else(|| panic!("{case:?}"));
        let said = match infer(&graph, None) {
            Err(e) => e.to_string(),
            Ok(facts) => facts.refusals[0].clone().unwrap_or_else(|| panic!("{case:?}: {:?}", facts.fact)),
        };
        let words = ["2^36 elements", "2^25 coordinates", "2^24 taps", "limit is 64", "resized", "range"];
        assert!(words.iter().any(|w| said.contains(w)), "{case:?}: {said}");
    }
}

#[test]
fn constants_are_folded_within_limits() {
    // A thousand constants of 4 million elements each, one after another.
    let mut graph = Graph::default();
    let sizes = Tensor::ints(&[1 << 11, 1 << 11]);
    graph.values.push(Value { name: "s".into(), origin: Origin::Initializer(sizes), declared: None });
    let op = |name: &str, inputs| {
        Arc::from(
            super::read(name, "", 17, &Attributes::new(), inputs, 1).unwrap_or_else(|e| panic!("{e:?}")),
        )
    };
    let mut add = |name: &str, inputs: Vec<ValueId>| {
        let n = graph.nodes.len();
        graph.values.push(Value { name: format!("y{n}"), origin: Origin::Node(n, 0), declared: None });
        graph.nodes.push(Node {
            name: format!("n{n}"),
            op_type: name.into(),
            op: op(name, inputs.len()),
            inputs: inputs.into_iter().map(Some).collect(),
            outputs: vec![Some(graph.values.len() - 1)],
            captured: Vec::new(),
            source: None,
        });
        graph.values.len() - 1
    };
    let first = add("ConstantOfShape", vec![0]);
    let product = add("MatMul", vec![first, first]);
    let rest: Vec<ValueId> = (0..1000).map(|_| add("ConstantOfShape", vec![0])).collect();
    let facts = infer(&graph, None).unwrap_or_else(|e| panic!("{e}"));
    assert!(facts.constant[first].is_some(), "one is folded");
    assert!(facts.constant[product].is_none(), "2^33 multiply-accumulates are not");
    let folded = rest.iter().filter(|&&v| facts.constant[v].is_some()).count();
    assert!((1..32).contains(&folded), "{folded}");
}
