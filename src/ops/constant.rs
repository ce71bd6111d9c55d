//! Constant: a value stored in the node. <https://onnx.ai/onnx/operators/onnx__Constant.html>
//!
//! Its coordinates are free: whoever uses it decides, and the stored tensor is sliced.

use crate::graph::*;
use crate::tensor::*;
use std::borrow::Cow;

#[derive(Debug)]
struct Constant {
    form: Form,
}

/// The attribute that holds the value.
#[derive(Debug, Clone)]
enum Form {
    Value(Tensor),
    Float(f32),
    Floats(Vec<f32>),
    Int(i64),
    Ints(Vec<i64>),
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let form = if let Some(t) = r.tensor("value")? {
        Form::Value(t)
    } else if let Some(v) = r.float("value_float")? {
        Form::Float(v)
    } else if let Some(v) = r.floats("value_floats")? {
        Form::Floats(v)
    } else if let Some(v) = r.int("value_int")? {
        Form::Int(v)
    } else if let Some(v) = r.ints("value_ints")? {
        Form::Ints(v)
    } else {
        return unsupported("a constant that is neither a tensor nor numbers");
    };
    Ok(Box::new(Constant { form }))
}

impl Constant {
    fn tensor(&self) -> Tensor {
        match &self.form {
            Form::Value(t) => t.clone(),
            Form::Float(v) => Tensor::scalar(*v),
            Form::Floats(v) => Tensor::floats(&[v.len()], v.clone()),
            Form::Int(v) => Tensor::scalar(*v),
            Form::Ints(v) => Tensor::ints(v),
        }
    }
}

impl Hints for Constant {
    fn stored(&self) -> Option<Cow<'_, Tensor>> {
        match &self.form {
            Form::Value(t) => Some(Cow::Borrowed(t)),
            _ => Some(Cow::Owned(self.tensor())),
        }
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        None
    }
}

impl Op for Constant {
    fn attributes(&self) -> Attributes {
        let w = Writer::default();
        match self.form.clone() {
            Form::Value(t) => w.put("value", t),
            Form::Float(v) => w.put("value_float", v),
            Form::Floats(v) => w.put("value_floats", v),
            Form::Int(v) => w.put("value_int", v),
            Form::Ints(v) => w.put("value_ints", v),
        }
        .done()
    }

    fn infer(&self, _: &Operands) -> Result<Vec<Fact>, Refusal> {
        let t = self.tensor();
        Ok(vec![Fact::new(t.dtype(), t.shape())])
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn bind(&self, _: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        Ok(Box::new(Stored(self.tensor())))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        for (axis, &size) in io.output(0).iter().enumerate() {
            (0..size).for_each(|i| link.free(output(0, axis), i));
        }
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, io: &Io, keep: &dyn Keep) -> Result<Resized, Refusal> {
        let mut t = self.tensor();
        let mut changed = false;
        for axis in 0..io.output(0).len() {
            if let Some(kept) = keep.kept(output(0, axis)) {
                t = t.select(axis, kept);
                changed = true;
            }
        }
        if !changed {
            return Ok(Resized::UNCHANGED);
        }
        let form = match (&self.form, &t) {
            (Form::Floats(_), Tensor::F32(v)) => Form::Floats(v.iter().copied().collect()),
            (Form::Ints(_), Tensor::I64(v)) => Form::Ints(v.iter().copied().collect()),
            _ => Form::Value(t),
        };
        Ok(Resized::of(Box::new(Constant { form })))
    }
}

/// The stored value.
#[derive(Debug)]
struct Stored(Tensor);

impl<T: Real> Compute<T> for Stored {
    fn forward(&self, _: &Inputs<T>, y: &mut ResultsMut<T>) {
        y[0].assign(&self.0.to_array());
    }
    fn backward(&self, _: &Inputs<T>, _: &Results<T>, _: &Results<T>, _: &mut InputGradients<T>) {}
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::Case;
    vec![
        Case::new("Constant").attr("value", Tensor::floats(&[2, 3], vec![1., 2., 3., 4., 5., 6.])).free(5),
        Case::new("Constant").named("floats").attr("value_floats", vec![4f32, 5.]).free(2),
    ]
}
