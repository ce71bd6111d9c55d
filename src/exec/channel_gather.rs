//! Channels that a step takes from its input, each through its gate, and how their gradients go back.

use super::gradients::{GradSlot, Gradients};
use crate::kernels::simd::{SimdOp, copy, dot, scale, scale_and_dot, vectorised};
use crate::support::index::OptIndex;
use crate::tensor::*;

/// Channels of a value, each to its place in a result and through its gate.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChannelGather<'a> {
    /// Sizes of the input: (outer, channels, inner).
    pub sides: (usize, usize, usize),
    /// For each channel of the result, the channel of the input, none for zeros; absent where all are taken in order.
    pub channel_map: Option<&'a [OptIndex]>,
    /// For each channel of the result, its λ; absent where all λ = 1.
    pub gate: Option<&'a [OptIndex]>,
}

/// λ of a coordinate; 1 without an index.
#[inline]
pub(super) fn lambda_at(lambda: &[f32], index: OptIndex) -> f32 {
    index.get().map_or(1.0, |index| lambda[index])
}

impl<'a> ChannelGather<'a> {
    /// All channels along `axis` of a value of this shape, each through its gate.
    pub fn gate(shape: &[usize], axis: usize, gate: &'a [OptIndex]) -> Self {
        Self { sides: sides(shape, axis), channel_map: None, gate: Some(gate) }
    }

    /// Channels of a value of this shape (axis 1), each to its place.
    pub fn map(shape: &[usize], channel_map: &'a [OptIndex]) -> Self {
        Self::of(shape, Some(channel_map), None)
    }

    /// Channels of a value of this shape (axis 1), each to its place where there is a map, and through its gate where there are gates.
    pub fn of(shape: &[usize], channel_map: Option<&'a [OptIndex]>, gate: Option<&'a [OptIndex]>) -> Self {
        Self { sides: sides(shape, 1), channel_map, gate }
    }

    /// Number of channels of the result.
    fn taken(&self) -> usize {
        self.channel_map.map_or(self.sides.1, <[OptIndex]>::len)
    }

    /// For channel `k` of the result: its number within its image, and the channel of the input; `k` and the latter count through
    /// all images.
    #[inline(always)]
    fn source(&self, k: usize) -> (usize, Option<usize>) {
        let taken = self.taken();
        let (outer, own) = (k / taken, k % taken);
        let from = match self.channel_map {
            Some(channel_map) => channel_map[own].get().map(|c| outer * self.sides.1 + c),
            None => Some(k),
        };
        (own, from)
    }

    /// λ of channel `own` of the result; 1 where all gates are open.
    #[inline(always)]
    pub fn lambda(&self, own: usize, lambda: Option<&[f32]>) -> f32 {
        self.gate.zip(lambda).map_or(1.0, |(gate, lambda)| lambda_at(lambda, gate[own]))
    }

    /// y_k = λ_k·x_c
    pub fn forward(self, x: &[f32], lambda: Option<&[f32]>, y: &mut [f32]) {
        vectorised(Forward { gather: self, x, lambda, y });
    }

    /// y_k = relu(trunk_k + λ_k·branch_c)
    pub fn add(self, branch: &[f32], lambda: Option<&[f32]>, trunk: &[f32], relu: bool, y: &mut [f32]) {
        vectorised(Sum { gather: self, branch, lambda, trunk, relu, y });
    }

    /// dx_c += λ_k·dy_k, dλ_k += Σ x_c·dy_k
    pub fn backward(self, x: &[f32], dy: &[f32], dx: Option<&mut GradSlot>, gradients: &mut Gradients) {
        vectorised(Backward { gather: self, x, dy, dx, gradients });
    }
}

struct Forward<'a> {
    gather: ChannelGather<'a>,
    x: &'a [f32],
    lambda: Option<&'a [f32]>,
    y: &'a mut [f32],
}

impl SimdOp for Forward<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { gather, x, lambda, y } = self;
        let (_, _, size) = gather.sides;
        for (k, y) in y.chunks_exact_mut(size.max(1)).enumerate() {
            let (own, from) = gather.source(k);
            match (from, gather.lambda(own, lambda)) {
                (None, _) => y.fill(0.0),
                (Some(at), 1.0) => copy(y, &x[at * size..][..size]),
                (Some(at), l) => scale(y, l, &x[at * size..][..size], false),
            }
        }
    }
}

struct Sum<'a> {
    gather: ChannelGather<'a>,
    branch: &'a [f32],
    lambda: Option<&'a [f32]>,
    trunk: &'a [f32],
    relu: bool,
    y: &'a mut [f32],
}

impl SimdOp for Sum<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { gather, branch, lambda, trunk, relu, y } = self;
        let (_, _, size) = gather.sides;
        let least = if relu { 0.0 } else { f32::NEG_INFINITY };
        let above = |v: f32| if v < least { least } else { v };
        let lines = y.chunks_exact_mut(size.max(1)).zip(trunk.chunks_exact(size.max(1)));
        for (k, (y, a)) in lines.enumerate() {
            let (own, from) = gather.source(k);
            let l = gather.lambda(own, lambda);
            match from {
                None => y.iter_mut().zip(a).for_each(|(y, a)| *y = above(*a)),
                Some(at) => {
                    let all = y.iter_mut().zip(a).zip(&branch[at * size..][..size]);
                    all.for_each(|((y, a), b)| *y = above(a + l * b));
                }
            }
        }
    }
}

struct Backward<'a, 'g> {
    gather: ChannelGather<'a>,
    x: &'a [f32],
    dy: &'a [f32],
    dx: Option<&'a mut GradSlot>,
    gradients: &'a mut Gradients<'g>,
}

impl SimdOp for Backward<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Self { gather, x, dy, dx, gradients } = self;
        let (outer, channels, size) = gather.sides;
        // Which channels of dx have something in them; they all get it in turn where all are taken.
        let begun = dx.as_ref().is_some_and(|dx| dx.begun);
        let mut dx = dx.map(|slot| slot.dx.elements_mut());
        let mut written = vec![begun; if gather.channel_map.is_some() { outer * channels } else { 0 }];
        for (k, dy) in dy[..outer * gather.taken() * size].chunks_exact(size.max(1)).enumerate() {
            let (own, Some(at)) = gather.source(k) else { continue };
            let index = gather.gate.map_or(OptIndex::NONE, |gate| gate[own]);
            let l = lambda_at(gradients.lambda, index);
            let line = at * size..(at + 1) * size;
            let add = written.get_mut(at).map_or(begun, |w| std::mem::replace(w, true));
            match (&mut dx, index.get()) {
                (Some(dx), Some(gate)) => {
                    let dx = &mut dx[line.clone()];
                    gradients.gates[gate] += scale_and_dot(dx, l, dy, add, &x[line]);
                }
                (Some(dx), None) => scale(&mut dx[line], l, dy, add),
                (None, Some(gate)) => gradients.gates[gate] += dot(&x[line], dy),
                (None, None) => {}
            }
        }
        if let Some(dx) = dx {
            let untouched = written.iter().enumerate().filter(|(_, written)| !**written);
            untouched.for_each(|(at, _)| dx[at * size..(at + 1) * size].fill(0.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two images of three channels of two pixels.
    const SHAPE: [usize; 3] = [2, 3, 2];

    fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| i as f32 + 1.0).collect()
    }

    #[test]
    fn channels_go_to_their_places_through_their_gates() {
        let (x, mut y) = (numbers(12), [f32::NAN; 12]);
        let channel_map = [Some(2), None, Some(0)].map(OptIndex::from);
        let gate = [Some(0), None, None].map(OptIndex::from);
        let gather = ChannelGather::of(&SHAPE, Some(&channel_map), Some(&gate));
        gather.forward(&x, Some(&[0.5]), &mut y);
        assert_eq!(y, [2.5, 3.0, 0.0, 0.0, 1.0, 2.0, 5.5, 6.0, 0.0, 0.0, 7.0, 8.0]);
        gather.add(&x, None, &[-3.0; 12], true, &mut y);
        assert_eq!(y, [2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 8.0, 9.0, 0.0, 0.0, 4.0, 5.0]);
    }

    #[test]
    fn gradients_come_back_to_channels_that_were_taken() {
        let (x, dy) = (numbers(12), [1.0; 12]);
        let mut gates = [0.0; 2];
        let mut slot = GradSlot { dx: Array::from_elem(&SHAPE[..], f32::NAN), begun: false };
        let channel_map = [Some(2), None, Some(2)].map(OptIndex::from);
        let gate = [Some(0), None, Some(1)].map(OptIndex::from);
        let gather = ChannelGather::of(&SHAPE, Some(&channel_map), Some(&gate));
        let mut gradients = Gradients { lambda: &[0.5, 2.0], gates: &mut gates, parameters: &mut [] };
        gather.backward(&x, &dy, Some(&mut slot), &mut gradients);
        // Channel 2 was taken twice, the others never.
        assert_eq!(slot.dx.elements(), [0.0, 0.0, 0.0, 0.0, 2.5, 2.5, 0.0, 0.0, 0.0, 0.0, 2.5, 2.5]);
        assert_eq!(gates, [34.0, 34.0]);
    }
}
