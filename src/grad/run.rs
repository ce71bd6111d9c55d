//! Runs a program forward and backward in one thread's workspace.

use super::lower::Convolution;
use super::program::{Kind, Program, Shift, Source, Step, UNGATED};
use crate::ir::*;
use crate::ops::kernels::conv;
use crate::ops::kernels::direct::Start;
use std::ops::Range;

/// Buffers for one thread: every value and its gradient.
#[derive(Debug)]
pub struct Workspace {
    y: Vec<Array<f32>>,
    dy: Vec<Array<f32>>,
}

impl Workspace {
    /// Buffers for `program`.
    pub fn new(program: &Program) -> Self {
        let empty = |n: usize| (0..n).map(|_| Array::default()).collect();
        Self { y: empty(program.shapes.len()), dy: empty(program.shapes.len()) }
    }

    /// The buffer of network input `k`, to be filled: [batch, …].
    pub fn input(&mut self, program: &Program, k: usize) -> &mut [f32] {
        let slot = program.inputs[k];
        fit(&mut self.y[slot], &program.shapes[slot]);
        &mut self.y[slot].data
    }

    /// The value of target `k` after [`Workspace::forward`].
    pub fn target(&self, program: &Program, k: usize) -> &Array<f32> {
        &self.y[program.targets[k]]
    }

    /// A value after [`Workspace::forward`], if the program computes it.
    pub fn value(&self, program: &Program, v: ValueId) -> Option<&Array<f32>> {
        program.slots.get(&v).map(|&s| &self.y[s])
    }

    /// Computes all values. λ per gate index, and κ behind them; `None` opens all gates (the unpruned network).
    pub fn forward(&mut self, program: &Program, lambda: Option<&[f32]>) {
        for step in &program.steps {
            let mut out: Vec<Array<f32>> = step
                .outputs
                .iter()
                .map(|&o| {
                    let mut a = std::mem::take(&mut self.y[o]);
                    fit(&mut a, &program.shapes[o]);
                    a
                })
                .collect();
            match &step.kind {
                Kind::Op(op) => {
                    let x = operands(step, program, &self.y);
                    op.forward(&x, &mut out);
                }
                Kind::Conv(conv) => {
                    if let Some(Source::Slot(s)) = step.inputs[0] {
                        let bias = conv.bias.map_or(&[][..], |b| &program.constants[b].data);
                        conv_forward(conv, bias, step.shift.as_ref(), &self.y[s], lambda, &mut out[0]);
                    }
                }
                Kind::Gate { axis, index } => {
                    if let Some(Source::Slot(s)) = step.inputs[0] {
                        gate(&self.y[s], *axis, index, lambda, &mut out[0]);
                    }
                }
            }
            if let (Some(shift), Some(lambda), Kind::Op(_)) = (&step.shift, lambda, &step.kind) {
                add_shift(shift, lambda, &mut out[0]);
            }
            for (&o, a) in step.outputs.iter().zip(out) {
                self.y[o] = a;
            }
        }
    }

    /// The gradient buffer of target `k`, zeroed: set it before [`Workspace::backward`].
    pub fn target_gradient(&mut self, program: &Program, k: usize) -> &mut [f32] {
        let slot = program.targets[k];
        self.dy[slot].data.clear();
        fit(&mut self.dy[slot], &program.shapes[slot]);
        &mut self.dy[slot].data
    }

    /// Adds dL/dλ to `gradient`, per gate index, and dL/dκ behind it. The gradients at the targets must have been set; buffers
    /// of other values are cleared here.
    pub fn backward(&mut self, program: &Program, lambda: &[f32], gradient: &mut [f32]) {
        self.back(program, Gradients { lambda, gates: gradient, parameters: &mut [] });
    }

    /// Adds dL/dθ of every parameter to `gradients` (see [`Program::gradients`]). The gradients at the targets must have been
    /// set.
    pub fn backward_parameters(&mut self, program: &Program, gradients: &mut [Array<f32>]) {
        self.back(program, Gradients { lambda: &[], gates: &mut [], parameters: gradients });
    }

    fn back(&mut self, program: &Program, mut into: Gradients) {
        for step in &program.steps {
            for &o in step.outputs.iter().filter(|o| program.live[**o] && !program.targets.contains(o)) {
                fit(&mut self.dy[o], &program.shapes[o]);
                self.dy[o].data.fill(0.0);
            }
        }
        for step in program.steps.iter().rev().filter(|s| s.live) {
            self.step_backward(program, step, &mut into);
        }
    }

    /// The buffer for the gradient of a step's operand, where it is wanted.
    fn gradient_of<'b>(
        &'b mut self,
        program: &Program,
        source: Option<Source>,
        into: &'b mut Gradients,
    ) -> Option<&'b mut Array<f32>> {
        match source {
            Some(Source::Slot(s)) => program.live[s].then(|| &mut self.dy[s]),
            _ => program.parameter(source).map(|p| &mut into.parameters[p]),
        }
    }

    fn step_backward(&mut self, program: &Program, step: &Step, into: &mut Gradients) {
        let dy: Vec<Array<f32>> = step.outputs.iter().map(|&o| std::mem::take(&mut self.dy[o])).collect();
        if let (Some(shift), Kind::Op(_)) = (&step.shift, &step.kind) {
            shift_backward(shift, &dy[0], into);
        }
        match &step.kind {
            Kind::Conv(conv) => {
                if let Some(Source::Slot(s)) = step.inputs[0] {
                    let dx = program.live[s].then(|| std::mem::take(&mut self.dy[s]));
                    let weights = &program.constants[conv.weights].data;
                    let [w, b] = [1, 2].map(|k| program.parameter(step.inputs.get(k).copied().flatten()));
                    let io = ConvIo { x: &self.y[s], y: &self.y[step.outputs[0]], dy: &dy[0], weights };
                    conv_backward_parameters(conv, &io, [w, b], into);
                    if let Some(dx) = conv_backward(conv, step.shift.as_ref(), &io, dx, into) {
                        self.dy[s] = dx;
                    }
                }
            }
            Kind::Gate { axis, index } => {
                if let Some(Source::Slot(s)) = step.inputs[0] {
                    let dx = program.live[s].then(|| std::mem::take(&mut self.dy[s]));
                    let dx = gate_backward(&self.y[s], *axis, index, &dy[0], dx, into);
                    if let Some(dx) = dx {
                        self.dy[s] = dx;
                    }
                }
            }
            Kind::Op(op) => {
                // An operand used twice by one step gets its gradient through its first slot's buffer in turn.
                let mut taken: Vec<(usize, Array<f32>)> = Vec::new();
                let mut double = Vec::new();
                for (k, source) in step.inputs.iter().enumerate() {
                    let Some(buffer) = self.gradient_of(program, *source, into) else { continue };
                    if taken.iter().any(|(at, _)| step.inputs[*at] == *source) {
                        double.push(k);
                    } else {
                        taken.push((k, std::mem::take(buffer)));
                    }
                }
                let y: Vec<Array<f32>> =
                    step.outputs.iter().map(|&o| std::mem::take(&mut self.y[o])).collect();
                let x = operands(step, program, &self.y);
                let mut extra: Vec<Array<f32>> = double
                    .iter()
                    .map(|&k| x[k].map_or_else(Array::default, |x| Array::zeros(&x.shape)))
                    .collect();
                {
                    let mut slots: Vec<Option<&mut Array<f32>>> = step.inputs.iter().map(|_| None).collect();
                    for (k, a) in &mut taken {
                        slots[*k] = Some(a);
                    }
                    for (k, a) in double.iter().zip(&mut extra) {
                        slots[*k] = Some(a);
                    }
                    op.backward(&x, &y, &dy, &mut slots);
                }
                for (k, a) in double.iter().zip(&extra) {
                    if let Some((_, first)) =
                        taken.iter_mut().find(|(at, _)| step.inputs[*at] == step.inputs[*k])
                    {
                        first.data.iter_mut().zip(&a.data).for_each(|(d, a)| *d += a);
                    }
                }
                for (k, a) in taken {
                    if let Some(buffer) = self.gradient_of(program, step.inputs[k], into) {
                        *buffer = a;
                    }
                }
                for (&o, a) in step.outputs.iter().zip(y) {
                    self.y[o] = a;
                }
            }
        }
        for (&o, a) in step.outputs.iter().zip(dy) {
            self.dy[o] = a;
        }
    }
}

/// Where a pass leaves its gradients.
struct Gradients<'a> {
    /// λ, and κ behind them, at which the pass went forward.
    lambda: &'a [f32],
    /// dL/dλ and dL/dκ.
    gates: &'a mut [f32],
    /// dL/dθ by parameter.
    parameters: &'a mut [Array<f32>],
}

fn operands<'a>(step: &Step, program: &'a Program, y: &'a [Array<f32>]) -> Vec<Option<&'a Array<f32>>> {
    step.inputs
        .iter()
        .map(|source| match source {
            None => None,
            Some(Source::Constant(c)) => Some(&program.constants[*c]),
            Some(Source::Slot(s)) => Some(&y[*s]),
        })
        .collect()
}

fn fit(a: &mut Array<f32>, shape: &[usize]) {
    if a.shape != shape || a.data.len() != volume(shape) {
        a.shape = shape.to_vec();
        a.data.resize(volume(shape), 0.0);
    }
}

/// λ of a coordinate.
fn lambda_at(lambda: &[f32], index: u32) -> f32 {
    if index == UNGATED { 1.0 } else { lambda[index as usize] }
}

/// Calls `f(coordinate, range)` for each run of elements that share a coordinate of `axis`.
fn rows(shape: &[usize], axis: usize, mut f: impl FnMut(usize, Range<usize>)) {
    let inner = volume(&shape[axis + 1..]);
    for o in 0..volume(&shape[..axis]) {
        for c in 0..shape[axis] {
            let start = (o * shape[axis] + c) * inner;
            f(c, start..start + inner);
        }
    }
}

/// y = x ⊙ λ
fn gate(x: &Array<f32>, axis: usize, index: &[u32], lambda: Option<&[f32]>, y: &mut Array<f32>) {
    let Some(lambda) = lambda else {
        y.data.copy_from_slice(&x.data);
        return;
    };
    rows(&x.shape, axis, |c, r| {
        let l = lambda_at(lambda, index[c]);
        y.data[r.clone()].iter_mut().zip(&x.data[r]).for_each(|(y, x)| *y = l * x);
    });
}

/// dx += λ ⊙ dy, dλ_c += Σ x·dy
fn gate_backward(
    x: &Array<f32>,
    axis: usize,
    index: &[u32],
    dy: &Array<f32>,
    mut dx: Option<Array<f32>>,
    into: &mut Gradients,
) -> Option<Array<f32>> {
    rows(&x.shape, axis, |c, r| {
        let dy = &dy.data[r.clone()];
        if index[c] != UNGATED {
            into.gates[index[c] as usize] += dot(&x.data[r.clone()], dy);
        }
        if let Some(dx) = &mut dx {
            let l = lambda_at(into.lambda, index[c]);
            dx.data[r].iter_mut().zip(dy).for_each(|(dx, dy)| *dx += l * dy);
        }
    });
    dx
}

/// y_o += Σ_c (1 − λ_c)·κ_c·m[o, c]
fn add_shift(shift: &Shift, lambda: &[f32], y: &mut Array<f32>) {
    let by = shift_amounts(shift, lambda);
    let shape = y.shape.clone();
    rows(&shape, shift.axis, |o, r| y.data[r].iter_mut().for_each(|y| *y += by[o]));
}

fn shift_amounts(shift: &Shift, lambda: &[f32]) -> Vec<f32> {
    let of_gate = |(&i, &l): (&u32, &u32)| (1.0 - lambda_at(lambda, i)) * lambda_at(lambda, l);
    let closed: Vec<f32> = shift.index.iter().zip(&shift.level).map(of_gate).collect();
    shift.matrix.chunks(closed.len().max(1)).map(|row| dot(row, &closed)).collect()
}

/// With s_c = Σ_o m[o, c]·Σ dy_o: dλ_c −= κ_c·s_c, dκ_c += (1 − λ_c)·s_c
fn shift_backward(shift: &Shift, dy: &Array<f32>, into: &mut Gradients) {
    let lambda = into.lambda;
    let columns = shift.index.len().max(1);
    let mut sums = vec![0.0f32; shift.matrix.len() / columns];
    rows(&dy.shape, shift.axis, |o, r| sums[o] += dy.data[r].iter().sum::<f32>());
    let mut of_channel = vec![0.0f32; columns];
    for (row, g) in shift.matrix.chunks(columns).zip(&sums) {
        of_channel.iter_mut().zip(row).for_each(|(s, m)| *s += m * g);
    }
    for ((&i, &l), s) in
        shift.index.iter().zip(&shift.level).zip(&of_channel).filter(|((i, _), _)| **i != UNGATED)
    {
        into.gates[i as usize] -= s * lambda_at(lambda, l);
        if l != UNGATED {
            into.gates[l as usize] += s * (1.0 - lambda_at(lambda, i));
        }
    }
}

/// y = relu(conv(x ⊙ λ) + b + shift)
fn conv_forward(
    c: &Convolution,
    bias: &[f32],
    shift: Option<&Shift>,
    x: &Array<f32>,
    lambda: Option<&[f32]>,
    y: &mut Array<f32>,
) {
    let pixels = c.geometry.pixels_in();
    let row = |n: usize, k: usize, r: usize, out: &mut [f32]| {
        let from = &x.data[(n * c.geometry.cin + k) * pixels + r * out.len()..][..out.len()];
        match (&c.gate, lambda) {
            (Some(index), Some(lambda)) => {
                let l = lambda_at(lambda, index[k]);
                out.iter_mut().zip(from).for_each(|(o, x)| *o = l * x);
            }
            _ => out.copy_from_slice(from),
        }
    };
    let shifted;
    let bias = match (shift, lambda) {
        (Some(shift), Some(lambda)) => {
            let by = shift_amounts(shift, lambda);
            shifted =
                by.iter().enumerate().map(|(o, s)| bias.get(o).unwrap_or(&0.0) + s).collect::<Vec<f32>>();
            &shifted
        }
        _ => bias,
    };
    c.forward.run(row, Start::Bias(bias), c.relu, &mut y.data);
}

struct ConvIo<'a> {
    x: &'a Array<f32>,
    y: &'a Array<f32>,
    dy: &'a Array<f32>,
    weights: &'a [f32],
}

impl ConvIo<'_> {
    /// Some of the gradient, taken through the ReLU.
    fn before_relu(&self, relu: bool, from: Range<usize>, out: &mut [f32]) {
        let (dy, y) = (&self.dy.data[from.clone()], &self.y.data[from]);
        if relu {
            out.iter_mut().zip(dy).zip(y).for_each(|((o, d), y)| *o = if *y > 0.0 { *d } else { 0.0 });
        } else {
            out.copy_from_slice(dy);
        }
    }
}

/// Adds the gradients of weight and bias, where they are wanted. There are no gates then.
fn conv_backward_parameters(
    c: &Convolution,
    io: &ConvIo,
    [weight, bias]: [Option<usize>; 2],
    into: &mut Gradients,
) {
    if weight.is_none() && bias.is_none() {
        return;
    }
    let mut dy = vec![0.0; io.dy.data.len()];
    io.before_relu(c.relu, 0..dy.len(), &mut dy);
    if let Some(p) = weight {
        c.forward.gradient(c.forward.rows(&io.x.data), &mut dy, &mut into.parameters[p].data);
    }
    if let Some(p) = bias {
        conv::backward_bias(c.geometry.cout, c.geometry.pixels_out(), &dy, &mut into.parameters[p].data);
    }
}

/// Through ReLU, convolution and gate: dx += λ ⊙ convᵀ(dy·[y > 0]), dλ_c += Σ x·convᵀ(…)
fn conv_backward(
    c: &Convolution,
    shift: Option<&Shift>,
    io: &ConvIo,
    mut dx: Option<Array<f32>>,
    into: &mut Gradients,
) -> Option<Array<f32>> {
    let pixels = c.geometry.pixels_out();
    let masked = |from: Range<usize>, out: &mut [f32]| io.before_relu(c.relu, from, out);
    if let Some(shift) = shift {
        let mut all = Array::zeros(&io.dy.shape);
        masked(0..io.dy.data.len(), &mut all.data);
        shift_backward(shift, &all, into);
    }
    if dx.is_none() && c.gate.is_none() {
        return None;
    }
    // Without a gate the gradient goes straight to dx; with one it is needed for dλ first.
    let mut before_gate = if c.gate.is_some() { Some(Array::zeros(&io.x.shape)) } else { None };
    {
        let target = match (&mut before_gate, &mut dx) {
            (Some(g), _) | (None, Some(g)) => g,
            (None, None) => return None,
        };
        match &c.backward {
            Some(back) => {
                let row = |n: usize, k: usize, r: usize, out: &mut [f32]| {
                    let at = (n * c.geometry.cout + k) * pixels + r * out.len();
                    masked(at..at + out.len(), out);
                };
                back.run(
                    row,
                    if c.gate.is_some() { Start::Bias(&[]) } else { Start::Add },
                    false,
                    &mut target.data,
                );
            }
            None => {
                let mut dy = vec![0.0; io.dy.data.len()];
                masked(0..dy.len(), &mut dy);
                conv::backward_input(&c.geometry, &dy, io.weights, &mut target.data);
            }
        }
    }
    match (&c.gate, before_gate) {
        (Some(index), Some(g)) => gate_backward(io.x, 1, index, &g, dx, into),
        _ => dx,
    }
}

/// Σ a·b in sixteen interleaved partial sums: the order is fixed and the compiler can vectorise it.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (a_chunks, b_chunks) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for k in 0..16 {
            sums[k] += a[k] * b[k];
        }
    }
    sums.iter().sum::<f32>() + rest
}
