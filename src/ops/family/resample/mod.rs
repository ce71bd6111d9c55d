//! Family helper: interpolation along one axis, as a few weighted inputs per output. Every mode of Resize is a product of
//! such axes.

mod kernel;

pub use kernel::Resampling;

use crate::tensor::*;

/// Mode of interpolation between the inputs around an output's place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// The nearest input.
    Nearest(Rounding),
    /// The two around it.
    Linear,
    /// The four around it, with Keys' coefficient a.
    Cubic(f64),
}

/// Rounding of a place to the nearest input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rounding {
    /// Half way goes down.
    HalfDown,
    /// Half way goes up.
    HalfUp,
    /// Always down.
    Floor,
    /// Always up.
    Ceil,
}

/// Place of an output among the inputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// Pixels have their centres at one half.
    HalfPixel,
    /// As half pixel, kept symmetric where the output size was rounded.
    HalfPixelSymmetric,
    /// As half pixel, except that a single output lies at 0.
    PytorchHalfPixel,
    /// The outer pixels of input and output coincide.
    AlignCorners,
    /// The first pixels coincide.
    Asymmetric,
    /// Half pixel in the output only.
    TfHalfPixelForNn,
    /// A region of the input, by its relative start and end; places outside the input are extrapolated.
    TfCrop(f32, f32),
}

impl Place {
    /// In single precision, as the runtimes do: rounding decides which input is nearest.
    fn of(self, i: usize, scale: f32, input: usize, output: usize) -> f32 {
        let (x, n, m) = (i as f32, input as f32, output as f32);
        match self {
            Self::HalfPixel => (x + 0.5) / scale - 0.5,
            Self::HalfPixelSymmetric => {
                let adjust = m / (scale * n);
                n / 2.0 * (1.0 - adjust) + (x + 0.5) / scale - 0.5
            }
            Self::PytorchHalfPixel if output > 1 => (x + 0.5) / scale - 0.5,
            Self::AlignCorners if output > 1 => x * (n - 1.0) / (m - 1.0),
            Self::PytorchHalfPixel | Self::AlignCorners => 0.0,
            Self::Asymmetric => x / scale,
            Self::TfHalfPixelForNn => (x + 0.5) / scale,
            Self::TfCrop(start, end) if output > 1 => {
                start * (n - 1.0) + x * (end - start) * (n - 1.0) / (m - 1.0)
            }
            Self::TfCrop(start, end) => 0.5 * (start + end) * (n - 1.0),
        }
    }
}

/// Change of an axis' size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Zoom {
    /// Output pixels per input pixel.
    pub scale: f32,
    /// A filter that lets no aliases through where the axis shrinks.
    pub antialias: bool,
    /// Inputs outside do not count (they repeat the border otherwise).
    pub exclude: bool,
}

/// For each output along an axis, its inputs and their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Taps {
    /// Input extent.
    pub input: usize,
    /// Output extent.
    pub output: usize,
    /// Inputs per output.
    width: usize,
    at: Vec<usize>,
    weight: Vec<f64>,
    /// Outputs whose place is outside the input.
    pub outside: Vec<usize>,
}

impl Taps {
    /// Largest number of taps along an axis.
    pub const MOST: usize = 1 << 24;

    /// Number of taps of an axis: outputs times inputs of each.
    pub fn count(mode: Mode, zoom: Zoom, output: usize) -> usize {
        output.saturating_mul(Self::width(mode, zoom))
    }

    /// Inputs per output. Where an axis shrinks without aliases, the filter is stretched by the inverse of the scale.
    fn width(mode: Mode, zoom: Zoom) -> usize {
        let stretch = if zoom.antialias { f64::from(zoom.scale).min(1.0) } else { 1.0 };
        match mode {
            Mode::Nearest(_) => 1,
            Mode::Linear => reach(1.0, stretch),
            Mode::Cubic(_) => reach(2.0, stretch),
        }
    }

    /// The taps of an axis.
    pub fn new(mode: Mode, place: Place, zoom: Zoom, input: usize, output: usize) -> Self {
        let stretch = if zoom.antialias { f64::from(zoom.scale).min(1.0) } else { 1.0 };
        let width = Self::width(mode, zoom);
        let scale = zoom.scale;
        let mut taps = Self { input, output, width, at: vec![], weight: vec![], outside: vec![] };
        let last = input as i64 - 1;
        for i in 0..output {
            let x = place.of(i, scale, input, output);
            let outside = matches!(place, Place::TfCrop(..)) && !(0.0..=last as f32).contains(&x);
            if outside {
                taps.outside.push(i);
                taps.at.extend(std::iter::repeat_n(0, width));
                taps.weight.extend(std::iter::repeat_n(0.0, width));
                continue;
            }
            let (first, mut weights) = weights(mode, x, stretch, width);
            if zoom.exclude {
                for (k, w) in weights.iter_mut().enumerate() {
                    if !(0..=last).contains(&(first + k as i64)) {
                        *w = 0.0;
                    }
                }
                let total: f64 = weights.iter().sum();
                weights.iter_mut().for_each(|w| *w /= total);
            }
            taps.at.extend((first..).take(width).map(|k| k.clamp(0, last.max(0)) as usize));
            taps.weight.extend(weights);
        }
        taps
    }

    /// True where every output is its own input.
    pub fn identity(&self) -> bool {
        let own = |(i, (at, w)): (usize, (&[usize], &[f64]))| {
            at.iter().zip(w).all(|(&at, &w)| if at == i { true } else { w == 0.0 })
                && (at.iter().zip(w).filter(|(at, _)| **at == i).map(|(_, w)| w).sum::<f64>() - 1.0).abs()
                    < 1e-12
        };
        self.input == self.output
            && self.at.chunks(self.width).zip(self.weight.chunks(self.width)).enumerate().all(own)
    }

    /// `y = taps·x` along the middle axis of `[outer, input, inner]`.
    pub fn forward<T: Real>(&self, inner: usize, x: &[T], y: &mut [T]) {
        let weight: Vec<T> = self.weight.iter().map(|&w| T::of(w)).collect();
        let (from, to) = (self.input * inner, self.output * inner);
        if from == 0 || to == 0 {
            return;
        }
        for (x, y) in x.chunks_exact(from).zip(y.chunks_exact_mut(to)) {
            if inner == 1 {
                let taps = self.at.chunks_exact(self.width).zip(weight.chunks_exact(self.width));
                for (y, (at, w)) in y.iter_mut().zip(taps) {
                    *y = at.iter().zip(w).fold(T::zero(), |sum, (&at, &w)| sum + w * x[at]);
                }
                continue;
            }
            for (i, y) in y.chunks_exact_mut(inner).enumerate() {
                y.fill(T::zero());
                for t in i * self.width..(i + 1) * self.width {
                    let (w, x) = (weight[t], &x[self.at[t] * inner..][..inner]);
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y += w * x);
                }
            }
        }
    }

    /// `dx += tapsᵀ·dy` along the middle axis.
    pub fn backward<T: Real>(&self, inner: usize, dy: &[T], dx: &mut [T]) {
        let weight: Vec<T> = self.weight.iter().map(|&w| T::of(w)).collect();
        let (from, to) = (self.input * inner, self.output * inner);
        if from == 0 || to == 0 {
            return;
        }
        for (dx, dy) in dx.chunks_exact_mut(from).zip(dy.chunks_exact(to)) {
            for (i, dy) in dy.chunks_exact(inner).enumerate() {
                for t in i * self.width..(i + 1) * self.width {
                    let (w, dx) = (weight[t], &mut dx[self.at[t] * inner..][..inner]);
                    dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += w * dy);
                }
            }
        }
    }
}

/// Inputs that a filter of half-width `radius` reaches when it is `1 / stretch` times as wide.
fn reach(radius: f64, stretch: f64) -> usize {
    ((radius / stretch).ceil() as usize).saturating_mul(2)
}

/// The first of the `width` inputs around `x`, and their weights.
fn weights(mode: Mode, x: f32, stretch: f64, width: usize) -> (i64, Vec<f64>) {
    let (floor, ceil) = (x.floor(), x.ceil());
    let filter: &dyn Fn(f64) -> f64 = match mode {
        Mode::Nearest(rounding) => {
            let nearest = match rounding {
                Rounding::HalfDown => (x - 0.5).ceil(),
                Rounding::HalfUp => (x + 0.5).floor(),
                Rounding::Floor => floor,
                Rounding::Ceil => ceil,
            };
            return (nearest as i64, vec![1.0]);
        }
        Mode::Linear => &|t| (1.0 - t).max(0.0),
        Mode::Cubic(a) => &move |t| match t {
            ..1.0 => ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0,
            ..2.0 => ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a,
            _ => 0.0,
        },
    };
    // An equal number of inputs on either side; a place on an input has it on its left where the filter is narrow.
    let left = if stretch < 1.0 { ceil - 1.0 } else { floor };
    let first = left as i64 + 1 - width as i64 / 2;
    let place = f64::from(x - left) + (width / 2 - 1) as f64;
    let weight = |k: usize| filter(((k as f64 - place) * stretch).abs());
    let mut weights: Vec<f64> = (0..width).map(weight).collect();
    if stretch < 1.0 {
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
    }
    (first, weights)
}
