//! The backward pass of a program.
//!
//! Takes: a workspace that went forward, the gradients at the targets. Gives: dL/dλ and dL/dκ, or dL/dθ of the parameters. Never:
//! asks an operator for the gradient of a value that depends on neither gate nor parameter.

use super::channel_gather::ChannelGather;
use super::convolution::ConvIo;
use super::forward::operands;
use super::gradients::{GradSlot, Gradients};
use super::program::{Kind, Program, Source, Step};
use super::workspace::Workspace;
use crate::graph::Kernel;
use crate::kernels::simd::{Add, ReluBackward, vectorised};
use crate::tensor::*;
use ndarray::{ArrayViewD, ArrayViewMutD};

impl Workspace {
    /// Adds dL/dλ to `gradient`, per gate index, and dL/dκ after them. [`Workspace::forward`] must have come last, and the
    /// gradients at the targets must have been set; buffers of other values are cleared here.
    pub fn backward(&mut self, program: &Program, lambda: &[f32], gradient: &mut [f32]) {
        self.back(program, &mut Gradients { lambda, gates: gradient, parameters: &mut [] });
    }

    /// Adds dL/dθ of every parameter to `gradients` (see [`Program::gradients`]). The gradients at the targets must have been
    /// set.
    pub fn backward_parameters(&mut self, program: &Program, gradients: &mut [Array<f32>]) {
        self.back(program, &mut Gradients { lambda: &[], gates: &mut [], parameters: gradients });
    }

    fn back(&mut self, program: &Program, gradients: &mut Gradients) {
        self.begun.fill(false);
        program.targets.iter().for_each(|&t| self.begun[t] = true);
        for step in program.steps.iter().rev().filter(|s| s.live) {
            step.outputs.iter().for_each(|&o| self.begin(program, o));
            let mut dy: Vec<Array<f32>> =
                step.outputs.iter().map(|&o| std::mem::take(&mut self.dy[o])).collect();
            self.step_backward(program, step, &mut dy, gradients);
            dy.into_iter().for_each(|dy| self.arena.recycle(dy));
        }
    }

    /// Takes the gradients `dy` of a step's results to the gradients of its operands.
    fn step_backward(
        &mut self,
        program: &Program,
        step: &Step,
        dy: &mut [Array<f32>],
        gradients: &mut Gradients,
    ) {
        match &step.kind {
            Kind::Op(kernel) => {
                if let Some(bias_term) = &step.bias_term {
                    bias_term.backward(&dy[0], gradients);
                }
                self.operator_backward(program, step, kernel.as_ref(), dy, gradients);
            }
            Kind::Conv(conv) => {
                self.relu_backward(step, conv.relu, &mut dy[0]);
                let s = step.slot(0);
                let mut dx = self.checkout(program, s);
                let weights = program.constants[conv.weights].elements();
                let mut io = ConvIo { x: &self.y[s], dy: &mut dy[0], weights };
                let parameter = |k: usize| program.parameter(step.inputs.get(k).copied().flatten());
                conv.backward_parameters(&mut io, parameter(1), parameter(2), gradients);
                if let Some(bias_term) = &step.bias_term {
                    bias_term.backward(io.dy, gradients);
                }
                conv.backward_input(&io, dx.as_mut(), &mut self.gated, gradients);
                self.give_back(s, dx);
            }
            Kind::Gate { axis, index } => {
                let gather = ChannelGather::gate(&program.shapes[step.slot(0)], *axis, index);
                self.gather_backward(program, step.slot(0), gather, &dy[0], gradients);
            }
            Kind::Gather(channel_map) => {
                let gather = ChannelGather::map(&program.shapes[step.slot(0)], channel_map);
                self.gather_backward(program, step.slot(0), gather, &dy[0], gradients);
            }
            Kind::Sum { channel_map, gate, relu } => {
                self.relu_backward(step, *relu, &mut dy[0]);
                let (trunk, branch) = (step.slot(0), step.slot(1));
                if channel_map.is_none() && gate.is_none() {
                    self.pass_on(program, branch, &mut dy[0], false);
                } else {
                    let shape = &program.shapes[branch];
                    let gather = ChannelGather::of(shape, channel_map.as_deref(), gate.as_deref());
                    self.gather_backward(program, branch, gather, &dy[0], gradients);
                }
                self.pass_on(program, trunk, &mut dy[0], true);
            }
        }
    }

    /// Takes `dy` through the ReLU that a step ends in, if `relu`.
    fn relu_backward(&self, step: &Step, relu: bool, dy: &mut Array<f32>) {
        if relu {
            vectorised(ReluBackward { y: self.y[step.outputs[0]].elements(), dy: dy.elements_mut() });
        }
    }

    /// Takes `dy` through a map of channels and gates, to the gradients of slot `s` and of λ.
    fn gather_backward(
        &mut self,
        program: &Program,
        s: usize,
        gather: ChannelGather,
        dy: &Array<f32>,
        gradients: &mut Gradients,
    ) {
        let mut dx = self.checkout(program, s);
        gather.backward(self.y[s].elements(), dy.elements(), dx.as_mut(), gradients);
        self.give_back(s, dx);
    }

    /// Adds a gradient to that of slot `s`. The `last` to get it may keep its buffer.
    fn pass_on(&mut self, program: &Program, s: usize, dy: &mut Array<f32>, last: bool) {
        let mut dx = self.checkout(program, s);
        match &mut dx {
            Some(GradSlot { dx, begun: true }) => {
                vectorised(Add { to: dx.elements_mut(), from: dy.elements() });
            }
            Some(GradSlot { dx, .. }) if last => std::mem::swap(dx, dy),
            Some(GradSlot { dx, .. }) => dx.elements_mut().copy_from_slice(dy.elements()),
            None => {}
        }
        self.give_back(s, dx);
    }

    /// Takes `dy` through an operator. An operand that the step has in several slots gets a gradient of its own for each, which are added up
    /// in the order of the slots.
    fn operator_backward(
        &mut self,
        program: &Program,
        step: &Step,
        kernel: &dyn Kernel,
        dy: &[Array<f32>],
        gradients: &mut Gradients,
    ) {
        let repeats = |k: usize| step.inputs[..k].contains(&step.inputs[k]);
        let mut dx: Vec<Option<Array<f32>>> = Vec::with_capacity(step.inputs.len());
        for (k, &source) in step.inputs.iter().enumerate() {
            dx.push(match self.gradient_of(program, source, gradients) {
                Some(first) if !repeats(k) => Some(std::mem::take(first)),
                Some(_) => Some(self.zeros(program, source)),
                None => None,
            });
        }
        let x = operands(step, program, &self.y);
        let y: Vec<ArrayViewD<f32>> = step.outputs.iter().map(|&o| self.y[o].view()).collect();
        let dy: Vec<ArrayViewD<f32>> = dy.iter().map(|dy| dy.view()).collect();
        let mut dx_views: Vec<Option<ArrayViewMutD<f32>>> =
            dx.iter_mut().map(|dx| dx.as_mut().map(|dx| dx.view_mut())).collect();
        kernel.backward(&x, &y, &dy, &mut dx_views);
        for (k, dx) in dx.into_iter().enumerate() {
            let Some((dx, to)) = dx.zip(self.gradient_of(program, step.inputs[k], gradients)) else {
                continue;
            };
            if repeats(k) {
                to.elements_mut().iter_mut().zip(dx.elements()).for_each(|(to, dx)| *to += dx);
                self.arena.recycle(dx);
            } else {
                *to = dx;
            }
        }
    }

    /// Gradient of a step's operand; none where it depends on neither gate nor parameter.
    fn gradient_of<'b>(
        &'b mut self,
        program: &Program,
        source: Option<Source>,
        gradients: &'b mut Gradients,
    ) -> Option<&'b mut Array<f32>> {
        match source {
            Some(Source::Slot(s)) => program.live[s].then(|| {
                self.begin(program, s);
                &mut self.dy[s]
            }),
            _ => program.parameter(source).map(|p| &mut gradients.parameters[p]),
        }
    }

    /// Zeros of the shape of a step's operand.
    fn zeros(&mut self, program: &Program, source: Option<Source>) -> Array<f32> {
        let shape = match source {
            Some(Source::Slot(s)) => program.shapes[s].as_slice(),
            Some(Source::Constant(c)) => program.constants[c].shape(),
            None => &[0],
        };
        let mut zeros = self.arena.array(shape);
        zeros.fill(0.0);
        zeros
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::squares;
    use super::*;

    /// w = c·(λx)²: dw/dλ = 2c·λx², dw/dc = (λx)².
    #[test]
    fn an_operand_in_two_slots_gets_the_gradients_of_both() {
        let program = squares();
        let mut workspace = Workspace::new(&program);
        workspace.input(&program, 0).copy_from_slice(&[2.0, -1.0]);
        let lambda = [0.5, 1.0];
        // Twice: what the first pass left in buffers must not be seen by the second.
        for _ in 0..2 {
            workspace.forward(&program, Some(&lambda));
            workspace.target_gradient(&program, 0).copy_from_slice(&[1.0, 10.0]);
            let (mut gates, mut parameters) = ([100.0, 0.0], program.gradients());
            let gradients =
                &mut Gradients { lambda: &lambda, gates: &mut gates, parameters: &mut parameters };
            workspace.back(&program, gradients);
            assert_eq!(gates, [112.0, 100.0], "added to what was there");
            assert_eq!(parameters[0].elements(), [1.0, 10.0]);
        }
    }

    #[test]
    fn the_last_to_get_a_gradient_takes_its_buffer() {
        let program = squares();
        let mut workspace = Workspace::new(&program);
        let mut dy = array(&[2], vec![1.0, 2.0]);
        let place = dy.as_ptr();
        workspace.pass_on(&program, 1, &mut dy, true);
        assert_eq!(workspace.dy[1].as_ptr(), place);
        let mut more = array(&[2], vec![10.0, 20.0]);
        workspace.pass_on(&program, 1, &mut more, true);
        assert_eq!(workspace.dy[1].elements(), [11.0, 22.0]);
        // Nobody wants a gradient of the input.
        workspace.pass_on(&program, 0, &mut more, true);
        assert!(workspace.dy[0].is_empty());
    }
}
