//! Family: y = some mean of x over a window, channel by channel. Batch and channels are tied; the spatial axes stay whole.

use super::spatial::{Resolved, Window, three};
use crate::ir::*;

/// Refuses the forms of a window that pools do not have, then resolves it for an input of shape `x`.
pub fn resolve(window: &Window, ceil: bool, x: &[usize]) -> Result<Resolved, Refusal> {
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

/// The result of pooling `x`.
pub fn infer(window: &Window, ceil: bool, x: &Operands) -> Result<Vec<Fact>, Refusal> {
    let fact = need(x, 0)?;
    let mut shape = fact.shape.clone();
    let r = resolve(window, ceil, &shape)?;
    shape.truncate(2);
    shape.extend(&r.output);
    Ok(vec![Fact::new(fact.dtype, shape)])
}

/// States the ties of a pool; `why` says what it does along the spatial axes.
pub fn channels(io: &Io, why: &str, link: &mut dyn Link) {
    let rank = io.output(0).len();
    (0..2).for_each(|axis| link.same(input(0, axis), output(0, axis)));
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

    /// One over the number of inputs of each output of a plane; padding counts where `padding` is set (but never what
    /// lies beyond the padding, where the output was rounded up).
    pub fn inverse_counts<T: Real>(&self, padding: bool) -> Vec<T> {
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
                inverse.extend(w.iter().map(|c| T::of(1.0 / (a * b * c).max(1) as f64)));
            }
        }
        inverse
    }
}
