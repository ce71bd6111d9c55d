//! Family: y = some mean of x over a window or over whole planes, channel by channel. Batch and channels are tied; the spatial
//! axes stay whole.

use super::spatial::{Resolved, Window, three};
use crate::graph::*;
use crate::tensor::*;
use ndarray::{ArrayViewD, ArrayViewMutD};
use std::fmt::Debug;

/// A pool over a sliding window.
pub trait Windowed: Debug + Clone + Send + Sync + 'static {
    /// Why a spatial axis stays whole: a phrase that follows the node's name.
    const DOES: &'static str;
    /// True for a plain average.
    const AVERAGES: bool = false;
    /// True where no result is negative, whatever x is.
    const NEVER_NEGATIVE: bool = false;
    /// Its window.
    fn window(&self) -> &Window;
    /// The attribute ceil_mode.
    fn ceil_mode(&self) -> Option<i64>;
    /// Writes its other attributes.
    fn attributes(&self, w: Writer) -> Writer;
    /// A factor per output of a plane, which serves all planes; none for most pools.
    fn factors(&self, _: &Loops) -> Vec<f64> {
        Vec::new()
    }
    /// One plane: y from x.
    fn forward<T: Real>(&self, loops: &Loops, factors: &[T], x: &[T], y: &mut [T]);
    /// One plane: dx from x, y and dy.
    fn backward<T: Real>(&self, loops: &Loops, factors: &[T], io: Plane<T>, dx: &mut [T]);
    /// As [`Hints::form`].
    fn form(&self, _: &Io, _opset: i64) -> Option<Form> {
        None
    }
    /// As [`Hints::instructions`].
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        Instructions::PASS
    }
}

/// One plane's values on the way back.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a, T> {
    pub x: &'a [T],
    pub y: &'a [T],
    pub dy: &'a [T],
}

/// Makes a pool an operator.
#[derive(Debug)]
pub struct Pool<P>(pub P);

/// A pool over operands of one shape.
#[derive(Debug)]
pub struct Bound<P> {
    pool: P,
    /// Loops over a plane.
    pub loops: Loops,
    factors: Vec<f64>,
}

impl<P: Windowed> Pool<P> {
    fn ceil(&self) -> bool {
        self.0.ceil_mode().unwrap_or(0) != 0
    }

    /// The pool over the operand among `x`; refused where `infer` refuses it.
    pub fn bound(&self, x: &Operands) -> Result<Bound<P>, Refusal> {
        let shape = &need(x, 0)?.shape;
        let loops = Loops::new(&resolve(self.0.window(), self.ceil(), shape)?, shape);
        Ok(Bound { pool: self.0.clone(), factors: self.0.factors(&loops), loops })
    }
}

impl<P: Windowed> Hints for Pool<P> {
    fn averages(&self) -> bool {
        P::AVERAGES
    }
    fn form(&self, io: &Io, opset: i64) -> Option<Form> {
        self.0.form(io, opset)
    }
    fn instructions(&self, io: &Io) -> Option<Instructions> {
        self.0.instructions(io)
    }
    fn never_negative(&self, x: &Operands) -> bool {
        // A window that lies wholly in the padding holds the least number there is.
        let window = self.0.window();
        let inside = !self.ceil() && window.dilations.as_ref().is_none_or(|d| d.iter().all(|&d| d == 1));
        P::NEVER_NEGATIVE || (inside || P::AVERAGES) && x[0].is_some_and(|x| x.is_never_negative())
    }
}

impl<P: Windowed> Op for Pool<P> {
    fn attributes(&self) -> Attributes {
        let w = Writer::default().maybe("ceil_mode", self.0.ceil_mode());
        self.0.window().write(self.0.attributes(w)).done()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        infer(self.0.window(), self.ceil(), x)
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        Ok(Box::new(self.bound(io.x)?))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(io, &format!("{} along this axis", P::DOES), link);
    }
    fn cost(&self, io: &Io) -> Work {
        let window = self.0.window().kernel().ok().flatten().and_then(|k| checked_volume(&k));
        match window.filter(|_| P::AVERAGES) {
            Some(window) => Work::Other(averaging(window, io.output(0))),
            None => Work::Free,
        }
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<P: Windowed> Bound<P> {
    /// The factors as numbers of the type that is computed with.
    fn rounded<T: Real>(&self) -> Vec<T> {
        self.factors.iter().map(|&f| T::of(f)).collect()
    }
}

impl<P: Windowed, T: Real> Compute<T> for Bound<P> {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let (loops, factors) = (&self.loops, self.rounded::<T>());
        let (pin, pout) = (loops.pixels_in().max(1), loops.pixels_out().max(1));
        let planes = present(x, 0).elements().chunks_exact(pin);
        for (x, y) in planes.zip(y[0].elements_mut().chunks_exact_mut(pout)) {
            self.pool.forward(loops, &factors, x, y);
        }
    }

    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        if let Some(dx) = wanted(dx, 0) {
            let (loops, factors) = (&self.loops, self.rounded::<T>());
            let (pin, pout) = (loops.pixels_in().max(1), loops.pixels_out().max(1));
            let x = present(x, 0).elements().chunks_exact(pin);
            let planes = x.zip(dx.elements_mut().chunks_exact_mut(pin));
            let results = y[0].elements().chunks_exact(pout).zip(dy[0].elements().chunks_exact(pout));
            for ((x, dx), (y, dy)) in planes.zip(results) {
                self.pool.backward(loops, &factors, Plane { x, y, dy }, dx);
            }
        }
    }
}

/// A pool over whole planes.
pub trait Whole: Debug + Clone + Send + Sync + 'static {
    /// Why a spatial axis stays whole: a phrase that follows the node's name.
    const DOES: &'static str;
    /// True for a plain average.
    const AVERAGES: bool = false;
    /// y of a plane.
    fn forward<T: Real>(&self, x: &[T]) -> T;
    /// dx of a plane, from its x, y and dy.
    fn backward<T: Real>(&self, x: &[T], y: T, dy: T, dx: &mut [T]);
    /// As [`Hints::instructions`].
    const INSTRUCTIONS: Option<Instructions> = Instructions::PASS;
}

/// Makes a pool an operator.
#[derive(Debug, Clone)]
pub struct Global<P>(pub P);

impl<P: Whole> Hints for Global<P> {
    fn averages(&self) -> bool {
        P::AVERAGES
    }
    fn instructions(&self, _: &Io) -> Option<Instructions> {
        P::INSTRUCTIONS
    }
    fn never_negative(&self, x: &Operands) -> bool {
        x[0].is_some_and(|x| x.is_never_negative())
    }
}

impl<P: Whole> Op for Global<P> {
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }
    fn infer(&self, x: &Operands) -> Result<Vec<Fact>, Refusal> {
        infer_global(x)
    }
    fn differentiable(&self) -> bool {
        true
    }
    fn bind(&self, io: &Io) -> Result<Box<dyn Kernel>, Refusal> {
        infer_global(io.x)?;
        Ok(Box::new(self.clone()))
    }
    fn channels(&self, io: &Io, link: &mut dyn Couplings) {
        channels(io, &format!("{} over this axis", P::DOES), link);
    }
    fn cost(&self, io: &Io) -> Work {
        match io.input(0).filter(|_| P::AVERAGES) {
            Some(x) => Work::Other(averaging(volume(&x[2..]), io.output(0))),
            None => Work::Free,
        }
    }
    fn resize(&self, _: &Io, _: &dyn Keep) -> Result<Resized, Refusal> {
        Ok(Resized::UNCHANGED)
    }
}

impl<P: Whole, T: Real> Compute<T> for Global<P> {
    fn forward(&self, x: &Inputs<T>, y: &mut ResultsMut<T>) {
        let planes = planes(present(x, 0));
        y[0].elements_mut().iter_mut().zip(planes).for_each(|(y, x)| *y = self.0.forward(x));
    }

    fn backward(&self, x: &Inputs<T>, y: &Results<T>, dy: &Results<T>, dx: &mut InputGradients<T>) {
        if let Some(dx) = wanted(dx, 0) {
            let planes = planes(present(x, 0)).zip(planes_mut(dx));
            let results = y[0].elements().iter().zip(dy[0].elements());
            for ((x, dx), (&y, &dy)) in planes.zip(results) {
                self.0.backward(x, y, dy, dx);
            }
        }
    }
}

/// Refuses the forms of a window that pools do not have, then resolves it for an input of shape `x`.
fn resolve(window: &Window, ceil: bool, x: &[usize]) -> Result<Resolved, Refusal> {
    if x.len() < 3 || x.len() > 5 {
        return unsupported(format!("a pool over an input of rank {}", x.len()));
    }
    let Some(kernel) = window.kernel()? else { return invalid("kernel_shape is missing") };
    let r = window.resolve(&x[2..], &kernel, ceil)?;
    for a in 0..kernel.len() {
        let reach = ((r.kernel[a] - 1) * r.dilation[a] + 1) as isize;
        if [r.begin[a], r.end[a]].iter().any(|p| !(0..reach).contains(p)) {
            return unsupported(format!("pads {:?} for windows of reach {reach}", window.pads));
        }
        let covered = (r.output[a].max(1) - 1) * r.stride[a] + reach as usize;
        if window.auto_pad.starts_with("SAME") && covered < x[a + 2] {
            return unsupported("auto_pad for windows smaller than their stride (runtimes disagree on it)");
        }
    }
    if ceil && window.auto_pad == "VALID" && r.output != window.resolve(&x[2..], &kernel, false)?.output {
        return unsupported("ceil_mode=1 together with auto_pad=VALID (runtimes disagree on it)");
    }
    Ok(r)
}

/// The window's additions and one division for each result.
pub fn averaging(window: usize, y: &[usize]) -> Vec<Product> {
    let Some(&channels) = y.get(1).filter(|&&c| c > 0) else { return Vec::new() };
    let coefficient = (window as f64 + 1.0) * real_volume(y) / channels as f64;
    vec![Product { coefficient, widths: vec![output(0, 1)] }]
}

/// Planes of an operand of a global pool: their elements, one plane after another.
pub fn planes<'x, T>(x: &'x ArrayViewD<T>) -> std::slice::ChunksExact<'x, T> {
    x.elements().chunks_exact(volume(&x.shape()[2..]).max(1))
}

/// As [`planes`], to be changed.
pub fn planes_mut<'x, T>(x: &'x mut ArrayViewMutD<T>) -> std::slice::ChunksExactMut<'x, T> {
    let pixels = volume(&x.shape()[2..]).max(1);
    x.elements_mut().chunks_exact_mut(pixels)
}

/// The result of pooling `x`.
fn infer(window: &Window, ceil: bool, x: &Operands) -> Result<Vec<Fact>, Refusal> {
    let fact = need(x, 0)?;
    let mut shape = fact.shape.clone();
    let r = resolve(window, ceil, &shape)?;
    shape.truncate(2);
    shape.extend(&r.output);
    Ok(vec![Fact::new(fact.dtype, shape)])
}

/// States the ties of a pool; `why` the spatial axes stay whole.
fn channels(io: &Io, why: &str, link: &mut dyn Couplings) {
    let rank = io.output(0).len();
    (0..2).for_each(|axis| link.tie_axes(input(0, axis), output(0, axis)));
    for axis in 2..rank {
        link.freeze(input(0, axis), why);
        link.freeze(output(0, axis), why);
    }
}

/// The result of pooling all spatial axes.
pub fn infer_global(x: &Operands) -> Result<Vec<Fact>, Refusal> {
    let fact = need(x, 0)?;
    if fact.shape.len() < 2 {
        return invalid(format!("a global pool over an input of shape {:?}", fact.shape));
    }
    if volume(&fact.shape[2..]) == 0 {
        return unsupported("a global pool over nothing");
    }
    let mut shape = fact.shape.clone();
    shape[2..].fill(1);
    Ok(vec![Fact::new(fact.dtype, shape)])
}

/// One kernel tap along one axis: the outputs `first..last` read the input at `at + output·stride`.
#[derive(Debug)]
struct Tap {
    at: isize,
    first: usize,
    last: usize,
}

/// A pool's loops at a given size, per plane.
#[derive(Debug)]
pub struct Loops {
    input: [usize; 3],
    output: [usize; 3],
    stride: [usize; 3],
    taps: [Vec<Tap>; 3],
    reach: [(isize, isize); 3],
}

impl Loops {
    /// The loops of a resolved window over an input of shape `x`.
    pub fn new(r: &Resolved, x: &[usize]) -> Self {
        let (input, output) = (three(&x[2..], 1), three(&r.output, 1));
        let (kernel, stride, dilation) = (three(&r.kernel, 1), three(&r.stride, 1), three(&r.dilation, 1));
        let (begin, end) = (three(&r.begin, 0), three(&r.end, 0));
        let taps = [0, 1, 2].map(|a| {
            let tap = |t: usize| {
                let (at, step) = ((t * dilation[a]) as isize - begin[a], stride[a] as isize);
                let below = |limit: isize| {
                    (limit - at + step - 1).div_euclid(step).clamp(0, output[a] as isize) as usize
                };
                Tap { at, first: below(0), last: below(input[a] as isize) }
            };
            (0..kernel[a]).map(tap).collect()
        });
        let reach = [0, 1, 2].map(|a| (begin[a], input[a] as isize + end[a]));
        Self { input, output, stride, taps, reach }
    }

    /// Input elements per plane.
    pub fn pixels_in(&self) -> usize {
        self.input.iter().product()
    }

    /// Output elements per plane.
    pub fn pixels_out(&self) -> usize {
        self.output.iter().product()
    }

    /// Step between the inputs of neighbouring outputs of a row.
    pub fn stride(&self) -> usize {
        self.stride[2]
    }

    /// Of a row that is [split](Self::split): its elements, the stride, and the room for the elements of a phase.
    fn phases(&self) -> (usize, usize, usize) {
        let (w, s) = (self.input[2].max(1), self.stride());
        (w, s, w.div_ceil(s))
    }

    /// Elements of a plane whose rows are [split](Self::split).
    pub fn split_pixels(&self) -> usize {
        let (w, s, length) = self.phases();
        self.pixels_in() / w * s * length
    }

    /// Copies a plane so that the elements which neighbouring outputs read follow one another: of each row first those at
    /// 0, s, 2s, … of the stride s, then those at 1, s + 1, …
    #[inline(always)]
    pub fn split<T: Copy>(&self, plane: &[T], to: &mut [T]) {
        let (w, s, length) = self.phases();
        for (row, to) in plane.chunks_exact(w).zip(to.chunks_exact_mut(s * length)) {
            for (phase, to) in to.chunks_exact_mut(length).enumerate().take(w) {
                to.iter_mut().zip(row[phase..].iter().step_by(s)).for_each(|(to, x)| *to = *x);
            }
        }
    }

    /// The inverse of [`split`](Self::split).
    #[inline(always)]
    pub fn join<T: Copy>(&self, split: &[T], plane: &mut [T]) {
        let (w, s, length) = self.phases();
        for (row, from) in plane.chunks_exact_mut(w).zip(split.chunks_exact(s * length)) {
            for (phase, from) in from.chunks_exact(length).enumerate().take(w) {
                row[phase..].iter_mut().step_by(s).zip(from).for_each(|(x, from)| *x = *from);
            }
        }
    }

    /// As [`rows`](Self::rows), with the starts of inputs in a [split](Self::split) plane, where they follow one another.
    #[inline(always)]
    pub fn split_rows(&self, mut f: impl FnMut(usize, usize, usize)) {
        let (w, s, length) = self.phases();
        self.rows(|out, from, n| {
            let (row, at) = (from / w, from % w);
            f(out, (row * s + at % s) * length + at / s, n);
        });
    }

    /// Calls `f(output start, input start, length)` for each tap and each row of outputs that it has inputs for.
    #[inline(always)]
    pub fn rows(&self, mut f: impl FnMut(usize, usize, usize)) {
        let [d, h, w] = &self.taps;
        let at = |t: &Tap, o: usize, stride: usize| (t.at + (o * stride) as isize) as usize;
        for a in 0..self.output[0] {
            for ta in d.iter().filter(|t| (t.first..t.last).contains(&a)) {
                let plane = at(ta, a, self.stride[0]) * self.input[1];
                for b in 0..self.output[1] {
                    let out = (a * self.output[1] + b) * self.output[2];
                    for tb in h.iter().filter(|t| (t.first..t.last).contains(&b)) {
                        let row = (plane + at(tb, b, self.stride[1])) * self.input[2];
                        for tc in w.iter().filter(|t| t.first < t.last) {
                            f(out + tc.first, row + at(tc, tc.first, self.stride[2]), tc.last - tc.first);
                        }
                    }
                }
            }
        }
    }

    /// `f(y, x)` for each output of a plane and each of its inputs.
    #[inline(always)]
    pub fn gather<T: Copy>(&self, x: &[T], y: &mut [T], f: impl Fn(&mut T, T)) {
        let stride = self.stride();
        self.rows(|out, from, n| {
            let y = &mut y[out..out + n];
            match stride {
                1 => y.iter_mut().zip(&x[from..from + n]).for_each(|(y, &x)| f(y, x)),
                2 => y.iter_mut().zip(x[from..].chunks(2)).for_each(|(y, x)| f(y, x[0])),
                s => y.iter_mut().zip(x[from..].iter().step_by(s)).for_each(|(y, &x)| f(y, x)),
            }
        });
    }

    /// `f(output, dx)` for each output position of a plane and each of its inputs.
    #[inline(always)]
    pub fn scatter<T: Copy>(&self, dx: &mut [T], mut f: impl FnMut(usize, usize, &mut T)) {
        let stride = self.stride();
        self.rows(|out, from, n| {
            for (k, dx) in dx[from..].iter_mut().step_by(stride).take(n).enumerate() {
                f(out + k, from + k * stride, dx);
            }
        });
    }

    /// One over the number of inputs of each output of a plane. Padding counts where `padding` is set, but never the places beyond
    /// it that an output size that was rounded up reaches.
    pub fn inverse_counts(&self, padding: bool) -> Vec<f64> {
        let counts = [0, 1, 2].map(|a| -> Vec<usize> {
            let inside = |t: &Tap, o: usize| {
                let i = t.at + (o * self.stride[a]) as isize;
                let (begin, end) = self.reach[a];
                i >= -begin && i < end
            };
            (0..self.output[a])
                .map(|o| {
                    let counts = |t: &&Tap| match padding {
                        true => inside(t, o),
                        false => (t.first..t.last).contains(&o),
                    };
                    self.taps[a].iter().filter(counts).count()
                })
                .collect()
        });
        let [d, h, w] = &counts;
        let mut inverse = Vec::with_capacity(self.pixels_out());
        for a in d {
            for b in h {
                inverse.extend(w.iter().map(|c| 1.0 / (a * b * c).max(1) as f64));
            }
        }
        inverse
    }
}
