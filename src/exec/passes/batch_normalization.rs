//! Folds a BatchNormalization into the convolution that makes its operand: y = s·(w⋆x + b − m)/√(v+ε) + t is a convolution again.
//!
//! The weights are frozen, so this is exact up to rounding.

use super::fuse::{count_constants, count_uses};
use crate::exec::program::{Program, Source, Step};
use crate::tensor::*;

/// Folds wherever the convolution's result has no other user.
pub(in crate::exec) fn fold_batch_norm(program: &mut Program) {
    let (uses, reads) = (count_uses(program), count_constants(program));
    let steps = std::mem::take(&mut program.steps);
    let (made, folded) = (vec![None; program.shapes.len()], Vec::with_capacity(steps.len()));
    let mut folding = Folding { program, steps: folded, made, uses, reads };
    steps.into_iter().for_each(|step| folding.add(step));
    program.steps = folding.steps;
}

/// A program on its way through [`fold_batch_norm`].
struct Folding<'p> {
    program: &'p mut Program,
    /// Steps that stay.
    steps: Vec<Step>,
    /// By slot, the step that makes it.
    made: Vec<Option<usize>>,
    /// By slot, number of readers.
    uses: Vec<usize>,
    /// By constant, number of readers.
    reads: Vec<usize>,
}

impl Folding<'_> {
    /// Adds the next step, or folds it.
    fn add(&mut self, step: Step) {
        if let Some(at) = self.fold(&step) {
            self.made[step.outputs[0]] = Some(at);
            return;
        }
        step.outputs.iter().for_each(|&o| self.made[o] = Some(self.steps.len()));
        self.steps.push(step);
    }

    /// Folds a step into the convolution whose result it alone reads: the number of that step; none where it is not foldable.
    fn fold(&mut self, step: &Step) -> Option<usize> {
        let norm = ChannelNorm::of(self.program, step)?;
        let Some(Source::Slot(x)) = step.inputs[0] else { return None };
        let at = self.made[x].filter(|_| self.uses[x] == 1)?;
        let conv = &self.steps[at];
        conv.geometry?;
        let weights = frozen(self.program, conv.inputs.get(1))?;
        let bias = match conv.inputs.get(2) {
            None | Some(None) => None,
            some => Some(frozen(self.program, some)?),
        };
        let bias = norm.bias(bias.map(|b| self.program.constants[b].elements()));
        let weights = self.unshared(weights);
        norm.scale(self.program.constants[weights].elements_mut());
        self.program.constants.push(array(&[bias.len()], bias));
        self.reads.push(1);
        let conv = &mut self.steps[at];
        let sources = [weights, self.program.constants.len() - 1].map(|c| Some(Source::Constant(c)));
        conv.inputs = [&conv.inputs[..1], &sources].concat();
        conv.outputs = vec![step.outputs[0]];
        if let Some(bias_term) = &mut conv.bias_term {
            norm.scale(&mut bias_term.matrix);
        }
        Some(at)
    }

    /// A constant with the numbers of constant `c` and a single reader: `c` itself, or a copy.
    fn unshared(&mut self, c: usize) -> usize {
        if self.reads[c] == 1 {
            return c;
        }
        self.reads[c] -= 1;
        self.program.constants.push(self.program.constants[c].clone());
        self.reads.push(1);
        self.program.constants.len() - 1
    }
}

/// Number of the constant that a source is; none where it is a value or a parameter, whose numbers change.
fn frozen(program: &Program, source: Option<&Option<Source>>) -> Option<usize> {
    match *source? {
        Some(Source::Constant(c)) if program.parameter(Some(Source::Constant(c))).is_none() => Some(c),
        _ => None,
    }
}

/// y = factor·(x − mean) + shift, by channel.
struct ChannelNorm {
    factor: Vec<f32>,
    mean: Vec<f32>,
    shift: Vec<f32>,
}

impl ChannelNorm {
    /// The normalisation by frozen constants that a step is.
    fn of(program: &Program, step: &Step) -> Option<Self> {
        let slots = step.op.as_ref()?.normalisation().filter(|_| step.bias_term.is_none())?;
        let operand =
            |slot: usize| Some(program.constants[frozen(program, step.inputs.get(slot))?].elements());
        let (scale, shift) = (operand(slots.scale)?, operand(slots.bias)?);
        let (mean, variance) = (operand(slots.mean)?, operand(slots.variance)?);
        let epsilon = slots.epsilon.unwrap_or(1e-5);
        let factor =
            |(s, v): (&f32, &f32)| (f64::from(*s) / (f64::from(*v) + f64::from(epsilon)).sqrt()) as f32;
        let factor = scale.iter().zip(variance).map(factor).collect();
        Some(Self { factor, mean: mean.to_vec(), shift: shift.to_vec() })
    }

    /// Bias of the folded convolution, for that of the convolution.
    fn bias(&self, bias: Option<&[f32]>) -> Vec<f32> {
        let folded = |o: usize| (bias.map_or(0.0, |b| b[o]) - self.mean[o]) * self.factor[o] + self.shift[o];
        (0..self.factor.len()).map(folded).collect()
    }

    /// Multiplies the rows of a matrix by the factors: weights, or a bias term, by output channel.
    fn scale(&self, matrix: &mut [f32]) {
        let columns = matrix.len() / self.factor.len().max(1);
        for (row, f) in matrix.chunks_mut(columns.max(1)).zip(&self.factor) {
            row.iter_mut().for_each(|w| *w *= f);
        }
    }
}
