//! Fuses steps and prepares convolutions: relu(conv(gate(gather(x)))) becomes one step with packed weights, and so do
//! gather(gather(x)) and relu(trunk + gather(gate(branch))).
//!
//! Only values that the targets cannot see are dropped: a fused step was the sole reader of each.

use super::gather::channel_map_of;
use crate::exec::channel_map::{ChannelMap, compose};
use crate::exec::convolution::Convolution;
use crate::exec::program::{Kind, Precision, Program, Source, Step};
use crate::graph::Limit;
use crate::kernels::packed_conv::PackedConv;
use crate::support::index::OptIndex;
use crate::tensor::Elements;

/// Lowers every convolution that the direct kernel takes, fuses steps, and forgets weights that nothing reads any more.
pub(in crate::exec) fn lower(program: &mut Program, precision: Precision) {
    let (uses, reads) = (count_uses(program), count_constants(program));
    let steps = std::mem::take(&mut program.steps);
    let (made, lowered) = (vec![None; program.shapes.len()], Vec::with_capacity(steps.len()));
    let mut lowering = Lowering { program, precision, steps: lowered, made, uses, reads };
    steps.into_iter().for_each(|step| lowering.add(step));
    program.steps = lowering.steps.into_iter().flatten().collect();
}

/// A program on its way through [`lower`].
struct Lowering<'p> {
    program: &'p mut Program,
    precision: Precision,
    /// Lowered steps, vacant where a later one has absorbed one.
    steps: Vec<Option<Step>>,
    /// By slot, the lowered step that makes it.
    made: Vec<Option<usize>>,
    /// By slot, number of readers.
    uses: Vec<usize>,
    /// By constant, number of readers.
    reads: Vec<usize>,
}

impl Lowering<'_> {
    /// Lowers the next step, fused with the steps whose results it alone reads.
    fn add(&mut self, mut step: Step) {
        if let Some(conv) = convolution(self.program, &step, self.precision) {
            self.convolution(&mut step, conv);
        } else if let Some(channel_map) = channel_map_of(&step, &self.program.shapes, &self.program.constants)
        {
            self.gather(&mut step, channel_map);
        } else if adds(self.program, &step) {
            self.sum(&mut step);
        } else if is_relu(&step) && self.relu(&step) {
            return;
        }
        step.outputs.iter().for_each(|&o| self.made[o] = Some(self.steps.len()));
        self.steps.push(Some(step));
    }

    /// conv(gate(gather(x)))
    fn convolution(&mut self, step: &mut Step, mut conv: Convolution) {
        if self.reads[conv.weights] == 1 && (conv.kernel.goes_back() || !step.live) {
            self.program.constants[conv.weights] = Default::default();
        }
        conv.gate = self.absorb(step, 0, gate);
        conv.channel_map = self.absorb(step, 0, |kind| {
            channel_map(kind).filter(|channel_map| channel_map.iter().all(|c| c.is_some()))
        });
        step.kind = Kind::Conv(Box::new(conv));
    }

    /// gather(gather(x))
    fn gather(&mut self, step: &mut Step, second: ChannelMap) {
        let first = self.absorb(step, 0, channel_map);
        step.inputs.truncate(1);
        step.kind = Kind::Gather(match first {
            Some(first) => compose(&first, &second),
            None => second,
        });
    }

    /// trunk + gather(gate(branch)), where either operand may be the branch.
    fn sum(&mut self, step: &mut Step) {
        let is_branch = |k: &usize| {
            let producer = self.sole_producer(step, *k).and_then(|at| self.steps[at].as_ref());
            producer.is_some_and(|s| gate(&s.kind).or_else(|| channel_map(&s.kind)).is_some())
        };
        if let Some(branch) = [1, 0].into_iter().find(is_branch) {
            step.inputs.swap(1, branch);
        }
        let channel_map = self.absorb(step, 1, channel_map);
        let gate = self.absorb(step, 1, gate).map(|gate| match &channel_map {
            Some(channel_map) => compose(&gate, channel_map),
            None => gate,
        });
        step.kind = Kind::Sum { channel_map, gate, relu: false };
    }

    /// relu(conv(x)) and relu(trunk + branch): true where the step that makes the operand ends in this ReLU from now on.
    fn relu(&mut self, step: &Step) -> bool {
        let Some(at) = self.sole_producer(step, 0) else { return false };
        let Some(Step { kind, outputs, .. }) = &mut self.steps[at] else { return false };
        let Some(relu) = relu_of(kind).filter(|relu| !**relu) else { return false };
        *relu = true;
        self.uses[outputs[0]] = 0;
        outputs.clone_from(&step.outputs);
        self.made[step.outputs[0]] = Some(at);
        true
    }

    /// Number of the lowered step that makes operand `k` of a step; none where others read that operand, too.
    fn sole_producer(&self, step: &Step, k: usize) -> Option<usize> {
        let Some(Source::Slot(x)) = step.inputs.get(k).copied().flatten() else { return None };
        self.made[x].filter(|&at| self.uses[x] == 1 && self.steps[at].is_some())
    }

    /// Takes the sole producer of operand `k` into a step, which reads the producer's operand from now on: `part` of that
    /// producer; none where there is no such part.
    fn absorb<R>(&mut self, step: &mut Step, k: usize, part: impl Fn(&Kind) -> Option<R>) -> Option<R> {
        let at = self.sole_producer(step, k)?;
        let producer = self.steps[at].as_ref()?;
        let part = part(&producer.kind)?;
        step.inputs[k] = producer.inputs[0];
        self.steps[at] = None;
        Some(part)
    }
}

/// λ by channel of a gate along axis 1.
fn gate(kind: &Kind) -> Option<Vec<OptIndex>> {
    if let Kind::Gate { axis: 1, index } = kind { Some(index.clone()) } else { None }
}

/// Channel map of a gather.
fn channel_map(kind: &Kind) -> Option<ChannelMap> {
    if let Kind::Gather(channel_map) = kind { Some(channel_map.clone()) } else { None }
}

/// Number of reads by steps of each of `n` places; `place` is the number of a source among them.
fn count_reads(program: &Program, n: usize, place: impl Fn(&Source) -> Option<usize>) -> Vec<usize> {
    let mut reads = vec![0; n];
    let sources = program.steps.iter().flat_map(|s| s.inputs.iter().flatten());
    sources.filter_map(place).for_each(|k| reads[k] += 1);
    reads
}

/// Number of reads of each constant; one more for a parameter.
pub(in crate::exec) fn count_constants(program: &Program) -> Vec<usize> {
    let constant = |source: &Source| if let Source::Constant(c) = source { Some(*c) } else { None };
    let mut reads = count_reads(program, program.constants.len(), constant);
    program.parameters.iter().flatten().for_each(|&c| reads[c] += 1);
    reads
}

/// Number of reads of each slot; one more for a target.
pub(in crate::exec) fn count_uses(program: &Program) -> Vec<usize> {
    let slot = |source: &Source| if let Source::Slot(s) = source { Some(*s) } else { None };
    let mut uses = count_reads(program, program.shapes.len(), slot);
    program.targets.iter().for_each(|&s| uses[s] += 1);
    uses
}

/// The step as a convolution with packed weights, where it is one with constant weights and bias that the direct kernel takes.
fn convolution(program: &Program, step: &Step, precision: Precision) -> Option<Convolution> {
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
    let kernel = PackedConv::new(&geometry, weights, program.live[*x], precision == Precision::Fast)?;
    Some(Convolution { geometry, kernel, weights: *w, bias, relu: false, gate: None, channel_map: None })
}

/// True for an addition of two values of equal shape, images first.
fn adds(program: &Program, step: &Step) -> bool {
    let [Some(Source::Slot(a)), Some(Source::Slot(b))] = step.inputs[..] else { return false };
    let shape = |s: usize| &program.shapes[s];
    let same = shape(a) == shape(b) && shape(a) == shape(step.outputs[0]) && shape(a).len() >= 3;
    matches!(step.kind, Kind::Op(_))
        && step.op.as_ref().is_some_and(|op| op.adds())
        && step.bias_term.is_none()
        && a != b
        && same
}

/// True for y = max(x, 0).
fn is_relu(step: &Step) -> bool {
    matches!(step.kind, Kind::Op(_)) && step.op.as_ref().and_then(|op| op.limit(&[])) == Some(Limit::Relu)
}

/// Whether a step ends in a ReLU; none for one that cannot.
fn relu_of(kind: &mut Kind) -> Option<&mut bool> {
    match kind {
        Kind::Conv(conv) => Some(&mut conv.relu),
        Kind::Sum { relu, .. } => Some(relu),
        _ => None,
    }
}
