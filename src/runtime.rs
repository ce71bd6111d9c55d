//! A model file in tract. The only module that knows it.
//!
//! Takes: bytes, inputs. Gives: outputs, and the time that they took. Never: changes a model.

use crate::ir::{Array, DType, Fact};
use std::time::{Duration, Instant};
use tract_onnx::Onnx;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::eval;

/// Inputs of one run: one array per network input.
pub type Sample = Vec<Array<f32>>;

/// A model that is ready to run, at fixed input shapes.
pub struct Runtime {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<DatumType>,
}

/// One node of the model as tract runs it (after its own optimisation).
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name: that of the ONNX node it came from, with what tract appends.
    pub name: String,
    /// tract's operator.
    pub operator: String,
    /// Time of one run.
    pub time: Duration,
}

impl Runtime {
    /// Loads a model for inputs of the given shapes and types. The error is tract's own words.
    pub fn load(bytes: &[u8], inputs: &[Fact]) -> Result<Self, String> {
        load(bytes, inputs).map_err(|e| words(&e))
    }

    /// The outputs in order, as f32.
    pub fn run(&self, sample: &Sample) -> Result<Vec<Vec<f32>>, String> {
        let run = || -> TractResult<_> {
            let results = self.plan.run(self.values(sample)?)?;
            let flat = |t: &TValue| -> TractResult<Vec<f32>> {
                Ok(t.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
            };
            results.iter().map(flat).collect()
        };
        run().map_err(|e| words(&e))
    }

    /// Wall time of one run, without the preparation of its inputs.
    pub fn time(&self, sample: &Sample) -> Result<Duration, String> {
        let run = || -> TractResult<_> {
            let values = self.values(sample)?;
            let start = Instant::now();
            let results = self.plan.run(values)?;
            let time = start.elapsed();
            std::hint::black_box(results);
            Ok(time)
        };
        run().map_err(|e| words(&e))
    }

    /// Wall time of every node in one run, in order of execution.
    pub fn steps(&self, sample: &Sample) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        let mut run = || -> TractResult<()> {
            let mut state = self.plan.spawn()?;
            state.run_plan_with_eval(self.values(sample)?, |context, own, node, inputs| {
                let start = Instant::now();
                let outputs = eval(context, own, node, inputs);
                let time = start.elapsed();
                steps.push(Step { name: node.name.clone(), operator: node.op().name().to_string(), time });
                outputs
            })?;
            Ok(())
        };
        run().map_err(|e| words(&e)).map(|()| steps)
    }

    fn values(&self, sample: &Sample) -> TractResult<TVec<TValue>> {
        let one = |(x, dtype): (&Array<f32>, &DatumType)| {
            let x = tract_onnx::prelude::Tensor::from_shape(&x.shape, &x.data)?;
            Ok(x.cast_to_dt(*dtype)?.into_owned().into_tvalue())
        };
        sample.iter().zip(&self.inputs).map(one).collect()
    }
}

/// Runs a model at the given inputs: the outputs in order, for each sample.
pub fn run(bytes: &[u8], inputs: &[Fact], samples: &[Sample]) -> Result<Vec<Vec<Vec<f32>>>, String> {
    let runtime = Runtime::load(bytes, inputs)?;
    samples.iter().map(|s| runtime.run(s)).collect()
}

fn words(e: &TractError) -> String {
    let first = |c: &dyn std::fmt::Display| c.to_string().lines().next().unwrap_or_default().to_owned();
    e.chain().map(|c| first(&c)).collect::<Vec<_>>().join(": ")
}

/// Loads a model; where the shapes that the file states for values in between (hints, often at another batch size) do not
/// fit the inputs, without them.
fn load(bytes: &[u8], inputs: &[Fact]) -> TractResult<Runtime> {
    let types = inputs.iter().map(|f| datum_type(f.dtype)).collect::<TractResult<Vec<_>>>()?;
    let strict = tract_onnx::onnx();
    let free = strict.clone().with_ignore_value_info(true).with_ignore_output_shapes(true);
    // What stands in the way without the hints is the model's own.
    let plan =
        load_with(&strict, bytes, inputs, &types).or_else(|_| load_with(&free, bytes, inputs, &types))?;
    Ok(Runtime { plan, inputs: types })
}

fn load_with(
    onnx: &Onnx,
    bytes: &[u8],
    inputs: &[Fact],
    types: &[DatumType],
) -> TractResult<Arc<TypedRunnableModel>> {
    let mut model = onnx.model_for_read(&mut std::io::Cursor::new(bytes))?;
    for (k, (fact, dtype)) in inputs.iter().zip(types).enumerate() {
        model.set_input_fact(k, InferenceFact::dt_shape(*dtype, &fact.shape))?;
    }
    model.into_optimized()?.into_runnable()
}

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
