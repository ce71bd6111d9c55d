//! LRN: y = x / (bias + α/size · Σ x²)^β, the sum over neighbouring channels.
//! <https://onnx.ai/onnx/operators/onnx__LRN.html>

use super::family::reduce::tie_others;
use super::family::steps::power;
use crate::graph::*;
use crate::tensor::*;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Slice, Zip};

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

/// Channels up to which the sums over neighbours are a product with a banded matrix.
const BANDED: usize = 512;

impl Hints for Lrn {
    /// x / (bias + band·x²)^β: a convolution of one tap sums over neighbours.
    fn form(&self, io: &Io, opset: i64) -> Option<Form> {
        let shape = io.input(0).filter(|s| (3..=5).contains(&s.len()) && s[1] <= BANDED)?;
        let Bound { alpha, beta, bias, sides: [before, after], .. } = self.bound(shape);
        let (c, mut form, x) = (shape[1], Form::new(opset), Term::Operand(0));
        let near = |i: usize| (i / c).saturating_sub(before)..=i / c + after;
        let band = (0..c * c).map(|i| if near(i).contains(&(i % c)) { alpha as f32 } else { 0.0 });
        let taps = [&[c, c][..], &vec![1; shape.len() - 2]].concat();
        let band = form.constant(Tensor::floats(&taps, band.collect()));
        let bias = form.constant(Tensor::floats(&[c], vec![bias as f32; c]));
        let square = form.plain("Mul", &[x, x]);
        let sum = form.plain("Conv", &[square, band, bias]);
        let power = power(&mut form, sum, beta);
        form.plain("Div", &[x, power]);
        Some(form)
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::counted(735.0, 765.0)
    }
    fn never_negative(&self, x: &Operands) -> bool {
        let positive = |v: Option<f32>| v.is_none_or(|v| v >= 0.0);
        positive(self.bias) && positive(self.alpha) && x[0].is_some_and(|x| x.is_never_negative())
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

    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        self.infer(io.x)?;
        Ok(Box::new(self.bound(&need(io.x, 0)?.shape)))
    }

    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        tie_others(io, |axis| axis == 1, "normalises over neighbouring channels", link);
    }

    fn cost(&self, _: &Io) -> Work {
        Work::Free
    }

    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl Lrn {
    fn bound(&self, x: &[usize]) -> Bound {
        let of = |v: Option<f32>, default: f32| f64::from(v.unwrap_or(default));
        Bound {
            alpha: of(self.alpha, 0.0001) / self.size as f64,
            beta: of(self.beta, 0.75),
            bias: of(self.bias, 1.0),
            sides: [(self.size - 1) as usize / 2, self.size as usize / 2],
            image: [x[1], volume(&x[2..])],
        }
    }
}

/// The operator over images of one size.
#[derive(Debug)]
struct Bound {
    /// α/size.
    alpha: f64,
    beta: f64,
    bias: f64,
    /// Neighbours in a channel's sum: with smaller numbers, with larger ones.
    sides: [usize; 2],
    /// Channels of an image, pixels of a channel.
    image: [usize; 2],
}

impl Bound {
    /// s⁻ᵝ. The usual β = ¾, and other quarters, need no logarithm.
    fn power<T: Real>(&self) -> impl Fn(T) -> T {
        let beta = T::of(self.beta);
        let quarters = beta.wide() * 4.0;
        let quarters =
            (quarters.fract() == 0.0 && (0.0..=8.0).contains(&quarters)).then_some(quarters as i32);
        move |s| match quarters {
            Some(3) => (s.sqrt() * s.sqrt().sqrt()).recip(),
            Some(n) => s.sqrt().sqrt().powi(n).recip(),
            None => s.powf(-beta),
        }
    }

    /// The channels that channel c sums over.
    fn window(&self, c: usize) -> Slice {
        self.range(c, self.sides)
    }

    /// The channels that sum over channel c.
    fn summing(&self, c: usize) -> Slice {
        let [before, after] = self.sides;
        self.range(c, [after, before])
    }

    fn range(&self, c: usize, [before, after]: [usize; 2]) -> Slice {
        Slice::from(c.saturating_sub(before)..(c + after + 1).min(self.image[0]))
    }

    /// bias + α/size · Σ x², for one image (channel, pixel).
    fn sums<T: Real>(&self, x: ArrayView2<T>, mut s: ArrayViewMut2<T>) {
        let (alpha, bias) = (T::of(self.alpha), T::of(self.bias));
        for (c, mut s) in s.outer_iter_mut().enumerate() {
            s.fill(T::zero());
            for x in x.slice_axis(ndarray::Axis(0), self.window(c)).outer_iter() {
                Zip::from(&mut s).and(x).for_each(|s, &x| *s += x * x);
            }
            s.iter_mut().for_each(|s| *s = bias + alpha * *s);
        }
    }
}

impl<T: Real> Compute<T> for Bound {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let power = self.power::<T>();
        let images = around(present(x, 0), 1);
        for (x, mut y) in images.outer_iter().zip(around_mut(&mut y[0], 1).outer_iter_mut()) {
            self.sums(x, y.view_mut());
            Zip::from(&mut y).and(x).for_each(|y, &x| *y = x * power(*y));
        }
    }

    /// `dx = dy·s⁻ᵝ − 2αβ/size · x·Σ dy·x·s⁻ᵝ⁻¹`, the sum over the channels that sum over this one.
    fn backward(&self, x: &Inputs<T>, _: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        let Some(dx) = wanted(dx, 0) else { return };
        let factor = T::of(2.0) * T::of(self.alpha) * T::of(self.beta);
        let power = self.power::<T>();
        let (mut s, mut inner) = (Array2::zeros(self.image), Array2::zeros(self.image));
        let (x, dy, mut dx) = (around(present(x, 0), 1), around(&dy[0], 1), around_mut(dx, 1));
        for ((x, dy), mut dx) in x.outer_iter().zip(dy.outer_iter()).zip(dx.outer_iter_mut()) {
            self.sums(x, s.view_mut());
            Zip::from(&mut inner).and(&mut dx).and(&s).and(x).and(dy).for_each(|i, dx, &s, &x, &dy| {
                let share = dy * power(s);
                *dx += share;
                *i = x * share / s;
            });
            for (c, (x, mut dx)) in x.outer_iter().zip(dx.outer_iter_mut()).enumerate() {
                for inner in inner.slice_axis(ndarray::Axis(0), self.summing(c)).outer_iter() {
                    Zip::from(&mut dx).and(x).and(inner).for_each(|dx, &x, &i| *dx -= factor * x * i);
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
