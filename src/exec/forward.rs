//! The forward pass of a program.
//!
//! Takes: a workspace with its inputs filled, λ. Gives: every value, or the targets alone. Never: recycles a value that a later
//! step reads.

use super::channel_gather::ChannelGather;
use super::program::{Kind, Program, Source, Step};
use super::workspace::Workspace;
use crate::tensor::*;
use ndarray::{ArrayViewD, ArrayViewMutD};

impl Workspace {
    /// Computes all values. `lambda` holds λ by gate index, then κ; `None` opens all gates, as in the unpruned network.
    pub fn forward(&mut self, program: &Program, lambda: Option<&[f32]>) {
        for step in &program.steps {
            let arena = &mut self.arena;
            let mut out: Vec<Array<f32>> =
                step.outputs.iter().map(|&o| std::mem::take(&mut self.y[o])).collect();
            out.iter_mut().zip(&step.outputs).for_each(|(y, &o)| arena.fit(y, &program.shapes[o]));
            Forward { program, y: &self.y, lambda }.step(step, &mut out);
            step.outputs.iter().zip(out).for_each(|(&o, y)| self.y[o] = y);
        }
    }

    /// Computes the targets alone, with `lambda` as in [`Workspace::forward`]: a value's buffer is used again once no step reads the
    /// value any more, so that much less memory is touched. The values of the last [`Workspace::forward`] are gone.
    pub fn evaluate(&mut self, program: &Program, lambda: Option<&[f32]>) {
        let mut y = std::mem::take(&mut self.passing);
        y.resize_with(program.shapes.len(), Default::default);
        program.inputs.iter().for_each(|&s| std::mem::swap(&mut y[s], &mut self.y[s]));
        let arena = &mut self.arena;
        self.y.iter_mut().for_each(|old| arena.recycle(std::mem::take(old)));
        for (step, ends) in program.steps.iter().zip(&program.ends) {
            let mut out: Vec<Array<f32>> =
                step.outputs.iter().map(|&o| arena.array(&program.shapes[o])).collect();
            Forward { program, y: &y, lambda }.step(step, &mut out);
            step.outputs.iter().zip(out).for_each(|(&o, new)| y[o] = new);
            ends.iter().for_each(|&s| arena.recycle(std::mem::take(&mut y[s])));
        }
        for &s in program.inputs.iter().chain(&program.targets) {
            // Two targets may be one value, and an input may be one.
            if self.y[s].shape() != program.shapes[s] {
                self.y[s] = std::mem::take(&mut y[s]);
            }
        }
        self.passing = y;
    }
}

/// A forward pass on its way.
struct Forward<'a> {
    program: &'a Program,
    /// Values by slot.
    y: &'a [Array<f32>],
    /// λ by gate index, then κ.
    lambda: Option<&'a [f32]>,
}

impl Forward<'_> {
    /// Computes a step's results.
    fn step(&self, step: &Step, out: &mut [Array<f32>]) {
        match &step.kind {
            Kind::Op(kernel) => {
                let x = operands(step, self.program, self.y);
                let mut y: Vec<ArrayViewMutD<f32>> = out.iter_mut().map(|y| y.view_mut()).collect();
                kernel.forward(&x, &mut y);
            }
            Kind::Conv(conv) => {
                let bias = conv.bias.map_or(&[][..], |b| self.program.constants[b].elements());
                let bias_term = step.bias_term.as_ref();
                conv.forward(&self.y[step.slot(0)], bias, bias_term, self.lambda, &mut out[0]);
            }
            Kind::Gate { axis, index } => {
                self.gather(step, ChannelGather::gate(&self.program.shapes[step.slot(0)], *axis, index), out);
            }
            Kind::Gather(channel_map) => {
                self.gather(step, ChannelGather::map(&self.program.shapes[step.slot(0)], channel_map), out);
            }
            Kind::Sum { channel_map, gate, relu } => {
                let (trunk, branch) = (&self.y[step.slot(0)], &self.y[step.slot(1)]);
                let gather = ChannelGather::of(branch.shape(), channel_map.as_deref(), gate.as_deref());
                let trunk = trunk.elements();
                gather.add(branch.elements(), self.lambda, trunk, *relu, out[0].elements_mut());
            }
        }
        step.whole.iter().zip(&mut *out).for_each(|(dtype, y)| dtype.round(y.elements_mut()));
        if let (Some(bias_term), Some(lambda), Kind::Op(_)) = (&step.bias_term, self.lambda, &step.kind) {
            bias_term.add(lambda, &mut out[0]);
        }
    }

    fn gather(&self, step: &Step, gather: ChannelGather, out: &mut [Array<f32>]) {
        gather.forward(self.y[step.slot(0)].elements(), self.lambda, out[0].elements_mut());
    }
}

/// A step's operands, out of the values by slot.
pub(super) fn operands<'a>(
    step: &Step,
    program: &'a Program,
    y: &'a [Array<f32>],
) -> Vec<Option<ArrayViewD<'a, f32>>> {
    let operand = |source: &Option<Source>| match *source {
        None => None,
        Some(Source::Constant(c)) => Some(program.constants[c].view()),
        Some(Source::Slot(s)) => Some(y[s].view()),
    };
    step.inputs.iter().map(operand).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::squares;
    use super::*;

    #[test]
    fn targets_are_the_same_where_buffers_are_used_again() {
        let program = squares();
        let mut workspace = Workspace::new(&program);
        workspace.input(&program, 0).copy_from_slice(&[2.0, -1.0]);
        workspace.forward(&program, Some(&[0.5, 1.0]));
        assert_eq!(workspace.target(&program, 0).elements(), [3.0, 5.0]);
        assert_eq!(workspace.y[1].elements(), [1.0, -1.0]);
        // Twice: the buffers have other numbers in them then.
        for _ in 0..2 {
            workspace.evaluate(&program, Some(&[0.5, 1.0]));
            assert_eq!(workspace.target(&program, 0).elements(), [3.0, 5.0]);
            assert!(workspace.y[1].is_empty(), "a value that was read for the last time is gone");
        }
        // The input is still there, and without λ all gates are open.
        workspace.evaluate(&program, None);
        assert_eq!(workspace.target(&program, 0).elements(), [12.0, 5.0]);
    }

    #[test]
    fn integers_are_rounded_to_their_type() {
        let mut program = squares();
        program.steps[2].whole = vec![DType::U8, DType::F32];
        let mut workspace = Workspace::new(&program);
        workspace.input(&program, 0).copy_from_slice(&[0.9, 8.0]);
        workspace.forward(&program, None);
        // 2.43, and 320 − 256.
        assert_eq!(workspace.target(&program, 0).elements(), [2.0, 64.0]);
    }
}
