//! Fuses steps and prepares convolutions: gate or route → convolution → ReLU becomes one step with packed weights, and so do
//! route → addition → ReLU.
//!
//! Only what the loss cannot see is dropped: the value between, where nobody else uses it.

use crate::exec::channel_map::{NOWHERE, compose, route_of};
use crate::exec::convolution::Convolution;
use crate::exec::program::{Kind, Precision, Program, Source, Step};
use crate::graph::Limit;
use crate::kernels::packed_conv::PackedConv;
use crate::tensor::Elements;

/// Lowers every convolution that the direct kernel takes, and forgets weights that nothing reads any more.
pub(in crate::exec) fn lower(program: &mut Program, sums: Precision) {
    let (mut uses, reads) = (count_uses(program), count_constants(program));
    let steps = std::mem::take(&mut program.steps);
    let mut out: Vec<Option<Step>> = Vec::with_capacity(steps.len());
    let mut made: Vec<Option<usize>> = vec![None; program.shapes.len()];
    for mut step in steps {
        if let Some(mut conv) = convolution(program, &step, sums) {
            if reads[conv.weights] == 1 && (conv.kernel.goes_back() || !step.live) {
                program.constants[conv.weights] = Default::default();
            }
            if let Some((at, Step { kind: Kind::Gate { axis: 1, index }, inputs, .. })) =
                before(&step, 0, &out, &made, &uses)
            {
                conv.gate = Some(index.clone());
                step.inputs[0] = inputs[0];
                out[at] = None;
            }
            if let Some((at, Step { kind: Kind::ChannelMap(route), inputs, .. })) =
                before(&step, 0, &out, &made, &uses)
                && !route.contains(&NOWHERE)
            {
                conv.reads = Some(route.clone());
                step.inputs[0] = inputs[0];
                out[at] = None;
            }
            step.kind = Kind::Conv(Box::new(conv));
        } else if let Some(mut route) = route_of(&step, &program.shapes, &program.constants) {
            let before = before(&step, 0, &out, &made, &uses);
            if let Some((at, Step { kind: Kind::ChannelMap(first), inputs, .. })) = before {
                route = compose(first, &route);
                step.inputs[0] = inputs[0];
                out[at] = None;
            }
            step.inputs.truncate(1);
            step.kind = Kind::ChannelMap(route);
        } else if adds(program, &step) {
            let is_part = |k: &usize| {
                let part = before(&step, *k, &out, &made, &uses);
                part.is_some_and(|(_, s)| matches!(s.kind, Kind::ChannelMap(_) | Kind::Gate { axis: 1, .. }))
            };
            let (mut route, mut gate) = (None, None);
            if let Some(branch) = [1, 0].into_iter().find(is_part) {
                step.inputs.swap(1, branch);
                if let Some((at, Step { kind: Kind::ChannelMap(found), inputs, .. })) =
                    before(&step, 1, &out, &made, &uses)
                {
                    route = Some(found.clone());
                    step.inputs[1] = inputs[0];
                    out[at] = None;
                }
                if let Some((at, Step { kind: Kind::Gate { axis: 1, index }, inputs, .. })) =
                    before(&step, 1, &out, &made, &uses)
                {
                    gate = Some(route.as_ref().map_or_else(|| index.clone(), |route| compose(index, route)));
                    step.inputs[1] = inputs[0];
                    out[at] = None;
                }
            }
            step.kind = Kind::Sum { route, gate, relu: false };
        } else if matches!(step.kind, Kind::Op(_))
            && step.op.as_ref().and_then(|op| op.limit(&[])) == Some(Limit::Relu)
            && let Some((at, _)) = before(&step, 0, &out, &made, &uses)
            && let Some(Step { kind, outputs, .. }) = &mut out[at]
            && let Some(relu) = relu_of(kind).filter(|relu| !**relu)
        {
            *relu = true;
            uses[outputs[0]] = 0;
            outputs.clone_from(&step.outputs);
            made[step.outputs[0]] = Some(at);
            continue;
        }
        step.outputs.iter().for_each(|&o| made[o] = Some(out.len()));
        out.push(Some(step));
    }
    program.steps = out.into_iter().flatten().collect();
}

/// Packs the weights of every convolution that has a parameter for them again.
pub(in crate::exec) fn prepare_again(program: &mut Program) {
    for step in &mut program.steps {
        let Kind::Conv(conv) = &mut step.kind else { continue };
        if program.parameters.contains(&Some(conv.weights)) {
            conv.kernel.repack(program.constants[conv.weights].elements());
        }
    }
}

/// How often steps read each of `n` places, where `place` says which one a source is, if any of them.
fn count_reads(program: &Program, n: usize, place: impl Fn(&Source) -> Option<usize>) -> Vec<usize> {
    let mut reads = vec![0; n];
    let sources = program.steps.iter().flat_map(|s| s.inputs.iter().flatten());
    sources.filter_map(place).for_each(|k| reads[k] += 1);
    reads
}

/// How often each constant is read; parameters count as read.
pub(in crate::exec) fn count_constants(program: &Program) -> Vec<usize> {
    let constant = |source: &Source| if let Source::Constant(c) = source { Some(*c) } else { None };
    let mut reads = count_reads(program, program.constants.len(), constant);
    program.parameters.iter().flatten().for_each(|&c| reads[c] += 1);
    reads
}

/// How often each slot is read; targets count as read.
pub(in crate::exec) fn count_uses(program: &Program) -> Vec<usize> {
    let slot = |source: &Source| if let Source::Slot(s) = source { Some(*s) } else { None };
    let mut uses = count_reads(program, program.shapes.len(), slot);
    program.targets.iter().for_each(|&s| uses[s] += 1);
    uses
}

fn convolution(program: &Program, step: &Step, sums: Precision) -> Option<Convolution> {
    let (Some(Some(Source::Slot(x))), Some(Some(Source::Constant(w)))) =
        (step.inputs.first(), step.inputs.get(1))
    else {
        return None;
    };
    let bias = match step.inputs.get(2) {
        Some(Some(Source::Constant(b))) => Some(*b),
        Some(Some(Source::Slot(_))) => return None,
        _ => None,
    };
    let (geometry, weights) = (step.geometry?, program.constants[*w].elements());
    let kernel = PackedConv::new(&geometry, weights, program.live[*x], sums == Precision::Fast)?;
    Some(Convolution { geometry, kernel, weights: *w, bias, relu: false, gate: None, reads: None })
}

/// What makes operand `k` of a step, if nobody else reads that, and where it stands.
fn before<'a>(
    step: &Step,
    k: usize,
    out: &'a [Option<Step>],
    made: &[Option<usize>],
    uses: &[usize],
) -> Option<(usize, &'a Step)> {
    let Some(Source::Slot(x)) = step.inputs.get(k).copied().flatten() else { return None };
    let at = made[x].filter(|_| uses[x] == 1)?;
    Some((at, out[at].as_ref()?))
}

/// True for an addition of two values of the same shape, images first.
fn adds(program: &Program, step: &Step) -> bool {
    let [Some(Source::Slot(a)), Some(Source::Slot(b))] = step.inputs[..] else { return false };
    let shape = |s: usize| &program.shapes[s];
    let same = shape(a) == shape(b) && shape(a) == shape(step.outputs[0]) && shape(a).len() >= 3;
    matches!(step.kind, Kind::Op(_))
        && step.op.as_ref().is_some_and(|op| op.adds())
        && step.shift.is_none()
        && a != b
        && same
}

/// Whether a step that can end in a ReLU does.
fn relu_of(kind: &mut Kind) -> Option<&mut bool> {
    match kind {
        Kind::Conv(conv) => Some(&mut conv.relu),
        Kind::Sum { relu, .. } => Some(relu),
        _ => None,
    }
}
