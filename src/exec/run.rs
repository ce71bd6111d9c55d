//! Runs a program forward and backward in one thread's workspace.

use super::channel_gather::{ChannelGather, lambda_at, sizes};
use super::passes::Convolution;
use super::program::{BiasTerm, Kind, Program, Source, Step, UNGATED};
use crate::graph::*;
use crate::kernels::conv;
use crate::kernels::simd::{Add, ReluBackward, copy, dot, vectorised};
use crate::tensor::*;
use std::ops::Range;

/// Buffers for one thread: every value, and the gradients that are on their way.
#[derive(Debug)]
pub struct Workspace {
    y: Vec<Array<f32>>,
    dy: Vec<Array<f32>>,
    /// Values on their way through [`Workspace::evaluate`].
    passing: Vec<Array<f32>>,
    /// Buffers of values that nobody reads any more, and of gradients that went where they were to go.
    spare: Vec<Vec<f32>>,
    /// Whether the backward pass has put something into a gradient yet.
    begun: Vec<bool>,
    /// The gradient behind a gate.
    behind: Vec<f32>,
}

impl Workspace {
    /// Buffers for `program`.
    pub fn new(program: &Program) -> Self {
        let empty = |n: usize| (0..n).map(|_| Array::default()).collect();
        let n = program.shapes.len();
        Self {
            y: empty(n),
            dy: empty(n),
            passing: Vec::new(),
            spare: Vec::new(),
            begun: vec![false; n],
            behind: Vec::new(),
        }
    }

    /// The buffer of network input `k`, to be filled: [batch, …].
    pub fn input(&mut self, program: &Program, k: usize) -> &mut [f32] {
        let slot = program.inputs[k];
        fit(&mut self.y[slot], &program.shapes[slot]);
        &mut self.y[slot].data
    }

    /// The value of target `k` after [`Workspace::forward`] or [`Workspace::evaluate`].
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
                    reserve(&mut a, &program.shapes[o], &mut self.spare);
                    a
                })
                .collect();
            step_forward(step, program, &self.y, lambda, &mut out);
            for (&o, a) in step.outputs.iter().zip(out) {
                self.y[o] = a;
            }
        }
    }

    /// Computes the targets alone: what has been read for the last time makes room, so that much less memory is touched. What
    /// [`Workspace::forward`] left makes room, too.
    pub fn evaluate(&mut self, program: &Program, lambda: Option<&[f32]>) {
        let mut y = std::mem::take(&mut self.passing);
        y.resize_with(program.shapes.len(), Array::default);
        program.inputs.iter().for_each(|&s| std::mem::swap(&mut y[s], &mut self.y[s]));
        let left = self.y.iter_mut().map(|a| std::mem::take(&mut a.data));
        self.spare.extend(left.filter(|buffer| buffer.capacity() > 0));
        for (step, ends) in program.steps.iter().zip(&program.ends) {
            let buffer = |&o: &usize| {
                let mut a = Array::default();
                reserve(&mut a, &program.shapes[o], &mut self.spare);
                a
            };
            let mut out: Vec<Array<f32>> = step.outputs.iter().map(buffer).collect();
            step_forward(step, program, &y, lambda, &mut out);
            for (&o, a) in step.outputs.iter().zip(out) {
                y[o] = a;
            }
            self.spare.extend(ends.iter().map(|&s| std::mem::take(&mut y[s].data)));
        }
        for &s in program.inputs.iter().chain(&program.targets) {
            if !y[s].data.is_empty() {
                self.y[s] = std::mem::take(&mut y[s]);
            }
        }
        self.spare.retain(|buffer| buffer.capacity() > 0);
        self.passing = y;
    }

    /// The gradient buffer of target `k`, zeroed: set it before [`Workspace::backward`].
    pub fn target_gradient(&mut self, program: &Program, k: usize) -> &mut [f32] {
        let slot = program.targets[k];
        self.prepare(program, slot);
        self.dy[slot].data.fill(0.0);
        &mut self.dy[slot].data
    }

    /// Adds dL/dλ to `gradient`, per gate index, and dL/dκ behind it. [`Workspace::forward`] must have come last, and the
    /// gradients at the targets must have been set; buffers of other values are cleared here.
    pub fn backward(&mut self, program: &Program, lambda: &[f32], gradient: &mut [f32]) {
        self.back(program, Gradients { lambda, gates: gradient, parameters: &mut [] });
    }

    /// Adds dL/dθ of every parameter to `gradients` (see [`Program::gradients`]). The gradients at the targets must have been
    /// set.
    pub fn backward_parameters(&mut self, program: &Program, gradients: &mut [Array<f32>]) {
        self.back(program, Gradients { lambda: &[], gates: &mut [], parameters: gradients });
    }

    fn back(&mut self, program: &Program, mut into: Gradients) {
        self.begun.fill(false);
        program.targets.iter().for_each(|&t| self.begun[t] = true);
        for step in program.steps.iter().rev().filter(|s| s.live) {
            for &o in step.outputs.iter().filter(|o| program.live[**o]) {
                self.begin(program, o);
            }
            self.step_backward(program, step, &mut into);
        }
    }

    /// Finds a buffer for the gradient of slot `s`.
    fn prepare(&mut self, program: &Program, s: usize) {
        reserve(&mut self.dy[s], &program.shapes[s], &mut self.spare);
    }

    /// Clears the gradient of slot `s` unless something is in it.
    fn begin(&mut self, program: &Program, s: usize) {
        if !std::mem::replace(&mut self.begun[s], true) {
            self.prepare(program, s);
            self.dy[s].data.fill(0.0);
        }
    }

    /// The gradient of slot `s`, where it is wanted, to be given back.
    fn checkout(&mut self, program: &Program, s: usize) -> Option<GradSlot> {
        program.live[s].then(|| {
            self.prepare(program, s);
            let dx = std::mem::take(&mut self.dy[s]);
            GradSlot { dx, begun: std::mem::replace(&mut self.begun[s], true) }
        })
    }

    fn give_back(&mut self, s: usize, into: Option<GradSlot>) {
        if let Some(GradSlot { dx, .. }) = into {
            self.dy[s] = dx;
        }
    }

    /// Through a route and gates, to the gradients of slot `s` and of λ.
    fn take_backward(
        &mut self,
        program: &Program,
        s: usize,
        take: ChannelGather,
        dy: &Array<f32>,
        into: &mut Gradients,
    ) {
        let mut dx = self.checkout(program, s);
        take.backward(&self.y[s].data, &dy.data, dx.as_mut(), into);
        self.give_back(s, dx);
    }

    /// Adds a gradient to that of slot `s`. The `last` to get it may keep its buffer.
    fn pass_on(&mut self, program: &Program, s: usize, dy: &mut Array<f32>, last: bool) {
        let mut dx = self.checkout(program, s);
        match &mut dx {
            Some(GradSlot { dx, begun: true }) => {
                vectorised(Add { to: &mut dx.data, from: &dy.data });
            }
            Some(GradSlot { dx, .. }) if last => std::mem::swap(dx, dy),
            Some(GradSlot { dx, .. }) => dx.data.copy_from_slice(&dy.data),
            None => {}
        }
        self.give_back(s, dx);
    }

    /// The buffer for the gradient of a step's operand, where it is wanted.
    fn gradient_of<'b>(
        &'b mut self,
        program: &Program,
        source: Option<Source>,
        into: &'b mut Gradients,
    ) -> Option<&'b mut Array<f32>> {
        match source {
            Some(Source::Slot(s)) => program.live[s].then(|| {
                self.begin(program, s);
                &mut self.dy[s]
            }),
            _ => program.parameter(source).map(|p| &mut into.parameters[p]),
        }
    }

    fn step_backward(&mut self, program: &Program, step: &Step, into: &mut Gradients) {
        let mut dy: Vec<Array<f32>> = step.outputs.iter().map(|&o| std::mem::take(&mut self.dy[o])).collect();
        if let (Some(shift), Kind::Op(_)) = (&step.shift, &step.kind) {
            shift_backward(shift, &dy[0], into);
        }
        match &step.kind {
            Kind::Conv(conv) => {
                if let Some(Source::Slot(s)) = step.inputs[0] {
                    if conv.relu {
                        vectorised(ReluBackward { y: &self.y[step.outputs[0]].data, dy: &mut dy[0].data });
                    }
                    let mut dx = self.checkout(program, s);
                    let weights = &program.constants[conv.weights].data;
                    let parameters = [1, 2].map(|k| program.parameter(step.inputs.get(k).copied().flatten()));
                    let mut io = ConvIo { x: &self.y[s], dy: &mut dy[0], weights };
                    conv_backward_parameters(conv, &mut io, parameters, into);
                    conv_backward(conv, step.shift.as_ref(), &io, dx.as_mut(), &mut self.behind, into);
                    self.give_back(s, dx);
                }
            }
            Kind::Gate { axis, index } => {
                if let Some(Source::Slot(s)) = step.inputs[0] {
                    let sizes = sizes(&program.shapes[s], *axis);
                    let take = ChannelGather { sizes, route: None, gate: Some(index) };
                    self.take_backward(program, s, take, &dy[0], into);
                }
            }
            Kind::ChannelMap(route) => {
                if let Some(Source::Slot(s)) = step.inputs[0] {
                    let take =
                        ChannelGather { sizes: sizes(&program.shapes[s], 1), route: Some(route), gate: None };
                    self.take_backward(program, s, take, &dy[0], into);
                }
            }
            Kind::Sum { route, gate, relu } => {
                if let [Some(Source::Slot(a)), Some(Source::Slot(b))] = step.inputs[..] {
                    if *relu {
                        vectorised(ReluBackward { y: &self.y[step.outputs[0]].data, dy: &mut dy[0].data });
                    }
                    if route.is_none() && gate.is_none() {
                        self.pass_on(program, b, &mut dy[0], false);
                    } else {
                        let (route, gate) = (route.as_deref(), gate.as_deref());
                        let take = ChannelGather { sizes: sizes(&program.shapes[b], 1), route, gate };
                        self.take_backward(program, b, take, &dy[0], into);
                    }
                    self.pass_on(program, a, &mut dy[0], true);
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
        self.spare.extend(dy.into_iter().map(|a| a.data).filter(|buffer| buffer.capacity() > 0));
    }
}

/// Takes a step's results from the values before it.
fn step_forward(
    step: &Step,
    program: &Program,
    y: &[Array<f32>],
    lambda: Option<&[f32]>,
    out: &mut [Array<f32>],
) {
    match &step.kind {
        Kind::Op(op) => op.forward(&operands(step, program, y), out),
        Kind::Conv(conv) => {
            if let Some(Source::Slot(s)) = step.inputs[0] {
                let bias = conv.bias.map_or(&[][..], |b| &program.constants[b].data);
                conv_forward(conv, bias, step.shift.as_ref(), &y[s], lambda, &mut out[0]);
            }
        }
        Kind::Gate { axis, index } => {
            if let Some(Source::Slot(s)) = step.inputs[0] {
                let take = ChannelGather { sizes: sizes(&y[s].shape, *axis), route: None, gate: Some(index) };
                take.forward(&y[s].data, lambda, &mut out[0].data);
            }
        }
        Kind::ChannelMap(route) => {
            if let Some(Source::Slot(s)) = step.inputs[0] {
                let take = ChannelGather { sizes: sizes(&y[s].shape, 1), route: Some(route), gate: None };
                take.forward(&y[s].data, None, &mut out[0].data);
            }
        }
        Kind::Sum { route, gate, relu } => {
            if let [Some(Source::Slot(a)), Some(Source::Slot(b))] = step.inputs[..] {
                let (route, gate) = (route.as_deref(), gate.as_deref());
                let take = ChannelGather { sizes: sizes(&y[b].shape, 1), route, gate };
                take.add(&y[b].data, lambda, &y[a].data, *relu, &mut out[0].data);
            }
        }
    }
    step.whole.iter().zip(&mut *out).for_each(|(dtype, y)| dtype.round(&mut y.data));
    if let (Some(shift), Some(lambda), Kind::Op(_)) = (&step.shift, lambda, &step.kind) {
        add_shift(shift, lambda, &mut out[0]);
    }
}

/// Gives `a` this shape, and out of `spare` a buffer if it has none.
fn reserve(a: &mut Array<f32>, shape: &[usize], spare: &mut Vec<Vec<f32>>) {
    if a.data.capacity() == 0 {
        a.data = recycled(spare, volume(shape));
    }
    fit(a, shape);
}

/// Out of some buffers, the smallest that holds `len` numbers, or else the largest.
fn recycled(buffers: &mut Vec<Vec<f32>>, len: usize) -> Vec<f32> {
    let fits = |buffer: &Vec<f32>| match buffer.capacity() {
        c if c >= len => (false, c),
        c => (true, usize::MAX - c),
    };
    let best = (0..buffers.len()).min_by_key(|&k| fits(&buffers[k]));
    let mut buffer = best.map_or_else(Vec::new, |k| buffers.swap_remove(k));
    if buffer.capacity() < len {
        buffer.clear();
        buffer.reserve_exact(len);
    }
    buffer
}

/// Where a pass leaves its gradients.
pub(super) struct Gradients<'a> {
    /// λ, and κ behind them, at which the pass went forward.
    pub lambda: &'a [f32],
    /// dL/dλ and dL/dκ.
    pub gates: &'a mut [f32],
    /// dL/dθ by parameter.
    parameters: &'a mut [Array<f32>],
}

/// Where the gradient of a step's operand goes.
pub(super) struct GradSlot {
    pub dx: Array<f32>,
    /// Something is in it already.
    pub begun: bool,
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

/// y_o += Σ_c (1 − λ_c)·κ_c·m[o, c]
fn add_shift(shift: &BiasTerm, lambda: &[f32], y: &mut Array<f32>) {
    let by = shift_amounts(shift, lambda);
    let shape = y.shape.clone();
    rows(&shape, shift.axis, |o, r| y.data[r].iter_mut().for_each(|y| *y += by[o]));
}

fn shift_amounts(shift: &BiasTerm, lambda: &[f32]) -> Vec<f32> {
    let of_gate = |(&i, &l): (&u32, &u32)| (1.0 - lambda_at(lambda, i)) * lambda_at(lambda, l);
    let closed: Vec<f32> = shift.index.iter().zip(&shift.level).map(of_gate).collect();
    shift.matrix.chunks(closed.len().max(1)).map(|row| dot(row, &closed)).collect()
}

/// With s_c = Σ_o m[o, c]·Σ dy_o: dλ_c −= κ_c·s_c, dκ_c += (1 − λ_c)·s_c
fn shift_backward(shift: &BiasTerm, dy: &Array<f32>, into: &mut Gradients) {
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
    shift: Option<&BiasTerm>,
    x: &Array<f32>,
    lambda: Option<&[f32]>,
    y: &mut Array<f32>,
) {
    let row = |n: usize, k: usize, r: usize, out: &mut [f32]| {
        let from = c.row(x, n, k, r, out.len());
        match (&c.gate, lambda) {
            (Some(index), Some(lambda)) => {
                let l = lambda_at(lambda, index[k]);
                out.iter_mut().zip(from).for_each(|(o, x)| *o = l * x);
            }
            _ => copy(out, from),
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
    c.kernel.run(row, bias, c.relu, &mut y.data);
}

impl Convolution {
    /// Row `r`, of `len` numbers, of the channel of an image that stands at `k` among those it reads.
    #[inline(always)]
    fn row<'x>(&self, x: &'x Array<f32>, image: usize, k: usize, r: usize, len: usize) -> &'x [f32] {
        let c = self.reads.as_ref().map_or(k, |reads| reads[k] as usize);
        &x.data[(image * x.shape[1] + c) * self.geometry.pixels_in() + r * len..][..len]
    }
}

struct ConvIo<'a> {
    x: &'a Array<f32>,
    /// Before the ReLU.
    dy: &'a mut Array<f32>,
    weights: &'a [f32],
}

/// Adds the gradients of weight and bias, where they are wanted. There are no gates then.
fn conv_backward_parameters(
    c: &Convolution,
    io: &mut ConvIo,
    [weight, bias]: [Option<usize>; 2],
    into: &mut Gradients,
) {
    if let Some(p) = weight {
        let dw = &mut into.parameters[p].data;
        let row = |n: usize, k: usize, r: usize, out: &mut [f32]| {
            copy(out, c.row(io.x, n, k, r, out.len()));
        };
        c.kernel.gradient(row, &mut io.dy.data, dw);
    }
    if let Some(p) = bias {
        let db = &mut into.parameters[p].data;
        conv::backward_bias(c.geometry.cout, c.geometry.pixels_out(), &io.dy.data, db);
    }
}

/// Through convolution and gate: dx += λ ⊙ convᵀ(dy), dλ_c += Σ x·convᵀ(dy). `behind` is a buffer for convᵀ(dy).
fn conv_backward(
    c: &Convolution,
    shift: Option<&BiasTerm>,
    io: &ConvIo,
    dx: Option<&mut GradSlot>,
    behind: &mut Vec<f32>,
    into: &mut Gradients,
) {
    if let Some(shift) = shift {
        shift_backward(shift, io.dy, into);
    }
    let through = |add: bool, dx: &mut [f32]| {
        if !c.kernel.run_back(&io.dy.data, add, dx) {
            if !add {
                dx.fill(0.0);
            }
            conv::backward_input(&c.geometry, &io.dy.data, io.weights, dx);
        }
    };
    let len = c.geometry.batch * c.geometry.cin * c.geometry.pixels_in();
    let whole = |behind: &mut Vec<f32>| {
        behind.resize(len.max(behind.len()), 0.0);
        through(false, &mut behind[..len]);
    };
    match dx {
        // Without a gate the gradient goes straight to dx; with one it is needed for dλ first.
        Some(GradSlot { dx, begun }) if c.gate.is_none() && c.reads.is_none() => {
            through(*begun, &mut dx.data);
        }
        None if c.gate.is_none() => {}
        dx => {
            whole(behind);
            let take = ChannelGather {
                sizes: sizes(&io.x.shape, 1),
                route: c.reads.as_deref(),
                gate: c.gate.as_deref(),
            };
            take.backward(&io.x.data, &behind[..len], dx, into);
        }
    }
}
