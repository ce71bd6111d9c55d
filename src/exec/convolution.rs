//! A convolution with constant weights as one step: y = relu(conv(x ⊙ λ) + b + bias term).

use super::backward::Gradients;
use super::bias_term::BiasTerm;
use super::channel_gather::{ChannelGather, lambda_at};
use super::channel_map::ChannelMap;
use super::workspace::GradSlot;
use crate::kernels::conv::{self, Geometry};
use crate::kernels::packed_conv::PackedConv;
use crate::kernels::simd::copy;
use crate::tensor::*;

/// A convolution with constant weights, the gate before it and the ReLU after it.
#[derive(Debug, Clone)]
pub(super) struct Convolution {
    pub geometry: Geometry,
    pub kernel: PackedConv,
    /// Constant with the weights; its numbers are gone where the kernel alone reads them.
    pub weights: usize,
    /// Constant with the bias.
    pub bias: Option<usize>,
    pub relu: bool,
    /// λ index per input channel.
    pub gate: Option<Vec<u32>>,
    /// Channels of its input that it reads, where it does not read all in their order.
    pub reads: Option<ChannelMap>,
}

/// What the backward pass of a convolution reads.
pub(super) struct ConvIo<'a> {
    pub x: &'a Array<f32>,
    /// Gradient of the result before the ReLU.
    pub dy: &'a mut Array<f32>,
    pub weights: &'a [f32],
}

/// Rows of a convolution's input.
struct Rows<'a> {
    x: &'a [f32],
    /// Channels of `x`, and elements of each.
    channels: usize,
    pixels: usize,
    reads: Option<&'a [u32]>,
}

impl<'a> Rows<'a> {
    /// Row `r`, of `len` numbers, of channel `k` among those that the convolution reads.
    #[inline(always)]
    fn get(&self, image: usize, k: usize, r: usize, len: usize) -> &'a [f32] {
        let c = self.reads.map_or(k, |reads| reads[k] as usize);
        &self.x[(image * self.channels + c) * self.pixels + r * len..][..len]
    }
}

impl Convolution {
    fn rows<'a>(&'a self, x: &'a Array<f32>) -> Rows<'a> {
        let (channels, pixels) = (x.shape()[1], self.geometry.pixels_in());
        Rows { x: x.elements(), channels, pixels, reads: self.reads.as_deref() }
    }

    /// y = relu(conv(x ⊙ λ) + b + bias term), with λ at 1 and without the term where `lambda` is `None`.
    pub fn forward(
        &self,
        x: &Array<f32>,
        bias: &[f32],
        term: Option<&BiasTerm>,
        lambda: Option<&[f32]>,
        y: &mut Array<f32>,
    ) {
        let rows = self.rows(x);
        let row = |n: usize, k: usize, r: usize, out: &mut [f32]| {
            let from = rows.get(n, k, r, out.len());
            match (&self.gate, lambda) {
                (Some(index), Some(lambda)) => {
                    let l = lambda_at(lambda, index[k]);
                    out.iter_mut().zip(from).for_each(|(o, x)| *o = l * x);
                }
                _ => copy(out, from),
            }
        };
        let sum: Vec<f32>;
        let bias = match term.zip(lambda) {
            Some((term, lambda)) => {
                let amounts = term.amounts(lambda);
                sum = amounts.iter().enumerate().map(|(o, s)| bias.get(o).unwrap_or(&0.0) + s).collect();
                &sum
            }
            None => bias,
        };
        self.kernel.run(row, bias, self.relu, y.elements_mut());
    }

    /// Adds the gradients of weight and bias, where these are parameters. There are no gates then.
    pub fn backward_parameters(
        &self,
        io: &mut ConvIo,
        weight: Option<usize>,
        bias: Option<usize>,
        into: &mut Gradients,
    ) {
        if let Some(p) = weight {
            let dw = into.parameters[p].elements_mut();
            let rows = self.rows(io.x);
            let row = |n: usize, k: usize, r: usize, out: &mut [f32]| {
                copy(out, rows.get(n, k, r, out.len()));
            };
            self.kernel.gradient(row, io.dy.elements_mut(), dw);
        }
        if let Some(p) = bias {
            let db = into.parameters[p].elements_mut();
            conv::backward_bias(self.geometry.cout, self.geometry.pixels_out(), io.dy.elements(), db);
        }
    }

    /// Through convolution and gate: dx += λ ⊙ convᵀ(dy), dλ_c += Σ x·convᵀ(dy). `gated` is a buffer for convᵀ(dy).
    pub fn backward_input(
        &self,
        io: &ConvIo,
        dx: Option<&mut GradSlot>,
        gated: &mut Vec<f32>,
        into: &mut Gradients,
    ) {
        match dx {
            // Without a gate the gradient goes straight to dx; with one it is needed for dλ first.
            Some(GradSlot { dx, begun }) if self.gate.is_none() && self.reads.is_none() => {
                self.transposed(io, *begun, dx.elements_mut());
            }
            None if self.gate.is_none() => {}
            dx => {
                let g = &self.geometry;
                let len = g.batch * g.cin * g.pixels_in();
                gated.resize(len.max(gated.len()), 0.0);
                self.transposed(io, false, &mut gated[..len]);
                let gather = ChannelGather::of(io.x.shape(), self.reads.as_deref(), self.gate.as_deref());
                gather.backward(io.x.elements(), &gated[..len], dx, into);
            }
        }
    }

    /// convᵀ(dy), added to what is in `dx` if `add`.
    fn transposed(&self, io: &ConvIo, add: bool, dx: &mut [f32]) {
        let dy = io.dy.elements();
        if !self.kernel.run_back(dy, add, dx) {
            if !add {
                dx.fill(0.0);
            }
            conv::backward_input(&self.geometry, dy, io.weights, dx);
        }
    }
}
