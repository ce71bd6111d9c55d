//! Folds a BatchNormalization into the convolution before it: y = s·(w⋆x + b − m)/√(v+ε) + t is a convolution again.
//!
//! The weights are frozen, so this is exact up to rounding.

use super::fuse::{count_constants, count_uses};
use crate::exec::program::{Program, Source, Step};
use crate::tensor::*;

/// Folds wherever the convolution's result has no other user.
pub(in crate::exec) fn fold_batch_norm(program: &mut Program) {
    let (uses, mut reads) = (count_uses(program), count_constants(program));
    let mut made: Vec<Option<usize>> = vec![None; program.shapes.len()];
    let mut steps: Vec<Step> = Vec::with_capacity(program.steps.len());
    for step in std::mem::take(&mut program.steps) {
        if let Some((conv, folded)) = foldable(program, &steps, &made, (&uses, &mut reads), &step) {
            steps[conv] = folded;
            made[steps[conv].outputs[0]] = Some(conv);
            continue;
        }
        step.outputs.iter().for_each(|&o| made[o] = Some(steps.len()));
        steps.push(step);
    }
    program.steps = steps;
}

fn foldable(
    program: &mut Program,
    steps: &[Step],
    made: &[Option<usize>],
    (uses, reads): (&[usize], &mut Vec<usize>),
    bn: &Step,
) -> Option<(usize, Step)> {
    let normalisation = bn.op.as_ref()?.normalisation().filter(|_| bn.shift.is_none())?;
    let Some(Source::Slot(x)) = bn.inputs[0] else { return None };
    let at = made[x].filter(|_| uses[x] == 1)?;
    let conv = &steps[at];
    conv.geometry?;
    // What is trained stands as it is.
    let constant = |s: Option<&Option<Source>>| match s {
        Some(Some(Source::Constant(c))) if program.parameter(Some(Source::Constant(*c))).is_none() => {
            Some(program.constants[*c].elements())
        }
        _ => None,
    };
    let Some(Some(Source::Constant(mut w_at))) = conv.inputs.get(1).copied() else { return None };
    let w = constant(conv.inputs.get(1))?;
    let bias = match conv.inputs.get(2) {
        None | Some(None) => None,
        some => Some(constant(some)?),
    };
    let operand = |slot: usize| constant(bn.inputs.get(slot));
    let (scale, shift) = (operand(normalisation.scale)?, operand(normalisation.bias)?);
    let (mean, var) = (operand(normalisation.mean)?, operand(normalisation.variance)?);
    let epsilon = normalisation.epsilon.unwrap_or(1e-5);
    let factor: Vec<f32> = scale
        .iter()
        .zip(var)
        .map(|(s, v)| (f64::from(*s) / (f64::from(*v) + f64::from(epsilon)).sqrt()) as f32)
        .collect();
    let per_channel = w.len() / factor.len().max(1);
    let folded_bias: Vec<f32> =
        (0..factor.len()).map(|o| (bias.map_or(0.0, |b| b[o]) - mean[o]) * factor[o] + shift[o]).collect();
    // A shift that was added to the convolution's result is scaled with it.
    let step_shift = conv.shift.clone().map(|mut s| {
        let columns = s.index.len().max(1);
        for (row, f) in s.matrix.chunks_mut(columns).zip(&factor) {
            row.iter_mut().for_each(|m| *m *= f);
        }
        s
    });
    let mut folded = conv.clone();
    if reads[w_at] > 1 {
        reads[w_at] -= 1;
        program.constants.push(program.constants[w_at].clone());
        w_at = program.constants.len() - 1;
    }
    for (row, f) in program.constants[w_at].elements_mut().chunks_mut(per_channel.max(1)).zip(&factor) {
        row.iter_mut().for_each(|w| *w *= f);
    }
    program.constants.push(array(&[factor.len()], folded_bias));
    let b_at = program.constants.len() - 1;
    reads.resize(program.constants.len(), 1);
    folded.inputs = [conv.inputs[0], Some(Source::Constant(w_at)), Some(Source::Constant(b_at))].to_vec();
    folded.outputs = vec![bn.outputs[0]];
    folded.shift = step_shift;
    Some((at, folded))
}
