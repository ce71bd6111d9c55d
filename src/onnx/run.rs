//! A model on arrays, in our executor.

use super::Model;
use crate::error::{Error, Result};
use crate::exec::{Precision, Program, Workspace};
use crate::graph::{Fact, Network, infer};
use ndarray::{ArrayD, ArrayViewD};

impl Model {
    /// The outputs for `inputs`, both in the model's order. Sizes that the file leaves open may be any; integers and truth values
    /// are given as whole numbers. Errors where an input does not fit, or an operator cannot be run.
    pub fn run(&self, inputs: &[ArrayViewD<f32>]) -> Result<Vec<ArrayD<f32>>> {
        let graph = &self.graph;
        let refuse = |reason: String| Error::arrays(reason, "give one array per input, in the model's order");
        if inputs.len() != graph.inputs.len() {
            return Err(refuse(format!("{} arrays for {} inputs", inputs.len(), graph.inputs.len())));
        }
        let mut given = Vec::new();
        for (k, (&v, x)) in graph.inputs.iter().zip(inputs).enumerate() {
            let value = &graph.values[v];
            let Some(declared) = &value.declared else {
                return Err(refuse(format!("input '{}' is no tensor", value.name)));
            };
            let open = |axis: usize| self.open_axes(k).get(axis).is_some_and(Option::is_some);
            let fits = |(axis, (&a, &b)): (usize, (&usize, &usize))| a == b || open(axis);
            let pairs = x.shape().iter().zip(&declared.shape).enumerate();
            if x.ndim() != declared.shape.len() || !pairs.into_iter().all(fits) {
                let (found, wanted) = (x.shape(), &declared.shape);
                return Err(refuse(format!("{found:?} for input '{}', which is {wanted:?}", value.name)));
            }
            given.push(Fact::new(declared.dtype, x.shape()));
        }
        let facts = infer(graph, Some(&given))?;
        let program = Program::compile(Network::new(graph, &facts), Precision::Exact, &graph.outputs)?;
        let mut workspace = Workspace::new(&program);
        for (k, x) in inputs.iter().enumerate() {
            let to = workspace.input(&program, k);
            to.iter_mut().zip(x.iter()).for_each(|(to, x)| *to = *x);
        }
        workspace.evaluate(&program, None);
        Ok((0..graph.outputs.len()).map(|t| workspace.target(&program, t).clone()).collect())
    }
}
