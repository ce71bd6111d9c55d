//! LRN: y = x / (bias + α/size · Σ x²)^β, the sum over neighbouring channels.
//! <https://onnx.ai/onnx/operators/onnx__LRN.html>

use super::family::reduce::tie_others;
use crate::graph::*;
use crate::tensor::*;
use std::ops::Range;

#[derive(Debug)]
struct Lrn {
    alpha: Option<f32>,
    beta: Option<f32>,
    bias: Option<f32>,
    size: i64,
}

pub fn read(r: &Reader) -> Result<Box<dyn Op>, Refusal> {
    let op = Lrn {
        alpha: r.float("alpha")?,
        beta: r.float("beta")?,
        bias: r.float("bias")?,
        size: r.int_or("size", 0)?,
    };
    if !(1..=1 << 20).contains(&op.size) {
        return invalid(format!("size is {}", op.size));
    }
    Ok(Box::new(op))
}

impl Lrn {
    /// α/size, β, bias.
    fn constants<T: Real>(&self) -> (T, T, T) {
        let of = |v: Option<f32>, default: f32| f64::from(v.unwrap_or(default));
        let alpha = of(self.alpha, 0.0001) / self.size as f64;
        (T::of(alpha), T::of(of(self.beta, 0.75)), T::of(of(self.bias, 1.0)))
    }

    /// s⁻ᵝ. The usual β = ¾, and other quarters, need no logarithm.
    fn power<T: Real>(&self) -> impl Fn(T) -> T {
        let (_, beta, _) = self.constants::<T>();
        let quarters = beta.wide() * 4.0;
        let quarters =
            (quarters.fract() == 0.0 && (0.0..=8.0).contains(&quarters)).then_some(quarters as i32);
        move |s| match quarters {
            Some(3) => (s.sqrt() * s.sqrt().sqrt()).recip(),
            Some(n) => s.sqrt().sqrt().powi(n).recip(),
            None => s.powf(-beta),
        }
    }

    /// The channels that channel c sums over; with `turned`, the channels that sum over channel c.
    fn window(&self, c: usize, channels: usize, turned: bool) -> Range<usize> {
        let (mut before, mut after) = ((self.size - 1) as usize / 2, self.size as usize / 2);
        if turned {
            std::mem::swap(&mut before, &mut after);
        }
        c.saturating_sub(before)..(c + after + 1).min(channels)
    }

    /// bias + α/size · Σ x², for one image.
    fn sums<T: Real>(&self, x: &[T], channels: usize, s: &mut [T]) {
        let (alpha, _, bias) = self.constants::<T>();
        let pixels = x.len() / channels;
        for (c, s) in s.chunks_exact_mut(pixels).enumerate() {
            s.fill(T::zero());
            for j in self.window(c, channels, false) {
                s.iter_mut().zip(&x[j * pixels..(j + 1) * pixels]).for_each(|(s, &x)| *s += x * x);
            }
            s.iter_mut().for_each(|s| *s = bias + alpha * *s);
        }
    }
}

impl Hints for Lrn {
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(735.0, 765.0)
    }
}

impl Op for Lrn {
    fn attributes(&self) -> Attributes {
        Writer::default()
            .maybe("alpha", self.alpha)
            .maybe("beta", self.beta)
            .maybe("bias", self.bias)
            .put("size", self.size)
            .done()
    }

    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        let fact = need(x, 0)?;
        if fact.shape.len() < 2 {
            return invalid(format!("an input of rank {}", fact.shape.len()));
        }
        Ok(vec![fact.clone()])
    }

    fn differentiable(&self) -> bool {
        true
    }

    fn never_negative(&self, x: &Operands) -> bool {
        let positive = |v: Option<f32>| v.is_none_or(|v| v >= 0.0);
        positive(self.bias) && positive(self.alpha) && x[0].is_some_and(|x| x.is_never_negative())
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        tie_others(io, |axis| axis == 1, "normalises over neighbouring channels", link);
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn linear(&self, _: &Io) -> Option<Linear> {
        None
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<T: Real> Compute<T> for Lrn {
    fn forward(&self, x: &[Option<&Array<T>>], y: &mut [Array<T>]) {
        let Some(x) = x[0].filter(|x| !x.data.is_empty()) else { return };
        let image = volume(&x.shape[1..]);
        let power = self.power::<T>();
        for (x0, y) in x.data.chunks_exact(image).zip(y[0].data.chunks_exact_mut(image)) {
            self.sums(x0, x.shape[1], y);
            y.iter_mut().zip(x0).for_each(|(y, &x)| *y = x * power(*y));
        }
    }

    /// `dx = dy·s⁻ᵝ − 2αβ/size · x·Σ dy·x·s⁻ᵝ⁻¹`, the sum over the channels that sum over this one.
    fn backward(
        &self,
        x: &[Option<&Array<T>>],
        _: &[Array<T>],
        dy: &[Array<T>],
        dx: &mut [Option<&mut Array<T>>],
    ) {
        let (Some(x), Some(dx)) = (x[0].filter(|x| !x.data.is_empty()), &mut dx[0]) else { return };
        let (channels, image) = (x.shape[1], volume(&x.shape[1..]));
        let pixels = image / channels;
        let (alpha, beta, _) = self.constants::<T>();
        let factor = T::of(2.0) * alpha * beta;
        let power = self.power::<T>();
        let (mut s, mut inner) = (vec![T::zero(); image], vec![T::zero(); image]);
        let gradients = dy[0].data.chunks_exact(image).zip(dx.data.chunks_exact_mut(image));
        for (x, (dy, dx)) in x.data.chunks_exact(image).zip(gradients) {
            self.sums(x, channels, &mut s);
            for (((i, dx), s), (&x, &dy)) in inner.iter_mut().zip(&mut *dx).zip(&s).zip(x.iter().zip(dy)) {
                let share = dy * power(*s);
                *dx += share;
                *i = x * share / *s;
            }
            for c in 0..channels {
                let here = c * pixels..(c + 1) * pixels;
                for j in self.window(c, channels, true) {
                    let there = &inner[j * pixels..(j + 1) * pixels];
                    for ((dx, &x), &i) in dx[here.clone()].iter_mut().zip(&x[here.clone()]).zip(there) {
                        *dx -= factor * x * i;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<super::laws::Case> {
    use super::laws::{Case, data};
    vec![
        Case::new("LRN").int("size", 3).inputs([data(&[2, 5, 2, 3])]).free(2 + 2 + 3),
        Case::new("LRN")
            .named("even size, strong")
            .int("size", 4)
            .float("alpha", 0.9)
            .float("beta", 0.5)
            .float("bias", 2.0)
            .inputs([data(&[1, 6, 2])])
            .free(2),
    ]
}

#[cfg(test)]
mod tests {
    use crate::ops::laws::{Case, counting};

    // Values: onnxruntime 1.31.
    #[test]
    fn neighbouring_channels() {
        Case::new("LRN")
            .int("size", 3)
            .float("alpha", 0.5)
            .float("beta", 0.5)
            .float("bias", 1.0)
            .inputs([counting(&[1, 5, 1, 1])])
            .gives(&[0.0, 0.73855, 1.09545, 1.24212, 1.75977]);
    }
}
