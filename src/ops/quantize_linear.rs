//! QuantizeLinear: y = saturate(round(x / scale) + zero point). <https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html>

use super::family::no_grad::{NoGrad, NoGradFn, Values};
use super::family::pointwise::PointwiseFn;
use super::family::quantization::{Layout, Scales, axis_of, channels};
use super::round::Round;
use crate::graph::*;
use crate::tensor::*;

#[derive(Debug)]
struct QuantizeLinear {
    layout: Layout,
    saturate: Option<i64>,
    output_dtype: Option<i64>,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let op = QuantizeLinear {
        layout: Layout::read(r)?,
        saturate: r.int("saturate")?,
        output_dtype: r.int("output_dtype")?,
    };
    Ok(Box::new(NoGrad(op)))
}

/// Smallest and largest value of an integer type that numbers are quantized to.
fn range(dtype: DType) -> Option<(f64, f64)> {
    match dtype {
        DType::U8 => Some((0.0, 255.0)),
        DType::I8 => Some((-128.0, 127.0)),
        DType::U16 => Some((0.0, 65535.0)),
        DType::I16 => Some((-32768.0, 32767.0)),
        _ => None,
    }
}

impl NoGradFn for QuantizeLinear {
    type Bound = Levels;

    fn attributes(&self) -> Attributes {
        let w = self.layout.write(Writer::default());
        w.maybe("saturate", self.saturate).maybe("output_dtype", self.output_dtype).done()
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(8.0, 17.0)
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        axis_of(self.layout, x)?;
        let zero = x.get(2).copied().flatten().map(|o| o.fact.dtype);
        let wish = self.output_dtype.filter(|&code| code != 0).map(|code| code as i32);
        let dtype = zero.or(wish.map_or(Some(DType::U8), DType::from_onnx));
        let Some(dtype) = dtype.filter(|&d| range(d).is_some()) else {
            return unsupported(format!("results of type {dtype:?}"));
        };
        Ok(vec![Fact::new(dtype, need(x, 0)?.shape.clone())])
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(self.layout, io, link);
    }
    fn bind(&self, io: &Io) -> Result<Levels, Refusal> {
        let scales = Scales::new(self.layout, io)?;
        Ok(Levels { scales, range: range(io.y[0].dtype).unwrap_or((0.0, 255.0)) })
    }
}

/// The levels of one node's result.
#[derive(Debug)]
struct Levels {
    scales: Scales,
    /// Smallest and largest level.
    range: (f64, f64),
}

impl Values for Levels {
    fn forward<T: Real>(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let (low, high) = (T::of(self.range.0), T::of(self.range.1));
        // In single precision, as the standard says: a half must be a half.
        let level = |x: T, scale: T| Round.f(T::of(f64::from((x / scale).wide() as f32)));
        self.scales.each(x, &mut y[0], |x, scale, zero| (level(x, scale) + zero).max(low).min(high));
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, Given, data, floats, scalar};
    let case = |name| Case::new("QuantizeLinear").named(name);
    vec![
        case("whole").inputs([data(&[2, 3, 4]), scalar(0.004)]).free(9),
        case("signed").inputs([data(&[2, 3, 4]), scalar(0.01), Given::Fixed(Tensor::scalar(3i8))]).free(9),
        case("per channel")
            .inputs([data(&[2, 2, 4]), floats(&[0.1, 0.01]), Given::Fixed(Tensor::new(&[2], vec![9u8, 128]))])
            .free(8),
        case("named type").opset(21).int("output_dtype", 5).inputs([data(&[3]), scalar(0.01)]).free(3),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::*;
    use crate::tensor::Tensor;

    // Values: onnxruntime 1.31.1.
    #[test]
    fn agrees_with_onnxruntime() {
        let of = |zero: Tensor, y: &[f64]| {
            let x = floats(&[0.5, 1.5, 2.5, -0.5, -300.0, 300.0]);
            Case::new("QuantizeLinear").inputs([x, scalar(1.0), Given::Fixed(zero)]).gives(y);
        };
        of(Tensor::scalar(1i8), &[1.0, 3.0, 3.0, 1.0, -128.0, 127.0]);
        of(Tensor::scalar(1u8), &[1.0, 3.0, 3.0, 1.0, 0.0, 255.0]);
    }
}
