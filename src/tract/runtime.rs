//! A model file in tract.
//!
//! Takes: bytes, inputs. Gives: outputs, and the time that they took. Never: changes a model; lets a panic of tract's out: it is
//! a refusal like any other.

use crate::graph::Fact;
use crate::tensor::{Array, DType, Elements};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::time::{Duration, Instant};
use tract_core::ops::matmul::optimized::OptMatMul;
use tract_core::plan::eval;
use tract_core::prelude::{
    Arc, DatumType, Framework, IntoRunnable, IntoTValue, TValue, TVec, Tensor, TractError, TractResult,
    TypedRunnableModel,
};
use tract_onnx::Onnx;
use tract_onnx::prelude::{InferenceFact, InferenceModelExt};

/// Inputs of one run: one array per network input.
pub type Sample = Vec<Array<f32>>;

/// The reason why tract did not carry out a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It said so, in these words.
    Refused(String),
    /// It panicked: a defect of tract's, with its words and where they stand in its source.
    Panicked(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Refused(words) => write!(f, "{words}"),
            Self::Panicked(words) => write!(f, "it panicked: {words}"),
        }
    }
}

/// Fewest nodes of a network that is proved without tract's optimisation, whose time grows faster than their square.
const LARGE: usize = 500;

/// True if a network of `nodes` nodes is proved without tract's optimisation.
pub fn proves_plain(nodes: usize) -> bool {
    nodes >= LARGE
}

/// A model that is ready to run, at fixed input shapes.
pub struct Runtime {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<DatumType>,
    /// True if values are float16.
    half: bool,
}

/// One node of the model as tract runs it (after its own optimisation).
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name: that of the ONNX node it came from, with what tract appends.
    pub name: String,
    /// tract's operator.
    pub operator: String,
    /// The matrix kernel that tract has chosen for this processor and these sizes; `None` for what is no optimised product.
    pub kernel: Option<String>,
    /// Wall time in one run.
    pub time: Duration,
}

impl Runtime {
    /// Loads a model for inputs of the given shapes and types, as it runs on a board.
    pub fn load(bytes: &[u8], inputs: &[Fact]) -> Result<Self, Refusal> {
        Self::load_below(usize::MAX, bytes, inputs)
    }

    /// Loads a model, optimised if it has fewer than `large` nodes.
    fn load_below(large: usize, bytes: &[u8], inputs: &[Fact]) -> Result<Self, Refusal> {
        let strict = tract_onnx::onnx();
        // The shapes that a file states for values in between are hints, often at another batch size.
        let free = strict.clone().with_ignore_value_info(true).with_ignore_output_shapes(true);
        let load = |onnx: &Onnx| enter(|| load(onnx, large, bytes, inputs));
        // What stands in the way without the hints is the model's own.
        load(&strict).or_else(|_| load(&free))
    }

    /// The outputs in order, as f32.
    pub fn run(&self, sample: &Sample) -> Result<Vec<Array<f32>>, Refusal> {
        enter(|| {
            let results = self.plan.run(self.values(sample)?)?;
            let output = |t: &TValue| -> TractResult<Array<f32>> {
                Ok(t.cast_to::<f32>()?.to_plain_array_view::<f32>()?.to_owned())
            };
            results.iter().map(output).collect()
        })
    }

    /// Wall time of one run, without the preparation of its inputs.
    pub fn time(&self, sample: &Sample) -> Result<Duration, Refusal> {
        enter(|| {
            let values = self.values(sample)?;
            let start = Instant::now();
            let results = self.plan.run(values)?;
            let time = start.elapsed();
            std::hint::black_box(results);
            Ok(time)
        })
    }

    /// Wall time of every node in one run, in order of execution.
    pub fn steps(&self, sample: &Sample) -> Result<Vec<Step>, Refusal> {
        enter(|| {
            let mut steps = Vec::new();
            let mut state = self.plan.spawn()?;
            state.run_plan_with_eval(self.values(sample)?, |context, own, node, inputs| {
                let start = Instant::now();
                let outputs = eval(context, own, node, inputs);
                let time = start.elapsed();
                let (name, operator) = (node.name.clone(), node.op().name().to_string());
                let result = outputs.as_ref().ok().and_then(|outputs| outputs.first());
                let kernel = node.op_as().zip(result).and_then(|(product, y)| kernel(product, y.shape()));
                steps.push(Step { name, operator, kernel, time });
                outputs
            })?;
            Ok(steps)
        })
    }

    /// A sample as tract takes it, in the types of the network's inputs.
    fn values(&self, sample: &Sample) -> TractResult<TVec<TValue>> {
        let one = |(x, dtype): (&Array<f32>, &DatumType)| {
            // tract aligns its tensors, so that it copies whatever it is given: once, here.
            let x = Tensor::from_shape(x.shape(), x.elements())?;
            let x = if x.datum_type() == *dtype { x } else { x.cast_to_dt(*dtype)?.into_owned() };
            Ok(x.into_tvalue())
        };
        sample.iter().zip(&self.inputs).map(one).collect()
    }
}

/// Name of the kernel that a product runs with where its result is of `shape`: tract keeps one for a single column beside that for
/// several.
fn kernel(product: &OptMatMul, shape: &[usize]) -> Option<String> {
    let columns = product.c_n_axis.map_or(Some(1), |axis| shape.get(axis).copied())?;
    let chosen = product.mode_picker.pick(columns).ok()?;
    product.mmm.get(chosen).map(|kernel| kernel.name().to_owned())
}

/// Most samples that a network of float16 values is run at: tract takes some thirty times as long for them on processors that do
/// not compute in float16.
pub const HALF_SAMPLES: usize = 1;

/// Runs a model at the given inputs: the outputs in order, for each sample, or for the first [`HALF_SAMPLES`] where values are
/// float16. A large model runs without tract's optimisation.
pub fn run(bytes: &[u8], inputs: &[Fact], samples: &[Sample]) -> Result<Vec<Vec<Array<f32>>>, Refusal> {
    let runtime = Runtime::load_below(LARGE, bytes, inputs)?;
    let some = if runtime.half { &samples[..samples.len().min(HALF_SAMPLES)] } else { samples };
    some.iter().map(|s| runtime.run(s)).collect()
}

thread_local! {
    /// True while this thread is in tract.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The last panic in tract on this thread: its words and its place.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The one door to tract: every call goes through here, so that a panic becomes a refusal and nothing is printed.
fn enter<R>(call: impl FnOnce() -> TractResult<R>) -> Result<R, Refusal> {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| match INSIDE.get() {
            true => PANIC.with_borrow_mut(|panic| *panic = Some(told(info))),
            false => others(info),
        }));
    });
    let outside = INSIDE.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    INSIDE.set(outside);
    match result {
        Ok(done) => done.map_err(|e| Refusal::Refused(words(&e))),
        Err(_) => Err(Refusal::Panicked(PANIC.take().unwrap_or_else(|| "without words".into()))),
    }
}

/// A panic in one line: its words, and the file and line that they stand in.
fn told(info: &panic::PanicHookInfo) -> String {
    let payload = info.payload();
    let words = payload.downcast_ref::<&str>().copied();
    let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
    let line = words.lines().next().unwrap_or_default();
    match info.location() {
        // Without the folders of the machine that tract was compiled on.
        Some(at) => {
            let parts: Vec<&str> = at.file().rsplit(['/', '\\']).take(2).collect();
            let file = parts.into_iter().rev().collect::<Vec<_>>().join("/");
            format!("{line} ({file}:{})", at.line())
        }
        None => line.to_owned(),
    }
}

/// An error of tract's in one line, with its causes.
fn words(e: &TractError) -> String {
    let first = |c: &dyn std::fmt::Display| c.to_string().lines().next().unwrap_or_default().to_owned();
    e.chain().map(|c| first(&c)).collect::<Vec<_>>().join(": ")
}

/// Loads a model, optimised if it has fewer than `large` nodes.
fn load(onnx: &Onnx, large: usize, bytes: &[u8], inputs: &[Fact]) -> TractResult<Runtime> {
    let types = inputs.iter().map(|f| datum_type(f.dtype)).collect::<TractResult<Vec<_>>>()?;
    let mut model = onnx.model_for_read(&mut std::io::Cursor::new(bytes))?;
    for (k, (fact, dtype)) in inputs.iter().zip(&types).enumerate() {
        model.set_input_fact(k, InferenceFact::dt_shape(*dtype, &fact.shape))?;
    }
    // Constants and inputs are nodes to tract.
    let nodes = model.nodes.iter().filter(|n| !n.inputs.is_empty()).count();
    let model = model.into_typed()?;
    let mut facts = model.nodes.iter().flat_map(|n| &n.outputs).map(|o| o.fact.datum_type);
    let half = facts.any(|t| t == DatumType::F16);
    let plan = if nodes < large { model.into_optimized()? } else { model }.into_runnable()?;
    Ok(Runtime { plan, inputs: types, half })
}

/// tract's word for an element type. Errors for the one that tract does not have.
fn datum_type(dtype: DType) -> TractResult<DatumType> {
    Ok(match dtype {
        DType::F32 => DatumType::F32,
        DType::F16 => DatumType::F16,
        DType::F64 => DatumType::F64,
        DType::Bool => DatumType::Bool,
        DType::U8 => DatumType::U8,
        DType::U16 => DatumType::U16,
        DType::U32 => DatumType::U32,
        DType::U64 => DatumType::U64,
        DType::I8 => DatumType::I8,
        DType::I16 => DatumType::I16,
        DType::I32 => DatumType::I32,
        DType::I64 => DatumType::I64,
        DType::BF16 => return Err(TractError::msg("an input is of type bfloat16")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{array, volume};

    #[test]
    fn a_panic_in_tract_is_a_refusal_in_its_words() {
        let panics = |words: String| enter::<()>(|| panic!("{words}"));
        let refusal = panics("index out of bounds\nnote: more".into()).unwrap_err();
        let Refusal::Panicked(words) = &refusal else { panic!("{refusal:?}") };
        assert!(words.starts_with("index out of bounds (tract/runtime.rs:"), "{words}");
        assert!(refusal.to_string().starts_with("it panicked: index"));
        let constant: Result<(), _> = enter(|| panic!("plain words"));
        assert!(constant.unwrap_err().to_string().contains("plain words"));
        // The door still opens, and refusals stay refusals.
        assert_eq!(enter(|| Ok(3)), Ok(3));
        assert_eq!(enter::<()>(|| Err(TractError::msg("no"))), Err(Refusal::Refused("no".into())));
        assert!(!INSIDE.get());
    }

    fn inputs(dtype: DType, shape: &[usize], n: usize) -> (Vec<Fact>, Vec<Sample>) {
        let number = |i: usize, k: usize| ((i * 37 + k * 11) % 101) as f32 / 50.0 - 1.0;
        let one = |k| vec![array(shape, (0..volume(shape)).map(|i| number(i, k)).collect())];
        (vec![Fact::new(dtype, shape)], (0..n).map(one).collect())
    }

    #[test]
    fn a_network_gives_the_same_with_and_without_optimisation() {
        for file in ["fixtures/residual", "fixtures/token_mixer"] {
            let bytes = std::fs::read(format!("{file}/model.onnx")).unwrap();
            let (facts, samples) = inputs(DType::F32, &[1, 3, 8, 8], 1);
            let [whole, plain] = [usize::MAX, 0].map(|large| {
                let runtime = Runtime::load_below(large, &bytes, &facts).unwrap();
                let steps = runtime.steps(&samples[0]).unwrap();
                (runtime.run(&samples[0]).unwrap().remove(0), steps)
            });
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
            assert!(whole.0.iter().zip(&plain.0).all(near), "{file}: {:?} {:?}", whole.0, plain.0);
            let operators =
                |steps: &[Step]| steps.iter().filter(|s| s.operator.starts_with("OptMatMul")).count();
            assert!(operators(&whole.1) > 0 && operators(&plain.1) == 0, "{file}");
        }
    }

    #[test]
    fn every_optimised_product_names_its_kernel_and_nothing_else_does() {
        let bytes = std::fs::read("models/digits_residual.onnx").unwrap();
        let (facts, samples) = inputs(DType::F32, &[1, 1, 8, 8], 1);
        let steps = Runtime::load(&bytes, &facts).unwrap().steps(&samples[0]).unwrap();
        for step in &steps {
            assert_eq!(step.kernel.is_some(), step.operator == "OptMatMul", "{step:?}");
        }
        let kernels: Vec<&str> = steps.iter().filter_map(|s| s.kernel.as_deref()).collect();
        assert!(!kernels.is_empty() && kernels.iter().all(|k| k.contains("f32")), "{kernels:?}");
    }

    #[test]
    fn float16_runs_at_one_input_as_the_file_has_it() {
        let bytes = include_bytes!("../../tests/networks/half.onnx");
        let (facts, samples) = inputs(DType::F16, &[1, 3, 8, 8], 3);
        let found = run(bytes, &facts, &samples).unwrap();
        assert_eq!(found.len(), HALF_SAMPLES);
        assert!(found[0][0].iter().all(|&v| f32::from(half::f16::from_f32(v)) == v), "{found:?}");
    }

    #[test]
    fn a_panic_in_tract_is_silent_and_any_other_is_not() {
        let own = std::env::current_exe().unwrap();
        let name = "tract::runtime::tests::one_panic_inside_and_one_outside";
        let child =
            std::process::Command::new(own).args(["--exact", name, "--ignored", "--nocapture"]).output();
        let child = child.unwrap();
        let printed = String::from_utf8_lossy(&child.stderr).into_owned();
        assert!(!printed.contains("a panic inside") && printed.contains("a panic outside"), "{printed}");
    }

    #[test]
    #[ignore = "needs another test that reads what it prints"]
    fn one_panic_inside_and_one_outside() {
        let inside: Result<(), _> = enter(|| panic!("a panic inside"));
        assert!(inside.is_err());
        let outside = panic::catch_unwind(|| panic!("a panic outside"));
        assert!(outside.is_err());
    }
}
