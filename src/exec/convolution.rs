//! A convolution with constant weights as one step: y = relu(conv(x ⊙ λ) + b + bias term).

use super::bias_term::BiasTerm;
use super::channel_gather::{ChannelGather, lambda_at};
use super::channel_map::ChannelMap;
use super::gradients::{GradSlot, Gradients};
use crate::kernels::conv::{self, Geometry};
use crate::kernels::packed_conv::PackedConv;
use crate::kernels::simd::copy;
use crate::support::index::OptIndex;
use crate::tensor::*;

/// A convolution with constant weights, with the gate that it reads through and the ReLU that it ends in.
#[derive(Debug, Clone)]
pub(super) struct Convolution {
    pub geometry: Geometry,
    pub kernel: PackedConv,
    /// Constant with the weights; its numbers are gone where the kernel alone reads them.
    pub weights: usize,
    /// Constant with the bias.
    pub bias: Option<usize>,
    pub relu: bool,
    /// For each input channel, its λ; absent where all λ = 1.
    pub gate: Option<Vec<OptIndex>>,
    /// For each input channel, the channel of the operand, none of them of zeros; absent where all are read in order.
    pub channel_map: Option<ChannelMap>,
}

/// Operands of the backward pass of a convolution.
pub(super) struct ConvIo<'a> {
    pub x: &'a Array<f32>,
    /// Gradient of the convolution's result, which the ReLU reads.
    pub dy: &'a mut Array<f32>,
    pub weights: &'a [f32],
}

/// Rows of a convolution's input.
struct Rows<'a> {
    x: &'a [f32],
    /// Channels of `x`, and elements of each.
    channels: usize,
    pixels: usize,
    channel_map: Option<&'a [OptIndex]>,
}

impl<'a> Rows<'a> {
    /// Row `r`, of `len` numbers, of the `k`-th channel that the convolution reads.
    #[inline(always)]
    fn get(&self, image: usize, k: usize, r: usize, len: usize) -> &'a [f32] {
        let c = self.channel_map.map_or(Some(k), |channel_map| channel_map[k].get());
        let c = c.expect("a convolution reads no channel of zeros");
        &self.x[(image * self.channels + c) * self.pixels + r * len..][..len]
    }
}

impl Convolution {
    fn rows<'a>(&'a self, x: &'a Array<f32>) -> Rows<'a> {
        let (channels, pixels) = (x.shape()[1], self.geometry.pixels_in());
        Rows { x: x.elements(), channels, pixels, channel_map: self.channel_map.as_deref() }
    }

    /// y = relu(conv(x ⊙ λ) + b + bias term), with λ at 1 and without the term where `lambda` is `None`.
    pub fn forward(
        &self,
        x: &Array<f32>,
        bias: &[f32],
        bias_term: Option<&BiasTerm>,
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
        let bias = match bias_term.zip(lambda) {
            Some((term, lambda)) => {
                let amounts = term.amounts(lambda);
                sum = amounts.iter().enumerate().map(|(o, s)| bias.get(o).unwrap_or(&0.0) + s).collect();
                &sum
            }
            None => bias,
        };
        self.kernel.run(row, bias, self.relu, y.elements_mut());
    }

    /// Adds the gradients of weight and bias to parameters `weight` and `bias`, where they are parameters: a program with parameters
    /// has no gates.
    pub fn backward_parameters(
        &self,
        io: &mut ConvIo,
        weight: Option<usize>,
        bias: Option<usize>,
        gradients: &mut Gradients,
    ) {
        if let Some(p) = weight {
            let dw = gradients.parameters[p].elements_mut();
            let rows = self.rows(io.x);
            let row = |n: usize, k: usize, r: usize, out: &mut [f32]| {
                copy(out, rows.get(n, k, r, out.len()));
            };
            self.kernel.gradient(row, io.dy.elements_mut(), dw);
        }
        if let Some(p) = bias {
            let db = gradients.parameters[p].elements_mut();
            conv::backward_bias(self.geometry.cout, self.geometry.pixels_out(), io.dy.elements(), db);
        }
    }

    /// Through convolution and gate: dx += λ ⊙ convᵀ(dy), dλ_c += Σ x·convᵀ(dy). `gated` is a buffer for convᵀ(dy).
    pub fn backward_input(
        &self,
        io: &ConvIo,
        dx: Option<&mut GradSlot>,
        gated: &mut Vec<f32>,
        gradients: &mut Gradients,
    ) {
        match dx {
            // Without a gate the gradient goes straight to dx; with one it is needed for dλ first.
            Some(GradSlot { dx, begun }) if self.gate.is_none() && self.channel_map.is_none() => {
                self.transposed(io, *begun, dx.elements_mut());
            }
            None if self.gate.is_none() => {}
            dx => {
                let g = &self.geometry;
                let len = g.batch * g.cin * g.pixels_in();
                gated.resize(len.max(gated.len()), 0.0);
                self.transposed(io, false, &mut gated[..len]);
                let gather =
                    ChannelGather::of(io.x.shape(), self.channel_map.as_deref(), self.gate.as_deref());
                gather.backward(io.x.elements(), &gated[..len], dx, gradients);
            }
        }
    }

    /// dx = convᵀ(dy), or dx += convᵀ(dy) if `add`.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 3×3 with padding over 4×5 pixels of channels 2, 0 and 1 of three, to two: channels 2 and 1 have gates.
    fn gated(weights: &[f32]) -> Convolution {
        let geometry = Geometry {
            batch: 2,
            cin: 3,
            cout: 2,
            group: 1,
            input: [1, 4, 5],
            output: [1, 4, 5],
            kernel: [1, 3, 3],
            stride: [1; 3],
            dilation: [1; 3],
            pad: [0, 1, 1],
        };
        let kernel = PackedConv::new(&geometry, weights, true, false).unwrap();
        let gate = Some([Some(0), None, Some(1)].map(OptIndex::from).to_vec());
        let channel_map = Some([2, 0, 1].map(OptIndex::some).to_vec());
        Convolution { geometry, kernel, weights: 0, bias: None, relu: false, gate, channel_map }
    }

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 + seed * 11) % 23) as f32 / 11.0 - 1.0).collect()
    }

    #[test]
    fn a_gated_convolution_is_one_of_gated_channels() {
        let weights = numbers(54, 1);
        let (conv, x, lambda) = (gated(&weights), array(&[2, 3, 4, 5], numbers(120, 2)), [0.25, -2.0]);
        let mut y = Array::zeros(&[2, 2, 4, 5][..]);
        conv.forward(&x, &[0.5, -0.5], None, Some(&lambda), &mut y);
        let factors = [1.0, lambda[1], lambda[0]];
        let plane =
            |n: usize, c: usize| x.elements()[(n * 3 + c) * 20..][..20].iter().map(move |v| v * factors[c]);
        let read: Vec<f32> =
            (0..2).flat_map(|n| [2, 0, 1].into_iter().flat_map(move |c| plane(n, c))).collect();
        let mut expected = vec![0.0; 80];
        conv::forward(&conv.geometry, &read, &weights, Some(&[0.5, -0.5]), &mut expected);
        assert!(y.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{y:?} {expected:?}");
    }

    /// y is linear in λ and in x.
    #[test]
    fn gradients_are_differences() {
        let weights = numbers(54, 1);
        let (conv, x, lambda) = (gated(&weights), array(&[2, 3, 4, 5], numbers(120, 2)), [0.25, -2.0]);
        let mut dy = array(&[2, 2, 4, 5], numbers(80, 3));
        let loss = |x: &Array<f32>, lambda: &[f32]| -> f32 {
            let mut y = Array::zeros(dy.shape());
            conv.forward(x, &[], None, Some(lambda), &mut y);
            y.iter().zip(&dy).map(|(y, dy)| y * dy).sum()
        };
        let by_lambda = [0, 1].map(|k| {
            let moved = |by: f32| {
                let mut lambda = lambda;
                lambda[k] += by;
                loss(&x, &lambda)
            };
            moved(0.5) - moved(-0.5)
        });
        let by_x = [0, 33, 71, 119].map(|i| {
            let moved = |by: f32| {
                let mut x = x.clone();
                x.elements_mut()[i] += by;
                loss(&x, &lambda)
            };
            (i, moved(0.5) - moved(-0.5))
        });
        let mut gates = [0.0; 2];
        let mut dx = GradSlot { dx: Array::from_elem(x.shape(), f32::NAN), begun: false };
        let io = ConvIo { x: &x, dy: &mut dy, weights: &weights };
        let mut gradients = Gradients { lambda: &lambda, gates: &mut gates, parameters: &mut [] };
        conv.backward_input(&io, Some(&mut dx), &mut Vec::new(), &mut gradients);
        let near = |found: f32, expected: f32| (found - expected).abs() < 1e-3;
        assert!(gates.iter().zip(by_lambda).all(|(g, e)| near(*g, e)), "{gates:?} {by_lambda:?}");
        let found = dx.dx.elements();
        assert!(by_x.iter().all(|&(i, e)| near(found[i], e)), "{by_x:?}");
    }
}
