//! ONNX's own node tests: our executor gives what the standard expects. `tests/sweep/backend.py` writes them into a folder,
//! which `ONNX_NODE_TESTS` names; each file holds a network, and its inputs and expected outputs as Constant nodes.
//!
//!     ONNX_NODE_TESTS=FOLDER cargo test --release --test networks -- --ignored node_tests

use super::files_below;
use autobot_onnx::internals::exec::{Precision, Program, Workspace};
use autobot_onnx::internals::graph::{Facts, Graph, Network, Origin, ValueId, infer};
use autobot_onnx::internals::onnx::{self, Model};
use autobot_onnx::internals::tensor::{DType, Elements, Tensor};
use std::path::Path;

/// Tests whose expected values runtimes do not give, nor we: `align_corners` by fractional scales (docs/runtimes.md).
const OTHERWISE: &[&str] = &[
    "test_resize_downsample_scales_cubic_align_corners",
    "test_resize_downsample_scales_linear_align_corners",
];

#[test]
#[ignore = "needs ONNX_NODE_TESTS, a folder that tests/sweep/backend.py --write makes"]
fn node_tests_of_the_standard_pass() {
    let folder = std::env::var("ONNX_NODE_TESTS")
        .expect("needs ONNX_NODE_TESTS, a folder that tests/sweep/backend.py --write makes");
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (otherwise, paths): (Vec<_>, Vec<_>) = files_below(Path::new(&folder))
        .into_iter()
        .partition(|path| OTHERWISE.contains(&name(path).as_str()));
    assert!(otherwise.iter().all(|path| judge(path).is_err()), "they pass now: {otherwise:?}");
    let (mut wrong, mut compiled) = (Vec::new(), 0);
    for path in &paths {
        match judge(path) {
            Ok(run) => compiled += usize::from(run),
            Err(why) => wrong.push(format!("{}: {why}", name(path))),
        }
    }
    eprintln!("{} node tests, {compiled} of them also in the compiled program", paths.len());
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), paths.len(), wrong.join("\n"));
}

/// One case; true where it could also run as a compiled program.
fn judge(path: &Path) -> Result<bool, String> {
    let model = onnx::read(path, &[]).map_err(|e| e.to_string())?;
    let facts = model.facts().map_err(|e| e.to_string())?;
    let given = |v: ValueId| named(&model, &facts, "given", v);
    // Folded: every input a constant.
    let mut graph = model.graph.clone();
    for &v in &model.graph.inputs {
        graph.values[v].origin = Origin::Initializer(given(v).ok_or("an input has no value")?);
    }
    graph.inputs.clear();
    let folded = infer(&graph, None).map_err(|e| e.to_string())?;
    for &v in &graph.outputs {
        let expected = named(&model, &facts, "expected", v).ok_or("no expected output")?;
        let name = &graph.values[v].name;
        let Some(found) = &folded.constant[v] else {
            let why = folded.refusals.iter().flatten().next().cloned().unwrap_or_default();
            return Err(format!("'{name}' is not computed: {why}"));
        };
        if (found.dtype(), found.shape()) != (expected.dtype(), expected.shape()) {
            let [f, e] = [found, &expected].map(|t| format!("{:?} {:?}", t.dtype(), t.shape()));
            return Err(format!("'{name}' is {f}, not {e}"));
        }
        near(&model, found.to_array().elements(), &expected)
            .map_err(|why| format!("'{name}', folded: {why}"))?;
    }
    run(&model, &folded, graph)
}

/// Compiled: floating-point inputs are inputs, the others constants.
fn run(model: &Model, folded: &Facts, mut graph: Graph) -> Result<bool, String> {
    let float = |v: &ValueId| folded.fact[*v].as_ref().is_some_and(|f| f.dtype.is_float());
    graph.inputs = model.graph.inputs.iter().copied().filter(float).collect();
    for &v in &graph.inputs {
        graph.values[v].origin = Origin::Input;
    }
    let given: Option<Vec<_>> = graph.inputs.iter().map(|&v| folded.fact[v].clone()).collect();
    let facts = infer(&graph, given.as_deref()).map_err(|e| e.to_string())?;
    let free = |v: &ValueId| facts.constant[*v].is_none() && float(v);
    let targets: Vec<_> = graph.outputs.iter().copied().filter(free).collect();
    if targets.is_empty() || targets.len() < graph.outputs.len() {
        return Ok(false);
    }
    let Ok(program) = Program::compile(Network::new(&graph, &facts), Precision::Exact, &targets) else {
        return Ok(false);
    };
    let mut workspace = Workspace::new(&program);
    for (k, &v) in graph.inputs.iter().enumerate() {
        let x = folded.constant[v].as_ref().expect("a given input").to_array::<f32>();
        workspace.input(&program, k).copy_from_slice(x.elements());
    }
    workspace.forward(&program, None);
    for (k, &v) in targets.iter().enumerate() {
        let expected = named(model, folded, "expected", v).ok_or("no expected output")?;
        let found: Vec<f64> = workspace.target(&program, k).iter().map(|&x| x.into()).collect();
        near(model, &found, &expected).map_err(|why| format!("'{}', run: {why}", graph.values[v].name))?;
    }
    Ok(true)
}

/// The constant `ROLE:NAME OF v`, or `ROLE bits:NAME OF v`, which holds the bits of floating-point numbers.
fn named(model: &Model, facts: &Facts, role: &str, v: ValueId) -> Option<Tensor> {
    let value = &model.graph.values[v];
    let find = |role: &str| {
        let v = model.graph.value_named(&format!("{role}:{}", value.name))?;
        facts.constant[v].clone()
    };
    let Some(bits) = find(&format!("{role} bits")) else { return find(role) };
    Some(match &bits {
        Tensor::U32(v) => Tensor::F32(v.map(|&b| f32::from_bits(b)).into_shared()),
        Tensor::U64(v) => Tensor::F64(v.map(|&b| f64::from_bits(b)).into_shared()),
        Tensor::U16(v) if value.declared.as_ref()?.dtype == DType::F16 => {
            Tensor::F16(v.map(|&b| half::f16::from_bits(b)).into_shared())
        }
        Tensor::U16(v) => Tensor::BF16(v.map(|&b| half::bf16::from_bits(b)).into_shared()),
        other => panic!("bits as {other:?}"),
    })
}

/// As the standard compares: |found − expected| ≤ atol + rtol·|expected|, with two steps of a 16-bit type's precision.
fn near(model: &Model, found: &[f64], expected: &Tensor) -> Result<(), String> {
    let [rtol, atol] = ["rtol", "atol"].map(|key| {
        let entry = model.metadata().find(|(k, _)| *k == key);
        entry.and_then(|(_, v)| v.parse::<f64>().ok()).expect("the case's tolerance")
    });
    let step = match expected.dtype() {
        DType::F16 => 2e-3,
        DType::BF16 => 1.6e-2,
        _ => 0.0,
    };
    let rtol = rtol + step;
    let expected: Vec<f64> = expected.to_real();
    let far = |(f, e): &(&f64, &f64)| {
        !(f == e || (f.is_nan() && e.is_nan()) || (*f - *e).abs() <= atol + rtol * e.abs())
    };
    if found.len() != expected.len() {
        return Err(format!("{} elements for {}", found.len(), expected.len()));
    }
    let wrong = found.iter().zip(&expected).filter(far).count();
    match found.iter().zip(&expected).find(far) {
        None => Ok(()),
        Some((f, e)) => Err(format!("{wrong} of {} differ, {f} for {e}", expected.len())),
    }
}
