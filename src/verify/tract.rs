//! Runs model files in tract. The only module that knows it.

use super::Sample;
use crate::ir;
use tract_onnx::Onnx;
use tract_onnx::prelude::*;

/// Runs a model file in tract at the given input facts; the outputs in order, for each sample.
pub fn run_tract(
    bytes: &[u8],
    inputs: &[ir::Fact],
    samples: &[Sample],
) -> Result<Vec<Vec<Vec<f32>>>, String> {
    let model = load_tract(bytes, inputs).map_err(|e| first_line(&e))?;
    samples.iter().map(|s| run_once(&model, inputs, s).map_err(|e| first_line(&e))).collect()
}

fn first_line(e: &TractError) -> String {
    let chain: Vec<String> =
        e.chain().map(|c| c.to_string().lines().next().unwrap_or_default().to_owned()).collect();
    chain.join(": ")
}

/// Loads a model; where the shapes that the file states for values in between (hints, often at another batch size) do not
/// fit the inputs, without them.
fn load_tract(bytes: &[u8], inputs: &[ir::Fact]) -> TractResult<Arc<TypedRunnableModel>> {
    let strict = tract_onnx::onnx();
    let free = strict.clone().with_ignore_value_info(true).with_ignore_output_shapes(true);
    load_with(&strict, bytes, inputs).or_else(|e| load_with(&free, bytes, inputs).map_err(|_| e))
}

fn load_with(onnx: &Onnx, bytes: &[u8], inputs: &[ir::Fact]) -> TractResult<Arc<TypedRunnableModel>> {
    let mut model = onnx.model_for_read(&mut std::io::Cursor::new(bytes))?;
    for (k, fact) in inputs.iter().enumerate() {
        let dtype = match fact.dtype {
            ir::DType::F16 => f16::datum_type(),
            _ => f32::datum_type(),
        };
        model.set_input_fact(k, InferenceFact::dt_shape(dtype, &fact.shape))?;
    }
    model.into_optimized()?.into_runnable()
}

fn run_once(
    model: &Arc<TypedRunnableModel>,
    inputs: &[ir::Fact],
    sample: &Sample,
) -> TractResult<Vec<Vec<f32>>> {
    let values: TractResult<TVec<TValue>> = sample
        .iter()
        .zip(inputs)
        .map(|(x, fact)| {
            let t = tract_onnx::prelude::Tensor::from_shape(&x.shape, &x.data)?;
            let t = if fact.dtype == ir::DType::F16 { t.cast_to::<f16>()?.into_owned() } else { t };
            Ok(t.into_tvalue())
        })
        .collect();
    let results = model.run(values?)?;
    results.iter().map(|t| Ok(t.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())).collect()
}
