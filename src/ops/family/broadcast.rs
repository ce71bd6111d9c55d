//! Family: y = f(a, b, …) element by element with numpy broadcasting.
//!
//! Axes of equal size are tied. Where an operand has size 1 and the result more, the operand's one coordinate serves
//! all and must stay. <https://onnx.ai/onnx/repo-docs/Broadcasting.html>

use crate::graph::*;
use crate::tensor::*;

/// Result shape of broadcasting, or why there is none.
pub fn shape_of(shapes: &[&[usize]]) -> Result<Shape, Refusal> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut y = vec![1; rank];
    for s in shapes {
        for (axis, &size) in s.iter().enumerate() {
            let y = &mut y[rank - s.len() + axis];
            if *y == 1 {
                *y = size;
            } else if size != 1 && size != *y {
                return invalid(format!("shapes {shapes:?} do not broadcast"));
            }
        }
    }
    Ok(y)
}

/// Facts of a broadcasting operator: the type of its first operand and the common shape.
pub fn infer(x: &Operands) -> Result<Vec<Fact>, Refusal> {
    let first = need(x, 0)?.dtype;
    let shapes: Vec<&[usize]> = x.iter().flatten().map(|o| o.fact.shape.as_slice()).collect();
    Ok(vec![Fact::new(first, shape_of(&shapes)?)])
}

/// Facts of a broadcasting operator of two operands.
pub fn infer_two(x: &Operands) -> Result<Vec<Fact>, Refusal> {
    need(x, 1)?;
    match x.len() {
        2 => infer(x),
        n => invalid(format!("{n} operands, of which it takes 2")),
    }
}

/// States the ties of a broadcasting operator. With `absorbs`, zero is neutral for every operand (Add).
pub fn channels(io: &Io, link: &mut dyn Couplings, absorbs: bool) {
    for slot in 0..io.inputs() {
        channels_of(io, slot, link);
        let Some(x) = io.input(slot).filter(|_| absorbs) else { continue };
        let y = io.output(0);
        for (axis, &size) in x.iter().enumerate() {
            if size > 1 && size == y[y.len() - x.len() + axis] {
                link.zero_is_neutral(input(slot, axis));
            }
        }
    }
}

/// States the ties of one operand of a broadcasting operator; nothing where it is absent.
pub fn channels_of(io: &Io, slot: usize, link: &mut dyn Couplings) {
    let (Some(x), y) = (io.input(slot), io.output(0)) else { return };
    for (axis, &size) in x.iter().enumerate() {
        let result = y.len() - x.len() + axis;
        if size == y[result] {
            link.tie_axes(input(slot, axis), output(0, result));
        } else {
            link.freeze(input(slot, axis), "is broadcast along this axis");
        }
    }
}

/// For an operand of shape `x` in a result of shape `y`: the operand's element for each result element, as
/// strides per result axis (0 where it is broadcast).
pub fn strides(x: &[usize], y: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; y.len()];
    let mut step = 1;
    for axis in (0..x.len()).rev() {
        if x[axis] != 1 {
            strides[y.len() - x.len() + axis] = step;
        }
        step *= x[axis];
    }
    strides
}

/// The runs of elements along the last axes of a broadcast result, and of its `N` operands.
#[derive(Debug, Clone)]
pub struct Runs<const N: usize> {
    /// Elements of a run.
    len: usize,
    /// Distance in each operand from one element of a run to the next, in elements; 0 where one serves the whole run.
    steps: [usize; N],
    /// Sizes of the result's axes that number the runs.
    outer: Shape,
    /// Strides of each operand along these axes, in elements.
    strides: [Vec<usize>; N],
}

impl<const N: usize> Runs<N> {
    /// Runs of operands of `shapes` in a result of shape `y`: as long as every operand is either whole or broadcast along
    /// the axes they cover.
    pub fn new(shapes: [&[usize]; N], y: &[usize]) -> Self {
        let mut all = shapes.map(|s| strides(s, y));
        if volume(y) == 0 {
            return Self { len: 0, steps: [0; N], outer: vec![0], strides: all.map(|_| vec![0]) };
        }
        let (mut len, mut steps, mut rank) = (1, [0; N], y.len());
        while rank > 0 {
            let axis = rank - 1;
            if y[axis] != 1 {
                let fits = |k: usize| len == 1 || all[k][axis] == steps[k] * len;
                if !(0..N).all(fits) {
                    break;
                }
                if len == 1 {
                    steps = std::array::from_fn(|k| all[k][axis]);
                }
                len *= y[axis];
            }
            rank -= 1;
        }
        all.iter_mut().for_each(|strides| strides.truncate(rank));
        Self { len, steps, outer: y[..rank].to_vec(), strides: all }
    }

    /// Calls `f(result start, operand starts, run length, operand steps)` for each run, in the order of the result.
    pub fn each(&self, mut f: impl FnMut(usize, [usize; N], usize, [usize; N])) {
        let mut index = vec![0; self.outer.len()];
        let mut starts = [0; N];
        for o in 0..volume(&self.outer) {
            f(o * self.len, starts, self.len, self.steps);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                starts.iter_mut().zip(&self.strides).for_each(|(s, by)| *s += by[axis]);
                if index[axis] < self.outer[axis] {
                    break;
                }
                let size = self.outer[axis];
                starts.iter_mut().zip(&self.strides).for_each(|(s, by)| *s -= by[axis] * size);
                index[axis] = 0;
            }
        }
    }
}

impl Runs<2> {
    /// `y = f(a, b)`.
    pub fn map<T: Real>(&self, a: &[T], b: &[T], y: &mut [T], f: impl Fn(T, T) -> T) {
        self.each(|o, [i, j], n, [p, q]| {
            let y = &mut y[o..o + n];
            match (p, q) {
                (1, 1) => {
                    for ((y, &a), &b) in y.iter_mut().zip(&a[i..i + n]).zip(&b[j..j + n]) {
                        *y = f(a, b);
                    }
                }
                (1, 0) => y.iter_mut().zip(&a[i..i + n]).for_each(|(y, &a)| *y = f(a, b[j])),
                (0, 1) => y.iter_mut().zip(&b[j..j + n]).for_each(|(y, &b)| *y = f(a[i], b)),
                _ => y.iter_mut().enumerate().for_each(|(k, y)| *y = f(a[i + k * p], b[j + k * q])),
            }
        });
    }
}

impl Runs<1> {
    /// `dx += Σ g` over the elements that an operand was broadcast to; `g(result position, operand position)` is the
    /// gradient there.
    pub fn add<T: Real>(&self, dx: &mut [T], mut g: impl FnMut(usize, usize) -> T) {
        self.each(|o, [i], n, [p]| match p {
            0 => {
                let mut sum = T::zero();
                (0..n).for_each(|k| sum += g(o + k, i));
                dx[i] += sum;
            }
            1 => dx[i..i + n].iter_mut().enumerate().for_each(|(k, dx)| *dx += g(o + k, i + k)),
            _ => (0..n).for_each(|k| dx[i + k * p] += g(o + k, i + k * p)),
        });
    }
}

/// Runs of the two operands of a node, which must be present.
pub fn runs_of_two(io: &Io) -> Result<Runs<2>, Refusal> {
    let (a, b) = (need(io.x, 0)?, need(io.x, 1)?);
    Ok(Runs::new([&a.shape, &b.shape], io.output(0)))
}

/// Position in operand `x` of each element of the result, for operators whose derivative needs the operands.
pub fn positions(x: &[usize], y: &[usize]) -> Vec<usize> {
    let mut at = vec![0; volume(y)];
    Runs::new([x], y).each(|o, [i], n, [p]| {
        at[o..o + n].iter_mut().enumerate().for_each(|(k, a)| *a = i + k * p);
    });
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_definition() {
        for (x, y) in [
            (vec![3, 1], vec![2, 3, 4]),
            (vec![2, 1, 4], vec![2, 3, 4]),
            (vec![1, 3, 1, 1], vec![2, 3, 2, 2]),
            (vec![], vec![2, 3]),
            (vec![2, 3], vec![2, 3]),
            (vec![2, 1, 1, 3], vec![2, 2, 2, 3]),
        ] {
            let s = strides(&x, &y);
            let expected: Vec<usize> = (0..volume(&y))
                .map(|mut i| {
                    let mut at = 0;
                    for axis in (0..y.len()).rev() {
                        at += i % y[axis] * s[axis];
                        i /= y[axis];
                    }
                    at
                })
                .collect();
            assert_eq!(positions(&x, &y), expected, "{x:?} in {y:?}");
        }
    }
}
