//! Fuses steps and prepares convolutions: gate → convolution → ReLU becomes one step with packed weights.
//!
//! Only what the loss cannot see is dropped: the value between, where nobody else uses it.

use super::program::{Kind, Program, Source, Step};
use crate::ops::conv_geometry;
use crate::ops::kernels::conv::Geometry;
use crate::ops::kernels::direct::Direct;

/// A convolution with constant weights, the gate before it and the ReLU behind it.
#[derive(Debug, Clone)]
pub(super) struct Convolution {
    pub geometry: Geometry,
    pub forward: Direct,
    /// For the input gradient, where it is a convolution again.
    pub backward: Option<Direct>,
    /// Constant with the weights.
    pub weights: usize,
    /// Constant with the bias.
    pub bias: Option<usize>,
    pub relu: bool,
    /// λ index per input channel.
    pub gate: Option<Vec<u32>>,
}

/// Lowers every convolution that the direct kernel takes.
pub(super) fn lower(program: &mut Program) {
    let mut uses = count_uses(program);
    let steps = std::mem::take(&mut program.steps);
    let mut out: Vec<Option<Step>> = Vec::with_capacity(steps.len());
    let mut made: Vec<Option<usize>> = vec![None; program.shapes.len()];
    for mut step in steps {
        if let Some(mut conv) = convolution(program, &step) {
            if let Some((gate, source, index)) = gate_before(&step, &out, &made, &uses) {
                conv.gate = Some(index);
                step.inputs[0] = Some(source);
                out[gate] = None;
            }
            step.kind = Kind::Conv(Box::new(conv));
        } else if let Some(at) = relu_after(&step, &out, &made, &uses) {
            if let Some(Step { kind: Kind::Conv(conv), outputs, .. }) = &mut out[at] {
                conv.relu = true;
                uses[outputs[0]] = 0;
                outputs.clone_from(&step.outputs);
                made[step.outputs[0]] = Some(at);
            }
            continue;
        }
        step.outputs.iter().for_each(|&o| made[o] = Some(out.len()));
        out.push(Some(step));
    }
    program.steps = out.into_iter().flatten().collect();
}

/// Packs the weights of every convolution that has a parameter for them again.
pub(super) fn prepare_again(program: &mut Program) {
    for step in &mut program.steps {
        let Kind::Conv(conv) = &mut step.kind else { continue };
        if program.parameters.contains(&Some(conv.weights)) {
            let weights = &program.constants[conv.weights].data;
            conv.forward.repack(weights);
            if let Some(backward) = &mut conv.backward {
                backward.repack_transposed(weights);
            }
        }
    }
}

/// How often each slot is read; targets count as read.
pub(super) fn count_uses(program: &Program) -> Vec<usize> {
    let mut uses = vec![0; program.shapes.len()];
    for source in program.steps.iter().flat_map(|s| s.inputs.iter().flatten()) {
        if let Source::Slot(s) = source {
            uses[*s] += 1;
        }
    }
    program.targets.iter().for_each(|&s| uses[s] += 1);
    uses
}

fn convolution(program: &Program, step: &Step) -> Option<Convolution> {
    let Kind::Op(op) = &step.kind else { return None };
    let (Some(Some(Source::Slot(x))), Some(Some(Source::Constant(w)))) =
        (step.inputs.first(), step.inputs.get(1))
    else {
        return None;
    };
    if step.op_type != "Conv" {
        return None;
    }
    let bias = match step.inputs.get(2) {
        Some(Some(Source::Constant(b))) => Some(*b),
        Some(Some(Source::Slot(_))) => return None,
        _ => None,
    };
    let weights = &program.constants[*w];
    let geometry = conv_geometry(&op.attributes(), &program.shapes[*x], &weights.shape)?;
    let forward = Direct::new(&geometry, &weights.data)?;
    let backward = if program.live[*x] { Direct::transposed(&geometry, &weights.data) } else { None };
    Some(Convolution { geometry, forward, backward, weights: *w, bias, relu: false, gate: None })
}

/// The gate on a convolution's input channels, if nobody else reads what it gives.
fn gate_before(
    step: &Step,
    out: &[Option<Step>],
    made: &[Option<usize>],
    uses: &[usize],
) -> Option<(usize, Source, Vec<u32>)> {
    let Some(Source::Slot(x)) = step.inputs[0] else { return None };
    let at = made[x].filter(|_| uses[x] == 1)?;
    let gate = out[at].as_ref()?;
    match &gate.kind {
        Kind::Gate { axis: 1, index } => Some((at, gate.inputs[0]?, index.clone())),
        _ => None,
    }
}

/// The convolution whose only reader is this ReLU.
fn relu_after(step: &Step, out: &[Option<Step>], made: &[Option<usize>], uses: &[usize]) -> Option<usize> {
    let Some(Some(Source::Slot(x))) = step.inputs.first() else { return None };
    let at = made[*x].filter(|_| step.op_type == "Relu" && uses[*x] == 1)?;
    match &out[at].as_ref()?.kind {
        Kind::Conv(conv) if !conv.relu => Some(at),
        _ => None,
    }
}
