//! Other values for the parameters of a program whose convolutions hold weights in an order of their own.

use crate::exec::program::{Kind, Program};
use crate::tensor::*;

impl Program {
    /// Sets the parameters to `values`, row-major; the value of a parameter that no target depends on is skipped.
    pub fn set_parameters<'v>(&mut self, values: impl Iterator<Item = &'v [f32]>) {
        for (at, value) in self.parameters.iter().zip(values) {
            if let Some(c) = at {
                self.constants[*c].elements_mut().copy_from_slice(value);
            }
        }
        prepare_again(self);
    }
}

/// Packs weights again, of every convolution for which they are a parameter.
fn prepare_again(program: &mut Program) {
    for step in &mut program.steps {
        let Kind::Conv(conv) = &mut step.kind else { continue };
        if program.parameters.contains(&Some(conv.weights)) {
            conv.kernel.repack(program.constants[conv.weights].elements());
        }
    }
}
