//! Channels that a step takes from its input, each through its gate, and how their gradients go back.

use super::backward::Gradients;
use super::channel_map::NOWHERE;
use super::program::UNGATED;
use super::workspace::GradSlot;
use crate::kernels::simd::{SimdOp, copy, dot, scale, scale_and_dot, vectorised};
use crate::tensor::*;

/// Which channels are taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChannelGather<'a> {
    /// Sizes of the input: (outer, channels, inner).
    pub sides: (usize, usize, usize),
    /// For every channel of the result, the one of the input, or [`NOWHERE`]; without it all in their order.
    pub route: Option<&'a [u32]>,
    /// For every channel of the result, its λ.
    pub gate: Option<&'a [u32]>,
}

/// λ of a coordinate.
pub(super) fn lambda_at(lambda: &[f32], index: u32) -> f32 {
    if index == UNGATED { 1.0 } else { lambda[index as usize] }
}

impl<'a> ChannelGather<'a> {
    /// All channels along `axis` of a value of this shape, each through its gate.
    pub fn gate(shape: &[usize], axis: usize, gate: &'a [u32]) -> Self {
        Self { sides: sides(shape, axis), route: None, gate: Some(gate) }
    }

    /// Channels of a value of this shape (axis 1), each to its place.
    pub fn map(shape: &[usize], route: &'a [u32]) -> Self {
        Self::of(shape, Some(route), None)
    }

    /// Channels of a value of this shape (axis 1), each to its place and through its gate, where there are such.
    pub fn of(shape: &[usize], route: Option<&'a [u32]>, gate: Option<&'a [u32]>) -> Self {
        Self { sides: sides(shape, 1), route, gate }
    }

    /// Channels of the result.
    fn taken(&self) -> usize {
        self.route.map_or(self.sides.1, <[u32]>::len)
    }

    /// For channel `k` of the result, counted through the outer axes: its place there, and the channel of the input, counted
    /// likewise.
    #[inline(always)]
    fn source(&self, k: usize) -> (usize, Option<usize>) {
        let taken = self.taken();
        let (outer, own) = (k / taken, k % taken);
        let from = match self.route {
            Some(route) if route[own] == NOWHERE => None,
            Some(route) => Some(outer * self.sides.1 + route[own] as usize),
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
        vectorised(Forward { take: self, x, lambda, y });
    }

    /// y_k = relu(trunk_k + λ_k·branch_c)
    pub fn add(self, branch: &[f32], lambda: Option<&[f32]>, trunk: &[f32], relu: bool, y: &mut [f32]) {
        vectorised(Sum { take: self, branch, lambda, trunk, relu, y });
    }

    /// dx_c += λ_k·dy_k, dλ_k += Σ x_c·dy_k
    pub fn backward(self, x: &[f32], dy: &[f32], dx: Option<&mut GradSlot>, into: &mut Gradients) {
        vectorised(Backward { take: self, x, dy, dx, into });
    }
}

struct Forward<'a> {
    take: ChannelGather<'a>,
    x: &'a [f32],
    lambda: Option<&'a [f32]>,
    y: &'a mut [f32],
}

impl SimdOp for Forward<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { take, x, lambda, y } = self;
        let (_, _, size) = take.sides;
        for (k, y) in y.chunks_exact_mut(size.max(1)).enumerate() {
            let (own, from) = take.source(k);
            match (from, take.lambda(own, lambda)) {
                (None, _) => y.fill(0.0),
                (Some(at), 1.0) => copy(y, &x[at * size..][..size]),
                (Some(at), l) => scale(y, l, &x[at * size..][..size], false),
            }
        }
    }
}

struct Sum<'a> {
    take: ChannelGather<'a>,
    branch: &'a [f32],
    lambda: Option<&'a [f32]>,
    trunk: &'a [f32],
    relu: bool,
    y: &'a mut [f32],
}

impl SimdOp for Sum<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { take, branch, lambda, trunk, relu, y } = self;
        let (_, _, size) = take.sides;
        let least = if relu { 0.0 } else { f32::NEG_INFINITY };
        let above = |v: f32| if v < least { least } else { v };
        let lines = y.chunks_exact_mut(size.max(1)).zip(trunk.chunks_exact(size.max(1)));
        for (k, (y, a)) in lines.enumerate() {
            let (own, from) = take.source(k);
            let l = take.lambda(own, lambda);
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
    take: ChannelGather<'a>,
    x: &'a [f32],
    dy: &'a [f32],
    dx: Option<&'a mut GradSlot>,
    into: &'a mut Gradients<'g>,
}

impl SimdOp for Backward<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Self { take, x, dy, dx, into } = self;
        let (outer, channels, size) = take.sides;
        // Which channels of dx have something in them; they all get it in turn where all are taken.
        let begun = dx.as_ref().is_some_and(|dx| dx.begun);
        let mut dx = dx.map(|slot| slot.dx.elements_mut());
        let mut written = vec![begun; if take.route.is_some() { outer * channels } else { 0 }];
        for (k, dy) in dy[..outer * take.taken() * size].chunks_exact(size.max(1)).enumerate() {
            let (own, Some(at)) = take.source(k) else { continue };
            let index = take.gate.map_or(UNGATED, |gate| gate[own]);
            let l = lambda_at(into.lambda, index);
            let line = at * size..(at + 1) * size;
            let add = written.get_mut(at).map_or(begun, |w| std::mem::replace(w, true));
            match &mut dx {
                Some(dx) if index != UNGATED => {
                    let dx = &mut dx[line.clone()];
                    into.gates[index as usize] += scale_and_dot(dx, l, dy, add, &x[line]);
                }
                Some(dx) => scale(&mut dx[line], l, dy, add),
                None if index != UNGATED => into.gates[index as usize] += dot(&x[line], dy),
                None => {}
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
        let route = [2, NOWHERE, 0];
        let gather = ChannelGather::of(&SHAPE, Some(&route), Some(&[0, UNGATED, UNGATED]));
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
        let route = [2, NOWHERE, 2];
        let gather = ChannelGather::of(&SHAPE, Some(&route), Some(&[0, UNGATED, 1]));
        let mut into = Gradients { lambda: &[0.5, 2.0], gates: &mut gates, parameters: &mut [] };
        gather.backward(&x, &dy, Some(&mut slot), &mut into);
        // Channel 2 was taken twice, the others never.
        assert_eq!(slot.dx.elements(), [0.0, 0.0, 0.0, 0.0, 2.5, 2.5, 0.0, 0.0, 0.0, 0.0, 2.5, 2.5]);
        assert_eq!(gates, [34.0, 34.0]);
    }
}
