//! A model for callers.
//!
//! Takes: a file, or bytes. Gives: a [`Model`] that runs on arrays. Never: lets its graph be changed, or writes it.

use crate::error::Result;
use crate::onnx::{self, InputShape};
use ndarray::{ArrayBase, ArrayD, Data, Dimension};
use std::path::Path;

/// An ONNX model.
#[derive(Debug, Clone)]
pub struct Model(pub(crate) onnx::Model);

/// An input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Port {
    /// Name.
    pub name: String,
    /// Element type, as NumPy names it.
    pub dtype: &'static str,
    /// Sizes; 1 for those that the file leaves open, unless they were given.
    pub shape: Vec<usize>,
    /// Names of the axes that the file leaves open (inputs); none where it states a size.
    pub open: Vec<Option<String>>,
}

impl Model {
    /// Reads a file; external data are looked for in its folder. Errors on anything that is not an ONNX model of opset 7 or newer.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &[])
    }

    /// As [`Model::open`], with sizes for axes that the file leaves open.
    pub fn open_with(path: impl AsRef<Path>, sizes: &[InputShape]) -> Result<Self> {
        onnx::read(path.as_ref(), sizes).map(Self)
    }

    /// Reads a model from memory. It cannot have external data.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        onnx::parse(bytes, Path::new("memory.onnx"), &[]).map(Self)
    }

    /// Inputs, in the model's order. Errors where shapes contradict the operators' definitions.
    pub fn inputs(&self) -> Result<Vec<Port>> {
        let graph = &self.0.graph;
        self.ports(&graph.inputs, |k| self.0.open_axes(k).to_vec())
    }

    /// Outputs, in the model's order. Errors as [`Model::inputs`].
    pub fn outputs(&self) -> Result<Vec<Port>> {
        self.ports(&self.0.graph.outputs, |_| Vec::new())
    }

    fn ports(&self, values: &[usize], open: impl Fn(usize) -> Vec<Option<String>>) -> Result<Vec<Port>> {
        let facts = self.0.facts()?;
        let port = |(k, &v): (usize, &usize)| {
            let name = self.0.graph.values[v].name.clone();
            let (dtype, shape) = match &facts.fact[v] {
                Some(fact) => (fact.dtype.name(), fact.shape.to_vec()),
                None => ("unknown", Vec::new()),
            };
            Port { name, dtype, shape, open: open(k) }
        };
        Ok(values.iter().enumerate().map(port).collect())
    }

    /// The outputs for `inputs`, both in the model's order. Sizes that the file leaves open may be any; integers and truth values
    /// are given as whole numbers. Errors where an input does not fit, or an operator cannot be run.
    pub fn run<S: Data<Elem = f32>, D: Dimension>(
        &self,
        inputs: &[ArrayBase<S, D>],
    ) -> Result<Vec<ArrayD<f32>>> {
        let views: Vec<_> = inputs.iter().map(|x| x.view().into_dyn()).collect();
        self.0.run(&views)
    }
}
